"""Which pixels of a stack are synthetic, and where they come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from napari_ssan.version import __version__


class ErrorSummary(BaseModel):
    """How wrong synthetic pixels are likely to be, in grey values.

    Attributes
    ----------
    mean : float
        Of the expected absolute error of all of them.
    highest : float
        Of the square of pixels where it is highest.
    y, x : int
        Middle of that square in the section.
    contrast : float
        Standard deviation of a section here, to compare with.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    mean: float
    highest: float
    y: int
    x: int
    contrast: float


def _none_if_wrong(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """No summary in place of one that is damaged, so that the rest of a record is still read."""
    try:
        return validate(value)
    except ValidationError:
        return None


class SyntheticSection(BaseModel):
    """How a section, or part of it, came about. Sections are those of the repaired stack.

    Attributes
    ----------
    section : int
        Which one.
    kind : {"whole", "region", "inserted"}
        Whether all of it is synthetic, the marked pixels, or it was absent before.
    share : float
        Share of its pixels that is synthetic, 0 to 1.
    region : dict or None
        Which pixels of a region are, see :func:`~napari_ssan.stack.region.packed`.
    neighbours : tuple of int
        Sections that it was made from; a single one was copied.
    position : float
        Where it lies between them: 0 at the first, 1 at the second.
    distance : int or None
        How many sections away the nearest of them is; None in older records.
    method, model, model_sha256 : str or None
        How it was made, and by which weights.
    match : {"mean", "histogram"} or None
        How its grey values were fitted to the neighbours'; None where one was copied.
    views : int or None
        Mirrored and turned views that the network averaged over.
    error : ErrorSummary or None
        How wrong it is likely to be; None if that was not estimated.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    section: int
    kind: Literal["whole", "region", "inserted"]
    share: float
    region: dict[str, Any] | None = None
    neighbours: tuple[int, ...]
    position: float
    distance: int | None = None
    method: str
    model: str | None = None
    model_sha256: str | None = None
    match: str | None = None
    views: int | None = None
    error: Annotated[ErrorSummary | None, WrapValidator(_none_if_wrong)] = None

    @property
    def copied(self) -> int | None:
        """The section that its pixels are a copy of; None if they are synthesized."""
        if self.method != "copy":
            return None
        return self.neighbours[0] if self.position <= 0.5 else self.neighbours[-1]

    @property
    def maker(self) -> str:
        """The model or method that made it, as in ``ssan-fidelity, 8 views``."""
        by = self.model or self.method
        return f"{by}, {self.views} views" if self.views and self.views > 1 else by

    def __str__(self) -> str:
        origin, what = " and ".join(str(z) for z in self.neighbours), "synthetic"
        if self.copied is not None:
            origin, what = str(self.copied), "copied"
        part = {"whole": "", "inserted": "inserted, "}.get(self.kind, f"{percent(self.share)} ")
        by = self.model or self.method
        return f"slice {self.section}: {part}{what}, from {origin} ({by})"


def percent(share: float) -> str:
    """A share in words: two digits, or three where two would round it up to all."""
    return f"{100 * share:.{3 if share >= 0.995 else 2}g} %"


class Provenance(BaseModel):
    """What is synthetic in a repaired stack; written into every export as JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    software: str = "napari-ssan"
    version: str = __version__
    sections: tuple[SyntheticSection, ...] = Field(default=())

    @property
    def numbers(self) -> frozenset[int]:
        """Sections that are synthetic, as a whole or in part."""
        return frozenset(record.section for record in self.sections)

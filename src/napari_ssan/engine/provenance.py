"""Which pixels of a stack are synthetic or corrected, and where they come from.

Easy to get wrong: corrected pixels are the section's own, so they are not synthetic.
"""

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

from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import MALFORMED
from napari_ssan.stack.region import region_from_entry
from napari_ssan.version import __version__

#: The method of corrected pixels.
CORRECT = "correct"


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


class Transform(BaseModel):
    """What corrected pixels went through: gain times grey value plus offset.

    Attributes
    ----------
    gain, offset : tuple of tuple of float
        Fields over a part of the section, which holds all corrected pixels: values in the middles
        of equal rectangles, with linear interpolation between them. Offsets are in grey values.
    window : (int, int, int, int)
        That part: first row and column, and those after the last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    gain: tuple[tuple[float, ...], ...]
    offset: tuple[tuple[float, ...], ...]
    window: tuple[int, int, int, int]


class SyntheticSection(BaseModel):
    """How a section, or part of it, came about. Sections are those of the repaired stack.

    Attributes
    ----------
    section : int
        Which one.
    kind : {"whole", "region", "inserted"}
        Whether all of it was repaired, the marked pixels, or it was absent before.
    share : float
        Share of its pixels that was repaired, 0 to 1.
    region : dict or None
        Which pixels of a region are, see :func:`~napari_ssan.stack.region.packed`.
    neighbours : tuple of int
        Sections that it was made from, a single one being copied; or that it was matched to.
    position : float
        Where it lies between them: 0 at the first, 1 at the second.
    distance : int or None
        How many sections away the nearest of them is; None in older records.
    method, model, model_sha256 : str or None
        How it was made, and by which weights; the method is ``correct`` for corrected pixels.
    match : {"mean", "histogram"} or None
        How its grey values were fitted to the neighbours'; None where one was copied.
    views : int or None
        Mirrored and turned views that the network averaged over.
    error : ErrorSummary or None
        How wrong it is likely to be; None if that was not estimated.
    transform : Transform or None
        What was done to the section's own pixels if they are corrected, not synthetic.
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
    transform: Transform | None = None

    @property
    def corrected(self) -> bool:
        """Whether the pixels are the section's own, and not synthetic."""
        return self.method == CORRECT

    @property
    def copied(self) -> int | None:
        """The section that its pixels are a copy of; None if they are synthesized."""
        if self.method != "copy":
            return None
        return self.neighbours[0] if self.position <= 0.5 else self.neighbours[-1]

    @property
    def word(self) -> Literal["synthetic", "copied", "corrected"]:
        """What its pixels are."""
        if self.corrected:
            return "corrected"
        return "synthetic" if self.copied is None else "copied"

    @property
    def origin(self) -> tuple[int, ...]:
        """The sections that it comes from, or was matched to."""
        return self.neighbours if self.copied is None else (self.copied,)

    @property
    def maker(self) -> str:
        """The model or method that made it, as in ``ssan-fidelity, 8 views``."""
        by = self.model or self.method
        return f"{by}, {self.views} views" if self.views and self.views > 1 else by

    def __str__(self) -> str:
        origin = " and ".join(map(str, self.origin))
        part = {"whole": "", "inserted": "inserted, "}.get(self.kind, f"{percent(self.share)} ")
        link, by = (
            ("matched to", "") if self.corrected else ("from", f" ({self.model or self.method})")
        )
        return f"slice {self.section}: {part}{self.word}, {link} {origin}{by}"


def percent(share: float) -> str:
    """A share in words: two digits, or three where two would round it up to all."""
    return f"{100 * share:.{3 if share >= 0.995 else 2}g} %"


class Provenance(BaseModel):
    """What is synthetic or corrected in a repaired stack; written into every export as JSON.

    Attributes
    ----------
    software, version : str
        What has repaired it last.
    sections : tuple of SyntheticSection
    old_sections : tuple of (int or None), or None
        By section, its number before sections were inserted, None for one of these; None in all
        if none was.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    software: str = "napari-ssan"
    version: str = __version__
    sections: tuple[SyntheticSection, ...] = Field(default=())
    old_sections: tuple[int | None, ...] | None = None

    @property
    def numbers(self) -> frozenset[int]:
        """Sections that are synthetic, as a whole or in part."""
        return frozenset(each.section for each in self.sections if not each.corrected)


def recorded_marks(
    provenance: Provenance | None, shape: tuple[int, int, int], corrected: bool = False
) -> Marks:
    """Mark what a record says is synthetic, or corrected, in a stack (sections, height, width).

    Of a region whose pixels the record does not tell, the whole section counts: they are among
    them. What lies outside the stack is left out.
    """
    marks = Marks()
    for record in provenance.sections if provenance else ():
        if record.corrected != corrected or not 0 <= record.section < shape[0]:
            continue
        if record.kind != "region" or record.region is None:
            marks.whole.add(record.section)
            continue
        try:
            marks.add_region(record.section, region_from_entry(record.region, shape[1:]))
        except (*MALFORMED, BadInput):
            marks.whole.add(record.section)
    for z in marks.whole:
        marks.regions.pop(z, None)
    return marks

"""Source: the sections of a stack that may be used, and what of them must not."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack, Window


@dataclass(frozen=True)
class Source:
    """Sections of a stack that triplets are drawn from.

    Attributes
    ----------
    stack : SliceStack
        The stack.
    start, stop : int
        First section, and the one after the last; 0 is the end of the stack.
    spacing : int
        Distance of sections that count as adjacent: 4 or 5 makes an isotropic
        stack look like a serial one.
    marks : Marks, optional
        Marks; what is marked is never drawn.
    window : (slice, slice), optional
        Part of the sections that may be used, rows and columns.
    """

    stack: SliceStack
    start: int = 0
    stop: int = 0
    spacing: int = 1
    marks: Marks | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", self.stop or len(self.stack))

    @property
    def area(self) -> Window:
        """The part of the sections that may be used."""
        rows, columns = self.window or (slice(None), slice(None))
        _, height, width = self.stack.shape
        return slice(*rows.indices(height)[:2]), slice(*columns.indices(width)[:2])

    @property
    def sections(self) -> range:
        """The sections."""
        return range(self.start, self.stop)

    def touches_mark(self, z: int, window: Window) -> bool:
        """Whether anything is marked in a part of section `z`."""
        mask = self.marks.mask(z, window) if self.marks else None
        return mask is not None and bool(mask.any())

"""A source: the sections and the area of a stack that may be used, and its marks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from napari_ssan.stack.alignment import FIELD
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack, Window, middle, moved


@dataclass(frozen=True)
class Source:
    """Sections of a stack that triplets are drawn from.

    Attributes
    ----------
    stack : SliceStack
    start, stop : int
        First section, and the one after the last; a `stop` of 0 is the end of the stack.
    spacing : int
        Distance of sections that count as adjacent. A spacing of 4 or 5 makes an isotropic
        stack look like one of serial sections.
    marks : Marks, optional
        Marks; marked pixels are never drawn.
    window : (slice, slice), optional
        Rows and columns that may be used.
    damage : Marks, optional
        What looks broken though nobody has marked it; it is not drawn, either.
    """

    stack: SliceStack
    start: int = 0
    stop: int = 0
    spacing: int = 1
    marks: Marks | None = None
    window: Window | None = None
    damage: Marks | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", self.stop or len(self.stack))

    @cached_property
    def avoided(self) -> Marks:
        """All that is not drawn: marks and damage."""
        together = Marks()
        for marks in (self.marks, self.damage):
            together.update(marks or Marks())
        return together

    @property
    def area(self) -> Window:
        """Rows and columns that may be used."""
        rows, columns = self.window or (slice(None), slice(None))
        _, height, width = self.stack.shape
        return slice(*rows.indices(height)[:2]), slice(*columns.indices(width)[:2])

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of the area."""
        rows, columns = self.area
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def field(self) -> Window:
        """The middle of the area, at most 1024 x 1024, in which sections are compared."""
        rows, columns = self.area
        return moved(middle(self.extent, FIELD), rows.start, columns.start)

    @property
    def sections(self) -> range:
        """Numbers of the sections."""
        return range(self.start, self.stop)

    def touches_mark(self, z: int, window: Window) -> bool:
        """Whether any pixel in a window of section `z` is marked, or looks broken."""
        mask = self.avoided.mask(z, window)
        return mask is not None and bool(mask.any())

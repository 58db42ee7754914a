"""Two sources of true membranes for an evaluation: labels, or a segmenter on the real section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_ssan.evaluation.use import Mask
from napari_ssan.stack.sections import Array

if TYPE_CHECKING:
    from napari_ssan.segmenter.segmenter import Segmenter


@dataclass(frozen=True, eq=False)
class FoundInReal:
    """The true membranes are those that one fixed segmenter finds in the real section.

    Attributes
    ----------
    segmenter : Segmenter
        Judges all sections.
    """

    segmenter: Segmenter

    def find(self, z: int, section: Array) -> Mask:
        """Find membranes in section `z`, real or synthesized."""
        return self.segmenter.membranes(section)

    def truth(self, z: int, real: Array) -> Mask:
        """Find the membranes of the real section."""
        return self.find(z, real)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The true membranes are those of labels.

    Attributes
    ----------
    judge : callable
        Takes a section's number and returns a segmenter that was not trained on its label.
    labels : sequence of ndarray of bool, (height, width) each
        True on membranes, section by section.
    """

    judge: Callable[[int], Segmenter]
    labels: Sequence[Mask]

    def find(self, z: int, section: Array) -> Mask:
        """Find membranes in section `z`, real or synthesized."""
        return self.judge(z).membranes(section)

    def truth(self, z: int, real: Array) -> Mask:
        """Return the labelled membranes of section `z`."""
        return self.labels[z]

"""Membranes as an evaluation needs them: who finds them, and where they truly are."""

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
    """Membranes are where one fixed segmenter finds them in the real section.

    Attributes
    ----------
    segmenter : Segmenter
        The one that judges all sections.
    """

    segmenter: Segmenter

    def find(self, z: int, section: Array) -> Mask:
        """Membranes in section `z`, or in what was synthesized in its place."""
        return self.segmenter.membranes(section)

    def truth(self, z: int, real: Array) -> Mask:
        """Those of the real section."""
        return self.find(z, real)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Membranes are where labels say.

    Attributes
    ----------
    judge : callable
        From a section's number to the segmenter that judges it, which has not seen its label.
    labels : sequence of ndarray of bool, (height, width) each
        True on membranes, section by section.
    """

    judge: Callable[[int], Segmenter]
    labels: Sequence[Mask]

    def find(self, z: int, section: Array) -> Mask:
        """Membranes in section `z`, or in what was synthesized in its place."""
        return self.judge(z).membranes(section)

    def truth(self, z: int, real: Array) -> Mask:
        """Those of the labels."""
        return self.labels[z]

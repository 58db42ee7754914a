"""True membranes for an evaluation: from labels, or by a segmenter on the real section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from napari_ssan.segmenter.segmenter import Segmenter
from napari_ssan.stack.region import Mask
from napari_ssan.stack.sections import Array


@dataclass(frozen=True, eq=False)
class Membranes:
    """Finds membranes, and knows where they truly are.

    Attributes
    ----------
    judge : callable
        Takes a section's number and returns a segmenter that was not trained on its label.
    labels : sequence of ndarray of bool, (height, width) each, optional
        True on membranes, section by section. The default takes the membranes that the
        segmenter finds in the real section for the true ones.
    """

    judge: Callable[[int], Segmenter]
    labels: Sequence[Mask] | None = None

    def find(self, z: int, section: Array) -> Mask:
        """Find membranes in section `z`, real or synthesized."""
        return self.judge(z).membranes(section)

    def truth(self, z: int, real: Array) -> Mask:
        """Return the true membranes of section `z`."""
        return self.find(z, real) if self.labels is None else self.labels[z]

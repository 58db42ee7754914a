"""What lies beside an output behind an address until that is whole: the journal, and kept pixels.

It stands in for a :class:`~napari_ssan.part.Part`, and holds no lock: the claim on the output does
that. Easy to get wrong: the first object of the journal says that there is something to go on with,
so it is the first to go.
"""

from __future__ import annotations

from pathlib import Path

from napari_ssan.files import remote
from napari_ssan.files.remote_image import discard, remove_all
from napari_ssan.volumes.journal import FIRST, Journal


class RemotePart:
    """The objects beside an output.

    Parameters
    ----------
    output : Path
        Its address.
    """

    def __init__(self, output: Path) -> None:
        self._output, self.folder = output, output.with_name(f".{output.name}.unfinished")

    def is_kept(self) -> bool:
        """Whether a run has left something to go on with."""
        return remote.exists(self.folder / FIRST)

    def leave(self) -> None:
        """Leave it as it is."""

    def remove(self) -> None:
        """Remove it."""
        remote.remove(self.folder / FIRST)
        remove_all(self.folder)

    def discard(self) -> None:
        """Remove it, and what its run has written of the output, if that has not appeared."""
        discard(self._output, level_names(Journal(self.folder).read().run))
        self.remove()


def level_names(run: dict[str, object]) -> list[str]:
    """Names of the levels that a run writes, as its journal has them."""
    return [f"{run.get('prefix', '')}{number}" for number in range(int(str(run["levels"])))]

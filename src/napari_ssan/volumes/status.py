"""What was done to a volume, what is left to do, and what can be undone; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files.open_zarr import is_zarr
from napari_ssan.paths import real
from napari_ssan.volumes.claim import claimed
from napari_ssan.volumes.given import GIVEN
from napari_ssan.volumes.journal import Journal, State
from napari_ssan.volumes.layout import node_of
from napari_ssan.volumes.objects import Objects
from napari_ssan.volumes.originals import noted_folder, recorded
from napari_ssan.volumes.output_run import unfinished


@dataclass(frozen=True)
class Status:
    """How a volume that is repaired in slabs stands; sections are sorted.

    Attributes
    ----------
    marked, done, left : tuple of int
        Sections that the last run is to repair, and of these the ones that it has repaired at
        full resolution, and the others.
    failed : tuple of (tuple of int, str)
        Sections of each slab that has failed, and why.
    restorable : tuple of int
        Sections that `restore` can bring back.
    finished : bool
        Whether the last run has come to its end.
    restoring : bool
        Whether a restore was interrupted.
    in_work : str
        Who changes the volume now; empty if nobody does.
    backup : Path
        Folder of the originals, or of an unfinished output.
    provenance : Provenance
        What is synthetic now. The volume's own record says so only when the last run has ended.
    given : bool
        Whether the last run puts pixels there that it was given, and synthesizes none.
    """

    marked: tuple[int, ...]
    done: tuple[int, ...]
    left: tuple[int, ...]
    failed: tuple[tuple[tuple[int, ...], str], ...]
    restorable: tuple[int, ...]
    finished: bool
    restoring: bool
    in_work: str
    backup: Path
    provenance: Provenance
    given: bool


def begun(path: Path) -> bool:
    """Whether a volume has been repaired in place, at least in part, and not been restored."""
    return is_zarr(path) and _where(real(path)) is not None


def status(path: Path, backup: Path | None = None) -> Status:
    """Read how a volume stands that was repaired in place.

    Parameters
    ----------
    path : Path
        Of which :func:`begun` is true.
    backup : Path, optional
        Where the originals are, if they are not where the volume says.

    Raises
    ------
    BadInput
        If its originals are not there, or their journal is damaged.
    """
    path = real(path)
    folder = _where(path) if backup is None else real(backup)
    if folder is None or not folder.is_dir():
        raise BadInput(
            f"The originals of {path.name} are not in {folder}; say with --backup where they are."
        )
    state = Journal(folder).read()
    provenance = recorded(Objects(path, folder), node_of(path), state)
    return _status(path, folder, state, provenance, restorable=True)


def output_status(output: Path) -> Status | None:
    """Read how an output stands that is not finished yet; None if there is none.

    Raises
    ------
    BadInput
        If its journal is damaged.
    """
    part = unfinished(output)
    if part is None:
        return None
    state = Journal(part).read()
    return _status(output, part, state, Provenance(sections=state.synthetic), restorable=False)


def _status(
    path: Path, folder: Path, state: State, provenance: Provenance, *, restorable: bool
) -> Status:
    kept = state.asked | state.records.keys() if restorable else ()
    return Status(
        marked=tuple(sorted(state.asked)),
        done=tuple(sorted(state.repaired)),
        left=tuple(sorted(state.asked - state.repaired)),
        failed=tuple((tuple(sections), why) for sections, why in state.failed.values()),
        restorable=tuple(sorted(kept)),
        finished=state.finished or not state.run,
        restoring=bool(state.restoring),
        in_work=claimed(path),
        backup=folder,
        provenance=provenance,
        given=bool(state.run) and state.run["how"]["method"] == GIVEN,
    )


def _where(path: Path) -> Path | None:
    return noted_folder(path, node_of(path))

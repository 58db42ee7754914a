"""The folder of a fine-tuning: what lies in it, and that one works in it at a time."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_data_path

from napari_ssan.errors import BadInput
from napari_ssan.swap import recover

#: What a run is, what came of it, and who works on it.
RECORD, VERDICT, JUDGED, LOCK = "run.json", "verdict.json", "judged.json", "lock"
#: What it learns from, the model that it starts from, and the one that it hands over.
SECTIONS, BASE, MODEL = "sections.npy", "base.safetensors", "model.safetensors"
#: What systems say where there can be no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
#: What it has told of the training, line by line.
TOLD = "told.jsonl"
#: What training writes before it is judged, and its checkpoint.
CANDIDATE, CHECKPOINT = "candidate.safetensors", "candidate.checkpoint"


def runs_folder() -> Path:
    """Where runs live that were started in the viewer."""
    return user_data_path("napari-ssan") / "runs"


@contextmanager
def held(folder: Path, what: str) -> Iterator[None]:
    """Be the only one who works in a run's folder.

    Raises
    ------
    BadInput
        If somebody else does, or it cannot be written to.
    """
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise BadInput(
            f"{what} is being worked on already, in another window or program: "
            "wait for its end, or stop it there."
        ) from None
    except NotImplementedError:
        pass  # better without a lock than not at all
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise BadInput(
                f"{what} cannot be written to its folder {folder} ({error.strerror or error}): "
                "make that folder writable, or make room on the disk."
            ) from None
    try:
        with suppress(OSError):
            recover(folder)  # what a killed run left; the folder is ours now
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Remove what a crash left of a run before it had begun; a run that has begun stays.

    Raises
    ------
    BadInput
        If somebody works there.
    """
    with held(folder, "The run"):
        begun = (folder / RECORD).exists()
    if not begun:
        shutil.rmtree(folder)

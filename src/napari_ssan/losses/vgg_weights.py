"""Where the weights of VGG16 come from: a file of the user's, the cache, or torchvision."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from platformdirs import user_cache_path

from napari_ssan.atomic import write_atomically
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.losses.vgg_file import (
    BLOCKS,
    PUBLISHED,
    SHA256,
    SUFFIX,
    TORCHVISION,
    Weights,
    read_weights,
)

#: Torchvision's own address, and the length of what lies there in bytes.
URL = f"https://download.pytorch.org/models/{PUBLISHED}"
SIZE = 553_433_881
#: In a user's words.
SOURCE = "528 MB from download.pytorch.org"
#: Bytes between two looks at whether a download was cancelled.
CHUNK = 2**17
#: Seconds without a byte after which a download is given up.
PATIENCE = 20.0


def cached() -> Path:
    """Where weights that were fetched or imported are kept."""
    return user_cache_path("napari-ssan") / f"vgg16{SUFFIX}"


def find_weights(path: Path | None = None) -> Path | None:
    """The file to use: one that is given, else that in the user's cache, else none.

    Raises
    ------
    BadInput
        If the given file cannot be used.
    """
    if path is not None:
        return import_weights(path.expanduser())
    return cached() if cached().is_file() else None


def import_weights(path: Path) -> Path:
    """Check a file that the user chose, and make it one that is read at once.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` with at least the first block, or torchvision's ``.pth``.

    Returns
    -------
    Path
        The ``.safetensors`` itself, or what was taken from the ``.pth`` into the user's cache.

    Raises
    ------
    BadInput
        If it holds no such weights, or the cache cannot be written.
    """
    weights = read_weights(path)
    if path.suffix == SUFFIX:
        return path
    try:
        return _keep(weights)
    except OSError as error:
        raise BadInput(
            f"The weights in {path.name} could not be copied to {cached().parent}: "
            f"{_reason(error)}; make room there, or choose a {SUFFIX} file."
        ) from None


def download(progress: Callable[[int, int], None], cancel: Event | None = None) -> Path:
    """Fetch torchvision's weights and keep, in the user's cache, what the losses need of them.

    Parameters
    ----------
    progress : callable
        Called with the bytes that have arrived, and all that will.
    cancel : Event, optional
        Set from another thread, it ends the download within a chunk.

    Returns
    -------
    Path
        A ``.safetensors`` of 31 MB. Nothing else is left behind.

    Raises
    ------
    BadInput
        Without a network or room on the disk, or if what arrived is not what was published.
    Cancelled
        If it was cancelled.
    """
    from pooch import HTTPDownloader

    folder = cached().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < SIZE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
            part = Path(temporary) / PUBLISHED
            watched = _Watched(progress, cancel)
            fetch = HTTPDownloader(progressbar=watched, chunk_size=CHUNK, timeout=PATIENCE)
            fetch(URL, part, None)
            return _keep(read_weights(part))
    except OSError as error:  # those of requests are OSErrors, too
        reason = _reason(error)
    except BadInput:
        reason = "what arrived is not what was published"
    raise BadInput(
        f"The VGG16 weights ({SOURCE}) could not be fetched: {reason}; try again, "
        "choose a file that has them, or train without them, which means L_1."
    )


class _Watched:
    """What pooch takes for a progress bar: passes the count on, and stops when told to."""

    def __init__(self, progress: Callable[[int, int], None], cancel: Event | None) -> None:
        self.progress, self.cancel = progress, cancel
        self.done, self.total = 0, SIZE

    def update(self, count: int) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled
        total = self.total or SIZE  # 0: the server did not say
        self.done = min(self.done + count, total)
        self.progress(self.done, total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        """Nothing is held open."""


def _keep(weights: Weights) -> Path:
    """Write torchvision's weights to the user's cache, whole or not at all."""
    from safetensors.torch import save

    tensors = {}
    for tap, block in weights.blocks.items():
        for number, (weight, bias) in zip(BLOCKS[tap], block, strict=True):
            key = TORCHVISION.keys[number]
            tensors[f"{key}.weight"], tensors[f"{key}.bias"] = weight, bias
    path = cached()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(tensors, {"source": URL, "sha256": SHA256}))
    return path


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk has no room for them"
    # requests' errors have no number, and their text is no sentence
    return error.strerror or f"the network failed ({type(error).__name__})"

"""Gets the weights of VGG16: from a file that the user gives, the cache, or torchvision.

:mod:`~napari_ssan.losses.vgg_file` reads them. Nothing is downloaded unless :func:`download`
is called. Of the 528 MB, only the 31 MB that the losses use are kept.
"""

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

#: Torchvision's own address, and the size of the file there in bytes.
URL = f"https://download.pytorch.org/models/{PUBLISHED}"
SIZE = 553_433_881
#: The download, as users see it.
SOURCE = "528 MB from download.pytorch.org"
#: Bytes between two checks whether a download was cancelled.
CHUNK = 2**17
#: A download fails after this many seconds without data.
PATIENCE = 20.0


def cached() -> Path:
    """Path of the file that keeps downloaded or imported weights."""
    return user_cache_path("napari-ssan") / f"vgg16{SUFFIX}"


def find_weights(path: Path | None = None) -> Path | None:
    """Find the file to use: the given one, else the one in the cache, else None.

    Raises
    ------
    BadInput
        If the given file cannot be used.
    """
    if path is not None:
        return import_weights(path.expanduser())
    return cached() if cached().is_file() else None


def import_weights(path: Path) -> Path:
    """Check a file that the user chose, and convert it to one that opens fast.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` with at least the first block, or torchvision's ``.pth``.

    Returns
    -------
    Path
        The ``.safetensors`` itself, or the copy in the user's cache made from the ``.pth``.

    Raises
    ------
    BadInput
        If it holds no VGG16 weights, or the cache cannot be written.
    """
    weights = read_weights(path)
    if path.suffix == SUFFIX:
        return path
    try:
        return _keep(weights)
    except OSError as error:
        raise BadInput(
            f"The weights in {path.name} could not be copied to {cached().parent}: "
            f"{_reason(error)}; free some space there, or choose a {SUFFIX} file."
        ) from None


def download(progress: Callable[[int, int], None], cancel: Event | None = None) -> Path:
    """Download torchvision's weights, and keep the part that the losses use in the cache.

    Parameters
    ----------
    progress : callable
        Called with the bytes received, and the bytes in total.
    cancel : Event, optional
        Set it from another thread to stop the download within a chunk.

    Returns
    -------
    Path
        A ``.safetensors`` of 31 MB. No other file is left behind.

    Raises
    ------
    BadInput
        If the network fails, the disk is full, or the file is not the published one.
    Cancelled
        If `cancel` was set.
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
        reason = "the downloaded file is not the published one"
    raise BadInput(
        f"The VGG16 weights ({SOURCE}) could not be downloaded: {reason}; try again, "
        "choose a file that holds them, or train without them (loss L_1)."
    )


class _Watched:
    """Acts as pooch's progress bar: reports the count, and stops the download if cancelled."""

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
        return "the disk is full"
    # requests' errors have no number, and their text is not a sentence
    return error.strerror or f"the network failed ({type(error).__name__})"

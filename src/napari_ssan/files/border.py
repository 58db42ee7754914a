"""What is asked of an image before its first pixel is read: kind of pixels, codecs, sizes, links.

Some kinds of pixels and codecs of zarr run code from the file when they are decoded, so only
known ones pass. A few bytes may also stand for very many: what must be decoded at once is
compared with what the file holds, before memory is taken. An input may also name other files:
these must lie in its *home*, its folder, where None stands for anywhere. Each reader calls what
fits its format; kinds of pixels are checked for all of them, in `LazyArray`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from zarr.storage import LocalStore

from napari_ssan.errors import BadInput
from napari_ssan.paths import real

#: Codecs of zarr, without "numcodecs.", that only compress or rearrange bytes and numbers.
CODECS = {
    *("adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"),
    *("astype", "bitround", "bytes", "delta", "endian", "fixedscaleoffset", "packbits", "quantize"),
    *("blosc", "bz2", "gzip", "lz4", "lzma", "pcodec", "shuffle", "zfpy", "zlib", "zstd"),
    *("sharding_indexed", "transpose"),
}
#: Bytes of a decoded chunk, strip or tile that are always allowed.
ALLOWED = 2**29
#: Larger ones must not be more than so many times what is stored of them.
RATIO = 20
#: Environment variable with the GiB to allow in the place of `ALLOWED`.
VARIABLE = "NAPARI_SSAN_LARGEST_PIECE"


def check_kind(name: str, dtype: np.dtype[Any]) -> None:
    """Check that pixels are plain numbers.

    Raises
    ------
    BadInput
        If they are objects, text, dates, complex numbers or records.
    """
    if dtype.kind not in "biuf":
        raise BadInput(f"{name} has pixels of type {dtype}; grey values are needed.")


def check_codecs(name: str, metadata: dict[str, Any]) -> None:
    """Check that all codecs in the metadata of a zarr array are known to be harmless.

    Raises
    ------
    BadInput
        If one is not.
    """
    for codec in _codecs(metadata):
        if codec.removeprefix("numcodecs.") not in CODECS:
            raise BadInput(
                f"{name} uses the zarr codec {codec!r}, which is not read; write it with another."
            )


def _codecs(metadata: dict[str, Any]) -> Iterator[str]:
    """Names of codecs, those within a shard included."""
    found = [*(metadata.get("filters") or ()), metadata.get("compressor")]
    for codec in (*found, *metadata.get("codecs", ()), *metadata.get("index_codecs", ())):
        if codec:
            yield str(codec.get("id") or codec.get("name"))
            yield from _codecs(codec.get("configuration") or {})


class LeadsOut(BadInput):
    """An input takes pixels from outside its folder."""


def home_of(path: Path) -> Path:
    """Folder of an input, wherever links to the input lie; a folder is its own."""
    there = real(path)
    return there if there.is_dir() else there.parent


def check_within(home: Path | None, name: str, other: Path) -> None:
    """Check that a file from which pixels of an input are read lies in the input's folder.

    Parameters
    ----------
    home : Path or None
        See `home_of`; None if the file may lie anywhere.
    name : str
        Of the input.
    other : Path
        May be a link.

    Raises
    ------
    LeadsOut
        If it lies elsewhere: who made the input could have any file copied into an output.
    """
    if home is not None and not real(other).is_relative_to(home):
        raise LeadsOut(
            f"{name} takes pixels from {other}, outside its folder; copy them into it, or allow "
            "it (--follow-links, or follow_links=True in Python)."
        )


def check_links(home: Path | None, path: Path, most: int | None = None) -> bool:
    """Check that all links in a folder that is an input lead to places in `home`.

    Returns
    -------
    bool
        Whether all files were looked at; with `most`, only so many are.

    Raises
    ------
    LeadsOut
        If one leads elsewhere.
    """
    within, count = [str(path)], 0
    while within:
        try:
            with os.scandir(within.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_symlink():
                        check_within(home, path.name, Path(entry.path))
                    elif entry.is_dir():
                        within.append(entry.path)
                    if most is not None and count > most:
                        return False
        except OSError:  # nobody else can read it either
            continue
    return True


class HomeStore(LocalStore):
    """A zarr store in a folder of which each object is checked when it is read.

    Parameters
    ----------
    root, home : Path
        See :func:`check_within`.
    read_only : bool
    """

    def __init__(self, root: Path, home: Path, *, read_only: bool = True) -> None:
        super().__init__(root, read_only=read_only)
        self._home = home

    def with_read_only(self, read_only: bool = False) -> HomeStore:
        """See :meth:`zarr.abc.store.Store.with_read_only`."""
        return type(self)(self.root, self._home, read_only=read_only)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """See :meth:`zarr.abc.store.Store.get`."""
        check_within(self._home, self.root.name, self.root / key)
        return await super().get(key, prototype, byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> list[Any]:
        """See :meth:`zarr.abc.store.Store.get_partial_values`."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]


def always_allowed() -> float:
    """Bytes of a piece that are allowed whatever is stored."""
    try:
        return float(os.environ[VARIABLE]) * 2**30
    except (KeyError, ValueError):
        return ALLOWED


def check_piece(name: str, size: int, stored: int) -> None:
    """Check that a chunk, strip or tile is not far larger than the file can hold.

    Parameters
    ----------
    name : str
    size : int
        Bytes that must be decoded at once, by what the file declares.
    stored : int
        Bytes in the file that it may come from.

    Raises
    ------
    BadInput
        If it is suspiciously large.
    """
    if size > max(always_allowed(), RATIO * stored):
        raise BadInput(
            f"{name} declares pieces of {size / 2**30:.3g} GiB that must be decoded at once, from "
            f"{stored / 2**20:.3g} MiB; if that is right, set {VARIABLE} to so many GiB."
        )

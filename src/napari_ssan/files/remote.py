"""Objects behind an address, ``http(s)://``, ``s3://`` or ``gs://``: read, written and listed.

obstore does the work; `remote_clients` says how often it tries, and as whom. What goes wrong
becomes one sentence. Easy to get wrong: messages of obstore hold addresses, headers and whole
pages, so none is passed on as it is.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.storage import LocalStore, ObjectStore

from napari_ssan.errors import BadInput
from napari_ssan.files.border import HomeStore
from napari_ssan.files.remote_clients import client_of
from napari_ssan.paths import address, spelled

#: How often an object is asked for whose bytes stop in the middle of it.
TORN = 5
#: What a server says that has no room: by HTTP, Ceph, and MinIO.
FULL = re.compile(r"507 Insufficient|QuotaExceeded|StorageFull")
#: Objects of which a zarr store has one.
MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class Unreachable(BadInput):
    """A server does not answer, or not as it should; later, it may."""


class Full(Unreachable):
    """A bucket takes no more."""


def read(path: Path) -> bytes | None:
    """An object; None if it is not there.

    Raises
    ------
    Unreachable
        If the server does not answer.
    """
    client, key = _parted(path)
    import obstore

    for left in reversed(range(TORN)):
        try:
            with _worded(path, "read"):
                return bytes(obstore.get(client, key).bytes())
        except FileNotFoundError:
            return None
        except Unreachable as error:
            if _hidden(path, error):
                return None
            if not left or not _torn(error):
                raise
    return None


def write(path: Path, content: bytes, *, new: bool = False) -> None:
    """Write an object, whole or not at all.

    Parameters
    ----------
    path : Path
    content : bytes
    new : bool
        Whether it must not be there.

    Raises
    ------
    FileExistsError
        If it is there, and must not be.
    Unreachable
        If it cannot be written.
    """
    client, key = _parted(path)
    import obstore
    from obstore.exceptions import AlreadyExistsError

    with _worded(path, "written"):
        try:
            obstore.put(client, key, content, mode="create" if new else "overwrite")
        except AlreadyExistsError as error:
            if read(path) == content:  # by ourselves, and the answer was lost
                return
            raise FileExistsError(errno.EEXIST, "exists already", spelled(path)) from error


def remove(path: Path) -> None:
    """Remove an object, if it is there."""
    client, key = _parted(path)
    import obstore

    with _worded(path, "removed"):
        obstore.delete(client, key)


def names(path: Path) -> Iterator[tuple[str, int]]:
    """Objects below an address with their sizes; names are relative."""
    client = client_of(str(address(path)))
    import obstore

    with _worded(path, "listed"):
        for page in obstore.list(client):
            for each in page:
                yield each["path"], each["size"]


def top(path: Path) -> set[str]:
    """What is right below an address, as in a folder: objects, and folders with a slash."""
    client = client_of(str(address(path)))
    import obstore

    with _worded(path, "listed"):
        found = obstore.list_with_delimiter(client)
    folders = {f"{each.rstrip('/')}/" for each in found["common_prefixes"]}
    return folders | {each["path"] for each in found["objects"]}


def exists(path: Path) -> bool:
    """Whether an object is there."""
    client, key = _parted(path)
    import obstore

    try:
        with _worded(path, "read"):
            obstore.head(client, key)
    except FileNotFoundError:
        return False
    return True


def remove_below(path: Path, names: Iterable[str]) -> None:
    """Remove objects below an address, by their relative names."""
    client, wanted = client_of(str(address(path))), list(names)
    import obstore

    with _worded(path, "removed"):
        if wanted:
            obstore.delete(client, wanted)


def send(file: Path, path: Path) -> None:
    """Write a file as an object, in parts if it is large."""
    client, key = _parted(path)
    import obstore

    with _worded(path, "written"):
        obstore.put(client, key, file)


def fetch(path: Path, file: Path) -> None:
    """Write an object to a file, in parts; there is no file if there is no object."""
    client, key = _parted(path)
    import obstore

    try:
        with _worded(path, "read"), file.open("wb") as out:
            for part in obstore.get(client, key):
                out.write(part)
    except FileNotFoundError:
        file.unlink()


def can_write(path: Path) -> bool:
    """Whether an address is that of a bucket; by HTTP, nothing is written."""
    return not _is_http(path)


def can_list(path: Path) -> bool:
    """Whether the server tells what is there; HTTP has no way to ask."""
    return not _is_http(path)


def zarr_store(path: Path, *, read_only: bool = True, home: Path | None = None) -> Store:
    """Store at a path or an address; with `home`, all that is read must lie there."""
    if (where := address(path)) is None:
        if home is not None:
            return HomeStore(path, home, read_only=read_only)
        return LocalStore(path, read_only=read_only)
    return RemoteStore(path, client_of(where), read_only=read_only)


class RemoteStore(ObjectStore[Any]):
    """Objects of zarr behind an address, as `ObjectStore`, with errors in words.

    Parameters
    ----------
    path : Path
        The address, for messages.
    client : obstore.store.ObjectStore
    read_only : bool
    """

    def __init__(self, path: Path, client: Any, *, read_only: bool = True) -> None:
        super().__init__(client, read_only=read_only)
        self._path = path

    def with_read_only(self, read_only: bool = False) -> RemoteStore:
        """See :meth:`zarr.abc.store.Store.with_read_only`."""
        return type(self)(self._path, self.store, read_only=read_only)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """See :meth:`zarr.abc.store.Store.get`."""
        from obstore.exceptions import NotSupportedError

        path = self._path / key
        for left in reversed(range(TORN)):
            try:
                with _worded(path, "read"):
                    return await super().get(key, prototype, byte_range)
            except Unreachable as error:
                if byte_range is not None and isinstance(error.__cause__, NotSupportedError):
                    whole = await self.get(key, prototype)  # the server knows no ranges
                    return whole and whole[_slice(byte_range, len(whole))]
                if _hidden(path, error):
                    return None
                if not left or not _torn(error):
                    raise
        return None

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> list[Any]:
        """See :meth:`zarr.abc.store.Store.get_partial_values`."""
        parts = [self.get(key, prototype, part) for key, part in key_ranges]
        return list(await asyncio.gather(*parts))

    async def exists(self, key: str) -> bool:
        """See :meth:`zarr.abc.store.Store.exists`."""
        with _worded(self._path / key, "read"):
            return await super().exists(key)

    async def set(self, key: str, value: Any) -> None:
        """See :meth:`zarr.abc.store.Store.set`."""
        with _worded(self._path / key, "written"):
            await super().set(key, value)

    async def delete(self, key: str) -> None:
        """See :meth:`zarr.abc.store.Store.delete`."""
        with _worded(self._path / key, "removed"):
            await super().delete(key)


def _slice(part: Any, length: int) -> slice:
    if isinstance(part, RangeByteRequest):
        return slice(part.start, part.end)
    if isinstance(part, SuffixByteRequest):
        return slice(max(0, length - part.suffix), length)
    return slice(part.offset, length)


def _is_http(path: Path) -> bool:
    return str(address(path)).startswith("http")


def _parted(path: Path) -> tuple[Any, str]:
    """Client of a server or bucket, and the key in it."""
    scheme, _, rest = str(address(path)).partition("://")
    server, _, key = rest.partition("/")
    return client_of(f"{scheme}://{server}"), key


def _denied() -> tuple[type[Exception], ...]:
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    return PermissionDeniedError, UnauthenticatedError


def _hidden(path: Path, error: Unreachable) -> bool:
    """Whether a web server denies what is only not there: some do, and only tell who may list."""
    return path.name in MARKERS and _is_http(path) and isinstance(error.__cause__, _denied())


def _torn(error: Unreachable) -> bool:
    """Whether bytes have stopped in the middle, and obstore did not get the rest by itself."""
    said = str(error.__cause__)
    return "body error" in said or "Range request not supported" in said


@contextmanager
def _worded(path: Path, done: str) -> Iterator[None]:
    """Turn what goes wrong on the way to a server into `Unreachable`."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if done == "read":
            raise
        raise Unreachable(f"{spelled(path)} cannot be {done}: there is no such bucket.") from error
    except BaseError as error:
        if FULL.search(str(error)):
            raise Full(
                f"{spelled(path)} cannot be {done}: the bucket is full, or its quota is used up. "
                "Make room, and go on with --resume."
            ) from error
        raise Unreachable(f"{spelled(path)} cannot be {done}: {_why(error)}.") from error


def _why(error: Exception) -> str:
    text = str(error)
    if isinstance(error, _denied()):
        return "access is denied; check the credentials in the environment"
    if said := re.search(r"status code: (\d+(?: [A-Z][A-Za-z]*)*)", text):
        return f"the server says {said[1]}"
    if "HTTP error" in text:  # without an answer, or with a part of one
        return "the server does not answer, after several tries; check the address and the network"
    first = (text.strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"\S*://\S+", "…", first)[:200].rstrip(".")

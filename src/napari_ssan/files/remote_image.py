"""An OME-Zarr image that is written behind an address, where nothing can be renamed.

What makes objects an image is the metadata in its root, which is one object: it is written when all
others are there. So an image appears whole, or not at all. The levels of one that replaces another
have names of their own, and the old one stays until the new root takes the place of its root. Easy
to get wrong: nothing tells what a killed run has written, so its names must be known in advance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from string import ascii_lowercase
from tempfile import TemporaryDirectory
from typing import Any

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files import remote
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.completeness import files_in
from napari_ssan.files.provenance_io import KEY, to_plain
from napari_ssan.files.write_zarr import Pieces, make_zarr, open_levels
from napari_ssan.json_text import dump_json, finite
from napari_ssan.paths import spelled

ROOT = "zarr.json"
#: What names of levels may begin with, and the folder of one.
PREFIXES = ["", *ascii_lowercase]
LEVEL = re.compile(r"([a-z]?)\d+/")


class RemoteImage:
    """An image in the making.

    Parameters
    ----------
    path : Path
        Its address.
    prefix : str
        See :func:`free_prefix`.
    shape, dtype, calibration, pieces, labels
        See :func:`~napari_ssan.files.write_zarr.make_zarr`.
    """

    def __init__(
        self,
        path: Path,
        prefix: str,
        shape: tuple[int, ...],
        dtype: Any,
        calibration: Calibration,
        pieces: Pieces | None = None,
        *,
        labels: bool = False,
    ) -> None:
        self.path, self.prefix = path, prefix
        with TemporaryDirectory() as name:
            image = Path(name, "image")
            made = make_zarr(image, shape, dtype, calibration, None, pieces, labels=labels)
            found = {name: (image / name).read_bytes() for name, _ in files_in(image)}
        self._root = json.loads(found.pop(ROOT))
        self._metadata = {f"{prefix}{name}": content for name, content in found.items()}
        for dataset in self._root["attributes"]["ome"]["multiscales"][0]["datasets"]:
            dataset["path"] = f"{prefix}{dataset['path']}"
        #: Names of the levels, full resolution first.
        self.names = [f"{prefix}{number}" for number in range(len(made))]

    def make(self) -> list[Any]:
        """Make the levels, without their pixels; they are not seen yet."""
        for name, content in self._metadata.items():
            remote.write(self.path / name, content)
        return open_levels(self.path, self.names)

    def appear(self, provenance: Provenance | None, *, overwrite: bool) -> None:
        """Have the image appear, in place of the one that is there.

        Raises
        ------
        BadInput
            If one has come into being meanwhile, and may not be replaced.
        """
        if provenance is not None:
            self._root["attributes"][KEY] = finite(to_plain(provenance))
        content = dump_json(self._root, indent=2).encode()
        try:
            remote.write(self.path / ROOT, content, new=not overwrite)
        except FileExistsError:
            raise BadInput(
                f"The output {spelled(self.path)} was created meanwhile by another program; "
                "choose another name."
            ) from None
        ours = (ROOT, *(f"{name}/" for name in self.names))
        old = (name for name, _ in files_in(self.path) if not name.startswith(ours))
        remote.remove_below(self.path, old)

    def discard(self) -> None:
        """Remove what is there of it, unless it has appeared."""
        discard(self.path, self.names)


def free_prefix(paths: Iterable[Path]) -> str:
    """What names of new levels must begin with to be free at all of some addresses."""
    used: set[str] = {name for path in paths for name in remote.top(path)}
    taken = {found[1] for name in used if (found := LEVEL.fullmatch(name))}
    free: str = next(prefix for prefix in PREFIXES if prefix not in taken)
    return free


def discard(path: Path, names: Iterable[str]) -> None:
    """Remove levels by their names, but not those of the image that is there."""
    try:
        root = json.loads(remote.read(path / ROOT) or b"{}")
        image = root["attributes"]["ome"]["multiscales"][0]
        shown = {dataset["path"] for dataset in image["datasets"]}
    except (LookupError, TypeError, ValueError):  # no image of ours
        shown = set()
    for name in set(names) - shown:
        remove_all(path / name)


def remove_all(path: Path) -> None:
    """Remove all objects below an address."""
    remote.remove_below(path, (name for name, _ in files_in(path)))

"""Small stacks in every flavour, and a repair of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.stack.region import Region, packed
from napari_ssan.stack.sections import SliceStack

SHAPE = (6, 70, 50)
SCALE = (40.0, 4.0, 4.0)


def _volume(dtype: str = "uint8") -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 120, SHAPE)
    if np.dtype(dtype).kind == "f":
        return (values / 7).astype(dtype)
    return (values - (60 if dtype == "int16" else 0)).astype(dtype)


@pytest.fixture
def volume() -> Callable[..., np.ndarray]:
    """Makes a volume, (6, 70, 50), of a dtype."""
    return _volume


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a stack of 40, 4, 4 nm in a flavour, and gives its path."""

    def write(flavour: str, dtype: str = "uint8", **options) -> Path:
        data = _volume(dtype)
        path = tmp_path / "in.tif"
        if flavour == "imagej":
            metadata = {"axes": "ZYX", "unit": "nm", "spacing": 40.0, "Info": "from the microscope"}
            metadata |= options.pop("metadata", {})
            options = {"resolution": (0.25, 0.25), **options}
            tifffile.imwrite(path, data, imagej=True, metadata=metadata, **options)
        elif flavour == "ome-tiff":
            path = tmp_path / "in.ome.tif"
            metadata = {"axes": "ZYX", "Name": "cortex", "Channel": {"Name": ["SEM"]}}
            for axis, size in zip("ZYX", SCALE, strict=True):
                metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "nm"}
            tifffile.imwrite(path, data, ome=True, metadata=metadata, **options)
        elif flavour == "tiff":
            options = {"metadata": None, "description": "my words", **options}
            options = {"resolution": (2.5e6, 2.5e6), "resolutionunit": "CENTIMETER", **options}
            tifffile.imwrite(path, data, photometric="minisblack", **options)
        elif flavour == "zarr":
            path = tmp_path / "in.zarr"
            array = zarr.create_array(
                path, data=data, chunks=(1, 32, 32), zarr_format=options.get("zarr_format", 3)
            )
            array.attrs["voxel_size"] = list(SCALE)
            array.attrs["units"] = ["nm"] * 3
        elif flavour.startswith("ome-zarr"):
            path = tmp_path / "in.ome.zarr"
            version = flavour[-3:]
            group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
            group.create_array("full", data=data, chunks=(1, 32, 32))
            group.create_array("half", data=data[:, ::2, ::2].copy(), chunks=(1, 32, 32))
            axes = [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
            datasets = [
                {
                    "path": name,
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [40, 4 * factor, 4 * factor]},
                        {"type": "translation", "translation": [80, 8, 12]},
                    ],
                }
                for name, factor in (("full", 1), ("half", 2))
            ]
            multiscales = [{"axes": axes, "datasets": datasets, "name": "cortex"}]
            multiscales[0]["version"] = version
            if version == "0.5":
                group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
            else:
                group.attrs["multiscales"] = multiscales
        else:
            path = tmp_path / "in"
            path.mkdir()
            for z, section in enumerate(data):
                tifffile.imwrite(path / f"s{z + 5}.tif", section)
        return path

    return write


@pytest.fixture
def ome_set(tmp_path: Path) -> Callable[..., list[Path]]:
    """Writes the volume as an OME-TIFF set; its pixels lie in the files of the given numbers."""

    def write(*numbers: int) -> list[Path]:
        paths = [tmp_path / f"{number}.ome.tif" for number in range(2)]
        halves = (_volume()[:3], _volume()[3:])
        parts = {n: [halves[at] for at in range(2) if numbers[at] == n] for n in range(2)}
        places = dict.fromkeys(range(2), 0)
        planes = ""
        for z in range(6):
            number = numbers[z // 3]
            planes += (
                f'<TiffData FirstZ="{z}" IFD="{places[number]}" PlaneCount="1">'
                f'<UUID FileName="{number}.ome.tif">urn:uuid:{number}</UUID></TiffData>'
            )
            places[number] += 1
        xml = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
            f'SizeX="50" SizeY="70" SizeZ="6" SizeC="1" SizeT="1">{planes}</Pixels></Image></OME>'
        )
        for number, path in enumerate(paths):
            data = np.concatenate(parts[number] or [np.zeros((1, 70, 50), np.uint8)])
            description = xml if number == 0 else None
            tifffile.imwrite(
                path, data, description=description, metadata=None, photometric="minisblack"
            )
        return paths

    return write


@pytest.fixture
def repair() -> Callable[..., RepairedStack]:
    """Repairs section 2 as a whole and a corner of 4, and on demand inserts one after 3."""

    def fill(stack: SliceStack, inserted: bool = False) -> RepairedStack:
        repaired = RepairedStack(stack)
        whole = SyntheticSection(
            section=2, kind="whole", share=1, neighbours=(1, 3), position=0.5, method="average"
        )
        region = whole.model_copy(
            update={"section": 4, "kind": "region", "share": 0.01, "neighbours": (3, 5)}
            | {"region": packed(Region(10, 20, np.ones((5, 6), bool)))}
        )
        pixels = np.full(stack.shape[1:], 7, stack.dtype)
        repaired.add(Patch((2, 0), 0, 0, pixels, None, whole))
        repaired.add(Patch((4, 0), 10, 20, pixels[:5, :6], None, region))
        if inserted:
            absent = whole.model_copy(
                update={"section": 3, "kind": "inserted", "neighbours": (3, 4)}
            )
            repaired.add(Patch((3, 1), 0, 0, pixels + stack.dtype.type(1), None, absent))
        return repaired

    return fill


class Counting:
    """Array that remembers how much of each section was read, and the most at once."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.pixels = np.zeros(len(data), int)
        self.most = 0

    def __getitem__(self, index):
        part = self.data[index]
        self.most = max(self.most, part.size)
        sections = np.atleast_1d(np.arange(len(self.data))[index[0]])
        self.pixels[sections] += part.size // len(sections)
        return part


@pytest.fixture
def counting() -> type[Counting]:
    return Counting

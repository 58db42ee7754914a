"""Small valid files of every kind that the program reads; cases are damaged copies of them.

Each kind has a function that writes into an empty folder. What the program is given is
called ``in`` with some ending; what stands beside it is part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import tifffile
import zarr
from numcodecs import Delta, Zlib

from fuzzing.learning import LEARNING

#: Sections, height and width of every stack.
SHAPE = (5, 48, 40)
SECTION = 2

Write = Callable[[Path], Path]


def pixels(dtype: str = "uint8") -> np.ndarray[Any, Any]:
    """The pixels of every stack: no two sections alike, and none black."""
    return np.random.default_rng(0).integers(20, 240, SHAPE).astype(dtype)


def tiff(dtype: str = "uint8", name: str = "in.tif", **options: Any) -> Write:
    """Write pages in a TIFF with some options of tifffile."""

    def write(folder: Path) -> Path:
        kept = {"photometric": "minisblack", **options}
        # page by page where tifffile would lay the pixels of all in a row
        with tifffile.TiffWriter(
            folder / name, **{key: kept.pop(key) for key in ("bigtiff", "byteorder") if key in kept}
        ) as file:
            for section in pixels(dtype):
                file.write(section, contiguous=False, metadata=None, **kept)
        return folder / name

    return write


def described_tiff(name: str, **options: Any) -> Write:
    """Write a stack whose metadata say what it is: ImageJ, OME, or tifffile's own."""

    def write(folder: Path) -> Path:
        tifffile.imwrite(folder / name, pixels(), photometric="minisblack", **options)
        return folder / name

    return write


def bare_zarr(dtype: str = "uint8", **options: Any) -> Write:
    """Write an array in a zarr store."""

    def write(folder: Path) -> Path:
        array = zarr.create_array(
            folder / "in.zarr", data=pixels(dtype), **{"chunks": (1, 24, 20), **options}
        )
        array.attrs["voxel_size"] = [40.0, 4.0, 4.0]
        array.attrs["units"] = ["nm"] * 3
        return folder / "in.zarr"

    return write


def ome_zarr(version: str, outer: bool = False, **options: Any) -> Write:
    """Write an OME-Zarr image of two levels, on demand as bioformats2raw lays it."""

    def write(folder: Path) -> Path:
        path = folder / "in.ome.zarr"
        zarr_format = 3 if version == "0.5" else 2
        if outer:
            zarr.create_group(path, zarr_format=zarr_format).attrs["bioformats2raw.layout"] = 3
        group = zarr.create_group(path / "0" if outer else path, zarr_format=zarr_format)
        kept = {"chunks": (1, 24, 20), **options}
        group.create_array("0", data=pixels(), **kept)
        group.create_array("1", data=pixels()[:, ::2, ::2].copy(), **kept)
        datasets = [
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": [40, 4 << level, 4]}],
            }
            for level in range(2)
        ]
        axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
        image = {"version": version, "name": "cortex", "axes": axes, "datasets": datasets}
        omero = {"channels": [{"window": {"start": 0, "end": 255, "min": 0, "max": 255}}]}
        content = {"multiscales": [image], "omero": omero}
        group.attrs.update({"ome": content | {"version": "0.5"}} if version == "0.5" else content)
        return path

    return write


def hdf5(**options: Any) -> Write:
    """Write a volume as CREMI has it."""

    def write(folder: Path) -> Path:
        with h5py.File(folder / "in.hdf", "w") as file:
            raw = file.create_dataset("volumes/raw", data=pixels(), **options)
            raw.attrs["resolution"] = [40.0, 4.0, 4.0]
            file["volumes/labels/clefts"] = np.zeros(SHAPE, np.uint64)
        return folder / "in.hdf"

    return write


def virtual_hdf5(folder: Path) -> Path:
    """Write a volume that consists of two others."""
    layout = h5py.VirtualLayout(SHAPE, "u1")
    for number, part in enumerate((slice(0, 3), slice(3, 5))):
        name = f"part{number}.h5"
        with h5py.File(folder / name, "w") as file:
            file["raw"] = pixels()[part]
        layout[part] = h5py.VirtualSource(name, "raw", (part.stop - part.start, *SHAPE[1:]))
    with h5py.File(folder / "in.hdf", "w") as file:
        file.create_virtual_dataset("volumes/raw", layout)
    return folder / "in.hdf"


def png(image: np.ndarray[Any, Any]) -> bytes:
    """An image as PNG."""
    return bytes(imagecodecs.png_encode(image))


def sections(ending: str, dtype: str = "uint8") -> Write:
    """Write a folder with a file for each section."""

    def write(folder: Path) -> Path:
        (folder / "in").mkdir()
        for z, section in enumerate(pixels(dtype)):
            path = folder / "in" / f"s{z + 8}{ending}"
            if ending == ".png":
                path.write_bytes(png(section))
            else:
                tifffile.imwrite(path, section)
        return folder / "in"

    return write


def mask(ending: str) -> Write:
    """Write a mask image of a section, or for zarr and HDF5 of the stack."""

    def write(folder: Path) -> Path:
        flat = np.zeros(SHAPE[1:], np.uint8)
        flat[10:20, 8:30] = 255
        volume = np.zeros(SHAPE, np.uint8)
        volume[SECTION] = flat
        path = folder / f"in{ending}"
        if ending == ".png":
            path.write_bytes(png(flat))
        elif ending == ".tif":
            tifffile.imwrite(path, flat)
        elif ending == ".zarr":
            zarr.create_array(path, data=volume, chunks=(1, 24, 20), zarr_format=2)
        else:
            with h5py.File(path, "w") as file:
                file["volumes/raw"] = volume
        return path

    return write


def marks_json(folder: Path) -> Path:
    """Write marks of every form."""
    from napari_ssan.stack.marks import Marks
    from napari_ssan.stack.region import Region

    outline = Region.from_outline([(3.0, 3.0), (3.0, 20.0), (20.0, 20.0)], SHAPE[1:])
    drawn = Region(5, 6, np.ones((7, 9), bool))
    marks = Marks({SECTION}, {1: [outline], 3: [drawn]}, {0: 1})
    (folder / "in.json").write_text(marks.to_json())
    return folder / "in.json"


def text(name: str, *lines: str) -> Write:
    """Write lines of text."""

    def write(folder: Path) -> Path:
        (folder / name).write_text("\n".join(lines) + "\n")
        return folder / name

    return write


SHAPES_CSV = (
    "index,shape-type,vertex-index,axis-0,axis-1,axis-2",
    *(f"0,polygon,{n},2.0,{y},{x}" for n, (y, x) in enumerate([(5, 5), (5, 20), (30, 20)])),
    *(f"1,ellipse,{n},3.0,{y},{x}" for n, (y, x) in enumerate([(5, 5), (5, 9), (9, 9), (9, 5)])),
)


def model(folder: Path) -> Path:
    """Write a network with random weights."""
    import torch

    from napari_ssan.network.model_file import save_model
    from napari_ssan.network.ssan import SSAN, SSANConfig

    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8))
    card = {
        "tile": 64,
        "summary": "random weights",
        "terms": "none",
        "match": "mean",
        "views": 1,
        "metrics": {"psnr": 20.5},
        "curve": [{"step": 1, "loss": 0.5}],
    }
    save_model(folder / "in.safetensors", network, card)
    return folder / "in.safetensors"


def packed_model(folder: Path) -> Path:
    """Write a model as it lies in a package for bioimage.io."""
    from zipfile import ZIP_DEFLATED, ZipFile

    path = model(folder)
    with ZipFile(folder / "in.zip", "w", ZIP_DEFLATED) as archive:
        archive.write(path, "model.safetensors")
    path.unlink()
    return folder / "in.zip"


def sidecar(folder: Path) -> Path:
    """Write marks with repaired pixels, as the dock keeps them."""
    from napari_ssan.engine.repair import repair
    from napari_ssan.engine.repaired import Patch
    from napari_ssan.session.sidecar import Saved, Sidecar
    from napari_ssan.stack.marks import Marks
    from napari_ssan.stack.region import Region
    from napari_ssan.stack.sections import SliceStack

    stack = SliceStack(pixels())
    region = Region(5, 6, np.ones((7, 9), bool))
    marks = Marks({SECTION}, {1: [region]}, {})
    place = Sidecar(folder / "in")
    done: list[Any] = []
    repair(stack, marks, method="average", progress=done.append)
    patches = tuple(place.keep(each) for each in done if isinstance(each, Patch))
    place.save(Saved(marks, {(SECTION, 0): "repaired", (1, 0): "repaired"}, patches))
    return folder / "in"


def own_models(folder: Path) -> Path:
    """Write a folder of models."""
    path = model(folder)
    (folder / "in").mkdir()
    path.rename(folder / "in" / "mine.safetensors")
    return folder / "in"


SHARDED = {"shards": (2, 48, 40), "chunks": (1, 24, 20)}
STACKS: dict[str, Write] = {
    "tiff": tiff(),
    "tiff-16": tiff("uint16", rowsperstrip=16, byteorder=">"),
    "tiff-lzw": tiff(compression="lzw", predictor=True, rowsperstrip=12),
    "tiff-zstd": tiff("float32", compression="zstd"),
    "tiff-packbits": tiff(compression="packbits"),
    "tiff-jpeg": tiff(compression="jpeg"),
    "tiff-tiles": tiff(tile=(16, 16), compression="deflate"),
    "tiff-described": described_tiff("in.tif", metadata={"axes": "ZYX", "spacing": 3.0}),
    "bigtiff": tiff(bigtiff=True, tile=(16, 16)),
    "imagej": described_tiff(
        "in.tif",
        imagej=True,
        metadata={"axes": "ZYX", "unit": "nm", "spacing": 40.0, "Info": "a=b"},
    ),
    "ome-tiff": described_tiff(
        "in.ome.tif",
        ome=True,
        compression="deflate",
        metadata={"axes": "ZYX", "Name": "cortex", "PhysicalSizeX": 4.0, "PhysicalSizeXUnit": "nm"},
    ),
    "zarr-2": bare_zarr(zarr_format=2),
    "zarr-2-filters": bare_zarr(
        "uint16",
        zarr_format=2,
        filters=Delta("u2"),
        compressors=Zlib(),
        chunk_key_encoding={"name": "v2", "separator": "/"},
    ),
    "zarr-2-raw": bare_zarr(zarr_format=2, compressors=None),
    "zarr-3": bare_zarr(),
    "zarr-3-raw": bare_zarr(compressors=None),
    "zarr-3-sharded": bare_zarr(**SHARDED),
    "ome-zarr-0.4": ome_zarr("0.4"),
    "ome-zarr-0.5": ome_zarr("0.5"),
    "ome-zarr-sharded": ome_zarr("0.5", **SHARDED),
    "ome-zarr-series": ome_zarr("0.4", outer=True),
    "hdf5": hdf5(),
    "hdf5-chunked": hdf5(chunks=(1, 24, 20), compression="gzip", shuffle=True, fletcher32=True),
    "hdf5-virtual": virtual_hdf5,
    "folder-png": sections(".png"),
    "folder-png-16": sections(".png", "uint16"),
    "folder-tiff": sections(".tif"),
}
MASKS: dict[str, Write] = {f"mask-{e[1:]}": mask(e) for e in (".png", ".tif", ".zarr", ".hdf")}
MARKS: dict[str, Write] = {
    "marks-json": marks_json,
    "marks-csv": text("in.csv", "slice,last", "2,3", "1,"),
    "marks-shapes": text("in.csv", *SHAPES_CSV),
}
MODELS: dict[str, Write] = {"model": model, "model-zip": packed_model, "models": own_models}
TEMPLATES: dict[str, Write] = {**STACKS, **MASKS, **MARKS, **MODELS, **LEARNING, "sidecar": sidecar}


def write_all(folder: Path, kinds: Sequence[str] = ()) -> dict[str, Path]:
    """Write the valid files into folders of their own; returns what the program is given."""
    made = {}
    for kind in kinds or TEMPLATES:
        (folder / kind).mkdir(parents=True)
        made[kind] = TEMPLATES[kind](folder / kind)
    return made

"""Reads what a TIFF says about its pixels, by flavour: ImageJ, OME, tifffile's JSON, plain tags.

What is written, and in which flavour, is up to `write_tiff`. Nothing here refuses a file: what
makes no sense is replaced by a default. OME-XML is therefore read by hand: ome-types, a library
for it, refuses files with a unit "um", a size of 0 or an unknown element, and is no shorter.
"""

from __future__ import annotations

import json
from typing import Any, cast
from xml.etree import ElementTree

import tifffile

from napari_ssan.engine.provenance import Provenance
from napari_ssan.files.calibration import Calibration, Flavour, TiffTraits, sane
from napari_ssan.files.provenance_io import KEY, from_plain
from napari_ssan.files.units import in_unit, unit_name
from napari_ssan.json_text import dump_json

#: Lossless compressions that are kept: LZW, deflate, PackBits, LZMA, zstd.
KEPT_COMPRESSIONS = (5, 8, 32773, 34925, 50000)

#: A pixel larger than this (in metres) comes from a printing resolution, not from a microscope.
LARGEST_PIXEL = 10e-6

#: Units of a resolution: none, inch, centimetre.
UNITS = (1, 2, 3)

#: Where our provenance stands among the annotations of an OME-XML.
NAMESPACE = "napari-ssan/provenance"

#: What OME-XML calls the distance along an axis; the name of its unit has "Unit" after that.
OME_SIZES = {"x": "PhysicalSizeX", "y": "PhysicalSizeY", "z": "PhysicalSizeZ", "t": "TimeIncrement"}

_FLAVOURS: dict[str, Flavour] = {"ome": "ome-tiff", "imagej": "imagej"}
_COUNTS = ("images", "channels", "slices", "frames")


def read_calibration(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Calibration:
    """Calibration of a TIFF.

    Parameters
    ----------
    tif : TiffFile
    series : TiffPageSeries
        The image in it.
    """
    flavour = _FLAVOURS.get(series.kind, "tiff")
    axes = series.axes.lower()
    if flavour == "imagej":
        return _imagej(tif, series, axes)
    if flavour == "ome-tiff":
        return _ome(tif, series, axes)
    return _plain(tif, series, axes)


def _traits(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, **rest: Any) -> TiffTraits:
    page = series.keyframe
    compression = {32946: 8}.get(int(page.compression), int(page.compression))
    kept = compression in KEPT_COMPRESSIONS
    return TiffTraits(
        photometric=int(page.photometric) if int(page.photometric) in (0, 1, 3) else 1,
        colormap=page.colormap,
        compression=compression if kept else 1,
        predictor=int(page.predictor) if kept and int(page.predictor) in (1, 2, 3) else 1,
        bigtiff=bool(tif.is_bigtiff),
        resolution=_resolution(page),
        resolution_unit=unit if (unit := page.resolutionunit) in UNITS else 1,
        **rest,
    )


def _resolution(page: tifffile.TiffPage) -> tuple[float, float]:
    """Pixels per unit along x and y; (1, 1) if missing or without sense."""
    pair = []
    for tag in (282, 283):
        value = page.tags.valueof(tag)
        numerator, denominator = value if isinstance(value, tuple) else (1, 1)
        if not numerator or not denominator:
            return 1.0, 1.0
        pair.append(numerator / denominator)
    return pair[0], pair[1]


def _printed(traits: TiffTraits) -> tuple[float, float, str | None]:
    """Pixel size along x and y from the resolution per inch or centimetre, and the unit."""
    unit = {2: "inch", 3: "centimeter"}.get(traits.resolution_unit)
    x, y = (1 / r for r in traits.resolution)
    if unit is None or in_unit(max(x, y), unit, "meter") > LARGEST_PIXEL:
        return 1.0, 1.0, None
    return in_unit(x, unit, "micrometer"), in_unit(y, unit, "micrometer"), "micrometer"


def _by_axis(axes: str, values: dict[str, Any], default: Any) -> list[Any]:
    """Values in the order of the axes; without a z axis, that of the sections takes z's."""
    if "z" not in axes and "z" in values:
        values = dict.fromkeys("tiq", values["z"]) | values
    return [values.get(axis, default) for axis in axes]


def _imagej(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, axes: str) -> Calibration:
    metadata = {k: v for k, v in (tif.imagej_metadata or {}).items() if k not in _COUNTS}
    info = str(metadata.get("Info", ""))
    provenance = None
    kept = []
    for line in info.splitlines():
        if line.startswith(f"{KEY}="):
            provenance = from_plain(line.partition("=")[2])
        else:
            kept.append(line)
    if kept:
        metadata["Info"] = "\n".join(kept)
    else:
        metadata.pop("Info", None)
    traits = _traits(tif, series, metadata=metadata)
    unit = unit_name(str(metadata.get("unit", "")))
    if "unit" in metadata or traits.resolution_unit == 1:
        x, y = (1 / r for r in traits.resolution)
    else:
        x, y, unit = _printed(traits)
    z = sane(metadata.get("spacing"), 1.0)
    scale = _by_axis(axes, {"x": x, "y": y, "z": z}, 1.0)
    units = _by_axis(axes, dict.fromkeys("xyz", unit), None)
    low, high = metadata.get("min"), metadata.get("max")
    return Calibration.of(
        axes,
        scale,
        units,
        flavour="imagej",
        display_range=_range(low, high),
        provenance=provenance,
        tiff=traits,
    )


def _plain(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, axes: str) -> Calibration:
    page = series.keyframe
    metadata: dict[str, Any] = {}
    description = str(page.description or "")
    if page.shaped_description:
        metadata = (tif.shaped_metadata or ({},))[0]
        metadata = {k: v for k, v in metadata.items() if k not in ("shape", "axes", "truncated")}
        description = "" if description == page.shaped_description else description
    traits = _traits(tif, series, metadata=metadata, description=description)
    x, y, unit = _printed(traits)
    given = unit_name(str(metadata.get("unit", "")))
    values = {"x": x, "y": y}
    units: dict[str, str | None] = {"x": unit, "y": unit}
    if "spacing" in metadata:
        if given and traits.resolution_unit == 1:
            values["x"], values["y"] = (1 / r for r in traits.resolution)
        values["z"] = sane(metadata["spacing"], 1.0)
        units = dict.fromkeys("xyz", given or unit)
    scale, names = _by_axis(axes, values, 1.0), _by_axis(axes, units, None)
    translate = [0.0] * len(axes)
    own = metadata.get("calibration")
    if isinstance(own, dict) and len(own.get("scale", ())) == len(axes):
        scale = [sane(s, 1.0) for s in own["scale"]]
        names = [unit_name(u) for u in own.get("units", [None] * len(axes))]
        translate = [sane(t, 0.0) for t in own.get("translate", translate)]
    software = str(page.software or "")
    return Calibration.of(
        axes,
        scale,
        names,
        translate,
        flavour="tiff",
        provenance=from_plain(software[software.find("{") :]) if "{" in software else None,
        tiff=traits,
    )


def _ome(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, axes: str) -> Calibration:
    root = ElementTree.fromstring(tif.ome_metadata or "<OME/>")
    image = next(root.iterfind("{*}Image"), ElementTree.Element("Image"))
    pixels = next(image.iterfind("{*}Pixels"), ElementTree.Element("Pixels"))
    keys = [key for size in OME_SIZES.values() for key in (size, f"{size}Unit")]
    ome: dict[str, Any] = {key: pixels.attrib[key] for key in keys if key in pixels.attrib}
    if "Name" in image.attrib:
        ome["Name"] = image.attrib["Name"]
    for name in ("Description", "AcquisitionDate"):
        if text := image.findtext(f"{{*}}{name}"):
            ome[name] = text
    channels = pixels.findall("{*}Channel")
    if len(channels) == 1:
        ome["Channel"] = {k: v for k, v in channels[0].items() if k in ("Name", "Color")}
    provenance: Provenance | None = None
    others = []
    for annotation in root.iterfind(".//{*}MapAnnotation"):
        values = {e.get("K", ""): e.text or "" for e in annotation.iterfind(".//{*}M")}
        namespace = annotation.get("Namespace", "")
        if namespace == NAMESPACE:
            provenance = from_plain(values.get("provenance", ""))
        else:
            others.append({"Namespace": namespace, "Value": values})
    if others:
        ome["MapAnnotation"] = others
    scale: dict[str, float] = {}
    units: dict[str, str | None] = {}
    for axis, size in OME_SIZES.items():
        if size in ome:
            scale[axis] = sane(ome[size], 1.0)
            units[axis] = unit_name(ome.get(f"{size}Unit", "s" if axis == "t" else "µm"))
    if "z" in scale and "z" not in axes:
        # time is the axis of the sections: their distance counts, not a duration
        scale["t"], units["t"] = scale["z"], units["z"]
    return Calibration.of(
        axes,
        [scale.get(axis, 1.0) for axis in axes],
        [units.get(axis) for axis in axes],
        flavour="ome-tiff",
        name=str(ome.get("Name", "")),
        provenance=provenance,
        tiff=_traits(tif, series, ome=ome),
    )


def _range(low: Any, high: Any) -> tuple[float, float] | None:
    numbers = [sane(v, 0.0) for v in (low, high)]
    return (numbers[0], numbers[1]) if high is not None and numbers[0] < numbers[1] else None


def plain_metadata(calibration: Calibration) -> dict[str, Any]:
    """What tifffile's JSON in a plain TIFF holds besides axes and shape."""
    traits = calibration.tiff
    kept = dict(traits.metadata) if traits and calibration.flavour == "tiff" else {}
    kept["calibration"] = {
        "scale": calibration.scale,
        "units": calibration.units,
        "translate": calibration.translate,
    }
    return cast(dict[str, Any], json.loads(dump_json(kept, default=str)))

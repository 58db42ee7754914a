"""What a file says about its pixels: axes, voxel size, units, and what an output keeps.

Readers fill in a `Calibration`, writers take one; no format is known here. Its tuples are in
the order of the axes of the file, which need not be z, y, x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.provenance import Provenance
from napari_ssan.files.units import TIMES, unit_name
from napari_ssan.paths import printable

#: How a stack is stored.
Flavour = Literal[
    "tiff", "imagej", "ome-tiff", "zarr", "ome-zarr-0.4", "ome-zarr-0.5", "folder", "mrc"
]

#: Usual names of the axes of an array that doesn't name them.
USUAL_AXES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}


@dataclass(frozen=True, eq=False)
class TiffTraits:
    """How a TIFF was stored, so that the output can be stored in the same way.

    Attributes
    ----------
    photometric : int
        Meaning of the values: 0 white is zero, 1 black is zero, 3 indices into `colormap`.
    colormap : ndarray, (3, 256) or (3, 65536), or None
    compression, predictor : int
        TIFF codes; 1 for none, also in place of a lossy compression.
    bigtiff : bool
    resolution : (float, float)
        Pixels per `resolution_unit` along x and y.
    resolution_unit : int
        1 none, 2 inch, 3 centimetre.
    description : str
        Free text of a plain TIFF.
    metadata : dict
        What ImageJ keeps about the image, or tifffile in a plain TIFF.
    ome : dict
        Parts of the OME-XML, as `tifffile.OmeXml` takes them.
    """

    photometric: int = 1
    colormap: npt.NDArray[np.uint16] | None = None
    compression: int = 1
    predictor: int = 1
    bigtiff: bool = False
    resolution: tuple[float, float] = (1.0, 1.0)
    resolution_unit: int = 1
    description: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    ome: dict[str, Any] = field(default_factory=dict)


def sane(value: Any, default: float) -> float:
    """Number in a file's metadata, such as a pixel size; the default if not finite, or 0."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return number if np.isfinite(number) and number else default


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a file says about its pixels. All tuples have one entry per axis.

    Attributes
    ----------
    axes : str
        One lower-case letter per axis, such as "zyx".
    scale : tuple of float
        Distance between pixels along each axis, in `units`.
    units : tuple of (str or None)
        Names as in OME-Zarr and pint ("nanometer"), or None for pixels.
    translate : tuple of float
        Position of the first pixel, in `units`.
    z_axis : int or None
        The axis of the sections.
    flavour : str or None
        How it was stored; None if it comes from no file.
    name : str
    display_range : (float, float) or None
        Intensities that are shown as black and white.
    provenance : Provenance or None
        What was already synthetic.
    tiff : TiffTraits or None
        How a TIFF was stored.
    omero : dict or None
        Rendering settings of an OME-Zarr.
    """

    axes: str
    scale: tuple[float, ...]
    units: tuple[str | None, ...]
    translate: tuple[float, ...]
    z_axis: int | None = None
    flavour: Flavour | None = None
    name: str = ""
    display_range: tuple[float, float] | None = None
    provenance: Provenance | None = None
    tiff: TiffTraits | None = None
    omero: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        # Metadata are UTF-8, and a file may be called what is not.
        object.__setattr__(self, "name", printable(self.name))

    @classmethod
    def of(
        cls,
        axes: str,
        scale: Sequence[float] | None = None,
        units: Sequence[str | None] | str | None = None,
        translate: Sequence[float] | None = None,
        **rest: Any,
    ) -> Calibration:
        """Calibration of `axes`, in pixels by default; a single unit holds for z, y and x."""
        n = len(axes)
        if isinstance(units, str):
            units = [units if axis in "zyx" else None for axis in axes]
        return cls(
            axes,
            tuple(float(s) for s in scale) if scale is not None else (1.0,) * n,
            tuple(unit_name(unit) for unit in units) if units is not None else (None,) * n,
            tuple(float(t) for t in translate) if translate is not None else (0.0,) * n,
            **rest,
        )

    @property
    def named_axes(self) -> str:
        """The axes; that of the sections is called z if it has no usual name."""
        z = self.z_axis
        if z is None or "z" in self.axes or self.axes[z] in "tcyx":
            return self.axes
        return self.axes[:z] + "z" + self.axes[z + 1 :]

    def with_z(self) -> Calibration:
        """The same with the axis of the sections called z, even if it was called time.

        If there is a z axis of length 1, the two swap; if not, a duration becomes 1 pixel.
        """
        z = self.z_axis
        if z is None or self.axes[z] in "zyxc":
            return self
        known = list(zip(self.axes, self.scale, self.units, self.translate, strict=True))
        other = self.axes.find("z")
        if other >= 0:
            known[z], known[other] = known[other], known[z]
        elif self.units[z] in TIMES:
            known[z] = ("z", 1.0, None, 0.0)
        else:
            known[z] = ("z", *known[z][1:])
        axes, scale, units, translate = zip(*known, strict=True)
        return replace(self, axes="".join(axes), scale=scale, units=units, translate=translate)

    def along(self, axis: str) -> tuple[float, str | None]:
        """Scale and unit of an axis; (1, None) if there is none of that name."""
        at = self.named_axes.find(axis)
        return (self.scale[at], self.units[at]) if at >= 0 else (1.0, None)

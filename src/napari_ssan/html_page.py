"""HTML pages that need no other file, made from the templates that lie beside their modules.

Everything that is filled in is escaped, and what a template asks for must be given. The style
that the pages share is ``page.css`` beside this module; a template includes it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from PIL import Image


def render(package: str, template: str, **values: object) -> str:
    """Fill in a template.

    Parameters
    ----------
    package, template : str
        Name of the package that it lies in, and its file name.
    **values : object
        What it is filled in with.

    Raises
    ------
    jinja2.UndefinedError
        If it asks for a value that is not given.
    """
    return "".join(pieces(package, template, **values))


def pieces(package: str, template: str, **values: object) -> Iterator[str]:
    """As :func:`render`, piece by piece: iterators among the values are used up as it goes on."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("napari_ssan", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).generate(**values)


def to_png(pixels: npt.NDArray[np.uint8], colours: int | None = None) -> str:
    """Encode a picture, (height, width) or (height, width, 3), as a PNG data URL.

    With fewer `colours` it is smaller, to a third for a picture in colour.
    """
    image = Image.fromarray(pixels)
    if colours is not None:
        image = image.quantize(colours)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()

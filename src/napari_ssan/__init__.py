"""Repair lost and damaged sections of serial-section electron microscopy stacks.

>>> import napari_ssan
>>> repaired = napari_ssan.repair(stack, [12, 47, 48])  # doctest: +SKIP

Names are imported when they are first used: opening a dock or asking for help
on the command line loads no torch.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_ssan.version import __version__ as __version__

if TYPE_CHECKING:
    from napari_ssan.engine.repair import repair
    from napari_ssan.engine.repaired import RepairedStack
    from napari_ssan.errors import BadInput, Cancelled
    from napari_ssan.network.model_file import load_model
    from napari_ssan.stack.marks import Marks
    from napari_ssan.stack.region import Region

_HOMES = {
    "BadInput": "errors",
    "Cancelled": "errors",
    "Marks": "stack.marks",
    "Region": "stack.region",
    "RepairedStack": "engine.repaired",
    "load_model": "network.model_file",
    "repair": "engine.repair",
}
__all__ = ["BadInput", "Cancelled", "Marks", "Region", "RepairedStack", "load_model", "repair"]


def __getattr__(name: str) -> Any:
    if name == "Defects":  # its name until 0.1
        warnings.warn("Defects is called Marks now", DeprecationWarning, stacklevel=2)
        name = "Marks"
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"napari_ssan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""Repair lost and damaged sections of serial-section electron microscopy stacks.

>>> import napari_ssan
>>> repaired = napari_ssan.repair(stack, [12, 47, 48])  # doctest: +SKIP

Names are imported when they are first used: opening a dock or asking for help
on the command line loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_ssan.engine.repair import repair
    from napari_ssan.engine.repaired import RepairedStack
    from napari_ssan.errors import BadInput, Cancelled
    from napari_ssan.network.model_file import load_model
    from napari_ssan.stack.defects import Defects
    from napari_ssan.stack.region import Region

__version__ = version("napari-ssan")

_HOMES = {
    "BadInput": "errors",
    "Cancelled": "errors",
    "Defects": "stack.defects",
    "Region": "stack.region",
    "RepairedStack": "engine.repaired",
    "load_model": "network.model_file",
    "repair": "engine.repair",
}
__all__ = ["BadInput", "Cancelled", "Defects", "Region", "RepairedStack", "load_model", "repair"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"napari_ssan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

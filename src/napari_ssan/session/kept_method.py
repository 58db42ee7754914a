"""The method that was made last, which stays loaded for the next repair.

Making a network brings in torch and reads weights, so it belongs in a worker. Easy to get wrong:
a model file may be replaced while its method is kept; the next repair must use the new one.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from napari_ssan.engine.methods import Method, make_method


class KeptMethod:
    """Makes methods, and keeps the last one. Threads may share it."""

    def __init__(self) -> None:
        self._made = lru_cache(maxsize=1)(_make)

    def make(self, method: str, model: str, device: str, views: int | None = None) -> Method:
        """As :func:`~napari_ssan.engine.methods.make_method`."""
        path = Path(model)
        written = path.stat().st_mtime_ns if path.is_file() else None
        return self._made(method, model, device, views, written)

    def forget(self) -> None:
        """Keep nothing."""
        self._made.cache_clear()


def _make(method: str, model: str, device: str, views: int | None, written: int | None) -> Method:
    return make_method(method, model, device, views=views)

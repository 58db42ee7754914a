"""Keyboard shortcuts of the dock, bound while it is open.

Only keys that nothing else uses are taken: see `CANDIDATES` for what napari leaves free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from napari.utils.key_bindings import coerce_keybinding

if TYPE_CHECKING:
    from napari.components import ViewerModel

    #: What napari calls with the viewer; a generator is resumed when the key is released.
    Callback = Callable[[ViewerModel], object]

#: Keys that napari leaves free for viewer, images and shapes, by action, best first.
CANDIDATES = {
    "mark": ("W",),
    "range": ("Shift-W",),
    "lasso": ("G",),
    "before": ("H", "Y"),
    "previous": ("J", ","),
    "next": ("K", "."),
    "accept": ("U", ";"),
    "reject": ("N", "/"),
    "blink": ("Q", "Y"),
    "undo": ("Control-Z",),
    "redo": ("Control-Shift-Z",),
}


class Keys:
    """Binds actions to keys of the viewer that nothing else uses."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._bound: dict[str, Callback] = {}

    def bind(self, action: str, press: Callable[[], object], shared: bool = False) -> str:
        """Call `press` when a key is pressed. Returns the key; empty if none is free.

        A `shared` key may be one that some kind of layer uses, which comes first while such a
        layer is selected, as Ctrl+Z for what was painted into labels.
        """
        return self._bind(action, lambda viewer: press(), shared)

    def bind_held(self, action: str, hold: Callable[[bool], object]) -> str:
        """Call `hold(True)` when a key is pressed and `hold(False)` when it is released."""

        def held(viewer: ViewerModel) -> Iterator[None]:
            hold(True)
            yield
            hold(False)

        return self._bind(action, held)

    def unbind(self) -> None:
        """Free all keys again."""
        for key, function in self._bound.items():
            if self._functions().get(key) is function:
                self._viewer.bind_key(key, None)
        self._bound.clear()

    def _bind(self, action: str, function: Callback, shared: bool = False) -> str:
        taken = set(self._functions()) | (set() if shared else _shortcuts())
        for candidate in CANDIDATES[action]:
            key = str(coerce_keybinding(candidate))
            if key not in taken:
                self._viewer.bind_key(key, function)
                self._bound[key] = function
                return key
        return ""

    def _functions(self) -> dict[str, Callback]:
        return {str(key): function for key, function in dict(self._viewer.keymap).items()}


def _shortcuts() -> set[str]:
    """Keys that the user's preferences use for something else."""
    from napari.settings import get_settings

    return {str(key) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}

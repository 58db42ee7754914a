"""Keys of the dock: free ones, bound while it is open."""

from collections.abc import Callable, Iterator
from typing import Any

#: What is free in napari for the viewer, images and shapes, by action, the first choice first.
CANDIDATES = {
    "mark": ("W", "K", "U"),
    "lasso": ("G", "J", "Q"),
    "before": ("H", "N", "Y"),
}


class Keys:
    """Binds actions to keys of the viewer that nothing else uses.

    Parameters
    ----------
    viewer : napari viewer
        Whose keys they are.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._bound: dict[str, Any] = {}

    def bind(self, action: str, press: Callable[[], object]) -> str:
        """Call `press` when the action's key is pressed; returns the key, empty if none is free."""
        return self._bind(action, lambda viewer: press())

    def bind_held(self, action: str, hold: Callable[[bool], object]) -> str:
        """Call `hold(True)` when the key is pressed and `hold(False)` when it is let go."""

        def held(viewer: Any) -> Iterator[None]:
            hold(True)
            yield
            hold(False)

        return self._bind(action, held)

    def unbind(self) -> None:
        """Give all keys back."""
        for key, function in self._bound.items():
            if self._functions().get(key) is function:
                self._viewer.bind_key(key, None)
        self._bound.clear()

    def _bind(self, action: str, function: Callable[[Any], Any]) -> str:
        taken = set(self._functions()) | _shortcuts()
        for key in CANDIDATES[action]:
            if key not in taken:
                self._viewer.bind_key(key, function)
                self._bound[key] = function
                return key
        return ""

    def _functions(self) -> dict[str, Any]:
        return {str(key): function for key, function in dict(self._viewer.keymap).items()}


def _shortcuts() -> set[str]:
    """Keys that the user's preferences give to something else."""
    from napari.settings import get_settings

    return {str(key) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}

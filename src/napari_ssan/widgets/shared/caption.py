"""The line in the viewer's corner that says when what is shown is synthetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Caption:
    """Borrows a viewer's text overlay, and gives it back as it was."""

    def __init__(self, viewer: ViewerModel) -> None:
        canvas = getattr(viewer, "canvas", None)
        # napari before 0.9 has it on the viewer itself.
        self._overlay = canvas.overlays.text if canvas is not None else viewer.text_overlay
        self._theirs: dict[str, Any] | None = None

    def say(self, text: str) -> None:
        """Show a line; an empty one gives the overlay back."""
        if text:
            if self._theirs is None:
                names = ("text", "visible", "position", "color", "font_size")
                self._theirs = {name: getattr(self._overlay, name) for name in names}
            self._overlay.text = text
            self._overlay.position = "top_left"
            self._overlay.color = "#ffb000"
            self._overlay.font_size = 12
            self._overlay.visible = True
        elif self._theirs is not None:
            theirs, self._theirs = self._theirs, None
            for name, value in theirs.items():
                setattr(self._overlay, name, value)

"""The line in the viewer's corner that says when what is shown is not simply real.

Each kind of slice has a colour of its own, behind the text, so that it reads on any theme.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_ssan.widgets.shared.colours import CAPTIONS, MARKED

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Caption:
    """Borrows a viewer's text overlay, and gives it back as it was."""

    def __init__(self, viewer: ViewerModel) -> None:
        canvas = getattr(viewer, "canvas", None)
        # napari before 0.9 has it on the viewer itself.
        self._overlay = canvas.overlays.text if canvas is not None else viewer.text_overlay
        self._theirs: dict[str, Any] | None = None
        self._said = ("", "original")

    def say(self, text: str, kind: str = "original") -> None:
        """Show a line in the colours of a kind; an empty one gives the overlay back."""
        if (text, kind) == self._said:  # each change of the overlay draws the canvas anew
            return
        self._said = text, kind
        if text:
            if self._theirs is None:
                names = ("text", "visible", "position", "color", "font_size", "box", "box_color")
                known = [name for name in names if hasattr(self._overlay, name)]
                self._theirs = {name: getattr(self._overlay, name) for name in known}
            self._overlay.text = text
            self._overlay.position = "top_left"
            box, ink = CAPTIONS[kind]
            boxed = "box_color" in self._theirs  # not in napari before 0.9
            if boxed:
                self._overlay.box, self._overlay.box_color = True, box
            self._overlay.color = ink if boxed else MARKED
            self._overlay.font_size = 12
            self._overlay.visible = True
        elif self._theirs is not None:
            theirs, self._theirs = self._theirs, None
            for name, value in theirs.items():
                setattr(self._overlay, name, value)

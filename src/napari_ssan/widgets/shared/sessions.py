"""Which repairs are open, by image layer, so that other docks know what is marked there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from psygnal import Signal

from napari_ssan.session.session import RepairSession

if TYPE_CHECKING:
    from napari.layers import Layer


class OpenSessions:
    """The sessions of this process; it keeps none of them alive."""

    #: Unique id of an image layer whose marks are not what they were.
    changed = Signal(object)

    def __init__(self) -> None:
        self._open: WeakValueDictionary[Any, RepairSession] = WeakValueDictionary()

    def add(self, image: Layer, session: RepairSession) -> None:
        """Make the session of an image layer known, in place of an earlier one."""
        key = image.unique_id
        self._open[key] = session

        def tell() -> None:
            self.changed.emit(key)

        session.changed.connect(tell)
        tell()

    def of(self, image: Layer) -> RepairSession | None:
        """Session of an image layer; None if there is none."""
        return self._open.get(image.unique_id)


SESSIONS = OpenSessions()

"""Tells all docks of this process when the user's models are not what they were."""

from __future__ import annotations

from psygnal import Signal


class Library:
    """Where docks say and hear that a model came, went, or got another name."""

    #: The list of the user's models is to be read again.
    changed = Signal()
    #: Path of a model of the user's that repairs are to be made with from now on.
    chosen = Signal(object)


LIBRARY = Library()

"""Tells the user something, as a notification of napari."""

from napari.utils.notifications import (
    ErrorNotification,
    notification_manager,
    show_info,
    show_warning,
)

from napari_ssan.errors import BadInput


def tell(sentence: str) -> None:
    """Report a success."""
    show_info(sentence)


def warn(sentence: str) -> None:
    """Warn of something, or ask the user to do something."""
    show_warning(sentence)


def report(error: Exception) -> None:
    """Report an error: bad input as a sentence, anything else with its traceback."""
    if isinstance(error, BadInput):
        show_warning(str(error))
    else:
        notification_manager.dispatch(ErrorNotification(error))

"""What the user is told, in napari's notifications."""

from napari.utils.notifications import (
    ErrorNotification,
    notification_manager,
    show_info,
    show_warning,
)

from napari_ssan.errors import BadInput


def tell(sentence: str) -> None:
    """Something that went as it should."""
    show_info(sentence)


def warn(sentence: str) -> None:
    """Something that the user should know, or do."""
    show_warning(sentence)


def report(error: Exception) -> None:
    """Tell what ended some work: a sentence where the input was bad, else the traceback, too."""
    if isinstance(error, BadInput):
        show_warning(str(error))
    else:
        notification_manager.dispatch(ErrorNotification(error))

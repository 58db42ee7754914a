"""What is asked before an export: what of it, where to, and whether to replace what is there.

Also what is asked before a volume itself is changed, put back, or handed to a cluster.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_ssan.errors import BadInput
from napari_ssan.widgets.repair.hand_over import command
from napari_ssan.widgets.repair.stack_controller import StackController
from napari_ssan.widgets.repair.state import How
from napari_ssan.widgets.repair.view import RepairView
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.layers import source_path


def ask_and_export(
    view: RepairView, current: StackController, suffix: str, mask: bool, error: bool, report: bool
) -> None:
    """Queue an export, unless the user cancels it.

    Parameters
    ----------
    view, current : RepairView, StackController
        Where the questions are asked, and what is exported.
    suffix : str
        Ending of the file.
    mask, error, report : bool
        What is written beside it.
    """
    from napari_ssan.files import error_path, mask_path, report_path

    wanted = _wanted(view, current)
    if not wanted:
        return
    source = source_path(current.image)
    folder = source.parent if source is not None and source.exists() else Path.home()
    name = f"{current.image.name.split('.')[0]}_repaired"
    target = view.ask_target(folder, name, suffix)
    if target is None:
        return
    try:
        outputs = [target]
        outputs += [mask_path(target)] if mask else []
        outputs += [error_path(target)] if error else []
        outputs += [report_path(target)] if report else []
    except BadInput as refusal:
        messages.report(refusal)
        return
    existing = [path for path in outputs if path.exists() or path.is_symlink()]
    if not existing or view.ask_replace(existing):
        current.export(target, mask, error, report, accepted_only=wanted == "accepted")


def ask_and_put(view: RepairView, current: StackController) -> None:
    """Queue writing into the volume itself, unless the user cancels it."""
    wanted = _wanted(view, current)
    if wanted:
        current.volume.put(accepted_only=wanted == "accepted")


def ask_and_restore(view: RepairView, current: StackController) -> None:
    """Queue putting the originals of the volume back, if the user wants that."""
    path = current.volume.path
    if path is not None and view.ask_restore(path.name):
        current.volume.restore()


def ask_and_hand_over(view: RepairView, current: StackController, how: How) -> None:
    """Write the marks to a file, and show the command that repairs them as `how` says."""
    path = current.volume.path
    if path is None:
        return
    file = view.ask_target(path.parent, f"{path.name.split('.')[0]}_marks", ".json")
    if file is None or (file.exists() and not view.ask_replace([file])):
        return
    try:
        current.volume.hand_over(
            file, lambda: view.show_command(file, partial(command, path, file, how))
        )
    except BadInput as refusal:
        messages.report(refusal)


def _wanted(view: RepairView, current: StackController) -> str:
    """What of the repairs is to be written: "all", "accepted", or "" for nothing."""
    accepted = current.session.accepted.values()
    return "all" if all(accepted) else view.ask_unaccepted(sum(accepted), len(accepted))

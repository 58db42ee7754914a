"""What is asked before an export: what of it, where to, and whether to replace what is there."""

from __future__ import annotations

from pathlib import Path

from napari_ssan.errors import BadInput
from napari_ssan.widgets.repair.stack_controller import StackController
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

    accepted = current.session.accepted.values()
    wanted = "all" if all(accepted) else view.ask_unaccepted(sum(accepted), len(accepted))
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

"""From the viewer and its stacks to what the dock shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ssan.engine.expected_error import error_sentence, scale_end
from napari_ssan.engine.repaired import Slot
from napari_ssan.session.standing import Standing, standing
from napari_ssan.widgets.repair.open_stacks import OpenStacks
from napari_ssan.widgets.repair.stack_controller import StackController
from napari_ssan.widgets.repair.state import DockState
from napari_ssan.widgets.shared.layers import earlier_repairs, view_objection
from napari_ssan.widgets.shared.library import result_label
from napari_ssan.widgets.shared.state import Question

if TYPE_CHECKING:
    from napari.components import ViewerModel


def state_of(
    viewer: ViewerModel, stacks: OpenStacks, device: str, outlook_cost: str = ""
) -> DockState:
    """Gather what the dock shows; `device` and `outlook_cost` as in :class:`DockState`."""
    current = stacks.current
    if current is None:
        return DockState(
            layers=stacks.names,
            chosen=stacks.index,
            refusal=stacks.refusal,
            offer_sample=stacks.layer is None,
        )
    session, results = current.session, current.results
    hint = view_objection(viewer, current.image, current.stack)
    slot = None if hint else results.slot_on_screen()
    section = slot[0] if slot is not None and slot[1] == 0 else None
    state = session.state(slot) if slot is not None else None
    free = current.offer is None and section is not None
    has_result = results.layer is not None
    accepted = session.accepted.values()
    return DockState(
        layers=stacks.names,
        chosen=stacks.index,
        info=stacks.info,
        question=_question(current),
        hint="This section was inserted." if slot and slot[1] else hint,
        section=section,
        whole=section in session.marks.whole,
        can_mark=free,
        can_insert=free and section is not None and section < len(current.stack) - 1,
        drawing=current.marks.drawing,
        rows=tuple(current.rows),
        pending=len(session.pending),
        busy=current.work.text,
        done=current.work.done,
        total=current.work.total,
        has_result=has_result,
        showing_before=has_result and not results.shown,
        overlay="synthetic" in results.overlays,
        error_map="error" in results.overlays,
        expected_error=_expected_error(current, slot) if slot is not None else "",
        results=tuple((name, result_label(name)) for name in session.results(slot)) if slot else (),
        result=session.chosen(slot) if slot else "",
        repaired=len(accepted),
        accepted=sum(accepted),
        accept=state == "synthesized",
        revert=state in ("synthesized", "accepted"),
        can_export=has_result and current.work.idle,
        device=device,
        error_end=scale_end(session.repaired) if accepted else 0.0,
        outlook_cost=outlook_cost,
    )


def _expected_error(current: StackController, slot: Slot) -> str:
    """How far the slice on screen can be trusted; empty if all of it is real."""
    before = [r for r in earlier_repairs(current.image).sections if slot == (r.section, 0)]
    said = [f"In the file already, {record}." for record in before]
    now = error_sentence(current.session.repaired, slot)
    return " ".join([*said, now]) if now else " ".join(said)


def caption_of(viewer: ViewerModel, current: StackController | None) -> Standing | None:
    """Say what the slice on screen is; None if all of it is real and not marked."""
    if current is None or view_objection(viewer, current.image, current.stack):
        return None
    slot = current.results.slot_on_screen()
    found = None if slot is None else standing(current.session, slot)
    if slot is not None and found and found.kind != "marked" and not current.results.shown:
        return Standing("original", f"slice {slot[0]}: the original")
    return found


def _question(current: StackController) -> Question | None:
    if current.offer is not None:
        return Question(f"Found {current.offer}.", "Restore", "Discard")
    if current.blank:
        found = ", ".join(map(str, current.blank[:8])) + (", …" if len(current.blank) > 8 else "")
        if len(current.blank) == 1:
            return Question(f"Slice {found} is blank.", "Mark it", "Leave it")
        return Question(
            f"{len(current.blank)} slices are blank: {found}.", "Mark them", "Leave them"
        )
    return None

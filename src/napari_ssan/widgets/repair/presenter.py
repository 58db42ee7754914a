"""From the viewer and its stacks to what the dock shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ssan.engine.expected_error import error_sentence, scale_end
from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Slot
from napari_ssan.session.history import Step
from napari_ssan.session.standing import Standing, standing
from napari_ssan.widgets.repair.open_stacks import OpenStacks
from napari_ssan.widgets.repair.stack_controller import StackController
from napari_ssan.widgets.repair.state import DockState
from napari_ssan.widgets.shared.layers import earlier_repairs
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
    session, results, review = current.session, current.results, current.review
    hint = results.objection()
    slot = None if hint else results.slot_on_screen()
    section = slot[0] if slot is not None and slot[1] == 0 else None
    state = session.state(slot) if slot is not None else None
    free = current.offer is None and section is not None
    has_result = results.layer is not None or results.synthetic
    accepted = session.accepted.values()
    return DockState(
        layers=stacks.names,
        chosen=stacks.index,
        info=stacks.info,
        question=_question(current),
        hint=f"This slice was inserted {session.name(slot)}." if slot and slot[1] else hint,
        section=section,
        whole=section in session.marks.whole,
        can_mark=free,
        can_insert=free and section is not None and section < len(current.stack) - 1,
        drawing=current.marks.drawing,
        rows=tuple(current.rows),
        pending=len(session.pending),
        suggestions=review.suggestions.open,
        suggestion=review.current,
        rejected=len(review.suggestions.rejected),
        inspected=review.looked,
        cannot_tell=review.suggestions.cannot_tell,
        count=len(current.stack),
        ticks={find.z: "suggested" for find in review.suggestions.open}
        | {mark[0]: row.state for row in current.rows for mark in row.marks},
        undo=_what(session.history.last()),
        redo=_what(session.history.last(again=True)),
        busy=current.work.text,
        done=current.work.done,
        total=current.work.total,
        has_result=has_result,
        has_synthetic=results.has_synthetic,
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
        is_volume=current.volume.path is not None,
        restorable=current.volume.restorable and current.work.idle,
        device=device,
        error_end=scale_end(session.repaired) if accepted else 0.0,
        outlook_cost=outlook_cost,
    )


def _what(step: Step | None) -> str:
    return "" if step is None else step.what


def _expected_error(current: StackController, slot: Slot) -> str:
    """How far the slice on screen can be trusted; empty if all of it is real."""
    said = [f"In the file already, {record}." for record in _recorded(current, slot)]
    now = error_sentence(current.session.repaired, slot)
    return " ".join([*said, now]) if now else " ".join(said)


def caption_of(current: StackController | None) -> Standing | None:
    """Say what the slice on screen is; None if all of it is real and not marked."""
    if current is None or current.results.objection():
        return None
    slot = current.results.slot_on_screen()
    if slot is None:
        return None
    found = standing(current.session, slot)
    if found and (found.kind == "marked" or current.results.shown):
        return found
    if before := _recorded(current, slot):
        return Standing("synthetic", "\n".join(map(str, before)))
    return Standing("original", f"slice {slot[0]}: the original") if found else None


def _recorded(current: StackController, slot: Slot) -> list[SyntheticSection]:
    """What the file says of the slice on screen."""
    records = earlier_repairs(current.image).sections
    return [record for record in records if slot == (record.section, 0)]


def _question(current: StackController) -> Question | None:
    if current.offer is not None:
        return Question(f"Found {current.offer}.", "Restore", "Discard")
    return None

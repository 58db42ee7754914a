"""From the viewer and its stacks to what the dock shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ssan.engine.expected_error import error_sentence
from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Slot
from napari_ssan.widgets.repair.open_stacks import OpenStacks
from napari_ssan.widgets.repair.stack_controller import StackController
from napari_ssan.widgets.repair.state import DockState
from napari_ssan.widgets.shared.layers import earlier_repairs, view_objection
from napari_ssan.widgets.shared.state import Question

if TYPE_CHECKING:
    from napari.components import ViewerModel


def state_of(viewer: ViewerModel, stacks: OpenStacks, device: str) -> DockState:
    """Gather what the dock shows; `device` as in :class:`DockState`."""
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
        has_synthetic=results.has_synthetic,
        showing_before=has_result and not results.shown,
        overlay="synthetic" in results.overlays,
        error_map="error" in results.overlays,
        expected_error=_expected_error(current, slot) if slot is not None else "",
        accept=state == "synthesized",
        revert=state in ("synthesized", "accepted"),
        can_export=has_result and current.work.idle,
        device=device,
    )


def _expected_error(current: StackController, slot: Slot) -> str:
    """How far the slice on screen can be trusted; empty if all of it is real."""
    said = [f"In the file already, {record}." for record in _recorded(current, slot)]
    now = error_sentence(current.session.repaired, slot)
    return " ".join([*said, now]) if now else " ".join(said)


def caption_text(viewer: ViewerModel, current: StackController | None) -> str:
    """Say what there is to say about the slice on screen; empty if all of it is original."""
    if current is None or view_objection(viewer, current.image, current.stack):
        return ""
    slot = current.results.slot_on_screen()
    if slot is None:
        return ""
    now = current.session.caption(slot)
    if now and current.results.shown:
        return now
    before = "\n".join(map(str, _recorded(current, slot)))
    return before or (f"slice {slot[0]}: the original" if now else "")


def _recorded(current: StackController, slot: Slot) -> list[SyntheticSection]:
    """What the file says of the slice on screen."""
    records = earlier_repairs(current.image).sections
    return [record for record in records if slot == (record.section, 0)]


def _question(current: StackController) -> Question | None:
    if current.offer is not None:
        return Question(f"Found {current.offer}.", "Restore", "Discard")
    if current.blank:
        blank, torn = sorted(current.blank.whole), sorted(current.blank.regions)
        said = [
            _slices(blank, "is blank", "are blank"),
            _slices(torn, "has pixels without a value (NaN)", "have pixels without a value (NaN)"),
        ]
        what = "it" if len(blank) + len(torn) == 1 and blank else "them"
        return Question(" ".join(filter(None, said)), f"Mark {what}", f"Leave {what}")
    return None


def _slices(numbers: list[int], one: str, several: str) -> str:
    """A sentence about slices; the first eight are named."""
    named = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
    if len(numbers) < 2:
        return f"Slice {named} {one}." if numbers else ""
    return f"{len(numbers)} slices {several}: {named}."

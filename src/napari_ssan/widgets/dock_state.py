"""From viewer and bench to what the dock shows."""

from typing import Any

from napari_ssan.engine.expected_error import describe
from napari_ssan.engine.repaired import Slot
from napari_ssan.widgets.bench import Bench
from napari_ssan.widgets.layers import earlier_repairs, view_objection, voxel_text
from napari_ssan.widgets.repair_state import DockState, Question


def state_of(
    viewer: Any, bench: Bench, layers: tuple[str, ...], chosen: int, device: str
) -> DockState:
    """Gather what the dock shows for a stack.

    Parameters
    ----------
    viewer : napari viewer
        What is looked at.
    bench : Bench
        The chosen stack.
    layers, chosen, device : tuple of str, int, str
        As in :class:`DockState`.
    """
    session, results = bench.session, bench.results
    hint = view_objection(viewer, bench.image, bench.stack)
    slot = None if hint else results.slot_on_screen()
    section = slot[0] if slot is not None and slot[1] == 0 else None
    state = session.state(slot) if slot is not None else None
    free = bench.offer is None and section is not None
    has_result = results.layer is not None
    return DockState(
        layers=layers,
        chosen=chosen,
        info=f"shape {' × '.join(map(str, bench.stack.source_shape))}\n"
        f"voxel {voxel_text(bench.image)}\n{bench.stack.dtype}",
        question=_question(bench),
        hint="This section was inserted." if slot and slot[1] else hint,
        section=section,
        whole=section in session.marks.whole,
        can_mark=free,
        can_draw=free,
        can_insert=free and section is not None and section < len(bench.stack) - 1,
        drawing=bench.marks.drawing,
        rows=tuple(bench.rows),
        pending=len(session.pending),
        busy=bench.work.text,
        done=bench.work.done,
        total=bench.work.total,
        has_result=has_result,
        showing_before=has_result and not results.shown,
        overlay="synthetic" in results.overlays,
        error_map="error" in results.overlays,
        confidence=_confidence(bench, slot) if slot is not None else "",
        accept=state == "synthesized",
        revert=state in ("synthesized", "accepted"),
        can_export=has_result and bench.work.idle,
        device=device,
    )


def _confidence(bench: Bench, slot: Slot) -> str:
    """How far the slice on screen can be trusted; empty if all of it is real."""
    before = [r for r in earlier_repairs(bench.image).sections if slot == (r.section, 0)]
    said = [f"In the file already, {record}." for record in before]
    now = describe(bench.session.repaired, slot)
    return " ".join([*said, now]) if now else " ".join(said)


def corner_text(viewer: Any, bench: Bench | None) -> str:
    """Say what there is to say about the slice on screen; empty if all of it is original."""
    if bench is None or bench.results.layer is None:
        return ""
    if view_objection(viewer, bench.image, bench.stack):
        return ""
    slot = bench.results.slot_on_screen()
    text = "" if slot is None else bench.session.describe(slot)
    if slot is not None and text and not bench.results.shown:
        return f"slice {slot[0]}: the original"
    return text


def _question(bench: Bench) -> Question | None:
    if bench.offer is not None:
        return Question(f"Found {bench.offer}.", "Restore", "Discard")
    if bench.blank:
        found = ", ".join(map(str, bench.blank[:8])) + (", …" if len(bench.blank) > 8 else "")
        if len(bench.blank) == 1:
            return Question(f"Slice {found} is blank.", "Mark it", "Leave it")
        return Question(f"{len(bench.blank)} slices are blank: {found}.", "Mark them", "Leave them")
    return None

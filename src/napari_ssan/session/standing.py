"""What a section is to the user: marked, synthetic, copied, accepted, or nothing of all that.

Said in words and as one of a few kinds, which the viewer gives a colour each. What a repair made
is up to the session; this reads it only. Easy to get wrong: a section that is marked in part is
real elsewhere, and a section that is accepted is still synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_ssan.engine.expected_error import too_far
from napari_ssan.engine.provenance import percent
from napari_ssan.engine.repaired import RepairedStack, Slot
from napari_ssan.session.view import SessionView

Kind = Literal["marked", "synthetic", "copied", "accepted", "original"]


@dataclass(frozen=True)
class Standing:
    """A kind, and what there is to say of the section, in a line or two."""

    kind: Kind
    text: str


def standing(session: SessionView, slot: Slot) -> Standing | None:
    """What a section of the repaired stack is; None if it is real and not marked."""
    state, text = session.state(slot), caption(session.repaired, slot)
    records = [patch.record for patch in session.repaired.patches(slot)]
    if not records:
        if state is None:
            return None
        said = "marked, not repaired yet" if state == "marked" else "marked, the original is shown"
        return Standing("marked", f"slice {slot[0]}: {said}")
    accepted = state == "accepted"
    copied = all(record.copied is not None for record in records)
    kind: Kind = "accepted" if accepted else "copied" if copied else "synthetic"
    said = {"accepted": "accepted", "marked": "to be repaired again"}.get(
        state or "", "not accepted yet"
    )
    lines = [f"{text} · {said}", too_far(records)]
    return Standing(kind, "\n".join(line for line in lines if line))


def caption(repaired: RepairedStack, slot: Slot) -> str:
    """Say what is synthetic of a section, in a line; empty if nothing is."""
    records = [patch.record for patch in repaired.patches(slot)]
    if not records:
        return ""
    share = min(1.0, sum(record.share for record in records))
    copies = {record.copied for record in records}
    used = {z for record in records for z in record.neighbours}
    what, origin = ("synthetic", used) if None in copies else ("copied", copies)
    what = what if share == 1 else f"{percent(share)} {what}"
    z, number = slot
    which = f"missing section {number} after {z}" if number else f"slice {z}"
    named = " and ".join(str(z) for z in sorted(z for z in origin if z is not None))
    return f"{which}: {what}, from {named}"

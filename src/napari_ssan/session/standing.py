"""What a section is to the user: marked, synthetic, copied, accepted, or nothing of all that.

Said in words and as one of a few kinds, which the viewer gives a colour each. What a repair made
is up to the session; this reads it only. Easy to get wrong: a section that is marked in part is
real elsewhere, and a section that is accepted is still synthetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from napari_ssan.engine.expected_error import too_far
from napari_ssan.engine.provenance import SyntheticSection, percent
from napari_ssan.engine.repaired import RepairedStack, Slot, slot_text
from napari_ssan.session.view import SessionView

Kind = Literal["marked", "synthetic", "copied", "corrected", "accepted", "original"]


@dataclass(frozen=True)
class Standing:
    """A kind, and what there is to say of the section, in a line or two."""

    kind: Kind
    text: str


def standing(session: SessionView, slot: Slot) -> Standing | None:
    """What a repair made of a section; None if it is not marked, or only by its own file."""
    state, text = session.state(slot), caption(session.repaired, slot)
    records = [patch.record for patch in session.repaired.patches(slot)]
    if not records:
        if state in (None, "synthetic"):
            return None
        said = "marked, not repaired yet" if state == "marked" else "marked, the original is shown"
        return Standing("marked", f"slice {slot[0]}: {said}")
    accepted = state == "accepted"
    words = {record.word for record in records}
    own: Kind = words.pop() if len(words) == 1 else "synthetic"
    kind: Kind = "accepted" if accepted else own
    said = {"accepted": "accepted", "marked": "to be repaired again"}.get(
        state or "", "not accepted yet"
    )
    lines = [f"{text} · {said}", too_far(records)]
    return Standing(kind, "\n".join(line for line in lines if line))


def caption(repaired: RepairedStack, slot: Slot) -> str:
    """Say what is synthetic, copied or corrected of a section, in a line; empty if nothing is."""
    records = [patch.record for patch in repaired.patches(slot)]
    parts: list[str] = []
    for word, link in (("synthetic", "from"), ("copied", "from"), ("corrected", "like")):
        some = [record for record in records if record.word == word]
        if not some:
            continue
        share = min(1.0, sum(record.share for record in some))
        origin = f"{link} {' and '.join(map(str, _origin(some)))}"
        if parts and share == 1 and _origin(some) == _origin(records):
            parts.append(f"the rest {word}")
        else:
            parts.append(f"{word if share == 1 else f'{percent(share)} {word}'}, {origin}")
    inserted = sum(z == slot[0] and number > 0 for z, number in repaired.slots)
    return f"{slot_text(slot, inserted)}: {'; '.join(parts)}" if parts else ""


def _origin(records: Iterable[SyntheticSection]) -> list[int]:
    return sorted({z for record in records for z in record.origin})

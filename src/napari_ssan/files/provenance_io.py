"""Provenance as text in a file, and how it adds up over several repairs.

What a record holds is up to `engine.provenance`. A section's number changes when sections are
inserted before it: `merged` turns old numbers into new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from napari_ssan.engine.provenance import Provenance, SyntheticSection
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.json_text import dump_json

#: Name under which a file keeps the provenance.
KEY = "napari_ssan"


def to_text(provenance: Provenance) -> str:
    """Provenance as one line of ASCII JSON, which every flavour of TIFF can hold."""
    return dump_json(to_plain(provenance), ensure_ascii=True)


def to_plain(provenance: Provenance) -> dict[str, Any]:
    """Provenance as plain data for JSON."""
    unused = {"old_sections"} if provenance.old_sections is None else None
    return provenance.model_dump(mode="json", exclude=unused)


def from_plain(data: Any) -> Provenance | None:
    """Provenance from text or plain data; None if it is something else."""
    try:
        if isinstance(data, str):
            return Provenance.model_validate_json(data)
        return Provenance.model_validate(data)
    except ValidationError:
        return None


def merged(repaired: RepairedStack, earlier: Provenance | None) -> Provenance:
    """Provenance of a repaired stack whose source was repaired before.

    Parameters
    ----------
    repaired : RepairedStack
    earlier : Provenance or None
        That of the source, in its own section numbers.

    Returns
    -------
    Provenance
        In section numbers of the repaired stack. A section that was synthetic
        before and is replaced as a whole has only the new record; if it is only corrected, it
        keeps the old one, too.
    """
    place = {z: new for new, (z, inserted) in enumerate(repaired.slots) if not inserted}
    return added(repaired.provenance, earlier, place)


def added(
    now: Provenance, earlier: Provenance | None, place: Mapping[int, int] | None = None
) -> Provenance:
    """As :func:`merged`, where `place` says which section has become which; None if all stayed."""
    if earlier is None or not earlier.sections:
        return now
    if place is None:
        place = {z: z for each in earlier.sections for z in (each.section, *each.neighbours)}
    replaced = {
        record.section for record in now.sections if record.kind == "whole" and not record.corrected
    }
    kept = [
        moved
        for record in earlier.sections
        if (moved := _move(record, place)) is not None and moved.section not in replaced
    ]
    # the sort is stable: the earlier of two records of a section stays first
    sections = sorted([*kept, *now.sections], key=lambda record: record.section)
    old = now.old_sections or earlier.old_sections
    return now.model_copy(update={"sections": tuple(sections), "old_sections": old})


def _move(record: SyntheticSection, place: Mapping[int, int]) -> SyntheticSection | None:
    """A record in section numbers of the longer stack; None if the section is not in it."""
    if record.section not in place:
        return None
    neighbours = tuple(place[z] for z in record.neighbours if z in place)
    return record.model_copy(update={"section": place[record.section], "neighbours": neighbours})

"""Results of marks: when one is whole, what made it, and those that are kept beside the chosen one.

The chosen result of a mark is what the repaired stack shows and what is exported. The others wait
here, by the name of what made them. Easy to get wrong: a result is all patches of a mark, which
may be several regions, or several missing sections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from napari_ssan.engine.plan import tasks
from napari_ssan.engine.repaired import Patch
from napari_ssan.session.marks import slots_of
from napari_ssan.session.outdated import depends
from napari_ssan.stack.marks import Mark, Marks

Result = tuple[Patch, ...]
#: By mark, and by the name of what made it.
Spares = Mapping[Mark, Mapping[str, Result]]


class SpareResults:
    """The results that are not chosen."""

    def __init__(self) -> None:
        self._kept: dict[Mark, dict[str, Result]] = {}

    def names(self, mark: Mark) -> list[str]:
        """What made the results of a mark."""
        return list(self._kept.get(mark, ()))

    def put(self, mark: Mark, result: Result) -> None:
        """Keep a result; one of the same name is replaced."""
        if result:
            self._kept.setdefault(mark, {})[name_of(result)] = result

    def pop(self, mark: Mark, name: str) -> Result:
        """Take a result out; nothing if it is not there."""
        known = self._kept.get(mark, {})
        result = known.pop(name, ())
        if not known:
            self._kept.pop(mark, None)
        return result

    def get(self, mark: Mark, name: str) -> Result:
        """Look at a result; nothing if it is not there."""
        return self._kept.get(mark, {}).get(name, ())

    def forget(self, marks: Set[Mark]) -> None:
        """Drop what belongs to marks, and what was made from sections that they concern."""
        for mark, results in list(self._kept.items()):
            for name, result in list(results.items()):
                made_from = any(depends(patch, each) for patch in result for each in marks)
                if mark in marks or made_from:
                    self.pop(mark, name)

    def all(self) -> Spares:
        """A copy of all of them."""
        return {mark: dict(results) for mark, results in self._kept.items()}

    def restore(self, mark: Mark, results: Mapping[str, Result], marks: Marks) -> None:
        """Have other results of a mark in place of the present ones; what is not whole is lost."""
        self._kept.pop(mark, None)
        for result in results.values():
            if mark in marks and is_whole(marks, mark, result):
                self.put(mark, result)


def name_of(result: Iterable[Patch]) -> str:
    """What made a result, as in ``ssan-fidelity, 8 views``."""
    records = [patch.record for patch in result]
    # What is synthesized in a section that is corrected is what a choice was made of.
    records = [record for record in records if not record.corrected] or records
    # Where a mark lies at the end of the stack, part of it may be copied whatever was asked for.
    made = [record for record in records if len(record.neighbours) > 1] or records
    return " and ".join(sorted({record.maker for record in made}))


def is_whole(marks: Marks, mark: Mark, result: Iterable[Patch]) -> bool:
    """Whether patches cover all marked pixels of a mark."""
    patches = list(result)
    if mark[1]:
        return set(slots_of(marks, mark)) <= {patch.slot for patch in patches}
    wanted = [region for region, _ in tasks(marks, mark[0])]
    if None in wanted and all(patch.mask is not None for patch in patches):
        return False
    done = sum(int(patch.mask.sum()) for patch in patches if patch.mask is not None)
    return done == sum(region.pixels for region in wanted if region is not None)

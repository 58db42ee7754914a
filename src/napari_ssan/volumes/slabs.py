"""The unit of work on a volume: a row of objects along z, of one level.

A slab is made from the originals and the marks alone, or of given pixels: so it can be
done again, by anybody, in any order, with the same result. Nobody else changes its objects. A slab
of a coarser level waits for those that it is the mean of; who does what when is for `run`. Easy to
get wrong: only pixels that are marked change, also at coarse levels, which somebody else may have
computed in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from napari_ssan.engine.methods import Method, make_method
from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.events import Event, Stage
from napari_ssan.files.open_zarr import is_zarr
from napari_ssan.heap import give_back
from napari_ssan.paths import spelled
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Mask
from napari_ssan.stack.sections import Array, SliceStack, Window
from napari_ssan.volumes.claim import holds
from napari_ssan.volumes.given import GIVEN, Given, left_of, marks_of
from napari_ssan.volumes.journal import Journal, Row, State, only
from napari_ssan.volumes.layout import Box, Layout, Level, coarser, mean
from napari_ssan.volumes.objects import SCRATCH, Objects, OriginalStore, StagedStore

#: Pixels of a section, in a window.
Fresh = Callable[[int, Window], Array]
#: Receives what a slab says while it is worked on.
Tell = Callable[[Event | Patch], object]


class Gone(BadInput):
    """The volume is not there, or not ours, any more, or the model: no slab can be done."""


@dataclass(frozen=True)
class How:
    """How to synthesize; parameters are those of :func:`napari_ssan.engine.methods.make_method`.

    With the method `GIVEN` pixels are taken that are there already.
    """

    method: str = "ssan"
    model: str = "ssan-fidelity"
    match: str = "auto"
    views: int | None = None

    def make(self, device: str) -> Method:
        """Load it."""
        return make_method(self.method, self.model, device, self.match, self.views)

    def make_same(self, device: str, sha256: str | None) -> Method:
        """Load it with the weights that a run began with.

        Raises
        ------
        Gone
            If they are others now.
        """
        made = self.make(device)
        if sha256 != (made.model.sha256 if made.model else None):
            raise Gone(f"The weights of {self.model} are not those that the run began with.")
        return made


@dataclass(frozen=True)
class Order:
    """What a worker is told of a run; the rest is in the run's journal.

    Attributes
    ----------
    store, backup : Path
        Folders of the volume and of its originals.
    token : str
        Of the claim; nothing is changed without it.
    device : str
        Where to compute.
    """

    store: Path
    backup: Path
    token: str
    device: str = "auto"

    def on(self, device: str) -> Order:
        """The same, computed elsewhere."""
        return replace(self, device=device)

    def do(self, slab: Slab, tell: Tell | None = None) -> list[dict[str, Any]]:
        """See :func:`repair_slab`."""
        return repair_slab(self, slab, tell)


@dataclass(frozen=True)
class Slab:
    """A row of objects of a level, and the sections of full resolution to bring there."""

    level: int
    row: int
    sections: tuple[int, ...]

    @property
    def key(self) -> Row:
        """Level and row."""
        return self.level, self.row


class Volume:
    """A volume as a worker has it: opened once, with the network loaded once.

    Parameters
    ----------
    order : Order
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        state = Journal(order.backup).read()
        self.run, self.records = state.run, state.records
        self.layout = Layout.from_json(self.run["layout"])
        self.objects = Objects(order.store, order.backup)
        staged, original = StagedStore(self.objects), OriginalStore(self.objects)
        numbers = range(len(self.layout.levels))
        self.levels = [Level(staged, self.layout, number) for number in numbers]
        self.originals = [Level(original, self.layout, number) for number in numbers]
        self.stack = SliceStack(self.originals[0].pixels, self.layout.zyx[0])
        if self.run["incomplete"] is None:
            self.stack.incomplete = self.originals[0].lacking(self.objects.had)
        else:
            self.stack.incomplete = frozenset(self.run["incomplete"])
        self.marks = Marks.from_json(self.run["marks"], self.stack.shape[1:])

    def patches(self, sections: tuple[int, ...], scratch: Path) -> Iterable[Event | Patch]:
        """What is to be laid over some sections: what was given for them, or is synthesized now."""
        if self.run["how"]["method"] == GIVEN:
            return Given(self.order.backup).read(self.stack, sections)
        only = {(z, 0) for z in sections}
        return patches(
            self.stack,
            self.marks,
            self.method,
            only=only,
            scratch=scratch,
            with_error=True,
            ahead=self.method.ahead > 0,  # a processor has no time to wait for
        )

    @cached_property
    def method(self) -> Method:
        """The network, or another method.

        Raises
        ------
        Gone
            If its weights are not those that the run began with.
        """
        return How(**self.run["how"]).make_same(self.order.device, self.run["sha256"])

    def changed(self, level: int, sections: tuple[int, ...] | set[int]) -> Marks:
        """Pixels of a level that marks in some sections reach."""
        marks = only(self.marks, sections)
        for number in range(1, level + 1):
            marks = coarser(marks, self.layout.factors[number], self.levels[number].shape)
        return marks

    def rewrite(self, slab: Slab, marks: Marks, fresh: Fresh) -> None:
        """Give marked pixels of a slab new values, object by object.

        Raises
        ------
        BadInput
            If an object cannot be read of which pixels stay.
        Gone
            If the volume is not there any more, or another run has taken it.
        OSError
            If one cannot be written.
        """
        level = self.levels[slab.level]
        for place, box in level.boxes(slab.row):
            if touched := _within(marks, box):
                pixels = level.read_around(box, touched)
                for z, mask in touched.items():
                    np.copyto(pixels[z - box[0].start], fresh(z, box[1:]), where=mask)
                self._hold()
                self.objects.replace(level.name(place), level.encode(place, box, pixels))

    def revert(self, slab: Slab, staying: Marks) -> None:
        """Give the pixels of a slab that its sections have changed their original values.

        Parameters
        ----------
        slab : Slab
            Levels before it have their original values already.
        staying : Marks
            What stays synthetic, at the slab's level. An object without any of it is the
            original one to the byte.
        """
        level, original = self.levels[slab.level], self.originals[slab.level]
        marks = self.changed(slab.level, slab.sections)
        for place, box in level.boxes(slab.row):
            touched = _within(marks, box)
            if touched and not _within(staying, box):
                self._hold()
                self.objects.put_back(level.name(place))
            elif touched:
                pixels = level.read(box)
                for z, mask in touched.items():
                    first = original.read((slice(z, z + 1), *box[1:]))[0]
                    np.copyto(pixels[z - box[0].start], first, where=mask)
                self._hold()
                self.objects.replace(level.name(place), level.encode(place, box, pixels))
        if slab.level:  # some of these sections are means of others that stay, too
            self.renew(slab, only(staying, {*marks.whole, *marks.regions}))

    def renew(self, slab: Slab, marks: Marks) -> None:
        """Give marked pixels of a coarse slab the means of the level before."""
        fine, factors = self.levels[slab.level - 1], self.layout.factors[slab.level]
        self.rewrite(slab, marks, lambda z, window: mean(fine, factors, z, window))

    def _hold(self) -> None:
        if not is_zarr(self.order.store):
            raise Gone(
                f"{spelled(self.order.store)} is not there any more; put it back, and --resume."
            )
        if not holds(self.order.store, self.order.token):
            raise Gone(f"Another run has taken {self.order.store.name}; this one has ended.")


def _within(marks: Marks, box: Box) -> dict[int, Mask]:
    """Marked pixels in a box, by sections that have some."""
    masks = {z: marks.mask(z, box[1:]) for z in range(box[0].start, box[0].stop)}
    return {z: mask for z, mask in masks.items() if mask is not None and mask.any()}


@lru_cache(maxsize=1)
def volume_of(order: Order) -> Volume:
    """The volume of an order; a worker keeps the last one."""
    return Volume(order)


def repair_slab(order: Order, slab: Slab, tell: Tell | None = None) -> list[dict[str, Any]]:
    """Do a slab: read, synthesize, keep originals, write, read back.

    Parameters
    ----------
    order : Order
    slab : Slab
    tell : callable, optional
        Receives what the engine yields.

    Returns
    -------
    list of dict
        What is synthetic now, each a record of provenance; of coarser levels nothing is said.

    Raises
    ------
    BadInput, OSError, RuntimeError
        If that cannot be done. Then objects are the old or the new ones, each whole.
    """
    volume = volume_of(order)
    marks = volume.changed(slab.level, slab.sections)
    if slab.level:
        volume.renew(slab, marks)
        return []
    scratch = order.backup / SCRATCH
    scratch.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        repaired, made = RepairedStack(volume.stack), list[Patch]()
        for item in volume.patches(slab.sections, Path(folder)):
            if isinstance(item, Patch):
                repaired.add(item)
                made.append(item)
            if tell is not None:
                tell(item)
        earlier: list[SyntheticSection] = []
        if volume.run["how"]["method"] == GIVEN:
            marks = marks_of(made, volume.stack.shape[1:])
            known = [each for z in slab.sections for each in volume.records.get(z, [])]
            earlier = left_of(known, marks, volume.stack.shape)
        pixels = SliceStack(repaired, volume.layout.zyx[0])
        give_back()  # before whole objects come into memory

        def fresh(z: int, window: Window) -> Array:
            if tell is not None:
                tell(Stage(f"Writing slice {z}…"))
            return pixels.read(z, window)

        volume.rewrite(slab, marks, fresh)
        records = [*earlier, *repaired.provenance.sections]
        return [record.model_dump(mode="json") for record in records]


def rows_of(volume: Volume, level: int, sections: Iterable[int]) -> dict[int, list[int]]:
    """Sections of full resolution by the row of a level that they come to lie in."""
    rows: dict[int, list[int]] = {}
    span, (length, *_), (thick, *_) = (
        volume.layout.spans(level),
        volume.levels[level].shape,
        volume.levels[level].object,
    )
    for z in sorted(sections):
        if z // span < length:
            rows.setdefault(z // span // thick, []).append(z)
    return rows


def plan_slabs(volume: Volume, state: State) -> dict[Slab, set[Row]]:
    """Slabs that are still to be done, each with those that it waits for.

    Every level is cut into its own rows: a row of a coarse level may take up several of the
    level before, and these are written by others.
    """
    plan: dict[Slab, set[Row]] = {}
    before: dict[int, Row] = {}
    for level in range(len(volume.levels)):
        made: dict[int, Row] = {}
        for row, sections in rows_of(volume, level, state.asked).items():
            if left := set(sections) - state.done.get((level, row), set()):
                slab = Slab(level, row, tuple(sorted(left)))
                plan[slab] = {before[z] for z in left if z in before}
                made |= dict.fromkeys(left, slab.key)
        before = made
    return plan

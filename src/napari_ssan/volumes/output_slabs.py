"""The unit of work on a new zarr output: a row of its objects along z, of all levels.

It is read from the input, repaired, and written once. It depends on the input and the marks alone,
so it can be done again, by anybody, with the same result. Sections of slabs, and of records in the
journal, are those of the output; those of marks are the input's. Easy to get wrong: zarr makes
folders anew that were removed, so a worker looks before and after whether it still has a target.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from napari_ssan.engine.methods import Method
from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.engine.stored import StoredArray
from napari_ssan.files import remote
from napari_ssan.files.open import StackFile, open_stack
from napari_ssan.files.write_zarr import Pieces, open_levels, rows_of
from napari_ssan.heap import give_back
from napari_ssan.part import KEPT
from napari_ssan.paths import address
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import region_from_entry
from napari_ssan.stack.sections import Array
from napari_ssan.swap import sync_files
from napari_ssan.volumes.claim import holds
from napari_ssan.volumes.journal import FIRST, Journal
from napari_ssan.volumes.objects import SCRATCH
from napari_ssan.volumes.remote_part import level_names
from napari_ssan.volumes.slabs import Gone, How, Slab, Tell

#: Within the part: pixels and errors of patches, for a report or a map of errors.
PATCHES = "patches"


@dataclass(frozen=True)
class OutputOrder:
    """What a worker is told of a run; the rest is in the run's journal.

    Attributes
    ----------
    output : Path
        Where the output is to appear.
    part : Path
        The hidden folder in which it is written, with the journal; of an output behind an address,
        that of the journal alone.
    token : str
        Of the claim; nothing is written without it.
    device : str
        Where to compute.
    """

    output: Path
    part: Path
    token: str
    device: str = "auto"

    @property
    def image(self) -> Path:
        """Where it is written."""
        return self.output if address(self.output) else self.part / self.output.name

    def on(self, device: str) -> OutputOrder:
        """The same, computed elsewhere."""
        return replace(self, device=device)

    def do(self, slab: Slab, tell: Tell | None = None) -> list[dict[str, Any]]:
        """See :func:`write_slab`."""
        return write_slab(self, slab, tell)

    def hold(self) -> None:
        """Check that the target is there, and ours.

        Raises
        ------
        Gone
            If it is not.
        """
        if address(self.output):
            there = remote.exists(self.part / FIRST)
        else:
            there = (self.part / KEPT).exists() and self.image.is_dir()
        if not there:
            raise Gone(
                f"The unfinished {self.output.name} is not there any more; begin anew, without "
                "--resume."
            )
        if not holds(self.output, self.token):
            raise Gone(f"Another run has taken {self.output.name}; this one has ended.")


class Writing:
    """Input and output as a worker has them: opened once, with the network loaded once.

    Parameters
    ----------
    order : OutputOrder
    file : StackFile, optional
        The input, if it is open already.

    Raises
    ------
    BadInput
        If the input cannot be opened.
    Gone
        If it is not what it was when the run began.
    """

    def __init__(self, order: OutputOrder, file: StackFile | None = None) -> None:
        self.order = order
        self.run = run = Journal(order.part).read().run
        if file is None:
            file = open_stack(Path(run["source"]), follow_links=run["follow_links"])
        self.file, self.stack = file, file.stack()
        check_same(file, run)
        if run["incomplete"] is not None:
            self.stack.incomplete = frozenset(run["incomplete"])
        self.marks = Marks.from_json(run["marks"], self.stack.shape[1:])
        self.slots = slots_of(self.marks, len(self.stack))
        levels = open_levels(order.image, level_names(run))
        self.rows = rows_of(levels, file.calibration, Pieces.parse(run["chunks"], run["shards"]))

    @cached_property
    def method(self) -> Method:
        """The network, or another method.

        Raises
        ------
        Gone
            If its weights are not those that the run began with.
        """
        return How(**self.run["how"]).make_same(self.order.device, self.run["sha256"])

    def repaired(self) -> RepairedStack:
        """The input, with room for what is inserted."""
        return RepairedStack(self.stack, {slot for slot in self.slots if slot[1]})

    def marked(self, slab: Slab) -> set[Slot]:
        """What is to be repaired of a slab."""
        wanted = {self.slots[z] for z in slab.sections}
        return {slot for slot in wanted if slot[1] or (slot[0], 0) in self.marks}


def slots_of(marks: Marks, length: int) -> list[Slot]:
    """What each section of the output is."""
    return [(z, number) for z in range(length) for number in range(1 + marks.missing.get(z, 0))]


def facts_of(file: StackFile) -> dict[str, Any]:
    """What must not change in an input while a run goes on."""
    return {"shape": list(file.data.shape), "dtype": str(np.dtype(file.data.dtype))}


def check_same(file: StackFile, run: dict[str, Any]) -> None:
    """Check that an input is the one that a run began with.

    Raises
    ------
    Gone
        If it is not.
    """
    if run["input"] != facts_of(file):
        raise Gone(f"{file.path.name} is not what it was when the run began; begin anew.")


@lru_cache(maxsize=1)
def writing_of(order: OutputOrder) -> Writing:
    """What an order is about; a worker keeps the last one."""
    return Writing(order)


def write_slab(order: OutputOrder, slab: Slab, tell: Tell | None = None) -> list[dict[str, Any]]:
    """Do a slab: read, synthesize, write all levels, and have them on the disk.

    Parameters
    ----------
    order : OutputOrder
    slab : Slab
        Of level 0, which stands for all.
    tell : callable, optional
        Receives what the engine yields.

    Returns
    -------
    list of dict
        What is synthetic in it, each a record of provenance.

    Raises
    ------
    BadInput, OSError, RuntimeError
        If that cannot be done. What is written by then is written over by the next try.
    """
    order.hold()
    writing = writing_of(order)
    scratch = None if address(order.part) else order.part / SCRATCH
    if scratch is not None:
        scratch.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        repaired = writing.repaired()
        if marked := writing.marked(slab):
            for item in patches(
                writing.stack,
                writing.marks,
                writing.method,
                only=marked,
                scratch=Path(folder),
                with_error=True,
                ahead=writing.method.ahead > 0,
            ):
                if isinstance(item, Patch):
                    repaired.add(item)
                if tell is not None:
                    tell(item)
            give_back()  # before whole objects come into memory
        writing.rows.write(repaired, slab.row, lambda _: order.hold())
        if not address(order.image):
            sync_files(order.image / name for name in writing.rows.names(slab.row))
        if writing.run["keep"]:
            _keep(order, writing, repaired, slab)
    order.hold()
    return [record.model_dump(mode="json") for record in repaired.provenance.sections]


def _keep(order: OutputOrder, writing: Writing, repaired: RepairedStack, slab: Slab) -> None:
    """Put the pixels and errors of a slab's patches where :func:`laid` finds them."""
    if not address(order.part):
        (order.part / PATCHES).mkdir(exist_ok=True)
    for z in slab.sections:
        for number, patch in enumerate(repaired.patches(writing.slots[z])):
            for what, array in (("pixels", patch.pixels), ("error", patch.error)):
                if isinstance(array, StoredArray):
                    path = _patch_path(order, z, number, what)
                    if address(path):
                        remote.send(array.path, path)
                    else:
                        os.replace(array.path, path)


def laid(
    order: OutputOrder, writing: Writing, records: Iterable[SyntheticSection], folder: Path
) -> RepairedStack:
    """The repaired stack of a run that has come to its end, from its records.

    Its pixels are those that were kept, or blank: then it tells which are synthetic, and no more.
    Those that are kept behind an address come into a folder.
    """
    repaired = writing.repaired()
    count: dict[int, int] = {}
    for record in records:
        z = record.section
        number = count[z] = count.get(z, -1) + 1
        shape, top, left, mask = writing.stack.shape[1:], 0, 0, None
        if record.region is not None:
            region = region_from_entry(record.region, shape)
            top, left, mask = region.top, region.left, region.mask
            shape = mask.shape
        pixels: Array | StoredArray = np.broadcast_to(np.zeros((), writing.stack.dtype), shape)
        error = None
        if writing.run["keep"]:
            paths = [_patch_path(order, z, number, what) for what in ("pixels", "error")]
            if address(order.part):
                for path in paths:
                    remote.fetch(path, folder / path.name)
                paths = [folder / path.name for path in paths]
            pixels = StoredArray(paths[0])
            error = StoredArray(paths[1]) if paths[1].exists() else None
        first = record.model_copy(
            update={
                "section": writing.slots[z][0],
                "neighbours": tuple(writing.slots[n][0] for n in record.neighbours),
            }
        )
        repaired.add(Patch(writing.slots[z], top, left, pixels, mask, first, error))
    return repaired


def _patch_path(order: OutputOrder, z: int, number: int, what: str) -> Path:
    return order.part / PATCHES / f"{z}-{number}-{what}.npy"

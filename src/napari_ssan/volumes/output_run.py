"""A repair to a new zarr output, slab by slab: what is left of it can be gone on with.

Until it is whole, the output lies in a hidden part beside its place, with the journal; that part is
kept if the run is killed. Behind an address, only the journal lies there; the output is at its
place, as a :class:`~napari_ssan.files.remote_image.RemoteImage` that has not appeared. Easy to get
wrong: the part says what it is kept for only when there is something to keep, and an output that
exists is replaced at the very end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from napari_ssan.atomic import reason
from napari_ssan.engine.repaired import RepairedStack, Slot
from napari_ssan.errors import BadInput
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.open import StackFile
from napari_ssan.files.remote_image import RemoteImage, free_prefix
from napari_ssan.files.write_zarr import Pieces, make_zarr
from napari_ssan.part import Part, kept, parts
from napari_ssan.paths import address, real
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.claim import Claim
from napari_ssan.volumes.drive import Hire, drive
from napari_ssan.volumes.journal import Journal, Row, State, counted
from napari_ssan.volumes.output_slabs import (
    OutputOrder,
    Writing,
    check_same,
    facts_of,
    laid,
    slots_of,
)
from napari_ssan.volumes.remote_part import RemotePart
from napari_ssan.volumes.slabs import How, Slab

#: Has the output appear: given the repaired stack, and where the output lies until then.
Finish = Callable[[RepairedStack, Path | RemoteImage], object]
#: What a repair of other marks, or in another way, is told.
OTHER = (
    "The run to go on with repairs other slices, or in another way: repeat its command with "
    "--resume, or leave its marks and options out."
)


@dataclass(frozen=True)
class Ask:
    """What is to be written.

    Attributes
    ----------
    output : Path
        Checked already, see :func:`~napari_ssan.files.output.check_output`.
    marks : Marks
        Empty to go on with whatever was begun.
    how : How
    chunks, shards : str
        See :class:`~napari_ssan.files.write_zarr.Pieces`.
    keep : bool
        Whether pixels and errors of patches are needed at the end.
    follow_links : bool
        As the input was opened.
    beside : tuple of Path
        Images that `finish` writes, too.
    """

    output: Path
    marks: Marks
    how: How
    chunks: str = ""
    shards: str = ""
    keep: bool = False
    follow_links: bool = False
    beside: tuple[Path, ...] = ()

    def plain(self, file: StackFile) -> dict[str, Any]:
        """As the journal has it."""
        return {
            "source": str(file.reference),
            "follow_links": self.follow_links,
            "marks": self.marks.to_json(),
            "how": asdict(self.how),
            "chunks": self.chunks,
            "shards": self.shards,
            "keep": self.keep,
        }


def unfinished(output: Path) -> Path | None:
    """The part in which a run has left an output that is to be gone on with; None if none has."""
    if address(output):
        part = RemotePart(output)
        return part.folder if part.is_kept() else None
    output = _place(output)
    found = [part for part in parts(output.parent) if kept(part) == output.name]
    return found[0] if found else None


def _place(output: Path) -> Path:
    """Its place, by a path that leads there from anywhere; a link is a place itself."""
    return output if address(output) else real(output.parent) / output.name


def repair_to_output(
    ask: Ask,
    file: StackFile,
    tell: Callable[[Any], object],
    finish: Finish,
    *,
    device: str = "auto",
    resume: bool = False,
    crew: Hire | None = None,
) -> State:
    """Repair a stack into a new zarr output.

    Parameters
    ----------
    ask : Ask
    file : StackFile
        The input.
    tell : callable
        Receives notices as text, what the engine yields, and
        :class:`~napari_ssan.volumes.drive.SlabsDone`.
    finish : callable
        Is given the repaired stack and where the output lies, when all slabs are done; has it
        take its place. Pixels of patches are blank unless they were to be kept.
    device : str
        Where to compute.
    resume : bool
        Whether to go on with a run that has not ended.
    crew : callable, optional
        Makes those who work; default is this process.

    Returns
    -------
    State
        If slabs have failed, the output is not finished.

    Raises
    ------
    BadInput
        If it cannot be repaired as asked.
    Gone
        If the unfinished output has vanished meanwhile.
    """
    output = _place(ask.output)
    with Claim(output, tell) as claim:
        left = unfinished(output)
        if left is not None and not resume:
            _take(output, left).discard()
            tell("Note: what an interrupted run had left of this output was removed.")
            left = None
        part = _go_on(ask, left, file) if left else _begin(ask, output, file, device)
        order = OutputOrder(output, part.folder, claim.token, device)
        try:
            state = _run(order, file, tell, finish, crew)
        except BaseException:
            part.leave()
            raise
        if state.failed:
            part.leave()
        else:
            part.remove()
        return state


def _begin(ask: Ask, output: Path, file: StackFile, device: str) -> Part | RemotePart:
    stack = file.stack()
    if not ask.marks:
        raise BadInput("There is no run to go on with: say what is broken, without --resume.")
    ask.marks.check(stack.shape)
    method = ask.how.make(device)  # refused before anything is written
    slots = slots_of(ask.marks, len(stack))
    part: Part | RemotePart
    try:
        part = RemotePart(output) if address(output) else Part(output)
    except OSError as error:
        raise BadInput(f"{output.parent} cannot be written to: {reason(error)}.") from error
    try:
        form = _form(slots, file, ask.chunks, ask.shards)
        prefix = ""
        if isinstance(part, RemotePart):
            part.remove()  # what is left of one that was removed
            prefix = free_prefix([output, *filter(address, ask.beside)])
            levels = len(RemoteImage(output, prefix, *form).names)
        else:
            levels = len(make_zarr(part.folder / output.name, *form[:3], None, form[3]))
        Journal(part.folder).write(
            "begin",
            format=1,
            sections=list(range(len(slots))),
            input=facts_of(file),
            incomplete=counted(stack.incomplete),
            levels=levels,
            prefix=prefix,
            sha256=method.model.sha256 if method.model else None,
            **ask.plain(file),
        )
        if isinstance(part, Part):
            part.keep(output.name)
    except OSError as error:
        part.remove()
        raise BadInput(f"The output {output} could not be written: {reason(error)}.") from error
    except BaseException:
        part.remove()
        raise
    return part


def _form(
    slots: Sequence[Slot], file: StackFile, chunks: str, shards: str
) -> tuple[tuple[int, ...], Any, Calibration, Pieces | None]:
    """Shape, dtype, calibration and pieces of the output."""
    stack, shape = file.stack(), list(file.data.shape)
    shape[stack.z_axis] = len(slots)
    return tuple(shape), stack.dtype, file.calibration, Pieces.parse(chunks, shards)


def _go_on(ask: Ask, left: Path, file: StackFile) -> Part | RemotePart:
    run = Journal(left).read().run
    wanted = ask.plain(file)
    if not ask.marks:  # the run's own, and how it was to be done
        same = ("source", "follow_links", "keep")
        wanted = {key: wanted[key] for key in same} | {
            key: wanted[key] for key in ("chunks", "shards") if wanted[key]
        }
    if any(run.get(key) != value for key, value in wanted.items()):
        raise BadInput(OTHER)
    check_same(file, run)
    return _take(ask.output, left)


def _take(output: Path, left: Path) -> Part | RemotePart:
    if address(output):  # the claim is ours
        return RemotePart(output)
    part = Part.take(left)
    if part is None:
        raise BadInput(f"{left} is in use by another run; wait until that has ended.")
    return part


def _run(
    order: OutputOrder,
    file: StackFile,
    tell: Callable[[Any], object],
    finish: Finish,
    crew: Hire | None,
) -> State:
    journal, ready = Journal(order.part), None
    state = journal.read()
    if address(order.image):
        slots = slots_of(
            Marks.from_json(state.run["marks"], file.stack().shape[1:]), len(file.stack())
        )
        form = _form(slots, file, state.run["chunks"], state.run["shards"])
        ready = RemoteImage(order.image, state.run["prefix"], *form)
        ready.make()
    else:
        sweep(order.image)
    writing = Writing(order, file)
    if state.done:
        count = sum(map(len, state.done.values()))
        tell(f"Going on: {len(state.asked) - count} of {len(state.asked)} slices are left to do.")
    plan: dict[Slab, set[Row]] = {
        Slab(0, row, tuple(writing.rows.sections(row))): set()
        for row in range(len(writing.rows))
        if (0, row) not in state.done
    }
    drive(journal, plan, order, tell, crew)
    state = journal.read()
    if not state.failed:
        order.hold()
        if ready is None:
            sweep(order.image)
        with TemporaryDirectory(ignore_cleanup_errors=True) as name:
            finish(laid(order, writing, state.synthetic, Path(name)), ready or order.image)
    return state


def sweep(image: Path) -> None:
    """Remove drafts of objects that killed workers have left."""
    for folder, _, names in os.walk(image):
        for name in names:
            if name.endswith(".partial"):
                Path(folder, name).unlink(missing_ok=True)

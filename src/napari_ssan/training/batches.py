"""Batches of triplets for training, drawn ahead by processes of their own.

Which triplets they hold is up to :class:`~napari_ssan.stack.triplets.TripletSampler`: each follows
from its number, so the number of processes changes nothing but the time that a step waits. Easy to
get wrong: the sampler's place in the stream counts what was used here, not what was drawn ahead.
"""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.stack.decoded import Decoded, in_memory
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.events import Note

#: Batches that each process draws ahead.
AHEAD = 2
#: How processes start. Forked ones share the memory of this one; elsewhere it is shared by name.
START = "fork" if sys.platform == "linux" else "spawn"
#: Where Linux keeps memory that processes share; containers often have little of it.
SHARED_MEMORY = Path("/dev/shm")
#: Longest path of the temporary folder, in bytes, whose sockets processes can hand tensors over by.
LONGEST_FOLDER = 70
#: Seconds after which processes that hand nothing over are given up.
STALLED = 120

#: Previous, target and following sections, (batch, 1, size, size) each, and positions, (batch,).
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class Batches:
    """The stream of a sampler, batch by batch, on a device.

    Close it at the end: its processes end then. They also end if this process is killed.

    Parameters
    ----------
    sampler : TripletSampler
        Its `drawn` moves on with each batch.
    device : torch.device
    workers : int
        Processes that draw ahead; 0 draws in this one. Sources that are not in memory are always
        drawn from in this one.
    note : callable
        Receives a notice if the processes fail; drawing goes on in this one.
    """

    def __init__(
        self,
        sampler: TripletSampler,
        device: torch.device,
        workers: int = 0,
        note: Note = lambda notice: None,
    ) -> None:
        self.sampler, self.device, self._note = sampler, device, note
        self.workers = workers if in_memory(sampler.sources) else 0
        self._count = 0
        self._drawn: Iterator[tuple[Tensor, Tensor] | BadInput] | None = None

    def draw(self, count: int) -> Batch:
        """Return the next `count` triplets.

        Raises
        ------
        BadInput
            If a source has nothing but marked and blank crops.
        """
        try:
            drawn = self._next(count)
        except (RuntimeError, OSError, EOFError) as error:
            # A dead process: its batch is missed, or cannot be fetched from it any more.
            if not self.workers or (
                isinstance(error, RuntimeError) and "DataLoader" not in str(error)
            ):
                raise
            self.close()
            self.workers = 0
            self._note(
                Notice("A process that draws crops failed: training goes on and draws them itself.")
            )
            drawn = self._next(count)
        if isinstance(drawn, BadInput):
            raise drawn
        self.sampler.drawn += count
        frames, position = (part.to(self.device, non_blocking=True) for part in drawn)
        previous, target, following = frames.unsqueeze(2).unbind(1)
        return previous, target, following, position

    def close(self) -> None:
        """End the processes. The next batch starts them again."""
        self._drawn = None

    def _next(self, count: int) -> tuple[Tensor, Tensor] | BadInput:
        if self._drawn is None or count != self._count:
            self._drawn = None  # ends the old processes before there are new ones
            self._drawn, self._count = self._start(count), count
        return next(self._drawn)

    def _start(self, count: int) -> Iterator[tuple[Tensor, Tensor] | BadInput]:
        workers = min(self.workers, _room(count * 3 * self.sampler.size**2 * 4))
        if workers and START != "fork":
            _share(self.sampler)
        loader = DataLoader(
            _Numbered(self.sampler),
            batch_size=None,
            sampler=_Numbers(self.sampler.drawn, count),
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            timeout=STALLED if workers else 0,
            pin_memory=self.device.type == "cuda",
            multiprocessing_context=multiprocessing.get_context(START) if workers else None,
            worker_init_fn=_begin_worker,
            generator=torch.Generator(),  # else it would draw from the global one
        )
        with _undisturbed():
            return iter(loader)


class _Numbered(Dataset[tuple[Tensor, Tensor] | BadInput]):
    """The triplets of a sampler, by a batch of numbers; also in another process."""

    def __init__(self, sampler: TripletSampler) -> None:
        self.sampler = sampler

    def __getitem__(self, numbers: list[int]) -> tuple[Tensor, Tensor] | BadInput:
        try:
            drawn = [self.sampler.triplet(number) for number in numbers]
        except BadInput as error:  # raised where its sentence stays as it is
            return error
        frames = np.stack([[t.previous, t.target, t.following] for t in drawn])
        position = torch.tensor([t.position for t in drawn])
        return torch.from_numpy(frames), position


class _Numbers(Sampler[list[int]]):
    """Endless batches of numbers."""

    def __init__(self, start: int, count: int) -> None:
        self.start, self.count = start, count

    def __iter__(self) -> Iterator[list[int]]:
        for first in itertools.count(self.start, self.count):
            yield list(range(first, first + self.count))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes without harm to this one, or from it."""
    # A forked process closes its input first, and would wait for a thread that reads it here.
    stdin, sys.stdin = sys.stdin, None
    handles = os.name != "nt" and threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD) if handles else None
    try:
        yield
    finally:
        sys.stdin = stdin
        if handles:
            # A dead process is noticed where its batch is missed, not by a signal amid a step.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL if handler is None else handler)


def _begin_worker(number: int) -> None:
    """Make a worker leave signals to its parent, and end with it."""
    # Handlers of the parent would only set a flag here, and the worker would never end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _share(sampler: TripletSampler) -> None:
    """Move decoded stacks to memory that started processes share."""
    for source in sampler.sources:
        data = source.stack.data
        if isinstance(data, Decoded) and not isinstance(data.pixels, Tensor):
            pixels = torch.from_numpy(data.pixels)
            pixels.share_memory_()  # type: ignore[no-untyped-call]
            data.pixels = pixels


def _room(batch: int) -> int:
    """Return how many workers can hand over batches of so many bytes."""
    if START == "fork" and len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        return 0  # a batch would be lost, and waited for
    if not SHARED_MEMORY.is_dir():
        return sys.maxsize
    # Twice, because a batch is passed on while the next is drawn.
    return shutil.disk_usage(SHARED_MEMORY).free // (2 * (AHEAD + 1) * batch)

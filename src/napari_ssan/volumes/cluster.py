"""A crew of dask workers: processes of this machine, or a cluster that somebody has started.

What a worker does is in `slabs`; dask is only imported here. Easy to get wrong: a worker sees the
volume under the same path, and is told little more; what it must know of the run it reads from the
run's journal, so that nothing is lost with a worker.
"""

from __future__ import annotations

import contextlib
import heapq
import importlib.util
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.volumes.drive import FAILURES, Result, Work
from napari_ssan.volumes.journal import Row
from napari_ssan.volumes.slabs import Slab

#: Seconds to wait for a scheduler, and for its first worker.
PATIENCE = 60
#: Workers of one thread, of which dask takes no samples. Dask's own environment would have memory
#: given back to the system at once, and glibc keeps less of it for threads other than the first:
#: either slows torch down.
QUIET = {
    "distributed.nanny.pre-spawn-environ": {
        **{f"{name}_NUM_THREADS": 1 for name in ("OMP", "MKL", "OPENBLAS")},
        "MALLOC_ARENA_MAX": 1,
    },
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
}
#: Seconds after which a crew looks again who works.
LOOK = 1.0
#: A worker whose slabs take fewer seconds has its next one at hand.
QUICK = 0.5
#: Name of dask's resource; a worker that has one takes a slab at a time.
GPU = "GPU"


def check(scheduler: str) -> None:
    """Check that there is dask, and that workers answer; for before anything is changed.

    Parameters
    ----------
    scheduler : str
        Address or file of a scheduler; empty for workers that are still to be started.

    Raises
    ------
    BadInput
        If dask is not installed, or the scheduler does not answer.
    """
    if importlib.util.find_spec("distributed") is None:
        raise BadInput(
            "Workers need dask: pip install 'napari-ssan[cluster]', or leave --workers and "
            "--scheduler out."
        )
    if scheduler:
        with _client(scheduler):
            pass


@contextlib.contextmanager
def cluster(
    order: Work, *, workers: int | None, scheduler: str, tell: Callable[[str], object]
) -> Iterator[Dask]:
    """Workers for a run, which end with the block if they were started by it.

    Parameters
    ----------
    order : Work
    workers : int or None
        How many processes of one thread each to start here.
    scheduler : str
        Address of a scheduler, or path of its file, in their place.
    tell : callable
        Is told where the dashboard is, and what workers have noticed.

    Raises
    ------
    BadInput
        If the scheduler does not answer.
    """
    import dask
    from distributed import LocalCluster

    with contextlib.ExitStack() as stack:
        where: Any = scheduler
        if not scheduler:
            with dask.config.set(QUIET):
                local = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=None,  # a large section is no leak
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL,
                )
            where = stack.enter_context(local)
        client = stack.enter_context(_client(where))
        if _has_dashboard():
            tell(f"Dashboard: {client.dashboard_link}")
        yield Dask(client, order, tell)


@contextlib.contextmanager
def _client(where: Any) -> Iterator[Any]:
    """A client of a scheduler, by its address or file, or of a local cluster, that has workers."""
    from distributed import Client

    known: dict[str, Any] = {"address": where}
    if isinstance(where, str) and Path(where).suffix == ".json":
        known = {"scheduler_file": where}
        if not Path(where).is_file():
            raise BadInput(f"There is no scheduler file {where}; start the scheduler first.")
    with contextlib.ExitStack() as stack:
        try:
            client = stack.enter_context(Client(**known, timeout=PATIENCE, set_as_default=False))
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError) as error:
            named = where if isinstance(where, str) else "this machine"
            raise BadInput(
                f"No worker has answered from {named} within {PATIENCE} s: "
                f"{error or type(error).__name__}."
            ) from error
        yield client


class Dask:
    """Workers behind a dask client, as a crew.

    Parameters
    ----------
    client : distributed.Client
    order : Work
    tell : callable
        Is told what workers have noticed.
    """

    def __init__(self, client: Any, order: Work, tell: Callable[[str], object]) -> None:
        from distributed import as_completed

        self._client, self._order, self._tell = client, order, tell
        self._done = as_completed(loop=client.loop)
        self._ready: list[tuple[int, int, Slab]] = []
        self._slabs: dict[str, Slab] = {}
        self._tried: dict[Row, set[str]] = {}
        self._known: dict[str, Any] = {}
        self._looked, self._seconds = float("-inf"), QUICK

    def start(self, slab: Slab) -> None:
        """See :meth:`~napari_ssan.volumes.drive.Crew.start`."""
        heapq.heappush(self._ready, (-slab.level, slab.row, slab))

    def _hand_out(self) -> None:
        """Give workers what they have room for, so that none has work that another could do."""
        if time.monotonic() - self._looked > LOOK:
            self._known = self._client.scheduler_info(n_workers=-1)["workers"]
            self._looked = time.monotonic()
        gpus = [int((each.get("resources") or {}).get(GPU, 0)) for each in self._known.values()]
        room = sum(gpus) or sum(each["nthreads"] for each in self._known.values())
        room = max(1, room * (2 if self._seconds < QUICK else 1))
        while self._ready and len(self._slabs) < room:
            *_, slab = heapq.heappop(self._ready)
            tried = self._tried.get(slab.key, set())
            others = sorted(set(self._known) - tried) if tried else []
            future = self._client.submit(
                _on_worker,
                self._order,
                slab,
                pure=False,
                resources={GPU: 1} if any(gpus) else None,
                workers=others or None,
                allow_other_workers=bool(others),
            )
            self._slabs[future.key] = slab
            self._done.add(future)

    def next(self) -> tuple[Slab, Result]:
        """See :meth:`~napari_ssan.volumes.drive.Crew.next`."""
        from distributed import KilledWorker

        self._hand_out()
        future = next(self._done)
        slab = self._slabs.pop(future.key)
        try:  # its worker may just have died with the result: then it is waited for once more
            records, notices, self._seconds = future.result()
        except CancelledError as error:
            raise BadInput("The scheduler is gone; go on with --resume when it is back.") from error
        except KilledWorker:
            why = f"its worker was killed {TRIES_OF_DASK} times, perhaps for its memory"
            return slab, OSError(why)
        except FAILURES as error:
            worker = getattr(error, "worker", None)
            self._tried.setdefault(slab.key, set()).update([worker] if worker else [])
            return slab, error
        for notice in notices:
            self._tell(f"Note: {notice}")
        return slab, records


#: So often dask gives a slab to another worker when one dies.
TRIES_OF_DASK = 4


def _on_worker(order: Work, slab: Slab) -> tuple[list[dict[str, Any]], list[str], float]:
    """Do a slab on a worker, collect its notices, and say how many seconds it has taken.

    An error says on which worker, so that another one tries the slab next.
    """
    from distributed import get_worker

    worker, notices, begin = get_worker(), list[str](), time.monotonic()

    def tell(item: object) -> None:
        if isinstance(item, Notice):
            notices.append(str(item))

    try:
        records = order.on(_device(order.device, worker.name)).do(slab, tell)
        return records, notices, time.monotonic() - begin
    except Exception as error:
        error.worker = worker.address  # type: ignore[attr-defined]
        raise


def _device(device: str, name: object) -> str:
    """The GPU of a worker: of several in a machine, each worker takes the one of its number."""
    import torch

    count = torch.cuda.device_count()
    if device in ("auto", "cuda") and count > 1 and str(name).isdigit():
        return f"cuda:{int(str(name)) % count}"
    return device


def _has_dashboard() -> bool:
    return importlib.util.find_spec("bokeh") is not None

"""A crew of dask workers: processes of this machine, or a cluster that somebody has started.

What a worker does is in `slabs`; dask is only imported here. Easy to get wrong: a worker sees the
volume under the same path, and is told little more; what it must know of the run it reads from the
run's journal, so that nothing is lost with a worker.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.volumes.drive import Result, Work
from napari_ssan.volumes.journal import Row
from napari_ssan.volumes.slabs import Slab

#: Seconds to wait for a scheduler, and for its first worker.
PATIENCE = 60
#: Environment of a worker.
ONE_THREAD = {f"{name}_NUM_THREADS": 1 for name in ("OMP", "MKL", "OPENBLAS")}
#: Name of dask's resource; a worker that has one takes a slab at a time.
GPU = "GPU"


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
        If dask is not installed, or the scheduler does not answer.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BadInput(
            "Workers need dask: pip install 'napari-ssan[cluster]', or leave --workers and "
            "--scheduler out."
        ) from error
    with contextlib.ExitStack() as stack:
        if scheduler:
            file = Path(scheduler).suffix == ".json"
            where: dict[str, Any] = (
                {"scheduler_file": scheduler} if file else {"address": scheduler}
            )
            if file and not Path(scheduler).is_file():
                raise BadInput(
                    f"There is no scheduler file {scheduler}; start the scheduler first."
                )
        else:
            # Dask would have memory given back to the system at once, which slows torch down.
            with dask.config.set({"distributed.nanny.pre-spawn-environ": ONE_THREAD}):
                local = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=None,  # a large section is no leak
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL,
                )
            where = {"address": stack.enter_context(local)}
        try:
            client = stack.enter_context(Client(**where, timeout=PATIENCE, set_as_default=False))
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError) as error:
            raise BadInput(
                f"No worker has answered from {scheduler or 'this machine'} within {PATIENCE} s: "
                f"{error or type(error).__name__}."
            ) from error
        if _has_dashboard():
            tell(f"Dashboard: {client.dashboard_link}")
        yield Dask(client, order, tell)


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
        self._ready = as_completed(loop=client.loop)
        self._slabs: dict[str, Slab] = {}
        self._tried: dict[Row, set[str]] = {}

    def start(self, slab: Slab) -> None:
        """See :meth:`~napari_ssan.volumes.drive.Crew.start`."""
        known = self._client.scheduler_info(n_workers=-1)["workers"]
        others = sorted(set(known) - self._tried.get(slab.key, set()))
        gpus = any(GPU in (each.get("resources") or {}) for each in known.values())
        future = self._client.submit(
            _on_worker,
            self._order,
            slab,
            pure=False,
            priority=slab.level,
            resources={GPU: 1} if gpus else None,
            workers=others if slab.key in self._tried and others else None,
            allow_other_workers=slab.key in self._tried and bool(others),
        )
        self._slabs[future.key] = slab
        self._ready.add(future)

    def next(self) -> tuple[Slab, Result]:
        """See :meth:`~napari_ssan.volumes.drive.Crew.next`."""
        from distributed import KilledWorker

        future = next(self._ready)
        slab = self._slabs.pop(future.key)
        if future.status == "finished":
            records, notices = future.result()
            for notice in notices:
                self._tell(f"Note: {notice}")
            return slab, records
        if future.cancelled():
            raise BadInput("The scheduler is gone; go on with --resume when it is back.")
        error = future.exception()
        if isinstance(error, KilledWorker):
            error = OSError(f"its worker was killed {TRIES_OF_DASK} times, perhaps for its memory")
        worker = getattr(error, "worker", None)
        self._tried.setdefault(slab.key, set()).update([worker] if worker else [])
        return slab, error


#: So often dask gives a slab to another worker when one dies.
TRIES_OF_DASK = 4


def _on_worker(order: Work, slab: Slab) -> tuple[list[dict[str, Any]], list[str]]:
    """Do a slab on a worker, and collect its notices.

    An error says on which worker, so that another one tries the slab next.
    """
    from distributed import get_worker

    worker, notices = get_worker(), list[str]()

    def tell(item: object) -> None:
        if isinstance(item, Notice):
            notices.append(str(item))

    try:
        return order.on(_device(order.device, worker.name)).do(slab, tell), notices
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

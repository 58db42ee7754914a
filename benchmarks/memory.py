"""How much memory something takes: counted by torch, and by the system in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

STATUS = Path("/proc/self/status")


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Most bytes of tensors that a run holds at once above what was there before.

    On a CPU it is the running sum of torch's allocations as ``torch.profiler``
    reports them, without what MKL and oneDNN take for themselves; on a GPU it
    is what the caching allocator counted.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    events = [event for event in events if event["name"] == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def free_bytes(device: torch.device) -> int:
    """Memory that can be taken without swapping; 8 GiB where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 8 * 2**30
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def resident_bytes(prepare: Callable[..., Callable[[], object]], *arguments: object) -> int | None:
    """How far the resident memory of a new process rises while it does something once.

    Parameters
    ----------
    prepare : callable
        From the top of a module; called with `arguments` in the new process,
        returns what is to be measured.

    Returns
    -------
    int or None
        None where the system does not tell.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_rise, prepare, *arguments).result()


def _rise(prepare: Callable[..., Callable[[], object]], *arguments: object) -> int | None:
    run = prepare(*arguments)
    before = _resident("VmRSS")
    run()
    after = _resident("VmHWM")
    return None if before is None or after is None else after - before


def _resident(field: str) -> int | None:
    """Resident bytes: now (``VmRSS``) or at their highest (``VmHWM``)."""
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
    try:
        import resource
    except ImportError:  # Windows
        return None
    # Linux would hand on the parent's highest use; here it is the process's own.
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024

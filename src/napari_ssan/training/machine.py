"""How much of this machine long work takes: its cores, and the processes and threads on them.

Processes draw crops for a training, threads look through a stack. It never changes a result. Easy
to get wrong: a cluster or a container may grant fewer cores than the machine has.
"""

from __future__ import annotations

import os

#: Most processes that draw crops for a GPU.
MOST_WORKERS = 16
#: Most threads of an inspection, unless the user says how many.
MOST_THREADS = 8


def cores() -> int:
    """Count the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spare_workers(device: str) -> int:
    """Return how many processes draw crops for a training on a type of device, such as ``cuda``.

    One is enough for a CPU, and hardly loads a core. A GPU gets all cores but the one that
    drives it.
    """
    spare = cores() - 1
    return min(spare, MOST_WORKERS if device == "cuda" else 1)


def inspection_threads(beside_gui: bool = False) -> int:
    """Return how many threads look through a stack; `beside_gui` leaves a core to the GUI."""
    found = cores()
    return min(found - (beside_gui and found > 2), MOST_THREADS)

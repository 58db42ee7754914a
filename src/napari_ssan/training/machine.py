"""How much of this machine a training takes: its cores, and the processes that draw crops.

It never changes a result. Easy to get wrong: a cluster or a container may grant fewer cores than
the machine has.
"""

from __future__ import annotations

import os

#: Most processes that draw crops for a GPU.
MOST_WORKERS = 16


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

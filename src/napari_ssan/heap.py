"""Gives memory that is free back to the system, so that a long run takes no more than a short one.

The allocator of Linux (glibc) keeps what was freed, and each thread has a heap of its own: what
threads read and compress for one object of a store stays with them. Elsewhere nothing is done here.
Easy to get wrong: memory that is given back must be taken again, so this is for the end of a long
step, not for each array.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

#: Number of a setting of glibc: how many heaps there may be.
ARENA_MAX = -8


def share_heap() -> None:
    """Have threads that begin later use the heaps that are there; for the start of a program."""
    if mallopt := _function("mallopt"):
        mallopt(ARENA_MAX, 1)


def give_back() -> None:
    """Give back what is free now."""
    if trim := _function("malloc_trim"):
        trim(0)


@cache
def _function(name: str) -> Any:
    """A function of the C library; None if it has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # Windows
        return None

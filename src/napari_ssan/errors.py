"""The ways in which work ends early, apart from a defect of the program.

Full memory is one of them. Libraries word it differently, and not all raise a ``MemoryError``, so
whoever starts work does it within `memory_in_words`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

#: Words in the errors of systems that have no memory left.
FULL = ("out of memory", "can't allocate memory", "not enough memory")


class BadInput(ValueError):
    """What the user gave cannot be worked with.

    The message is one sentence that says what is wrong and what to do. The
    command line prints it and exits with 2, the dock shows it as a
    notification; nothing has been changed when it is raised.
    """


class NotAStack(BadInput):
    """An image that can be read, but is no stack of grey sections: other programs may show it."""


class OutOfMemory(BadInput, MemoryError):
    """There is not enough memory for what the user wants."""


class Cancelled(Exception):
    """The user asked to stop. What was finished before is kept."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory is full; CUDA, Metal and CPUs word it differently."""
    worded = isinstance(error, RuntimeError) and any(w in str(error).lower() for w in FULL)
    return worded or isinstance(error, MemoryError)


@contextmanager
def memory_in_words() -> Iterator[None]:
    """Turn an error that means that memory is full into a `OutOfMemory` with a sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, BadInput) or not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            "There is not enough memory for this; end other programs, or use another machine."
        ) from error

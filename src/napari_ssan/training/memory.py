"""When memory is full, and giving it back."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from napari_ssan.errors import BadInput

#: What systems say when there is no memory left.
FULL = ("out of memory", "can't allocate memory", "not enough memory")

P = ParamSpec("P")
R = TypeVar("R")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that there is no memory left: CUDA, Metal and the CPU say it apart."""
    return any(words in str(error).lower() for words in FULL)


def gives_memory_back(function: Callable[P, R]) -> Callable[P, R]:
    """After the function, however it ends, the GPU's memory is free for others.

    Raises
    ------
    BadInput
        In the place of an error that says that memory is full.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            _let_go(error)
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise BadInput(
                    "The memory does not suffice: choose a smaller crop or batch or another "
                    "device, or close other programs that use it."
                ) from None
            raise
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if torch.backends.mps.is_available():
                torch.mps.empty_cache()

    return wrapped


def _let_go(error: BaseException | None) -> None:
    """Forget what the functions that failed held, which else lives as long as the error."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__

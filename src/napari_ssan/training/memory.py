"""Frees the GPU's memory after a run, and says what to do if memory is full."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from napari_ssan.errors import BadInput, OutOfMemory, is_out_of_memory

P = ParamSpec("P")
R = TypeVar("R")


def gives_memory_back(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that it frees the GPU's memory, however it ends.

    Raises
    ------
    OutOfMemory
        Instead of an error that means that memory is full.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            _let_go(error)
            if is_out_of_memory(error) and not isinstance(error, BadInput):
                raise OutOfMemory(
                    "There is not enough memory: choose a smaller crop or batch or another "
                    "device, or close other programs that use this memory."
                ) from None
            raise
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if torch.backends.mps.is_available():
                torch.mps.empty_cache()

    return wrapped


def _let_go(error: BaseException | None) -> None:
    """Drop the local variables of the failed functions; the error would keep them alive."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__

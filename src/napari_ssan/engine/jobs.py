"""Long work on a stack, to be done off the GUI thread: repairing, looking for blank sections."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event as Flag

import numpy as np

from napari_ssan.engine.events import Event, Notice, PatchDone, Progress
from napari_ssan.engine.methods import make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Slot
from napari_ssan.engine.sidecar import Sidecar
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.stack.defects import Defects
from napari_ssan.stack.sections import SliceStack


@dataclass(frozen=True)
class Stage:
    """What is going on, and how far it is; a total of 0 where there is no progress to speak of."""

    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class RunsOn:
    """The device that the network runs on, in a user's words."""

    device: str


#: Receives what a job says.
Tell = Callable[[Event | Stage | RunsOn], object]


@dataclass(frozen=True, eq=False)
class RepairJob:
    """What is to be repaired, as it stood when it was asked for.

    Attributes
    ----------
    stack : SliceStack
        The stack.
    defects : Defects
        All marks, also those whose repair is not asked for.
    only : frozenset of (int, int)
        Sections to synthesize.
    revisions : mapping of (int, int) to int
        By mark: the state of the marks that this job knows.
    begun : set of (int, int)
        Sections of which patches have been taken.
    """

    stack: SliceStack
    defects: Defects
    only: frozenset[Slot]
    revisions: Mapping[Slot, int]
    begun: set[Slot] = field(default_factory=set)

    def run(
        self,
        report: Tell,
        cancel: Flag,
        method: str = "ssan",
        model: str = "ssan-fidelity",
        device: str = "auto",
        sidecar: Sidecar | None = None,
    ) -> None:
        """Synthesize; every patch is reported as a ``PatchDone``, kept in the sidecar if it can be.

        Parameters
        ----------
        report : callable
            Receives the events of the engine, :class:`Stage` and :class:`RunsOn`.
        cancel : threading.Event
            Set it to stop at the next tile.
        method, model, device : str
            As for :func:`napari_ssan.repair`.
        sidecar : Sidecar, optional
            Where pixels are kept; without it they stay in memory.

        Raises
        ------
        BadInput
            If the stack cannot be repaired as asked, or there is no room for it.
        Cancelled
            If `cancel` was set.
        """

        def pass_on(event: Event) -> None:
            if not isinstance(event, PatchDone):  # reported below, when its pixels are kept
                report(event)

        try:
            if method == "ssan":
                report(Stage("Loading the network…"))
                report(RunsOn(device_in_words(device)))
            how = make_method(method, model, device, report)
            _stop_if(cancel)
            report(Stage("Looking at the neighbours…"))
            made = patches(
                self.stack, self.defects, how, pass_on, cancel, None, self.only, with_error=True
            )
            for patch in made:
                if sidecar is not None:
                    try:
                        patch = sidecar.keep(patch)
                    except OSError as error:
                        report(
                            Notice(
                                f"Repaired pixels cannot be saved ({error.strerror or error}): "
                                "they stay in memory only; export the stack to keep them."
                            )
                        )
                        sidecar = None
                report(PatchDone(patch))
        except OSError as error:  # no room for pixels that are too many for memory
            where = f" ({error.filename})" if error.filename else ""
            raise BadInput(
                f"The repair has stopped: {error.strerror or error}{where}; "
                "see to that, and repair again."
            ) from error
        finally:
            free_gpu()


def blank_sections(stack: SliceStack, report: Tell, cancel: Flag) -> list[int]:
    """Find sections that hold nothing: all pixels equal, or some not finite.

    Parameters
    ----------
    stack : SliceStack
        The stack; most sections are judged by their first rows.
    report, cancel : callable, threading.Event
        As in :meth:`RepairJob.run`.
    """
    found = []
    for z in range(len(stack)):
        _stop_if(cancel)
        if _is_blank(stack, z):
            found.append(z)
        report(Progress(z + 1, len(stack), z, None))
    return found


def _is_blank(stack: SliceStack, z: int) -> bool:
    floating = np.issubdtype(stack.dtype, np.floating)
    value, constant = None, True
    for _, band in stack.bands(z):
        if floating and not np.isfinite(band).all():
            return True
        value = band.flat[0] if value is None else value
        constant = constant and bool((band == value).all())
        if not constant and not floating:
            return False
    return constant


def device_in_words(name: str) -> str:
    """What a device that is asked for turns out to be."""
    from napari_ssan.network.device import choose_device, describe

    return describe(choose_device(name))


def _stop_if(cancel: Flag) -> None:
    if cancel.is_set():
        raise Cancelled


def free_gpu() -> None:
    """Give the GPU's memory back to other programs."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()

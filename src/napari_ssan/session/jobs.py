"""A repair as a piece of work that is handed over: what is to be repaired, as it stood then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event as Flag

from napari_ssan.engine.device import device_in_words, free_gpu
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch, Slot
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Event, Notice, Progress, RunsOn, Stage
from napari_ssan.session.kept_method import KeptMethod
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.marks import Mark, Marks
from napari_ssan.stack.sections import SliceStack

#: Receives what a job says.
Tell = Callable[[Event | Patch], object]


@dataclass(frozen=True, eq=False)
class RepairJob:
    """What is to be repaired, as it stood when it was asked for."""

    stack: SliceStack
    #: All marks, also those whose repair is not asked for.
    marks: Marks
    #: Sections to synthesize.
    only: frozenset[Slot]
    #: By mark: the state of the marks that this job knows.
    revisions: Mapping[Slot, int]
    #: Marks that have a result already, which stays until the new one is whole.
    again: frozenset[Mark] = frozenset()
    #: What has come of their new results.
    coming: dict[Mark, list[Patch]] = field(default_factory=dict)
    #: Sections of which patches have been taken.
    begun: set[Slot] = field(default_factory=set)

    def run(
        self,
        report: Tell,
        cancel: Flag,
        method: str = "ssan",
        model: str = "ssan-fidelity",
        device: str = "auto",
        views: int | None = None,
        sidecar: Sidecar | None = None,
        kept: KeptMethod | None = None,
    ) -> None:
        """Synthesize; a patch is reported once its pixels are kept in the sidecar.

        Parameters
        ----------
        report : callable
            Receives what :func:`~napari_ssan.engine.repair.patches` yields, :class:`Stage`
            and :class:`RunsOn`.
        cancel : threading.Event
            Set it to stop; it is looked at after every tile.
        method, model, device, views : str, str, str, int or None
            As for :func:`napari_ssan.repair`.
        sidecar : Sidecar, optional
            Where pixels are kept; without it they stay in memory.
        kept : KeptMethod, optional
            Has the method if it was loaded before, and keeps it.

        Raises
        ------
        BadInput
            If the stack cannot be repaired as asked, or there is no room for it.
        Cancelled
            If `cancel` was set.
        """
        try:
            if method == "ssan":
                report(Stage("Loading the network…"))
                report(RunsOn(device_in_words(device)))
            how = (kept or KeptMethod()).make(method, model, device, views)
            _stop_if(cancel)
            report(Stage("Looking at the neighbours…"))
            for item in patches(self.stack, self.marks, how, only=self.only, with_error=True):
                if isinstance(item, Patch) and sidecar is not None:
                    try:
                        item = sidecar.keep(item)
                    except OSError as error:
                        report(
                            Notice(
                                f"Repaired pixels cannot be saved ({error.strerror or error}): "
                                "they stay in memory only; export the stack to keep them."
                            )
                        )
                        sidecar = None
                report(item)
                if isinstance(item, Progress):
                    _stop_if(cancel)
        except OSError as error:  # no room for pixels that are too many for memory
            where = f" ({error.filename})" if error.filename else ""
            raise BadInput(
                f"The repair has stopped: {error.strerror or error}{where}; "
                "see to that, and repair again."
            ) from error
        finally:
            free_gpu()


def _stop_if(cancel: Flag) -> None:
    if cancel.is_set():
        raise Cancelled

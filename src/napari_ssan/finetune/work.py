"""The work of a fine-tune run: train, compare with the base model, write the better one.

Every part can be interrupted and repeated: what is already on disk is not done again.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any

import psutil
import torch
from pydantic import TypeAdapter

from napari_ssan.atomic import write_atomically
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.finetune.events import FineTuneReport, MemoryUsed
from napari_ssan.finetune.run_folder import CANDIDATE, JUDGED, VERDICT
from napari_ssan.finetune.runs import Run
from napari_ssan.finetune.told import keeping
from napari_ssan.finetune.verdict import Known, Verdict, decide, judge
from napari_ssan.json_text import dump_json
from napari_ssan.network.device import choose_device
from napari_ssan.network.model_file import Model, load_model, save_model
from napari_ssan.segmenter.segmenter import bundled_segmenter
from napari_ssan.training.checkpoint import checkpoint_path
from napari_ssan.training.events import Event, Report
from napari_ssan.training.machine import spare_workers
from napari_ssan.training.memory import gives_memory_back
from napari_ssan.training.run import run as train

#: Seconds between two reports of the memory in use.
LOOK_EVERY = 3.0


@gives_memory_back
def fine_tune(
    run: Run,
    report: FineTuneReport = lambda event: None,
    stop: Flag | None = None,
    cancel: Flag | None = None,
) -> Verdict:
    """Do the rest of a run in this process. After an interruption, call it again to continue.

    Parameters and errors are those of :func:`~napari_ssan.finetune.process.run_in_child`.
    """
    with run.working():
        return run.verdict or _judge(run, _train(run, report, stop, cancel), report, cancel)


def _train(run: Run, report: FineTuneReport, stop: Flag | None, cancel: Flag | None) -> str:
    """Train and write the candidate, unless it exists; returns why training ended early."""
    candidate = run.folder / CANDIDATE
    if candidate.exists():  # the run was interrupted while the candidate was judged
        return str(load_model(candidate).info.card.get("ended", ""))
    base = load_model(run.base)
    device = choose_device(run.config.device)
    report(Notice(f"Learning from {run.record.summary}"))
    resume = checkpoint_path(candidate).exists()
    result = train(
        run.record.training,
        *run.blocks(),
        base.network,
        candidate,
        _card(run, base),
        device=device,
        vgg=Path(run.record.vgg) if run.record.vgg else None,
        report=_watched(keeping(report, run.folder), device),
        stop=stop,
        cancel=cancel,
        resume=resume,
        overwrite=not resume,
        keep_start=True,
        workers=spare_workers(device.type),
    )
    return result.reason


def _judge(run: Run, reason: str, report: FineTuneReport, cancel: Flag | None) -> Verdict:
    """Compare candidate and base, and write the better model with the verdict."""
    record = run.record
    base, candidate = load_model(run.base), load_model(run.folder / CANDIDATE)
    trained = not candidate.info.card["unchanged"]
    figures = judge(
        run.source(),
        record.held_out,
        run.base,
        candidate.info.path if trained else None,
        record.config.device,
        report,
        cancel,
        bundled_segmenter(),
        _judged(run),
        partial(_keep_judged, run),
    )
    verdict = decide(*figures, record.held_out, record.training.loss.preset, reason)
    try:
        _write(run, base, candidate, verdict)
    except OSError as error:
        raise BadInput(
            f"The model could not be written to {run.folder} ({error.strerror or error}): free "
            "some disk space and continue the run; the training is kept."
        ) from None
    return verdict


def _judged(run: Run) -> Known:
    """Read what was judged before an interruption."""
    try:
        return TypeAdapter(Known).validate_json((run.folder / JUDGED).read_bytes())
    except (OSError, ValueError):
        return {}


def _keep_judged(run: Run, known: Known) -> None:
    with suppress(OSError):  # it would only be done again
        write_atomically(run.folder / JUDGED, dump_json(known))


def _write(run: Run, base: Model, candidate: Model, verdict: Verdict) -> None:
    said = {
        "verdict": verdict.text,
        "metrics": {"base": verdict.base, "fine-tuned": verdict.tuned},
        "judged_on": list(verdict.sections),
    }
    if verdict.better:
        # Keep the base model's tile, because the figures were measured with it.
        card = candidate.info.card | {"unchanged": False, "tile": base.tile} | said
        save_model(run.model, candidate.network, card)
    else:
        tried = {"fine_tuning": {"stack": run.title, **run.config.model_dump(mode="json")}}
        card = base.info.card | {"base": run.config.base, "unchanged": True} | tried | said
        save_model(run.model, base.network, card)
    write_atomically(run.folder / VERDICT, verdict.model_dump_json())
    candidate.info.path.unlink()
    (run.folder / JUDGED).unlink(missing_ok=True)


def _card(run: Run, base: Model) -> dict[str, Any]:
    """Entries of the card about the data and the base model."""
    known, record = base.info.card, run.record

    def of(blocks: tuple[tuple[int, int], ...]) -> str:
        return f"{run.title}, slices " + ", ".join(f"{a}-{b - 1}" for a, b in blocks)

    return {
        "summary": f"Fine-tuned from {run.config.base} on {run.title}: {run.aim}.",
        "base": run.config.base,
        "base_sha256": base.info.sha256,
        "trained_on": [*known.get("trained_on", []), of(record.train)],
        "validated_on": [of(record.held)],
        "triplets": record.summary,
        "terms": known.get("terms", ""),
        "fine_tuning": record.config.model_dump(mode="json")
        | {"loss": record.training.loss.preset},
    }


def _watched(report: FineTuneReport, device: torch.device) -> Report:
    """Pass events on, and report the memory in use every few seconds."""
    looked = 0.0

    def pass_on(event: Event) -> None:
        nonlocal looked
        report(event)
        if time.monotonic() - looked > LOOK_EVERY:
            looked = time.monotonic()
            if device.type == "cuda":
                report(MemoryUsed(torch.cuda.memory_reserved(device), "GPU"))
            else:
                report(MemoryUsed(psutil.Process().memory_info().rss, "CPU"))

    return pass_on

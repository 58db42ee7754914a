"""A whole training run: stacks in, a model file out.

This puts the parts together: preparation, loop, log, checkpoints, result. It takes sources
and a network that are already loaded; it reads no stack files and knows no model names.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Event as Flag
from typing import Any

import torch

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.device import device_name
from napari_ssan.network.ssan import SSAN
from napari_ssan.segmenter.segmenter import Segmenter
from napari_ssan.stack.decoded import decoded
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import TripletSampler, check_size
from napari_ssan.training.checkpoint import CheckpointWriter, as_begun, checkpoint_path, restoring
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.data import crops_of, split_sources
from napari_ssan.training.events import Compared, Finished, Preparing, Report, Validated
from napari_ssan.training.log import Log, Sink, Table, TensorBoard, check_tensorboard, table_path
from napari_ssan.training.loop import Training
from napari_ssan.training.memory import gives_memory_back
from napari_ssan.training.preparation import check_files, find_checkpoint, identify, without_vgg
from napari_ssan.training.result import Result, describe_run, hand_over
from napari_ssan.training.state import Facts, TrainingState
from napari_ssan.training.validation import METRICS, Check, Validation


@gives_memory_back
def run(
    config: TrainingConfig,
    sources: Sequence[Source],
    validation_sources: Sequence[Source],
    start: SSAN,
    output: Path,
    card: dict[str, Any],
    *,
    device: torch.device,
    vgg: Path | None = None,
    segmenter: Segmenter | None = None,
    report: Report = lambda event: None,
    stop: Flag | None = None,
    cancel: Flag | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep_start: bool = False,
    log: Path | None = None,
    workers: int = 0,
    compiled: bool = False,
) -> Result:
    """Train a network and write the model that was best on held-out sections.

    A run keeps a checkpoint and a table of the losses beside `output` (``NAME.checkpoint``,
    ``NAME.training.csv``). The checkpoint is removed when the model is written; the table stays.

    Parameters
    ----------
    config : TrainingConfig
    sources, validation_sources : sequence of Source
        Sections to train on and to validate on. If `validation_sources` is empty,
        blocks of sections of `sources` are held out.
    start : SSAN
        The network to start from; it does not change.
    output : Path
        The model file to write.
    card : dict
        Entries of the model's card besides settings, curve and validation: data,
        terms, summary. JSON-serializable.
    device : torch.device
        Where to train.
    vgg : Path, optional
        File with the weights of VGG16. Without it, L_1 replaces L_f and L_s, with a notice.
    segmenter : Segmenter, optional
        Finds membranes; needed if the loss has a membrane term.
    report : callable
        Receives events, in this thread.
    stop : threading.Event, optional
        Set it to end within a step and write the best network so far. Before the
        first step it acts as `cancel`.
    cancel : threading.Event, optional
        Set it to cancel within a step. The checkpoint and the table stay;
        :func:`~napari_ssan.training.result.discard` removes them.
    resume : bool
        Continue from the checkpoint; if there is none, start from the beginning.
    overwrite : bool
        Replace `output`; without `resume`, also replace a checkpoint.
    keep_start : bool
        Write `start` unchanged if training did not improve it.
    log : Path, optional
        Folder for TensorBoard's log.
    workers : int
        Processes that draw crops ahead; the result does not depend on it. With any, the
        program's main module must be importable, except on Linux.
    compiled : bool
        Compile the network for this machine.

    Raises
    ------
    BadInput
        If the run cannot be done as asked; the message says why and what to do.
    Cancelled
        If `cancel` was set.
    """
    stop, cancel = stop or Flag(), cancel or Flag()

    def check() -> None:
        if stop.is_set() or cancel.is_set():
            raise Cancelled

    def preparing(done: int, total: int) -> None:
        check()
        report(Preparing("looking for triplets", done, total))

    check_files(output, resume, overwrite)
    if log is not None:
        check_tensorboard()
    if config.crop % start.config.multiple:
        raise BadInput(f"The crop must be a multiple of {start.config.multiple} pixels.")
    if segmenter and config.crop % segmenter.network.multiple:
        raise BadInput(
            f"The segmenter needs a crop that is a multiple of {segmenter.network.multiple} pixels."
        )
    # Sent only when training is sure to start, so that a refusal comes without them.
    notes = [Notice(f"Training on the {device_name(device)}")]
    config = without_vgg(config, vgg, notes.append)
    train, held = split_sources(sources, validation_sources, config.validation_share, notes.append)
    loss = TotalLoss(config.loss, vgg, segmenter.network if segmenter else None).to(device)
    if loss.vgg is not None:
        notes.append(Notice(f"VGG16 compares {', '.join(loss.vgg.taps)}"))
    config = as_begun(config, checkpoint_path(output)) if resume else config
    identity = identify(config, train, held, start, loss)
    checkpoint = find_checkpoint(output, identity, notes.append) if resume else None
    check_size(train, config.crop)
    report(Preparing("reading the stacks", 0, 1))
    together = decoded([*train, *held])
    train, held = together[: len(train)], together[len(train) :]
    if config.inspect:
        train, held = (
            [_inspected(source, report, check, cancel, notes) for source in some]
            for some in (train, held)
        )
    sampler = TripletSampler(
        train,
        config.crop,
        config.seed,
        config.augmentation,
        config.select,
        preparing,
        cancel,
        config.match,
    )
    for source, selection in zip(train, sampler.selections, strict=True):
        notes.append(Notice(f"Slices {source.start} to {source.stop - 1}: {selection}"))
    for notice in notes:
        report(notice)
    validation = Validation(
        held,
        start.config.multiple,
        match=config.match,
        sections=config.sections,
        closely=config.select,
        report=report,
        check=check,
    )
    state = TrainingState(start, config, device)
    _, before = validation.preview(state.average)
    if checkpoint is None:
        torch.manual_seed(config.seed)
        state.facts.baselines = validation.baselines(report, check)
        state.facts.start_scores = validation.score(state.average, check)
    else:
        with restoring(checkpoint_path(output)):
            state.restore(checkpoint)
            # Older checkpoints know no numbers of triplets: such a run goes on with others.
            drawn = state.facts.step * state.facts.batch
            sampler.restore({"seed": config.seed, "drawn": drawn} | checkpoint.facts.sampler)
    report(Compared(state.facts.baselines))
    check()
    step = state.facts.step
    writer = CheckpointWriter(checkpoint_path(output), identity, report)
    writer.begin(state.checkpoint(sampler.state()))
    sinks: list[Sink] = [Table(table_path(output), len(state.gammas()), step)]
    if log is not None:
        sinks.append(TensorBoard(log, step))
    with closing(Log(report, sinks, step)) as tell:
        writer.report = tell
        (report if step else tell)(Validated(0, state.facts.start_scores, False))
        _recall(state.facts, report)
        training = Training(
            state=state,
            sampler=sampler,
            config=config,
            steps=config.budget(crops_of(sampler)),
            loss=loss,
            validation=validation,
            before=before,
            report=tell,
            keep=writer.keep,
            stop=stop,
            cancel=cancel,
            workers=workers,
            compiled=compiled,
        )
        reason = training.run()
    if stop.is_set() and not state.facts.step:
        raise Cancelled
    card = card | describe_run(config, state.facts, loss, validation, device)
    if loss.segmenter is not None and segmenter is not None:
        card["segmenter"] = segmenter.card
    made = hand_over(state, start, output, card, config.loss.preset, keep_start, reason)
    report(
        Finished(made.steps, made.minutes, made.scores, made.start_scores, made.better, made.reason)
    )
    return made


def _inspected(
    source: Source, report: Report, check: Check, cancel: Flag, notes: list[Notice]
) -> Source:
    """A source with what looks broken marked."""

    def looking(done: int, total: int) -> None:
        check()
        report(Preparing("looking for broken slices", done, total))

    source, said = leave_out(source, looking, cancel)
    notes += [Notice(said)] if said else []
    return source


def _recall(facts: Facts, report: Report) -> None:
    """Report again the validations of before an interruption."""
    if facts.step:
        report(Notice(f"Training continues after step {facts.step}"))
    for entry in facts.curve:
        scores = {name: entry[name] for name in METRICS}
        report(Validated(entry["step"], scores, entry["step"] == facts.best_step))

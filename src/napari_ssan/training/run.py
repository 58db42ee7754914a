"""A whole run: stacks in, a model file out, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event as Flag
from typing import Any

import torch

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.device import device_name
from napari_ssan.network.ssan import SSAN
from napari_ssan.segmenter.segmenter import Segmenter
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.checkpoint import CheckpointWriter, checkpoint_path
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.data import crops_of, split_sources
from napari_ssan.training.events import Compared, Finished, Preparing, Report, Validated
from napari_ssan.training.log import Log, Sink, Table, TensorBoard, check_tensorboard, table_path
from napari_ssan.training.loop import Training
from napari_ssan.training.memory import gives_memory_back
from napari_ssan.training.preparation import check_files, find_checkpoint, identify, without_vgg
from napari_ssan.training.result import Result, describe_run, hand_over
from napari_ssan.training.state import Facts, TrainingState
from napari_ssan.training.validation import METRICS, Validation


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
) -> Result:
    """Train a network and write the model that was best on held-out sections.

    While it runs, a checkpoint and a table of the losses lie beside `output`
    (``NAME.checkpoint``, ``NAME.training.csv``). The checkpoint is removed once
    the model is written; the table stays.

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    sources, validation_sources : sequence of Source
        What to train on, and what to judge by. Without the latter, blocks of
        sections of the former are held out.
    start : SSAN
        Where to start from; it stays as it is.
    output : Path
        The model file to write.
    card : dict
        What the model's card says besides settings, curve and validation: data,
        terms, summary; JSON-serializable.
    device : torch.device
        Where to train.
    vgg : Path, optional
        Weights of VGG16. Without them L_1 is trained in the place of L_f and L_s,
        and that is said.
    segmenter : Segmenter, optional
        Finds membranes, where the loss weighs them.
    report : callable
        Receives events, in this thread.
    stop : threading.Event, optional
        Set it to end within a step and write the best network so far. Before the
        first step it is as if `cancel` was set.
    cancel : threading.Event, optional
        Set it to leave off within a step. Only the checkpoint and the table stay;
        :func:`~napari_ssan.training.result.discard` removes them.
    resume : bool
        Go on from the checkpoint; if there is none, from the beginning.
    overwrite : bool
        Replace `output`, and without `resume` begin anew where a checkpoint is.
    keep_start : bool
        Write `start`, unchanged, if training made it no better.
    log : Path, optional
        Folder for TensorBoard's log.

    Raises
    ------
    BadInput
        If it cannot be done as asked; the message says why, and what to do.
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
            f"The segmenter needs crops of a multiple of {segmenter.network.multiple} pixels."
        )
    # Told when it is known that there will be training: a refusal comes alone.
    notes = [Notice(f"Training on the {device_name(device)}")]
    config = without_vgg(config, vgg, notes.append)
    train, held = split_sources(sources, validation_sources, config.validation_share, notes.append)
    loss = TotalLoss(config.loss, vgg, segmenter.network if segmenter else None).to(device)
    if loss.vgg is not None:
        notes.append(Notice(f"VGG16 compares {', '.join(loss.vgg.taps)}"))
    identity = identify(config, train, held, start, loss)
    checkpoint = find_checkpoint(output, identity, notes.append) if resume else None
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
        notes.append(Notice(f"Sections {source.start} to {source.stop - 1}: {selection}"))
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
        _judge_start(state, validation, report, check)
    else:
        state.restore(checkpoint)
        sampler.restore(checkpoint.facts.sampler)
    report(Compared(state.facts.baselines))
    check()
    step = state.facts.step
    keeper = CheckpointWriter(checkpoint_path(output), identity, report)
    keeper.begin(state.checkpoint(sampler.state()))
    sinks: list[Sink] = [Table(table_path(output), len(state.gammas()), step)]
    if log is not None:
        sinks.append(TensorBoard(log, step))
    with closing(Log(report, sinks)) as tell:
        keeper.report = tell
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
            keep=keeper.keep,
            stop=stop,
            cancel=cancel,
        )
        reason = training.run()
    if stop.is_set() and not state.facts.step:
        raise Cancelled
    card = card | describe_run(config, state.facts, loss, validation, device)
    if loss.segmenter is not None and segmenter is not None:
        card["segmenter"] = segmenter.card
    result = hand_over(state, start, output, card, config.loss.preset, keep_start, reason)
    report(
        Finished(
            result.steps,
            result.minutes,
            result.scores,
            result.start_scores,
            result.better,
            result.reason,
        )
    )
    return result


def _judge_start(
    state: TrainingState, validation: Validation, report: Report, check: Callable[[], None]
) -> None:
    facts = state.facts
    facts.baselines = validation.baselines(report, check)
    facts.start_scores = validation.score(state.average, check)


def _recall(facts: Facts, report: Report) -> None:
    """Tell again what was told before an interruption."""
    if facts.step:
        report(Notice(f"Going on after step {facts.step}"))
    for entry in facts.curve:
        scores = {name: entry[name] for name in METRICS}
        report(Validated(entry["step"], scores, entry["step"] == facts.best_step))

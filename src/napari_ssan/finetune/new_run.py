"""Begins a fine-tune run: copies everything that it needs to a folder of its own.

Training happens in :mod:`~napari_ssan.finetune.work`, perhaps in another process and later.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from uuid import uuid4

from napari_ssan.atomic import write_atomically
from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import FineTuneConfig, spare_threads
from napari_ssan.finetune.division import Division
from napari_ssan.finetune.run_folder import BASE, RECORD, SECTIONS, held, runs_folder
from napari_ssan.finetune.runs import Record, Run
from napari_ssan.finetune.section_copy import copy_sections, cut_marks
from napari_ssan.network.model_file import copy_model, read_info
from napari_ssan.training.events import Report


def new_run(
    division: Division,
    config: FineTuneConfig,
    title: str,
    vgg: Path | None = None,
    report: Report = lambda event: None,
    cancel: Flag | None = None,
    folder: Path | None = None,
    threads: int | None = None,
) -> Run:
    """Begin a run: copy sections, marks and base model. Afterwards the stack can be closed.

    Parameters
    ----------
    division : Division
    config : FineTuneConfig
    title : str
        Name of the stack, as the user sees it.
    vgg : Path, optional
        File with the weights of VGG16. Without it, L_1 is trained.
    report : callable
        Receives :class:`~napari_ssan.training.events.Preparing`, and a notice without VGG16.
    cancel : threading.Event, optional
        Set it to stop at the next section; the folder is removed then.
    folder : Path, optional
        Folder of the run, which must not exist. The default is a new one in the user's
        data folder.
    threads : int, optional
        Threads for training on a CPU; the default is that of a child process.

    Raises
    ------
    BadInput
        If there is no such base model or device, or the folder cannot be written.
    Cancelled
        If `cancel` was set.
    """
    from napari_ssan.network.device import choose_device
    from napari_ssan.training.preparation import without_vgg

    base = read_info(config.base)
    on_cpu = choose_device(config.device).type == "cpu"
    source = division.source
    folder = folder or runs_folder() / f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"
    marks, damage = (cut_marks(source, some) for some in (source.marks, source.damage))
    training = config.training(
        division.crop,
        len(division.held),
        "histogram" if base.card.get("match") == "histogram" else "mean",
        (threads or spare_threads()) if on_cpu else None,
    )
    training = without_vgg(training, vgg, report)
    record = Record(
        title=title,
        started=datetime.now(UTC),
        config=config,
        training=training,
        vgg=str(vgg.absolute()) if vgg else None,
        count=len(source.stack),
        sections=(source.start, source.stop),
        marks=marks.to_json() if marks else "",
        damage=damage.to_json() if damage else "",
        train=division.train,
        held=division.held,
        held_out=division.held_out,
        summary=division.text,
    )
    try:
        folder.mkdir(parents=True)
        try:
            with held(folder, "The run"):
                copy_sections(source, folder / SECTIONS, report, cancel)
                copy_model(config.base, folder / BASE)
                write_atomically(folder / RECORD, record.model_dump_json(indent=1))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise BadInput(
            f"The run cannot be written to {folder} ({error.strerror or error}): "
            "make that folder writable, or free some disk space."
        ) from None
    return Run(folder, record)

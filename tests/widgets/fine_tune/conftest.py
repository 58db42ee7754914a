"""A backend that does what a test says, and a dock's controller with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.finetune.config import FineTuneConfig, aim_of
from napari_ssan.finetune.verdict import Verdict
from napari_ssan.network.model_file import ModelInfo, model_folders, own_folder
from napari_ssan.stack.marks import Marks
from napari_ssan.training.events import Compared, Preparing, Preview, StepDone, Validated
from napari_ssan.widgets.fine_tune import controller as module
from napari_ssan.widgets.fine_tune.backend import Backend, PendingRun
from napari_ssan.widgets.fine_tune.controller import FineTuneController
from napari_ssan.widgets.fine_tune.trainer import Trainer
from napari_ssan.widgets.shared.library import LIBRARY

SCORES = {"psnr": 20.0, "ssim": 0.4, "ie": 18.0, "psnr_lowpass": 28.0, "hf_ratio": 0.9}
BETTER = Verdict(
    better=True,
    base=SCORES,
    tuned=SCORES | {"psnr": 20.8},
    sections=(4, 5),
    text="better than the base model on 2 held-out slices: +0.8 dB, SSIM +12 %",
)
WORSE = BETTER.model_copy(
    update={
        "better": False,
        "text": "not better than the base model on 2 held-out slices (−0.1 dB): the base stays.",
    }
)


@dataclass
class FakeRun:
    """A run that is a folder."""

    folder: Path
    title: str
    config: FineTuneConfig
    verdict: Verdict | None = None
    kept: list[str] = field(default_factory=list)

    @property
    def aim(self) -> str:
        return aim_of(self.config.loss)

    def __str__(self) -> str:
        return f"{self.title}, 10 min {self.aim}, 40 % done, yesterday"

    def discard(self) -> None:
        self.folder.rmdir()

    def keep(self, name: str) -> ModelInfo:
        if not name:
            raise BadInput("'' is not a valid model name; use letters or digits.")
        self.kept.append(name)
        self.folder.rmdir()
        return info(name, own=True)


def info(name: str, own: bool = False) -> ModelInfo:
    folder = own_folder() if own else model_folders()[0]
    return ModelInfo(name, folder / f"{name}.safetensors", {}, {"tile": 64}, "0" * 64)


def step(number: int, **losses: float) -> StepDone:
    losses = {"total": 1 / number, "pixel": 1 / number, "style_1": 0.1} | losses
    return StepDone(number, number / 10, 60.0, losses, (0.1, 0.2, 0.3), 1e-4)


def picture(value: float) -> np.ndarray:
    return np.linspace(0, value, 48 * 64, dtype=np.float32).reshape(48, 64)


#: What a run says that goes well.
EVENTS = (
    Preparing("starting", 0, 1),
    Compared({"average": SCORES, "tvl1": SCORES | {"psnr": 20.5}}),
    Validated(0, SCORES, False),
    step(1),
    step(2),
    Validated(2, SCORES | {"psnr": 20.6}, True),
    Preview(5, picture(200), picture(180), picture(190)),
)


class FakeBackend(Backend):
    """Does nothing by itself; the attributes say what happens.

    Attributes
    ----------
    gate : Flag
        Training waits for it, and for its flags.
    events, end : tuple, Verdict or Exception
        What training says, and what comes of it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.gate, self.begun = Flag(), Flag()
        self.events: tuple[Any, ...] = EVENTS
        self.end: Verdict | Exception = BETTER
        self.division: Any = SimpleNamespace(
            text="8 triplets, 3 left out: 2 marked, 1 blurred",
            note="",
            held_out=(4, 5),
            left_out=(((1, 2, 3), "marked"), ((2, 3, 4), "marked"), ((7, 8, 9), "blurred")),
        )
        self.requests: list[Any] = []
        self.marks: list[Marks | None] = []
        self.windows: list[Any] = []
        self.found: list[FakeRun] = []
        self.own: list[ModelInfo] = []
        self.weights: Path | None = folder / "vgg"
        self.asked: list[tuple[Any, ...]] = []
        self.separate: list[bool] = []

    def divide(self, request, report, cancel):
        report(Preparing("looking for triplets", 3, 10))
        source = request.source(cancel)
        self.requests.append(request)
        self.marks.append(source.marks)
        self.windows.append(source.window)
        if isinstance(self.division, Exception):
            raise self.division
        return self.division

    def forecast(self, division, request):
        return SimpleNamespace(
            cost=f"about {request.config.minutes:g} min on this CPU (1 thread)",
            loss=request.config.loss if self.vgg() else "L_1: there are no VGG16 weights",
        )

    def begin(self, division, request, report, cancel):
        report(Preparing("copying sections", 1, 10))
        if cancel.is_set():
            raise Cancelled
        folder = self.folder / f"run{len(list(self.folder.glob('run*')))}"
        folder.mkdir()
        return FakeRun(folder, request.title, request.config)

    def train(self, run, separate, report, cancel, stop):
        self.separate.append(separate)
        for event in self.events:
            report(event)
        self.begun.set()
        while not self.gate.wait(0.005):
            if cancel.is_set():
                raise Cancelled
            if stop.is_set():
                break
        if isinstance(self.end, Exception):
            raise self.end
        run.verdict = self.end
        return self.end

    def pending(self):
        left = [run for run in self.found if run.folder.exists()]
        return [PendingRun(run, str(run), run.verdict is not None) for run in left]

    def vgg(self):
        return self.weights

    def import_vgg(self, path):
        if not path.exists():
            raise BadInput(f"{path.name} holds no weights of VGG16.")
        self.weights = path

    def download_vgg(self, progress, cancel):
        progress(12 << 20, 528 << 20)
        while not self.gate.wait(0.005):
            if cancel.is_set():
                raise Cancelled
        self.weights = self.folder / "vgg"

    def models(self, notice):
        return [info("ssan-fidelity"), info("ssan-realistic"), *self.own]

    def import_model(self, path):
        self.asked.append(("import", path))
        self.own.append(info(path.stem, own=True))
        return self.own[-1]

    def export_model(self, name, target):
        self.asked.append(("export", name, target))

    def rename_model(self, name, new):
        self.asked.append(("rename", name, new))
        self.own = [info(new, own=True)]
        return self.own[0]

    def delete_model(self, name):
        self.asked.append(("delete", name))
        self.own = []


@pytest.fixture
def backend(tmp_path) -> FakeBackend:
    folder = tmp_path / "runs"
    folder.mkdir()
    return FakeBackend(folder)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer, volume):
    return viewer.add_image(
        volume, scale=(30, 4, 4), units="nm", axis_labels=("z", "y", "x"), name="em"
    )


@pytest.fixture
def trainer(qapp, backend) -> Iterator[Trainer]:
    made = Trainer(backend)
    yield made
    backend.gate.set()
    made.close()


@pytest.fixture
def make_dock(qtbot, monkeypatch, viewer, trainer) -> Iterator[Callable[[], FineTuneController]]:
    """Makes a controller that looks at once after a change."""
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(module, "REDRAW", 0)
    monkeypatch.setattr(LIBRARY, "loss", "L_s")  # repairs use the model for natural texture
    made = []

    def make() -> FineTuneController:
        dock = FineTuneController(viewer, trainer)
        made.append(dock)
        qtbot.addWidget(dock.view)
        settle(qtbot, dock)
        return dock

    yield make
    for dock in made:
        dock.close()


@pytest.fixture
def dock(image, make_dock) -> FineTuneController:
    return make_dock()


def settle(qtbot, dock) -> None:
    """Wait until all small work is done."""

    def idle() -> bool:
        dock._look_soon.flush()
        trainer = dock.trainer
        return not any(q.current for q in trainer.queues if q is not trainer.training)

    qtbot.wait(5)
    qtbot.waitUntil(idle, timeout=5000)


@pytest.fixture
def settled(qtbot) -> Callable[[FineTuneController], None]:
    return lambda dock: settle(qtbot, dock)


@pytest.fixture
def training(dock, backend, qtbot) -> FineTuneController:
    """A dock with a run that has said all of its events, and waits."""
    dock.view.run.train.click()
    qtbot.waitUntil(lambda: dock.trainer.history.preview is not None, timeout=5000)
    return dock


@pytest.fixture
def finish(backend, qtbot) -> Callable[..., None]:
    """Lets training end."""

    def end(dock: FineTuneController, phase: str = "judged") -> None:
        backend.gate.set()
        qtbot.waitUntil(lambda: dock.trainer.state.phase == phase, timeout=5000)
        settle(qtbot, dock)

    return end

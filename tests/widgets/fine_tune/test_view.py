"""The dock's widgets on their own: what they show, that it fits, and what they emit.

Covers: napari_ssan.widgets.fine_tune.curves, napari_ssan.widgets.fine_tune.panels,
    napari_ssan.widgets.fine_tune.preview, napari_ssan.widgets.fine_tune.run_panel
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_ssan.errors import BadInput
from napari_ssan.training.events import Compared, Preview, StepDone, Validated
from napari_ssan.widgets.fine_tune import models
from napari_ssan.widgets.fine_tune.history import History
from napari_ssan.widgets.fine_tune.state import (
    Base,
    FineTuneState,
    LeftOut,
    RunState,
    TrainingData,
)
from napari_ssan.widgets.fine_tune.view import FineTuneView
from napari_ssan.widgets.shared.state import Question

BASES = (
    Base("ssan-fidelity", "Faithful (bundled)", "L_1"),
    Base("ssan-realistic", "Natural texture (bundled)", "L_s"),
    Base("mine", "mine", ""),
)
READY = FineTuneState(
    layers=("a", "cortex_A7"),
    chosen=1,
    info="shape",
    regions=("Shapes", "Labels"),
    bases=BASES,
    where="CPU",
    where_why="No GPU",
    data=TrainingData(
        "Uses 212 triplets, 31 left out: 12 marked, 15 sections too different, 4 blurred.",
        "About 14 min on this CPU (1 thread), about 650 steps.",
        (LeftOut((3, 4, 5), "marked"), LeftOut((30, 31, 32, 33), "blurred")),
    ),
)
RUNNING = RunState(
    phase="running",
    about="cortex_A7\nnatural, from ssan-realistic, 10 min",
    busy="step 640 · 6 min left · 1.2 GB CPU",
    share=0.4,
    can_stop=True,
    can_discard=True,
)
JUDGED = RunState(
    phase="judged",
    about="cortex_A7\nnatural, from ssan-realistic, 10 min",
    verdict="Better than the base model on 6 held-out slices: +0.8 dB, SSIM +12 %. Use it?",
    better=True,
    name="cortex_A7 natural",
)
SCORES = {"psnr": 20.0, "ssim": 0.4, "ie": 18.0, "psnr_lowpass": 28.0, "hf_ratio": 0.9}


def history(steps=30):
    made = History()
    made.take(Compared({"average": SCORES, "tvl1": SCORES | {"psnr": 20.5}}))
    made.take(Validated(0, SCORES, False))
    for n in range(1, steps + 1):
        losses = {"total": 1 / n, "pixel": 1 / n, "feature": 0.2, "style": 0.1}
        losses |= {"style_0": -0.1, "style_1": 0.3, "style_2": 0.1}
        made.take(StepDone(n, n / steps, 60, losses, (0.1, 0.2, 0.3), 1e-4))
    made.take(Validated(steps, SCORES | {"psnr": 20.7}, True))
    ramp = np.linspace(0, 255, 200 * 300, dtype=np.float32).reshape(200, 300)
    made.take(Preview(47, ramp, ramp / 2, ramp / 3))
    return made


@pytest.fixture
def view(qtbot):
    view = FineTuneView([("GPU", "auto"), ("CPU only", "cpu")], 10.0)
    qtbot.addWidget(view)
    view.resize(320, 1200)
    view.show()
    return view


def test_it_needs_no_napari_and_no_torch():
    code = (
        "import sys, napari_ssan.widgets.fine_tune.curves, napari_ssan.widgets.fine_tune.preview,"
        "napari_ssan.widgets.fine_tune.panels, napari_ssan.widgets.fine_tune.run_panel;"
        "assert not {'napari', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_viewer_offers_the_sample(view, qtbot):
    view.render_state(FineTuneState(refusal="Open a stack, or try the sample.", offer_sample=True))
    assert view.header.message.isVisible()
    assert not view.run.train.isEnabled()
    assert not view.options.isEnabled()
    with qtbot.waitSignal(view.header.sample_wanted):
        view.header.sample.click()


def test_ready(view):
    view.render_state(READY)
    assert view.header.stack.currentText() == "cortex_A7"
    assert not view.header.banner.isVisible()
    assert view.run.train.isEnabled()
    assert "212 triplets" in view.data.text.text()
    assert view.data.rest.isVisible()
    assert not view.run.during.isVisible()
    assert not view.live.isVisible()
    assert not view.verdict.isVisible()


def test_training_takes_the_place_of_the_settings(view, qtbot):
    view.render_state(replace(READY, run=RUNNING))
    assert not view.options.isVisible()
    assert not view.run.train.isVisible()
    assert view.live.isVisible()
    assert view.run.progress.busy.text() == "step 640 · 6 min left · 1.2 GB CPU"
    assert view.run.progress.bar.value() == 400
    for signal, button in (
        (view.run.stop_pressed, view.run.stop),
        (view.run.discard_pressed, view.run.discard),
    ):
        with qtbot.waitSignal(signal):
            button.click()


def test_the_bar_only_moves_while_nothing_can_be_counted(view, qtbot):
    waiting = replace(READY, run=replace(RUNNING, share=None, can_stop=False))
    view.render_state(waiting)
    bar = view.run.progress.bar
    seen = {bar.value()}
    qtbot.waitUntil(lambda: bool(seen.add(bar.value()) or len(seen) > 2), timeout=5000)
    view.render_state(waiting)
    assert bar.value() > 0
    assert not view.run.stop.isEnabled()
    assert view.run.discard.isEnabled()


def test_a_verdict_that_is_better(view, qtbot):
    view.render_state(replace(READY, run=JUDGED))
    assert view.verdict.text.text().startswith("Better")
    assert view.verdict.name.text() == "cortex_A7 natural"
    view.verdict.name.setText("my cortex")
    view.render_state(replace(READY, run=JUDGED))
    with qtbot.waitSignal(view.verdict.use_pressed) as used:
        view.verdict.use.click()
    assert used.args == ["my cortex"]


def test_a_verdict_that_is_not_better_has_nothing_to_use(view):
    view.render_state(replace(READY, run=replace(JUDGED, better=False)))
    assert not view.verdict.use.isVisible()
    assert not view.verdict.named.isVisible()
    assert view.verdict.keep_base.isVisible()


@pytest.mark.parametrize("run", [RunState(), RUNNING, JUDGED])
def test_rendering_is_idempotent(view, run, qtbot):
    def shown():
        return [
            (w.isVisible(), w.isEnabled(), w.width(), isinstance(w, QLabel) and w.text())
            for w in view.findChildren(QWidget)
        ]

    state = replace(READY, run=run)
    view.render_state(state)
    qtbot.wait(20)
    first = shown()
    view.render_state(state)
    qtbot.wait(20)
    assert shown() == first


@pytest.mark.parametrize("run", [RunState(), RUNNING, JUDGED])
@pytest.mark.parametrize("wants", [True, False])
def test_everything_fits_at_320_pixels(view, qtbot, run, wants):
    unfold(view)
    state = replace(READY, run=run, wants_vgg=wants, question=Question("?", "Continue", "Discard"))
    view.render_state(state)
    view.show_vgg(state)
    view.live.show_history(history())
    qtbot.wait(5)
    assert view.area.widget().minimumSizeHint().width() <= 320
    assert view.minimumSizeHint().width() <= 320
    assert view.width() == 320
    for widget in [*view.findChildren(QPushButton), *view.findChildren(QLabel)]:
        if not widget.isVisible() or not widget.text():
            continue
        if isinstance(widget, QLabel) and widget.wordWrap():
            assert widget.height() >= widget.heightForWidth(widget.width()), widget.text()
        elif "<" not in widget.text():
            needed = widget.fontMetrics().horizontalAdvance(widget.text())
            assert needed <= widget.width(), widget.text()


@pytest.mark.parametrize("run", [RunState(), RUNNING, JUDGED])
def test_every_control_says_what_it_does(view, run):
    unfold(view)
    state = replace(READY, run=run, wants_vgg=True)
    view.render_state(state)
    view.show_vgg(state)
    kinds = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit)
    controls = [w for kind in kinds for w in view.findChildren(kind)]
    own = [w for w in controls if not w.objectName().startswith("qt_")]
    assert len(own) > 20
    assert [w for w in own if not w.toolTip() and w.parent() is not view.data.table] == []


def test_the_base_follows_the_aim_until_one_is_picked(view):
    view.render_state(READY)
    assert view.options.config().base == "ssan-realistic"
    view.options.faithful.click()
    assert view.options.config().base == "ssan-fidelity"
    view.options.base.setCurrentIndex(2)
    view.options.base.activated.emit(2)
    view.options.natural.click()
    assert view.options.config().base == "mine"
    view.render_state(replace(READY, bases=BASES[:2]))
    assert view.options.config().base == "ssan-realistic"


def test_what_is_set(view, qtbot):
    view.subset.reset(98)
    view.render_state(READY)
    view.options.texture.value = "2e4"
    view.options.minutes.setValue(3)
    view.options.share.value = 25
    view.options.device.value = "cpu"
    view.options.separate.value = False
    view.subset.first.setValue(20)
    view.subset.region.setCurrentIndex(2)
    found = view.options.config()
    assert (found.minutes, found.share, found.style, found.feature) == (3, 0.25, 2e4, None)
    assert (found.device, view.options.is_separate) == ("cpu", False)
    assert (view.subset.first.value(), view.subset.last.value()) == (20, 97)
    assert view.subset.region.currentIndex() == 2
    view.options.faithful.click()
    assert view.options.config().style is None


@pytest.mark.parametrize("text", ["1", "0.1, 1", "a, b, c", "0.1, -1, 0.1", "inf 1 1"])
def test_a_style_balance_that_is_none_is_refused(view, text):
    view.render_state(READY)
    assert view.options.config().balance == (0.1, 1, 0.1)
    view.options.balance.value = "0.2 1, 0"
    assert view.options.config().balance == (0.2, 1, 0)
    view.options.balance.value = text
    with pytest.raises(BadInput, match="three numbers"):
        view.options.config()


def test_a_weight_that_is_no_number_is_refused(view):
    view.render_state(READY)
    view.options.texture.value = "1e"
    with pytest.raises(BadInput, match="1e"):
        view.options.config()


def test_the_range_stays_a_range(view):
    view.subset.reset(10)
    view.subset.last.setValue(4)
    view.subset.first.setValue(7)
    assert (view.subset.first.value(), view.subset.last.value()) == (7, 7)
    view.subset.last.setValue(2)
    assert (view.subset.first.value(), view.subset.last.value()) == (2, 2)


def test_a_region_whose_layer_goes_is_all_again(view, qtbot):
    view.render_state(READY)
    view.subset.region.setCurrentIndex(2)
    with qtbot.waitSignal(view.subset.changed):
        view.render_state(replace(READY, regions=("Shapes",)))
    assert view.subset.region.currentIndex() == 0


def test_what_is_left_out_leads_to_its_slice(view, qtbot):
    view.render_state(READY)
    view.data.rest.unfold()
    table = view.data.table
    assert [table.item(n, 0).text() for n in range(2)] == ["3–5", "30–33"]
    with qtbot.waitSignal(view.data.chosen) as chosen:
        table.cellClicked.emit(1, 0)
    assert chosen.args == [32]


def test_curves_and_preview_are_drawn(view, qtbot):
    unfold(view)
    view.render_state(replace(READY, run=RUNNING))
    view.live.show_history(history())
    psnr = view.live.scores.plots["psnr"]
    lines = {len(item.xData): item for item in psnr.graph.listDataItems()}
    assert len(psnr.graph.listDataItems()) == 3
    assert lines
    assert "20.70 dB" in view.live.scores.figures.text()
    drawn = [len(plot.graph.listDataItems()) for plot, _ in view.live.losses.groups]
    assert drawn == [4, 3, 3]
    assert view.live.preview.titles[0].text() == "real, slice 47"
    assert view.live.preview.images[2].image.max() == pytest.approx(85)


def test_another_run_starts_with_empty_curves(view):
    unfold(view)
    view.render_state(replace(READY, run=RUNNING))
    view.live.show_history(history())
    view.live.show_history(History())
    assert not view.live.scores.plots["psnr"].isVisible()
    assert not any(plot.isVisible() for plot, _ in view.live.losses.groups)
    assert view.live.preview.caption.isVisible()
    assert view.live.preview.images[0].image is None


def test_an_interrupted_run_is_asked_about(view, qtbot):
    state = replace(READY, question=Question("Unfinished training: em.", "Continue", "Discard"))
    view.render_state(state)
    assert view.run.train.isEnabled()
    for button, answer in ((view.header.yes, True), (view.header.no, False)):
        with qtbot.waitSignal(view.header.answered) as answered:
            button.click()
        assert answered.args == [answer]


@pytest.mark.parametrize(
    ("typed", "kind", "written"),
    [
        ("mine.safetensors", models.MODEL_FILE, "mine.safetensors"),
        ("mine v1.2", models.MODEL_FILE, "mine v1.2.safetensors"),
        ("mine v1.2", models.PACKAGE, "mine v1.2.zip"),
        ("mine.zip", models.MODEL_FILE, "mine.zip"),
        ("", "", None),
    ],
)
def test_the_ending_says_as_what_a_model_is_exported(
    view, tmp_path, monkeypatch, typed, kind, written
):
    answers = [(str(tmp_path / typed) if typed else "", kind)]
    monkeypatch.setattr(models.QFileDialog, "getSaveFileName", lambda *rest: answers[0])
    found = view.models.ask_target("mine")
    assert found == (None if written is None else tmp_path / written)


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_a_file_that_exists_is_replaced_only_if_asked(view, tmp_path, monkeypatch, answer):
    target = tmp_path / "mine.safetensors"
    target.touch()
    said = getattr(models.QMessageBox.StandardButton, answer)
    monkeypatch.setattr(models.QMessageBox, "question", lambda *rest: said)
    monkeypatch.setattr(
        models.QFileDialog, "getSaveFileName", lambda *rest: (str(target), models.MODEL_FILE)
    )
    assert view.models.ask_target("mine") == (target if answer == "Yes" else None)


def unfold(view):
    for fold in (view.subset, view.options.folded, view.data.rest, view.models, *view.live.folds):
        fold.unfold()

"""The dock in a viewer model, with a backend that does as the test says.

Covers: napari_ssan.widgets.fine_tune.choice, napari_ssan.widgets.fine_tune.models,
    napari_ssan.widgets.fine_tune.trainer, napari_ssan.widgets.fine_tune.training_data,
    napari_ssan.widgets.fine_tune.vgg
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.finetune.config import FineTuneConfig
from napari_ssan.finetune.events import Judging, MemoryUsed
from napari_ssan.finetune.told import keeping
from napari_ssan.session.session import RepairSession
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.sections import SliceStack
from napari_ssan.training.events import Preparing, RolledBack
from napari_ssan.widgets.fine_tune import controller as module
from napari_ssan.widgets.fine_tune.dock import trainer_of
from napari_ssan.widgets.shared.library import LIBRARY
from napari_ssan.widgets.shared.sessions import SESSIONS


def said(notifications):
    return [each.message for each in notifications]


# ---- before


def test_an_empty_viewer_offers_the_sample(viewer, make_dock, monkeypatch):
    dock = make_dock()
    assert dock.view.header.message.text() == "Open a stack, or try the sample."
    assert not dock.view.run.train.isEnabled()
    opened = []
    monkeypatch.setattr(ViewerModel, "open_sample", lambda self, *which: opened.append(which))
    dock.view.header.sample.click()
    assert opened == [("napari-ssan", "synthetic")]


def test_it_says_what_will_be_used_and_what_it_costs(dock, backend):
    assert dock.view.data.text.text() == (
        "Uses 8 triplets, 3 left out: 2 marked, 1 blurred. 2 slices are held out for validation."
    )
    assert dock.view.data.cost.text() == (
        "About 10 min on this CPU (1 thread). Trains with the loss L_s."
    )
    assert dock.view.data.table.rowCount() == 2
    assert backend.requests[0].config.base == "ssan-realistic"


def test_it_follows_the_active_layer(viewer, image, dock, volume, settled, backend):
    viewer.add_image(volume[:6], name="other")
    settled(dock)
    assert dock.view.header.stack.currentText() == "other"
    assert dock.view.subset.last.value() == 5
    assert backend.requests[-1].title == "other"
    viewer.layers.selection.active = image
    settled(dock)
    assert dock.view.header.stack.currentText() == "em"
    assert dock.view.subset.last.value() == 9


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (np.zeros((8, 8), np.uint8), "2-D"),
        (np.zeros((5, 8, 8, 3), np.uint8), "RGB"),
        (np.zeros((2, 5, 8, 8), np.uint8), "one channel"),
    ],
)
def test_what_is_no_stack_is_refused_in_a_sentence(viewer, make_dock, data, sentence):
    dock = make_dock()
    viewer.add_image(data)
    assert sentence in dock.view.header.message.text()
    assert not dock.view.run.train.isEnabled()


@pytest.mark.parametrize("sentence", ["too little to learn from", "all slices are constant"])
def test_what_cannot_be_learned_from_is_said_beforehand(dock, backend, settled, sentence):
    backend.division = BadInput(f"There is nothing: {sentence}; choose another range of slices.")
    dock.view.subset.first.setValue(2)
    settled(dock)
    assert sentence in dock.view.data.text.text()
    assert not dock.view.run.train.isEnabled()
    dock.train()
    backend.gate.set()
    settled(dock)
    assert dock.trainer.state.phase == "idle"


def test_changing_the_time_tells_only_the_cost_anew(dock, backend, settled):
    dock.view.options.minutes.setValue(3)
    settled(dock)
    assert "3 min" in dock.view.data.cost.text()
    assert len(backend.requests) == 1
    dock.view.options.share.value = 30
    settled(dock)
    assert len(backend.requests) == 2


def test_changes_in_quick_succession_are_checked_once(dock, backend, settled):
    dock._look_soon.setTimeout(10_000)
    for share in (20, 25, 30):
        dock.view.options.share.value = share
    assert len(backend.requests) == 1
    settled(dock)
    assert len(backend.requests) == 2
    assert backend.requests[-1].config.share == 0.3


def test_a_large_stack_is_looked_at_when_that_is_asked_for(
    viewer, image, make_dock, backend, settled, monkeypatch
):
    monkeypatch.setattr(module, "AUTOMATIC", 5)
    dock = make_dock()
    assert backend.requests == []
    assert not dock.view.data.check.isHidden()
    assert dock.view.run.train.isEnabled()
    dock.view.data.check.click()
    settled(dock)
    assert "8 triplets" in dock.view.data.text.text()
    assert dock.view.data.check.isHidden()


def test_a_click_on_what_is_left_out_goes_there(viewer, dock):
    dock.view.data.table.cellClicked.emit(1, 0)
    assert viewer.dims.point[0] == 8 * 30


# ---- marks and region


def test_marks_of_the_open_repair_dock_are_left_out(dock, image, volume, backend, settled):
    session = RepairSession(SliceStack(volume))
    SESSIONS.add(image, session)
    session.mark([3])
    settled(dock)
    assert backend.marks[-1].whole == {3}
    session.mark([4])
    settled(dock)
    assert backend.marks[-1].whole == {3, 4}


def test_marks_that_were_saved_are_left_out(viewer, image, volume, make_dock, backend):
    session = RepairSession(SliceStack(volume))
    session.mark([6])
    Sidecar.of(session.stack, None).save(session.saved())
    make_dock()
    assert backend.marks[-1].whole == {6}


def test_what_was_repaired_before_is_left_out(
    dock, image, volume, backend, settled, repaired_before
):
    image.metadata["napari_ssan"] = {"provenance": repaired_before(7)}
    session = RepairSession(SliceStack(volume))
    SESSIONS.add(image, session)
    session.mark([3])
    settled(dock)
    assert backend.marks[-1].whole == {3, 7}


def test_a_region_narrows_and_follows_what_is_drawn(viewer, dock, backend, settled):
    box = np.array([[0, 40, 80], [0, 40, 200], [0, 160, 200], [0, 160, 80]], float)
    shapes = viewer.add_shapes([box], name="here", units="nm")
    part = dock.view.subset
    part.region.setCurrentIndex(1)
    part.region.activated.emit(1)
    settled(dock)
    assert backend.windows[-1] == (slice(10, 40), slice(20, 50))
    shapes.data = [box + np.array([0, 20, 0])]
    settled(dock)
    assert backend.windows[-1] == (slice(15, 45), slice(20, 50))
    viewer.layers.remove(shapes)
    settled(dock)
    assert backend.windows[-1] is None


# ---- VGG16


@pytest.fixture
def without_vgg(backend, image, make_dock):
    """A dock in which the user wants natural texture."""
    backend.weights = None
    dock = make_dock()
    dock.view.options.natural.click()
    return dock


def test_absent_weights_are_asked_for(without_vgg, notifications):
    dock = without_vgg
    assert "528 MB" in dock.view.vgg.text.text()
    assert not dock.view.run.train.isEnabled()
    dock.train()
    assert "VGG16" in said(notifications)[-1]
    dock.view.options.faithful.click()
    assert dock.view.vgg.isHidden()
    assert dock.view.run.train.isEnabled()


def test_they_can_be_fetched_and_that_can_be_stopped(without_vgg, backend, qtbot, settled):
    dock = without_vgg
    dock.view.vgg.download.click()
    qtbot.waitUntil(lambda: "12 of 528 MB" in dock.view.vgg.progress.busy.text(), timeout=5000)
    dock.view.vgg.progress.cancel.click()
    settled(dock)
    assert not dock.view.vgg.answers.isHidden()
    backend.gate.set()
    dock.view.vgg.download.click()
    settled(dock)
    assert dock.view.vgg.isHidden()
    assert dock.view.run.train.isEnabled()
    assert dock.view.data.cost.text().endswith("Trains with the loss L_s.")


def test_they_can_be_a_file(without_vgg, tmp_path, settled, notifications):
    dock = without_vgg
    file = tmp_path / "vgg.safetensors"
    dock.view.vgg.ask_file = lambda: str(file)
    dock.view.vgg.file.click()
    settled(dock)
    assert "holds no weights" in said(notifications)[-1]
    assert not dock.view.vgg.answers.isHidden()
    file.touch()
    dock.view.vgg.file.click()
    settled(dock)
    assert dock.view.vgg.isHidden()


def test_or_go_without(without_vgg, settled):
    dock = without_vgg
    dock.view.vgg.without.click()
    settled(dock)
    assert dock.view.run.train.isEnabled()
    assert "smoother" in dock.view.vgg.text.text()
    assert "no VGG16 weights" in dock.view.data.cost.text()
    dock.view.options.faithful.click()
    dock.view.options.natural.click()
    settled(dock)
    assert dock.view.vgg.answers.isVisibleTo(dock.view)  # asked again


def test_the_aim_is_that_of_the_model_that_repairs_use(make_dock, image, settled, monkeypatch):
    dock = make_dock()
    options = dock.view.options
    assert options.aim == "natural"
    LIBRARY.use("L_1")
    assert options.aim == "faithful"
    LIBRARY.use("")  # as of the average, which was not trained
    LIBRARY.use("L_s")
    assert (options.aim, options.config().base) == ("natural", "ssan-realistic")
    options.faithful.click()
    LIBRARY.use("L_1")
    LIBRARY.use("L_s")
    assert options.aim == "faithful"  # the user's own choice stays


def test_without_vgg16_it_starts_with_what_needs_none(backend, make_dock, image):
    backend.weights = None
    dock = make_dock()
    assert dock.view.options.aim == "faithful"
    assert dock.view.vgg.isHidden()
    assert dock.view.run.train.isEnabled()


def test_a_single_held_out_slice_is_said_to_prove_little(backend, make_dock, image):
    backend.division.held_out = (4,)
    text = make_dock().view.data.text.text()
    assert "1 slice is held out for validation, which proves little." in text


# ---- training


def test_train_live_figures_stop_and_use_it(training, backend, qtbot, settled, notifications):
    dock, run = training, training.view.run
    qtbot.waitUntil(lambda: run.stop.isEnabled(), timeout=5000)
    assert dock.view.learning.isHidden()
    assert run.about.text() == "em\nnatural, from ssan-realistic, 10 min"
    assert "step 2" in run.progress.busy.text()
    assert len(dock.view.live.scores.plots["psnr"].graph.listDataItems()) == 3
    run.stop.click()
    assert run.progress.busy.text() == "Stopping after this step…"
    assert not run.stop.isEnabled()
    qtbot.waitUntil(lambda: dock.trainer.state.phase == "judged", timeout=5000)
    verdict = dock.view.verdict
    assert verdict.text.text() == (
        "Better than the base model on 2 held-out slices: +0.8 dB, SSIM +12 %. Use it?"
    )
    assert verdict.name.text() == "em natural"
    chosen = []
    LIBRARY.chosen.connect(chosen.append)
    kept = dock.trainer.run.kept
    verdict.name.setText("my em")
    verdict.use.click()
    settled(dock)
    LIBRARY.chosen.disconnect(chosen.append)
    assert kept == ["my em"]
    assert [path.stem for path in chosen] == ["my em"]
    assert dock.trainer.state.phase == "idle"
    assert not dock.view.run.train.isHidden()
    assert list(backend.folder.glob("run*")) == []


def test_a_name_that_is_none_loses_nothing(training, finish, settled, notifications):
    finish(training)
    training.view.verdict.name.setText("")
    training.view.verdict.use.click()
    settled(training)
    assert "not a valid model name" in said(notifications)[-1]
    assert training.trainer.state.phase == "judged"
    training.view.verdict.name.setText("mine")
    training.view.verdict.use.click()
    settled(training)
    assert training.trainer.state.phase == "idle"


def test_not_better_keeps_the_base(training, backend, finish, settled):
    from .conftest import WORSE

    backend.end = WORSE
    finish(training)
    assert "Not better" in training.view.verdict.text.text()
    assert training.view.verdict.use.isHidden()
    training.view.verdict.keep_base.click()
    settled(training)
    assert training.trainer.state.phase == "idle"
    assert list(backend.folder.glob("run*")) == []
    assert training.view.options.base.currentData() == "ssan-realistic"


def test_discard_leaves_nothing(training, backend, qtbot, settled):
    training.view.run.discard.click()
    qtbot.waitUntil(lambda: training.trainer.state.phase == "idle", timeout=5000)
    settled(training)
    assert list(backend.folder.glob("run*")) == []
    assert training.view.header.message.text() == ""


def test_discard_leaves_nothing_whatever_the_end(training, backend, qtbot, settled, notifications):
    backend.end = BadInput("The training's process ended unexpectedly: go on with the run.")
    training.trainer._discarding = True  # pressed just when the process died
    backend.gate.set()
    qtbot.waitUntil(lambda: training.trainer.state.phase == "idle", timeout=5000)
    settled(training)
    assert list(backend.folder.glob("run*")) == []
    assert not said(notifications)


def test_a_second_train_is_refused(training, backend, notifications, finish, settled):
    training.train()
    assert said(notifications)[-1] == "A training is already running: stop or discard it first."
    finish(training)
    training.train()
    assert said(notifications)[-1].startswith("Decide on the last result first")
    assert len(list(backend.folder.glob("run*"))) == 1


def test_what_is_known_is_not_looked_for_again(training, backend, finish, settled):
    assert len(backend.requests) == 1
    finish(training)
    training.view.verdict.keep_base.click()
    settled(training)
    assert len(backend.requests) == 1
    assert "8 triplets" in training.view.data.text.text()


def test_it_trains_in_this_process_if_asked(dock, backend, finish):
    dock.view.options.separate.value = False
    dock.view.run.train.click()
    finish(dock)
    assert backend.separate == [False]


def test_memory_judging_and_what_the_run_has_to_say(dock, backend, qtbot):
    early, late = Notice("Learning from 8 triplets"), Notice("The memory of the GPU is full")
    backend.events = (
        early,
        *backend.events,
        MemoryUsed(3 << 29, "CPU"),
        late,
        late,
        RolledBack(2, "Went back"),
        backend.events[4],
        Judging(3, 10),
    )
    dock.view.run.train.click()
    run = dock.view.run
    text = "Comparing with the base model, 30 %"
    qtbot.waitUntil(lambda: run.progress.busy.text() == text, timeout=5000)
    assert run.notes.text() == "The memory of the GPU is full\nWent back"
    assert run.progress.busy.toolTip() == "Learning from 8 triplets"
    assert not run.stop.isEnabled()
    assert run.discard.isEnabled()


# ---- what goes wrong


def test_the_layer_may_be_deleted_meanwhile(training, viewer, image, finish, settled):
    viewer.layers.remove(image)
    assert training.view.header.stack.count() == 0
    assert not training.view.run.during.isHidden()
    finish(training)
    assert training.view.verdict.about.text().startswith("em\n")
    training.view.verdict.use.click()
    settled(training)
    assert training.view.header.message.text() == "Open a stack, or try the sample."


def test_bad_input_is_a_sentence(training, backend, finish, notifications):
    backend.end = BadInput("There is not enough memory: choose another device.")
    finish(training, "idle")
    assert said(notifications)[-1] == "There is not enough memory: choose another device."
    assert not training.view.run.train.isHidden()


def test_a_child_that_dies_can_be_gone_on_with(training, backend, finish, notifications, qtbot):
    backend.end = BadInput("The training's process ended unexpectedly: go on with the run.")
    backend.found = [training.trainer.run]
    finish(training, "idle")
    assert "ended unexpectedly" in said(notifications)[-1]
    assert "Unfinished training: em, 10 min natural" in training.view.header.message.text()
    from .conftest import BETTER

    backend.end = BETTER
    training.view.header.yes.click()
    qtbot.waitUntil(lambda: training.trainer.state.phase == "judged", timeout=5000)
    assert training.view.header.message.text() == ""


def test_a_defect_of_the_program_is_shown(training, backend, finish, notifications):
    backend.end = ZeroDivisionError("oh")
    finish(training, "idle")
    assert notifications[-1].exception.args == ("oh",)


# ---- docks and viewers come and go


def test_training_goes_on_when_the_dock_is_closed(training, make_dock, finish, settled):
    trainer = training.trainer
    training.close()
    assert trainer.state.phase == "running"
    again = make_dock()
    assert again.trainer is trainer
    assert again.view.run.about.text().startswith("em")
    assert len(again.view.live.scores.plots["psnr"].graph.listDataItems()) == 3
    finish(again)
    assert not again.view.verdict.isHidden()


def test_closing_the_viewer_leaves_a_run_that_can_be_gone_on_with(training, backend):
    training.close()
    training.trainer.close()
    assert len(list(backend.folder.glob("run*"))) == 1
    assert training.trainer.training.current is None


def test_closing_the_viewer_while_sections_are_copied_leaves_nothing(dock, backend, qtbot):
    begin = backend.begin

    def slow(division, request, report, cancel):
        cancel.wait(5)
        return begin(division, request, report, cancel)

    backend.begin = slow
    dock.view.run.train.click()
    dock.trainer.close()
    assert list(backend.folder.glob("run*")) == []


def unfinished(backend, verdict=None):
    from .conftest import FakeRun

    folder = backend.folder / "run9"
    folder.mkdir()
    run = FakeRun(folder, "cortex_A7", FineTuneConfig(loss="L_s"), verdict)
    backend.found = [run]
    return run


def test_an_unfinished_run_is_offered_at_the_next_start(backend, image, make_dock, finish):
    unfinished(backend)
    dock = make_dock()
    assert dock.view.header.message.text() == (
        "Unfinished training: cortex_A7, 10 min natural, 40 % done, yesterday."
    )
    dock.view.header.yes.click()
    finish(dock)
    assert dock.view.verdict.about.text().startswith("cortex_A7")


def test_it_can_be_discarded(backend, image, make_dock, settled):
    run = unfinished(backend)
    dock = make_dock()
    dock.view.header.no.click()
    settled(dock)
    assert not run.folder.exists()
    assert dock.view.header.banner.isHidden()


def test_discard_does_not_wait_for_the_check_of_the_slices(backend, image, make_dock, qtbot):
    """Else it waited for minutes, and was dropped if napari was closed meanwhile."""
    from .conftest import BETTER

    run, dock = unfinished(backend, BETTER), make_dock()
    begun, divide = threading.Event(), backend.divide

    def slow(request, report, cancel):
        begun.set()
        cancel.wait(10)
        return divide(request, report, cancel)

    backend.divide = slow
    dock.view.subset.first.setValue(1)
    qtbot.waitUntil(begun.is_set, timeout=5000)
    dock.view.header.no.click()
    qtbot.waitUntil(lambda: not run.folder.exists(), timeout=2000)
    assert dock.view.header.banner.isHidden()


def test_what_is_discarded_is_deleted_even_if_napari_is_closed_at_once(backend, image, make_dock):
    run, dock = unfinished(backend), make_dock()
    begun = threading.Event()
    dock.trainer.quick.submit(lambda report, cancel: begun.set() or cancel.wait(10))
    begun.wait(5)
    dock.view.header.no.click()
    dock.trainer.close()
    assert not run.folder.exists()


def test_a_verdict_waits_for_the_next_start(backend, image, make_dock):
    from .conftest import BETTER

    unfinished(backend, BETTER)
    dock = make_dock()
    assert dock.view.header.message.text().startswith("Finished training")
    dock.view.header.yes.click()
    assert dock.trainer.state.phase == "judged"
    assert backend.separate == []


def test_the_result_of_a_finished_training_comes_with_its_curves_and_preview(
    backend, image, make_dock, settled
):
    from .conftest import BETTER, EVENTS

    run = unfinished(backend, BETTER)
    tell = keeping(lambda event: None, run.folder)
    for event in EVENTS:
        tell(event)
    (run.folder / "candidate.training.csv").write_text(
        "step,learning_rate,total,pixel,gamma_0,psnr\n10,1e-4,2,1.5,0.1,\n20,1e-4,1,0.5,0.2,\n20,,,,,21\n"
    )
    dock = make_dock()
    dock.view.header.yes.click()
    settled(dock)
    history = dock.trainer.history
    assert [v.step for v in history.validations] == [0, 2]
    assert history.best is not None
    assert set(history.baselines) == {"average", "tvl1"}
    np.testing.assert_array_equal(history.curve("total"), [[10, 20], [2, 1]])
    preview = dock.view.live.preview
    assert preview.titles[0].text() == "real, slice 5"
    assert preview.images[0].image is not None
    assert dock.view.live.scores.figures.text().startswith("Best: 20.60 dB")


def test_a_check_that_outlives_the_view_says_nothing_to_it(
    backend, image, viewer, trainer, qtbot, monkeypatch
):
    """When napari quits, Qt may delete the widgets before the last reports arrive."""
    looking = backend.divide

    def slow(request, report, cancel):
        while not cancel.wait(0.01):
            report(Preparing("looking for triplets", 1, 10))
        report(Preparing("looking for triplets", 2, 10))
        return looking(request, report, cancel)

    monkeypatch.setattr(module, "PAUSE", 0)
    backend.divide = slow
    dock = module.FineTuneController(viewer, trainer)
    qtbot.waitUntil(lambda: "Looking" in dock.data.data.busy, timeout=5000)
    with qtbot.captureExceptions() as raised:
        dock.view.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        trainer.checks.cancel()
        trainer.checks.finish()
        qtbot.wait(20)
    assert not raised
    dock.close()


def test_a_trainer_belongs_to_its_viewer(qapp, viewer):
    first, other = trainer_of(viewer), trainer_of(ViewerModel())
    assert trainer_of(viewer) is first
    assert other is not first
    first.close()
    assert trainer_of(viewer) is not first
    for each in (other, trainer_of(viewer)):
        each.close()


# ---- my models


@pytest.fixture
def models(backend, image, make_dock):
    from .conftest import info

    backend.own = [info("mine", own=True)]
    return make_dock()


def test_own_models_are_listed_in_the_dock(models):
    assert models.view.models.chosen == "mine"
    names = [models.view.options.base.itemText(n) for n in range(models.view.options.base.count())]
    assert names[-1] == "mine"


def test_they_can_be_renamed_exported_and_deleted(
    models, backend, tmp_path, settled, notifications
):
    panel, heard = models.view.models, []
    LIBRARY.changed.connect(hear := lambda: heard.append(1))
    target = tmp_path / "out.zip"
    panel.ask_name = lambda name: "better"
    panel.ask_target = lambda name: target
    panel.ask_delete = lambda name: True
    panel.rename.click()
    settled(models)
    assert panel.chosen == "better"
    panel.export.click()
    settled(models)
    panel.delete.click()
    settled(models)
    LIBRARY.changed.disconnect(hear)
    assert backend.asked == [
        ("rename", "mine", "better"),
        ("export", "better", target),
        ("delete", "better"),
    ]
    assert panel.chosen == ""
    assert not panel.rename.isEnabled()
    assert said(notifications)[-1] == "Deleted better."
    assert len(heard) == 2


def test_one_can_be_imported(dock, backend, settled):
    dock.view.models.ask_file = lambda: str(Path("theirs.safetensors"))
    dock.view.models.bring.click()
    settled(dock)
    assert backend.asked == [("import", Path("theirs.safetensors"))]
    assert dock.view.models.chosen == "theirs"


def test_turning_away_does_nothing(models, backend, settled):
    panel = models.view.models
    panel.ask_name = panel.ask_file = lambda *name: ""
    panel.ask_target = lambda name: None
    panel.ask_delete = lambda name: False
    for button in (panel.rename, panel.export, panel.bring, panel.delete):
        button.click()
    settled(models)
    assert backend.asked == []

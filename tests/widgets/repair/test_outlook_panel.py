"""The fold "How good will it be here?".

Covers: napari_ssan.widgets.repair.outlook_controller
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QLabel

from napari_ssan.evaluation import outlook as module
from napari_ssan.widgets.shared.state import has_nvidia


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def controller(viewer, volume, make_controller):
    viewer.add_image(volume, name="em")
    return make_controller(viewer)


def ask(controller):
    controller.view.outlook.judge.click()
    controller.finish()


@pytest.fixture
def held(monkeypatch):
    """Work that waits until it is let go; whether it was asked to stop."""
    go, stopped = threading.Event(), []
    real = module.evaluate

    def wait(*arguments, **options):
        go.wait(10)
        stopped.append(True)
        for item in real(*arguments, **options):
            yield item
            stopped[-1] = False  # more was asked for

    monkeypatch.setattr(module, "evaluate", wait)
    yield go, stopped
    go.set()


def test_it_is_folded_away_at_first(controller):
    panel = controller.view.outlook
    assert panel.content.isHidden()
    panel.line.click()
    assert not panel.content.isHidden()
    assert panel.progress.isHidden()
    assert panel.answer.isHidden()
    panel.line.click()
    assert panel.content.isHidden()


def test_good_slices_near_the_mark_are_judged(viewer, controller):
    viewer.dims.set_point(0, 5)
    controller.toggle_mark()
    viewer.dims.set_point(0, 8)
    ask(controller)
    panel = controller.view.outlook
    assert " of 10 found, against " in panel.answer.text() or "No membranes" in panel.answer.text()
    assert panel.more.content.isHidden()
    assert panel.figures.text().startswith("On slices 2, 3, 7 nearby averaging comes closer")
    assert panel.figures.text().count("PSNR") == 3
    labels = [label.text() for label in panel.pictures.findChildren(QLabel) if label.text()]
    assert labels[:3] == ["slice 2, real", "repaired", "copying the nearest slice"]
    assert len(labels) == 9
    assert panel.progress.isHidden()
    assert not panel.judge.isHidden()
    assert controller.current.rows[0].state == "marked"
    assert len(viewer.layers) == 1


def test_it_says_beforehand_what_it_costs(controller):
    controller.models.choose([m.method for m in controller.models.entries].index("ssan"))
    said = controller.view.outlook.cost.text()
    assert said.startswith("Hides up to 3 good slices nearby")
    assert said.endswith(" s.") or has_nvidia()


def test_it_says_how_far_it_is_and_can_be_stopped(controller, held, notifications):
    go, stopped = held
    panel = controller.view.outlook
    panel.judge.click()
    assert not panel.progress.isHidden()
    assert panel.judge.isHidden()
    assert "Waiting" in panel.progress.busy.text()
    panel.progress.cancel.click()
    assert "Stopping" in panel.progress.busy.text()
    go.set()
    controller.finish()
    assert panel.progress.isHidden()
    assert panel.answer.text() == ""
    assert not notifications
    if stopped:  # it may not have come so far
        assert stopped == [True]


def test_asking_twice_judges_once(controller, held):
    go, stopped = held
    controller.ask_outlook()
    controller.ask_outlook()
    go.set()
    controller.finish()
    assert len(stopped) == 1


def test_what_was_repaired_before_is_no_good_slice(
    viewer, controller, notifications, repaired_before
):
    image = controller.current.image
    image.metadata["napari_ssan"] = {"provenance": repaired_before(*range(0, 10, 2))}
    ask(controller)
    assert "No good slice was found" in notifications[-1].message
    viewer.dims.set_current_step(0, 5)
    assert controller.view.expected_error.sentence.text() == "Nothing on this slice is synthetic."
    viewer.dims.set_current_step(0, 4)
    said = controller.view.expected_error.sentence.text()
    assert said == "In the file already, slice 4: synthetic, from 3 and 5 (ssan-fidelity)."


def test_bad_input_is_a_notification(viewer, controller, notifications):
    controller.current.session.mark(range(0, 10, 2))
    ask(controller)
    assert "No good slice was found" in notifications[-1].message
    assert controller.view.outlook.answer.text() == ""
    assert not controller.view.outlook.judge.isHidden()


def test_another_model_or_stack_takes_the_answer_away(viewer, controller, volume):
    panel = controller.view.outlook
    ask(controller)
    assert panel.answer.text()
    controller.models.choose(0)
    assert not panel.answer.text()
    controller.models.choose([m.method for m in controller.models.entries].index("average"))
    ask(controller)
    assert panel.answer.text()
    viewer.add_image(np.asarray(volume), name="other")
    assert not panel.answer.text()


def test_what_was_asked_for_another_model_is_not_shown(controller, held):
    go, stopped = held
    controller.ask_outlook()
    controller.models.choose([m.method for m in controller.models.entries].index("copy"))
    go.set()
    controller.finish()
    assert controller.view.outlook.answer.text() == ""
    assert stopped in ([], [True])


def test_closing_stops_it(controller, held):
    go, _ = held
    controller.ask_outlook()
    threading.Timer(0.2, go.set).start()
    controller.close()
    assert controller.slow.current is None
    assert controller.view.outlook.answer.text() == ""


def test_without_a_stack_nothing_can_be_asked(viewer, make_controller):
    controller = make_controller(viewer)
    assert not controller.view.outlook.isEnabled()
    controller.ask_outlook()
    assert controller.slow.current is None

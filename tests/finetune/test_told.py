from __future__ import annotations

import numpy as np

from napari_ssan.finetune.process import run_here
from napari_ssan.finetune.run_folder import TOLD
from napari_ssan.finetune.told import told
from napari_ssan.training.events import Compared, Preview, StepDone, Validated


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_what_a_run_has_told_is_read_after_it_has_ended(begin):
    run, events = begin(), []
    run_here(run, events.append)
    known = told(run.folder)
    for kind in (Compared, Validated):
        assert of(kind, known) == of(kind, events)
    assert [event.step for event in of(StepDone, known)] == [10, 20]
    steps = of(StepDone, events)
    mean = np.mean([event.losses["total"] for event in steps[:10]])
    assert np.isclose(of(StepDone, known)[0].losses["total"], mean, rtol=1e-4)
    (preview,), last = of(Preview, known), of(Preview, events)[-1]
    assert preview.section == last.section
    np.testing.assert_array_equal(preview.now, last.now)


def test_of_a_damaged_file_the_rest_is_read(begin):
    run = begin()
    run_here(run)
    before = told(run.folder)
    with (run.folder / TOLD).open("a", encoding="utf-8") as file:
        file.write('{"kind": "Validated", "step"')
    assert len(told(run.folder)) == len(before)
    (run.folder / TOLD).unlink()
    assert {type(event) for event in told(run.folder)} == {StepDone}

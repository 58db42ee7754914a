from __future__ import annotations

import csv
import importlib.util

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.training.events import Preview, StepDone, Validated
from napari_ssan.training.log import Log, Table, TensorBoard, check_tensorboard, table_path

SCORES = {"psnr": 20.5, "ssim": 0.5, "ie": 12.0, "psnr_lowpass": 24.0, "hf_ratio": 0.9}


def step(number: int, total: int = 20) -> StepDone:
    losses = {"pixel": float(number), "total": 2.0 * number}
    return StepDone(number, number / total, 0.0, losses, (0.1, 0.2), 1e-3)


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_means_and_scores(tmp_path):
    path = table_path(tmp_path / "mine.safetensors")
    assert path.name == "mine.training.csv"
    heard: list[object] = []
    log = Log(heard.append, [Table(path, 2, 0)])
    events = [Validated(0, SCORES, False), *map(step, range(1, 13)), Validated(12, SCORES, True)]
    for event in [*events, *map(step, range(13, 21))]:
        log(event)
    log.close()
    assert heard[: len(events)] == events
    table = rows(path)
    assert [row["step"] for row in table] == ["0", "10", "12", "20"]
    assert table[1]["pixel"] == "5.5"
    assert table[1]["total"] == "11"
    assert table[1]["gamma_1"] == "0.2"
    assert table[1]["learning_rate"] == "0.001"
    assert table[1]["psnr"] == table[1]["style"] == ""
    assert table[2]["psnr"] == "20.5"
    assert table[2]["total"] == ""
    assert table[3]["pixel"] == "15.5"


def test_a_table_goes_on_after_the_step_of_the_checkpoint(tmp_path):
    path = tmp_path / "a.csv"
    table = Table(path, 0, 0)
    for number in (10, 20, 30):
        table.write(number, {"loss/total": float(number)})
    table.close()
    path.write_text(path.read_text() + "4")  # cut off by a crash
    table = Table(path, 0, 20)
    table.write(30, {"loss/total": 7.0})
    table.close()
    assert [(row["step"], row["total"]) for row in rows(path)] == [
        ("10", "10"), ("20", "20"), ("30", "7"),
    ]  # fmt: skip
    Table(path, 0, 0).close()
    assert rows(path) == []
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"\0", b"x" * 200_000])
def test_of_a_damaged_table_the_beginning_is_kept(tmp_path, damage):
    path = tmp_path / "a.csv"
    table = Table(path, 0, 0)
    table.write(10, {"learning_rate": 0.5})
    table.close()
    path.write_bytes(path.read_bytes() + damage)
    Table(path, 0, 20).close()
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert rows[0]["step"] == "10"


def test_a_log_that_fails_is_told_and_left(tmp_path, monkeypatch):
    table = Table(tmp_path / "a.csv", 0, 0)
    heard: list[object] = []
    log = Log(heard.append, [table])

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table, "write", full)
    for number in (10, 20):
        log(step(number))
    assert [type(event) for event in heard] == [Notice, StepDone, StepDone]
    assert "No space left" in str(heard[0])
    table.close()


def test_tensorboard_gets_numbers_and_pictures(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    check_tensorboard()
    log = Log(lambda event: None, [TensorBoard(tmp_path / "log", 0)])
    real = np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8)
    for event in [step(10), Validated(10, SCORES, True), Preview(4, real, real - 20, real + 20)]:
        log(event)
    log.close()
    found = EventAccumulator(str(tmp_path / "log"))
    found.Reload()
    tags = found.Tags()
    assert {"loss/pixel", "gamma/gamma_0", "learning_rate"} <= set(tags["scalars"])
    (psnr,) = found.Scalars("validation/psnr")
    assert (psnr.step, psnr.value) == (10, 20.5)
    assert set(tags["images"]) == {"preview/real", "preview/before", "preview/now"}
    (picture,) = found.Images("preview/now")
    assert (picture.step, picture.width) == (10, 8)


def test_tensorboard_that_is_absent_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install"):
        check_tensorboard()

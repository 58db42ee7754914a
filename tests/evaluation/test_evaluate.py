from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ssan.engine.methods import Classical, MemoryFull, make_method
from napari_ssan.evaluation.evaluate import Evaluation, evaluate
from napari_ssan.evaluation.events import Evaluating
from napari_ssan.evaluation.leave_one_out import leave_one_out
from napari_ssan.evaluation.measures import MEASURES, best_of
from napari_ssan.evaluation.result import to_result
from napari_ssan.evaluation.statistics import interval
from napari_ssan.events import Notice
from napari_ssan.metrics.fidelity import psnr
from napari_ssan.stack.sections import Array, SliceStack

SETTINGS = {"stack": "a.tif", "gap": 1, "labels": None, "left_out": {}}


class Dark:
    """Calls what is darker than the middle grey a membrane."""

    def __init__(self, labels: Array | None = None) -> None:
        self.labels = labels

    def find(self, z: int, section: Array) -> Array:
        return section < 128

    def truth(self, z: int, real: Array) -> Array:
        return real < 128 if self.labels is None else self.labels[z]


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """(9, 48, 64) uint8."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((9, 48, 64)), (1.5, 3, 3))
    grain = random.normal(0, 8, structure.shape)
    return (128 + 40 * structure / structure.std() + grain).clip(1, 254).astype(np.uint8)


def method(name: str, model: str = ""):
    return make_method(name, model, "cpu" if model else "auto")


@pytest.fixture(scope="module")
def found(volume, tiny_model) -> Evaluation:
    methods = {
        "copy": method("copy"),
        "average": method("average"),
        "ssan": method("ssan", tiny_model),
    }
    blocks = tuple((z,) for z in range(1, 8))
    *_, found = evaluate(SliceStack(volume), blocks, methods, membranes=Dark())
    return found


def test_figures_are_those_of_what_was_synthesized(volume, found):
    made = (volume[2].astype(float) + volume[4]) / 2
    assert found.rows["average"][2]["section"] == 3
    assert found.rows["average"][2]["psnr"] == pytest.approx(psnr(volume[3], made), abs=0.3)
    *_, alone = leave_one_out(SliceStack(volume), [3], method("average"))
    for key in set(alone) - {"seconds"}:
        assert found.rows["average"][2][key] == alone[key]


def test_the_middle_is_kept_to_be_shown(volume, found):
    crops = found.crops[3]
    np.testing.assert_array_equal(crops["real"], volume[3])
    np.testing.assert_array_equal(crops["before"], volume[2])
    np.testing.assert_array_equal(crops["after"], volume[4])
    assert psnr(volume[3], crops["average"]) == found.rows["average"][2]["psnr"]


def test_membranes_are_judged_against_those_of_the_real_section(found):
    assert found.real == [{"dice": 1.0, "f1": 1.0}] * 7
    assert all(0 < row["dice"] < 1 for row in found.rows["average"])


def test_membranes_are_judged_against_labels_where_there_are_any(volume):
    labels = np.zeros(volume.shape, bool)
    labels[3] = volume[3] < 100
    methods = {"average": method("average")}
    *_, found = evaluate(SliceStack(volume), ((2,), (3,)), methods, membranes=Dark(labels))
    assert found.rows["average"][0]["dice"] == 0
    assert 0 < found.rows["average"][1]["dice"] < found.real[1]["dice"] < 1
    result = to_result(found, SETTINGS | {"labels": "labels.tif"}, 0)
    assert result["real"]["dice"] == pytest.approx(found.real[1]["dice"] / 2)


@pytest.mark.parametrize("gap", [2, 3])
def test_every_section_of_a_gap_is_judged_at_its_position(volume, gap):
    methods = {"copy": method("copy"), "average": method("average")}
    block = tuple(range(3, 3 + gap))
    *_, found = evaluate(SliceStack(volume), (block,), methods)
    assert [row["section"] for row in found.rows["copy"]] == list(block)
    # The nearer of the two that are left is copied, up to its grey values.
    for z in block:
        nearer = volume[2] if z - 2 <= 2 + gap + 1 - z else volume[3 + gap]
        copied = found.crops[z]["copy"]
        assert np.corrcoef(copied.ravel(), nearer.ravel())[0, 1] > 0.999


def test_a_second_run_finds_the_same(volume, found, tiny_model):
    methods = {name: method(name, tiny_model if name == "ssan" else "") for name in found.rows}
    *_, again = evaluate(SliceStack(volume), found.blocks, methods, membranes=Dark())
    first, second = (to_result(each, SETTINGS, 0) for each in (found, again))
    for result in (first, second):
        for row in result["methods"].values():
            del row["seconds"]
            for each in row["per_slice"]:
                del each["seconds"]
    assert first == second


def test_the_result_is_complete_and_finite(found):
    result = json.loads(json.dumps(to_result(found, SETTINGS, 0), allow_nan=False))
    assert list(result["methods"]) == ["copy", "average", "ssan"]
    assert result["slices"] == list(range(1, 8))
    keys = {measure.key for measure in MEASURES}
    for name, row in result["methods"].items():
        assert keys | {"bands", "seconds", "intervals", "difference", "per_slice"} == set(row)
        assert row["gram"] is None
        assert row["seconds"] > 0
        assert len(row["bands"]) == 4
        assert set(row["intervals"]) == keys
        assert [each["slice"] for each in row["per_slice"]] == result["slices"]
        assert (row["difference"] is None) == (name == "ssan")


def test_means_differences_and_intervals_by_hand(found):
    result = to_result(found, SETTINGS, 5)
    ours = np.array([row["psnr"] for row in found.rows["ssan"]])
    theirs = np.array([row["psnr"] for row in found.rows["average"]])
    assert result["methods"]["ssan"]["psnr"] == pytest.approx(ours.mean())
    assert result["methods"]["ssan"]["intervals"]["psnr"] == list(interval(ours, 5))
    difference = result["methods"]["average"]["difference"]["psnr"]
    assert difference["mean"] == pytest.approx((ours - theirs).mean())
    assert difference["interval"] == pytest.approx(list(interval(ours - theirs, 5)))
    assert difference["better"] == (ours > theirs).sum()
    assert difference["of"] == 7
    errors = result["methods"]["average"]["difference"]["ie"]
    assert errors["better"] == sum(
        a["ie"] < b["ie"] for a, b in zip(found.rows["ssan"], found.rows["average"], strict=True)
    )


def test_without_the_network_there_is_nothing_to_subtract(volume):
    methods = {"average": method("average")}
    *_, found = evaluate(SliceStack(volume), ((3,),), methods)
    result = to_result(found, SETTINGS, 0)
    row = result["methods"]["average"]
    assert row["difference"] is None
    assert row["intervals"]["psnr"] is None
    assert row["dice"] is None
    assert result["real"] == {"dice": None, "f1": None}


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_every_dtype_gives_finite_figures(volume, dtype):
    wide = volume.astype(dtype) * (1 if dtype == "float32" else 100)
    methods = {name: method(name) for name in ("copy", "average")}
    *_, found = evaluate(SliceStack(wide), ((3,),), methods)
    result = to_result(found, SETTINGS, 0)
    json.dumps(result, allow_nan=False)
    assert all(row["psnr"] > 5 for row in result["methods"].values())


def test_sections_that_are_alike_are_found_alike(volume):
    same = np.repeat(volume[:1], 3, axis=0)
    *_, found = evaluate(SliceStack(same), ((1,),), {"copy": method("copy")})
    row = to_result(found, SETTINGS, 0)["methods"]["copy"]
    assert (row["psnr"], row["ie"], row["ssim"]) == (100, 0, pytest.approx(1))


def test_the_gram_distance_is_measured_where_there_are_weights(volume, data_folder: Path):
    weights = data_folder / "weights" / "vgg16_ssd300_features_to_conv3_3_fp32.safetensors"
    methods = {"copy": method("copy"), "average": method("average")}
    *_, found = evaluate(SliceStack(volume), ((3,),), methods, vgg=weights)
    assert 0 < found.rows["copy"][0]["gram"] < found.rows["average"][0]["gram"]


def test_it_says_how_far_it_is(volume):
    methods = {"copy": method("copy"), "average": method("average")}
    *told, _ = evaluate(SliceStack(volume), ((2,), (5,)), methods)
    shares = [event.share for event in told if isinstance(event, Evaluating)]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {(e.section, e.method) for e in told if isinstance(e, Evaluating) and e.method} == {
        (z, name) for z in (2, 5) for name in methods
    }
    assert told[-1].seconds_left == 0


def test_it_stops_where_nobody_asks_on(volume):
    worked = []

    class Counting(Classical):
        def synthesize(self, previous, following, position):
            worked.append(position)
            return super().synthesize(previous, following, position)

    events = evaluate(SliceStack(volume), ((3,), (5,)), {"copy": Counting("copy")})
    assert [next(events).share, len(worked)] == [0, 0]
    next(events)
    events.close()
    assert len(worked) == 1


def test_a_method_that_needs_less_memory_stays_in_use(volume):
    sizes = []

    class Large(Classical):
        def synthesize(self, previous, following, position):
            sizes.append(self.batch)
            if self.batch > 1:
                raise MemoryFull
            return super().synthesize(previous, following, position)

    told = list(evaluate(SliceStack(volume), ((3,), (5,)), {"copy": Large("copy", batch=2)}))
    assert sizes == [2, 1, 1]
    assert sum(isinstance(event, Notice) for event in told) == 1


def test_the_best_values_are_those_that_look_best():
    by_key = {measure.key: measure for measure in MEASURES}
    assert best_of(by_key["psnr"], [10.0, 12.001, 12.0, None]) == {1, 2}
    assert best_of(by_key["ie"], [10.0, 12.0]) == {0}
    assert best_of(by_key["hf_ratio"], [0.7, 1.2, 1.5]) == {1}
    assert best_of(by_key["dice"], [None, 0.5]) == set()


def test_blurring_is_caught_though_psnr_rises(volume):
    """What a method gains by blurring in PSNR, it loses in grain and membranes."""

    class Blurred(Classical):
        def synthesize(self, previous, following, position):
            made = super().synthesize(previous, following, position)
            return gaussian_filter(made, (0, 3, 3))

    class Ridges:
        """Calls thin dark lines membranes."""

        def find(self, z: int, section: Array) -> Array:
            wide = gaussian_filter(section.astype(float), 4)
            return gaussian_filter(section.astype(float), 1) < wide - 15

        truth = find

    random = np.random.default_rng(0)
    lines = np.abs(gaussian_filter(random.standard_normal((9, 96, 96)), (2, 6, 6))) < 0.002
    noisy = gaussian_filter(np.where(lines, 90.0, 160.0), (0, 1, 1))
    noisy += random.normal(0, 40, noisy.shape)
    methods = {"average": method("average"), "blurred": Blurred("average")}
    *_, found = evaluate(
        SliceStack(noisy.clip(0, 255).astype(np.uint8)),
        tuple((z,) for z in range(1, 8)),
        methods,
        membranes=Ridges(),
    )
    sharp, blurred = (to_result(found, SETTINGS, 0)["methods"][name] for name in methods)
    assert blurred["psnr"] > sharp["psnr"] + 0.3
    assert blurred["dice"] < 0.7 * sharp["dice"]
    assert blurred["hf_ratio"] < 0.3 < 0.6 < sharp["hf_ratio"]

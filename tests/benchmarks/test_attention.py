from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from attention import PAPER, compare, forms, layer, main, measure, multiply_accumulates
from memory import peak_bytes, resident_bytes
from torch.utils.flop_counter import FlopCounterMode

from napari_ssan.network.attention import AttentionAwareLayer

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "parameters", "giga"),
    [
        ("kel", 506_972, "134.05"),
        ("sa", 5201, "4949.16"),
        ("ssa", 10402, "81.24"),
        ("aal", 15603, "10.42"),
    ],
)
def test_counts_of_table_2(name, parameters, giga):
    made = layer(name)
    assert sum(p.numel() for p in made.parameters()) == parameters
    assert f"{multiply_accumulates(made, 512, 512) / 1e9:.2f}" == giga


def test_table_2_counts_dense_attention_with_wider_queries():
    # With q and k of C/8, as its parameters have it, dense attention costs 4949 G. The
    # printed 6599 G fit q and k of C/2 = 32, the width that the scale of eq. 1 belongs to.
    positions, channels, depth = 512**2, 64, 32
    wide = positions * (
        positions * (depth + channels) + channels * (2 * depth + channels) + channels
    )
    assert f"{wide / 1e9:.0f}" == "6599"


@pytest.mark.parametrize("factors", [(), (8,), (8, 4)])
def test_counted_multiply_accumulates_agree_with_torch(factors):
    height, width, channels = 64, 32, 64
    layer = AttentionAwareLayer(channels, factors)
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, channels, height, width))
    residual = height * width * channels * (len(factors) + 1)
    counted = multiply_accumulates(layer, height, width)
    assert counted == counter.get_total_flops() // 2 + residual


@pytest.mark.parametrize("name", ["sa", "ssa", "aal"])
def test_both_forms_are_the_same_layer(name):
    runs = forms(name, 32, CPU)
    with torch.no_grad():
        assert (runs["ours"]() - runs["plain"]()).abs().max() < 1e-4


def test_costs_are_those_of_the_forms(monkeypatch):
    monkeypatch.setattr("attention.resident_bytes", lambda *arguments: None)
    with torch.no_grad():
        costs = {name: measure(name, 64, 1, CPU) for name in PAPER}
    plain = [costs[name].reference_peak_bytes for name in ("sa", "ssa")]
    # 64 x 64 positions, all with all, before and after the softmax.
    assert plain[0] > 2 * 4 * 64**4 > 4 * plain[1]
    assert costs["sa"].peak_bytes > 4 * 64**4
    for name, cost in costs.items():
        assert cost.seconds > 0
        assert (cost.reference_seconds is None) == (name == "kel")
    ratios = compare(costs["aal"], costs["ssa"])
    assert ratios["both plain"]["peak"] == pytest.approx(
        costs["aal"].reference_peak_bytes / costs["ssa"].reference_peak_bytes
    )


def test_json_is_printed_alone_or_written(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("attention.resident_bytes", lambda *arguments: None)
    main(["--size", "32", "--repeats", "1", "--json"])
    printed = json.loads(capfd.readouterr().out)
    assert list(printed) == ["kel", "sa", "ssa", "aal", "aal_over_ssa"]
    assert set(printed["aal"]) == {
        "params", "macs", "seconds", "reference_seconds", "ratio", "peak_bytes",
        "reference_peak_bytes", "resident_bytes", "reference_resident_bytes",
    }  # fmt: skip
    path = tmp_path / "table2.json"
    main(["--size", "32", "--repeats", "1", "--json", str(path)])
    shown = capfd.readouterr().out
    assert json.loads(path.read_text()).keys() == printed.keys()
    for text in ("KEL", "138.4", "AAL over SSA", "both plain"):
        assert text in shown


def test_what_does_not_fit_is_counted_and_not_run(monkeypatch):
    monkeypatch.setattr("attention.free_bytes", lambda device: 10**6)
    cost = measure("sa", 64, 1, CPU)
    assert (cost.seconds, cost.reference_seconds, cost.resident_bytes) == (None, None, None)
    assert cost.peak_bytes == 4 * 64**4


def test_peak_is_that_of_the_worst_moment():
    def run() -> None:
        for _ in range(3):
            x = torch.zeros(1000)
            del x
        _ = torch.zeros(500), torch.zeros(500)

    assert peak_bytes(run, CPU) == pytest.approx(4000, abs=200)


def test_a_process_of_its_own_grows_by_what_it_takes():
    # From installed modules: a process of its own cannot import a test.
    grown = resident_bytes(partial, np.ones, 64 * 2**20, np.uint8)
    assert grown is None or 60 * 2**20 < grown < 90 * 2**20

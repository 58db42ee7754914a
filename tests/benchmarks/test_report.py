from __future__ import annotations

import pytest
from systems.paper import TABLE_1, TABLE_3, TABLE_4, TABLE_5
from systems.report import notes, rankings

PAPER = {
    "one": {"A": {"psnr": 18.0, "ssim": 0.4}, "B": {"psnr": 16.0, "ssim": 0.3, "ie": 30.0}},
    "two": {"A": {"psnr": 17.0, "ssim": 0.5}, "B": {"psnr": 16.5, "ssim": 0.4, "ie": 29.0}},
    "three": {"A": {"psnr": 15.0, "ssim": 0.1}, "B": {"psnr": 15.0, "ssim": 0.1, "ie": 40.0}},
}


def rows(psnr, ssim, ie):
    return [
        {"psnr": p, "ssim": s, "ie": i} for p, s, i in zip(psnr, ssim, ie, strict=True)
    ]  # fmt: skip


def test_a_reversed_pair_is_told_with_its_interval():
    here = {
        "x": {
            "one": rows([15, 16] * 3, [0.2] * 6, [20] * 6),
            "two": rows([16, 17] * 3, [0.3] * 6, [10] * 6),
            "three": rows([10, 11] * 3, [0.1, 0.3] * 3, [50] * 6),
            "average": rows([30] * 6, [1] * 6, [0] * 6),
        }
    }
    found = rankings(("psnr", "ssim", "ie"), PAPER, here, 0)
    assert found["psnr"]["paper"] == ["one", "two", "three"]
    assert found["psnr"]["here"] == ["two", "one", "three"]
    (difference,) = found["psnr"]["differences"]
    assert difference == {"ahead": "two", "behind": "one", "by": 1.0, "interval": (1.0, 1.0)}
    # Lower is better for the error, and the paper's mean has only the sets that print it.
    assert found["ie"]["paper"] == found["ie"]["here"] == ["two", "one", "three"]
    assert found["ie"]["agrees"]
    # Two means of .2: not told apart, so the paper's order stands.
    assert found["ssim"]["here"] == ["two", "one", "three"]
    told = notes(found)
    assert told[0] == "PSNR (dB): paper one > two > three; here two > one > three."
    assert told[1] == "  two ahead of one by +1 (+1 to +1: clear)."
    assert told[2] == "SSIM: the paper's ranking comes out: two > one > three."


def test_a_difference_that_may_be_none_is_said_to_be():
    same = [1] * 6
    one, two = rows([15, 16] * 3, same, same), rows([18, 15] * 3, same, same)
    found = rankings(("psnr",), PAPER, {"x": {"one": one, "two": two}}, 0)
    assert "cannot be told from 0" in notes(found)[1]
    single = {"x": {"one": one[:1], "two": two[:1]}}
    assert "too few sections" in notes(rankings(("psnr",), PAPER, single, 0))[1]


def test_what_was_not_measured_is_not_ranked():
    here = {"x": {"one": rows([15], [1], [None]), "two": rows([18], [1], [1])}}
    assert set(rankings(("psnr", "ie"), PAPER, here, 0)) == {"psnr"}
    assert rankings(("psnr",), PAPER, {"x": {"one": here["x"]["one"]}}, 0) == {}


@pytest.mark.parametrize("table", [TABLE_1, TABLE_3, TABLE_4])
def test_fidelity_is_printed_for_four_sets(table):
    for figures in table.values():
        assert [set(figures[name]) for name in "AB"] == [{"psnr", "ssim"}] * 2
        assert [set(figures[name]) for name in ("C", "mouse")] == [{"psnr", "ssim", "ie"}] * 2
    best = max(table, key=lambda name: table[name]["mouse"]["psnr"])
    assert table[best]["mouse"] == {"psnr": 15.04, "ssim": 0.2156, "ie": 34.81}


def test_use_is_printed_for_three_sets():
    assert [len(figures) for figures in TABLE_5.values()] == [3, 3, 3]
    assert TABLE_5["DAIN-L_s"]["A"] == {"dice": 0.560, "f1": 0.563}

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.nn import functional

from napari_ssan.inspection import damage_network
from napari_ssan.inspection.damage_network import (
    OUTPUTS,
    RULES,
    WEIGHTS,
    DamageNetwork,
    damage_maps,
    scaled,
)
from napari_ssan.inspection.find import SURE
from napari_ssan.inspection.inspect import inspect
from napari_ssan.inspection.look import look
from napari_ssan.inspection.neighbours import compare
from napari_ssan.inspection.plant import plant_region
from napari_ssan.inspection.view import View
from napari_ssan.stack.sections import SliceStack

#: Places and shapes of damage that the rules do not find in a generated stack.
SEEDS = {"contamination": 1, "fold": 1}


def given(height: int = 43, width: int = 50) -> tuple[np.ndarray, ...]:
    """The evidence of three sections, and maps of the rules."""
    random = np.random.default_rng(0)
    pictures = random.standard_normal((3, 2, height, width)).astype(np.float32)
    maps = {sign: random.standard_normal((height, width)).astype(np.float32) for sign in RULES}
    return *pictures, maps


def test_each_pixel_gets_a_logit_for_each_kind():
    maps = damage_maps(*given())
    assert tuple(maps) == OUTPUTS
    assert all(each.shape == (43, 50) and np.isfinite(each).all() for each in maps.values())


def test_the_order_of_the_neighbours_does_not_matter_but_the_section_does():
    own, before, after, maps = given()
    first, swapped = damage_maps(own, before, after, maps), damage_maps(own, after, before, maps)
    other = damage_maps(before, own, after, maps)
    for kind, found in first.items():
        np.testing.assert_allclose(swapped[kind], found, atol=1e-4)
        assert np.abs(other[kind] - found).max() > 0.1


def test_maps_are_convolved_as_if_they_were_enlarged_and_joined():
    random = torch.Generator().manual_seed(0)
    one, other, after, maps = (torch.randn(1, n, 40, 48, generator=random) for n in (2, 2, 2, 7))
    network = DamageNetwork().eval()
    beside = [network.beside(torch.cat((one, each), 1)) for each in (other, after)]
    x = torch.cat((beside[0] + beside[1], (beside[0] - beside[1]).abs()), 1)
    passed = []
    for block in network.down:
        passed.append(x)
        x = block(functional.avg_pool2d(x, 2))
    for block in reversed(network.up):
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = block(torch.cat((passed.pop(), x), 1))
    expected = network.head(network.join(torch.cat((x, maps), 1)))
    torch.testing.assert_close(network(one, other, after, maps), expected, atol=1e-4, rtol=1e-4)


def test_the_same_gives_the_same():
    first, again = damage_maps(*given()), damage_maps(*given())
    for kind, found in first.items():
        np.testing.assert_array_equal(again[kind], found)


def test_maps_of_the_rules_are_scaled_and_cut():
    maps = {sign: np.full((2, 3), 100.0 if sign == "dark" else 0.5, np.float32) for sign in RULES}
    stacked = dict(zip(RULES, scaled(maps), strict=True))
    assert stacked["dark"].max() == 5.0
    assert stacked["soft"].max() == 0.5
    assert stacked["dark long"].max() == 1.5


def test_the_weights_are_small_and_name_their_stacks():
    assert WEIGHTS.stat().st_size < 530_000
    with safe_open(WEIGHTS, framework="numpy") as file:
        assert "kasthuri" in file.metadata()["card"]
        names = set(file.keys())
    network = DamageNetwork()
    assert names == set(network.state_dict())
    assert all(value.dtype == torch.float32 for value in network.state_dict().values())


@pytest.mark.parametrize("kind", ["contamination", "hole", "blur"])
def test_what_is_planted_is_seen_where_it_is(broken, sightings, kind):
    pixels, mask = plant_region(
        kind, broken.clean[2].astype(np.float32), 1, np.random.default_rng(3)
    )
    _, candidates = compare(look(2, pixels), sightings)
    found = max((c for c in candidates if c.sign == f"like {kind}"), key=lambda c: c.peak)
    seen = np.zeros(mask.shape, bool)
    seen[found.region.window] = found.region.mask
    assert (seen & mask).sum() > 0.4 * (seen | mask).sum()
    _, good = compare(sightings[2], sightings)
    assert found.peak > 0.5 + max((c.peak for c in good if c.sign == found.sign), default=0.0)


def test_it_finds_what_no_rule_tells_but_is_never_sure_of_it(broken, monkeypatch):
    volume, planted = broken.clean.copy(), {4: "contamination", 9: "fold"}
    for z, kind in planted.items():
        strength = 0.5 if kind == "contamination" else 1.0
        pixels = broken.clean[z].astype(np.float32)
        damaged, _ = plant_region(kind, pixels, strength, np.random.default_rng(SEEDS[kind]))
        volume[z] = damaged.clip(0, 255).round()

    def found() -> dict[int, float]:
        *_, inspection = inspect(View(SliceStack(volume)))
        return {each.z: each.p for each in reversed(inspection.at_least(0.5).finds)}

    assert set(found()) == set(planted)
    assert max(found().values()) < SURE

    def silent(own: np.ndarray, *_: object) -> dict[str, np.ndarray]:
        return dict.fromkeys(OUTPUTS, np.full(own.shape[1:], -20, np.float32))

    monkeypatch.setattr(damage_network, "damage_maps", silent)
    assert not found()


def test_threads_that_start_meanwhile_run_networks_on_one_core():
    before = torch.get_num_threads()
    with damage_network.on_one_core(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == before


def test_torch_comes_with_the_first_section():
    check = (
        "import sys, napari_ssan.inspection.inspect, napari_ssan.session.suggestions;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0

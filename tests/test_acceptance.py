"""The main job on real sections: it needs the stacks that do not come with the project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_ssan
from napari_ssan import Marks, Region
from napari_ssan.engine.methods import make_method
from napari_ssan.engine.repair import patches
from napari_ssan.evaluation.leave_one_out import leave_one_out
from napari_ssan.stack.sections import SliceStack


@pytest.fixture(scope="module")
def kasthuri(data_folder: Path) -> np.ndarray:
    return tifffile.imread(data_folder / "data" / "kasthuri_z000-097.tif")


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> Region:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = np.stack((np.sin(angles), np.cos(angles)), axis=1) * radii + centre
    return Region.from_outline(outline, (479, 722))


def test_contamination_and_debris_are_replaced_and_nothing_else(kasthuri):
    regions = {60: ellipse((27, 312), (45, 55)), 51: ellipse((30, 5), (16, 16))}
    marks = Marks(regions={z: [region] for z, region in regions.items()})
    repaired = np.asarray(napari_ssan.repair(kasthuri, marks, device="cpu"))
    marked = np.zeros(kasthuri.shape, bool)
    for z, region in regions.items():
        marked[z][region.window] = region.mask
    np.testing.assert_array_equal(repaired[~marked], kasthuri[~marked])
    for z in regions:
        new, old = (stack[z][marked[z]].astype(float) for stack in (repaired, kasthuri))
        around = kasthuri[[z - 1, z + 1]][:, marked[z]].astype(float)
        assert abs(new.mean() - around.mean()) < 8 < abs(old.mean() - around.mean())
        # Across the rim pixels step no more than within the section's good part.
        steps = np.abs(np.diff(repaired[z].astype(float), axis=0))
        good = ~marked[z][1:] & ~marked[z][:-1]
        assert steps[marked[z][1:] != marked[z][:-1]].mean() < 1.1 * steps[good].mean()


def test_whole_slices_have_no_seams(kasthuri):
    method = make_method("ssan", "ssan-fidelity", "cpu")
    shape = kasthuri.shape[1:]
    # Smaller tiles than usual: these sections would have few borders.
    method = replace(method, tiling=replace(method.tiling, largest=192))
    grid = method.tiling.grid(shape, (slice(0, shape[0]), slice(0, shape[1])))
    at_borders, beside = [], []
    # A column varies by a tenth from its neighbours anyway: many borders tell, one does not.
    for z in (20, 60, 86, 93):
        *_, patch = patches(SliceStack(kasthuri), Marks({z}), method)
        made = patch.pixels.astype(float)
        for axis, image in enumerate((made.T, made)):
            length = image.shape[1]
            steps = np.abs(np.diff(image, axis=1)).mean(axis=0)
            origins = (grid.tops, grid.lefts)[axis]
            edges = {origin + side for origin in origins for side in (0, grid.tile[axis])}
            for border in (edge - 1 for edge in edges if 0 < edge < length):
                at_borders.append(steps[border])
                beside.append(np.delete(steps[border - 12 : border + 13], 12).mean())
    assert len(at_borders) >= 40
    assert np.mean(at_borders) == pytest.approx(np.mean(beside), rel=0.05)


@pytest.mark.parametrize(
    ("file", "sections"), [("kasthuri_z000-097.tif", [86]), ("isbi2012_train_volume.tif", [13])]
)
def test_the_network_beats_average_and_flow_on_held_out_sections(data_folder, file, sections):
    stack = SliceStack(tifffile.imread(data_folder / "data" / file))

    def means(name: str) -> dict[str, float]:
        method = make_method(name, "ssan-fidelity", "cpu")
        items = leave_one_out(stack, sections, method)
        rows = [item for item in items if isinstance(item, dict)]
        return {key: float(np.mean([row[key] for row in rows])) for key in ("psnr", "ssim", "ie")}

    ours = means("ssan")
    for rival in ("average", "tvl1"):
        other = means(rival)
        assert ours["psnr"] > other["psnr"]
        assert ours["ssim"] > other["ssim"]
        assert ours["ie"] < other["ie"]

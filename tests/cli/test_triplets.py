"""The command ``triplets``, and what it writes.

Covers: napari_ssan.cli.sources, napari_ssan.training.triplet_images
"""

from __future__ import annotations

import json
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_ssan.cli.sources import is_same_cut, parse_marks, parse_source, source_path
from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import SliceStack

SMALL = ("--size", "64", "--stride", "64")


@pytest.fixture
def tissue() -> np.ndarray:
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((20, 140, 200)), (1.5, 3, 3), mode="wrap")
    volume = 128 + 28 * structure / structure.std() + 8 * random.standard_normal(structure.shape)
    return volume.clip(0, 255).astype(np.uint8)


@pytest.fixture
def path(tmp_path: Path, tissue: np.ndarray) -> Path:
    tifffile.imwrite(tmp_path / "stack.tif", tissue, photometric="minisblack")
    return tmp_path / "stack.tif"


def images(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.png"))


def facts(folder: Path) -> dict:
    return json.loads((folder / "triplets.json").read_text())


def test_triplets_are_written(run, path, tissue, tmp_path):
    out = tmp_path / "out"
    outcome = run("triplets", path, out, *SMALL)
    assert outcome.code == 0, outcome.err
    assert "18 triplets, none left out" in outcome.err
    assert "train: 6 triplets, 36 tiles" in outcome.err
    assert sorted(each.name for each in out.iterdir()) == ["test", "train", "triplets.json", "val"]
    said = facts(out)
    assert said["parts"]["train"]["sections"] == [[0, 8]]
    assert (said["stack"], said["size"], said["match"]) == ("stack.tif", 64, "histogram")
    assert said["across_parts"] == 18 - 6 - 2 - 2
    assert len(images(out)) == 3 * sum(part["tiles"] for part in said["parts"].values())
    target = np.asarray(Image.open(out / "train" / "00003_00064_00128_2.png"))
    assert target.dtype == np.uint8
    np.testing.assert_array_equal(target, tissue[3, 64:128, 128:192])
    before = np.asarray(Image.open(out / "train" / "00003_00064_00128_1.png")).astype(int)
    assert np.abs(before - tissue[2, 64:128, 128:192]).max() < 20
    assert list(tmp_path.glob(".out*")) == []


def test_three_files_in_a_row_are_a_triplet(run, path, tmp_path):
    run("triplets", path, tmp_path / "out", *SMALL)
    for part in ("train", "val", "test"):
        names = sorted(
            (file.name for file in (tmp_path / "out" / part).iterdir()),
            key=lambda name: name.split(".")[0].split("_")[-4:],
        )
        for triplet in zip(names[::3], names[1::3], names[2::3], strict=True):
            assert len({name[:-6] for name in triplet}) == 1
            assert [name[-5] for name in triplet] == ["1", "2", "3"]


@pytest.mark.parametrize("count", [13, 20])
def test_no_section_is_in_two_parts(run, path, tissue, tmp_path, count):
    assert run("triplets", f"{path}[0:{count}]", tmp_path / "out", *SMALL).code == 0
    sections: dict[str, set[int]] = {"train": set(), "val": set(), "test": set()}
    for entry in facts(tmp_path / "out")["triplets"]:
        sections[entry["part"]].update(entry["sections"])
    assert all(sections.values())
    for one, other in combinations(sections.values(), 2):
        assert min(abs(a - b) for a in one for b in other) > 2


def test_what_is_marked_or_broken_is_left_out(run, path, tissue, tmp_path):
    tissue[2] = 0
    tifffile.imwrite(path, tissue, photometric="minisblack")
    marks = tmp_path / "marks.json"
    outline = [[0, 0], [0, 20], [20, 20], [20, 0]]
    marks.write_text(json.dumps({"slices": [12], "regions": [{"slice": 5, "outline": outline}]}))
    outcome = run("triplets", path, tmp_path / "out", "--defects", marks, *SMALL)
    assert outcome.code == 0, outcome.err
    said = facts(tmp_path / "out")
    assert said["left_out"] == {"marked": 3, "damaged": 3}
    assert [11, 12, 13, "marked"] in said["reasons"]
    assert [1, 2, 3, "damaged"] in said["reasons"]
    assert said["tiles_left_out"] == {"marked": 3}
    assert "6 left out: 3 marked, 3 damaged" in outcome.err
    drawn = set(chain(*(entry["sections"] for entry in said["triplets"])))
    assert not drawn & {2, 12}
    for entry in said["triplets"]:
        assert ([0, 0] in entry["tiles"]) == (5 not in entry["sections"])


def test_shifted_sections_are_aligned(run, path, tissue, tmp_path):
    tissue[4] = np.roll(tissue[4], (5, -7), axis=(0, 1))
    tifffile.imwrite(path, tissue, photometric="minisblack")
    assert run("triplets", path, tmp_path / "out", "--match", "mean", *SMALL).code == 0
    entry = next(e for e in facts(tmp_path / "out")["triplets"] if e["sections"] == [4, 5, 6])
    assert entry["shifts"] == [[-5, 7], [0, 0], [0, 0]]
    assert entry["tiles"] == [[0, 7], [0, 64], [0, 128], [64, 7], [64, 64], [64, 128]]
    tile = np.asarray(Image.open(tmp_path / "out" / "train" / "00005_00064_00064_1.png"))
    wanted = tissue[4, 69:133, 57:121].astype(float)
    assert np.corrcoef(tile.ravel(), wanted.ravel())[0, 1] > 0.999


def test_the_same_again_and_overwriting(run, path, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    run("triplets", path, one, *SMALL)
    run("triplets", path, other, *SMALL)
    assert [file.name for file in images(one)] == [file.name for file in images(other)]
    for a, b in zip(images(one), images(other), strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert "exists already" in run("triplets", path, one, *SMALL).sentence
    again = run("triplets", path, one, "--size", "128", "--stride", "64", "--overwrite")
    assert again.code == 0, again.err
    assert {Image.open(file).size for file in images(one)} == {(128, 128)}


def test_sixteen_bits(run, tissue, tmp_path):
    tifffile.imwrite(tmp_path / "16.tif", tissue.astype(np.uint16) * 200, photometric="minisblack")
    assert run("triplets", tmp_path / "16.tif", tmp_path / "out", *SMALL).code == 0
    target = np.asarray(Image.open(tmp_path / "out" / "train" / "00003_00000_00000_2.png"))
    np.testing.assert_array_equal(target, tissue[3, :64, :64].astype(np.uint16) * 200)


def test_spaced_sections_of_another_axis(run, path, tmp_path):
    source = f"{path}[10:130:3]@1"
    options = ("--size", "20", "--stride", "20")
    assert "32" in run("triplets", source, tmp_path / "out", *options).sentence
    assert parse_source(source).spacing == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--size", "512"), "holds no tile of 512"),
        (("--match", "wild"), "'wild' is not one of 'mean', 'histogram'"),
        (("--defects", "99"), "Slice 99 is not in the stack"),
        (("--defects", "x"), "names no slice"),
        (("--val-share", "0.6", "--test-share", "0.5"), "below 1"),
        (("--val-share", "0.45", "--test-share", "0.45"), "too few"),
    ],
)
def test_wrong_options_are_refused(run, path, tmp_path, options, reason):
    outcome = run("triplets", path, tmp_path / "out", *SMALL, *options)
    assert reason in outcome.sentence
    assert sorted(each.name for each in tmp_path.iterdir()) == ["stack.tif"]


def test_nothing_is_left_behind_where_nothing_is_left_to_train_on(run, path, tmp_path):
    outcome = run("triplets", path, tmp_path / "out", *SMALL, "--defects", "0-10")
    assert outcome.code == 2
    assert "Nothing is left to train on: 7 triplets, 11 left out: 11 marked" in outcome.err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["stack.tif"]


def test_floats_are_refused(run, tissue, tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", tissue.astype(np.float32), photometric="minisblack")
    assert "float32" in run("triplets", tmp_path / "f.tif", tmp_path / "out", *SMALL).sentence


def test_nothing_that_is_not_ours_is_replaced(run, path, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    assert "exists" in run("triplets", path, precious, "--overwrite", *SMALL).sentence
    out = tmp_path / "out"
    run("triplets", path, out, *SMALL)
    path.rename(out / "stack.tif")
    inside = run("triplets", out / "stack.tif", out, "--overwrite", *SMALL)
    assert "must lie apart" in inside.sentence
    assert "make it first" in run("triplets", out / "stack.tif", tmp_path / "a" / "b").sentence
    assert (out / "stack.tif").exists()
    assert (precious / "thesis.txt").read_text() == "all of it"


def test_sources_from_text(path, tissue):
    source = parse_source(f"{path}[2:9:3]")
    assert (source.start, source.stop, source.spacing, source.marks) == (2, 9, 3, None)
    assert parse_source(str(path)).sections == range(20)
    assert parse_source(f"{path}@2").stack.shape == (200, 20, 140)
    assert parse_source(f"{path}[2:9]~3").stack.shape == (20, 46, 66)
    assert source_path(f"{path}[2:9]@1~2") == path
    assert parse_source(f"{path}[2:9:3,5:15]@1").area == (slice(5, 15), slice(0, 200))
    assert parse_source(f"{path}[:,10:40,:50]").area == (slice(10, 40), slice(0, 50))
    assert source_path(f"{path}[2:9,4:8,:3]@1~2") == path
    for text in (f"{path}[:,5:5]", f"{path}[:,:141]", f"{path}[:,:,:201]"):
        with pytest.raises(BadInput, match="rows or columns that are not there: slices are 140 x"):
            parse_source(text)
    with pytest.raises(BadInput, match="not there"):
        parse_source(f"{path}[5:99]")


def test_a_name_that_looks_like_a_cut_is_a_name(path, tissue, tmp_path):
    for name in ("scan@2", "scan~3", "scan[0:4]"):
        folder = tmp_path / name
        folder.mkdir()
        named = folder.with_name(f"{name}.tif")
        named.write_bytes(path.read_bytes())
        assert len(parse_source(str(named)).stack) == len(parse_source(str(path)).stack)
        assert source_path(str(folder)) == folder
        assert source_path(f"{named}[0:4]@0") == named
    assert is_same_cut(f"{path}[0:4]", f"{path}[5:9]~2")
    assert not is_same_cut(f"{path}[0:4]", f"{path}@1")


def test_defects_from_text(tissue, tmp_path):
    stack = SliceStack(tissue)
    assert not parse_marks("", stack, None)
    assert parse_marks("3,7-8", stack, None).whole == {3, 7, 8}
    (tmp_path / "marks.csv").write_text("slice\n4\n")
    marks = parse_marks(str(tmp_path / "marks.csv"), stack, None)
    assert marks.whole == {4}
    with pytest.raises(BadInput, match="cannot be read"):
        parse_marks(str(tmp_path / "absent.json"), stack, None)


def test_synthetic_sections_of_a_source_are_marked(run, path, tmp_path):
    repaired = tmp_path / "repaired.tif"
    run("repair", path, repaired, "--defects", "4", "--method", "average")
    assert parse_source(f"{repaired}[2:9]").marks.whole == {4}
    assert parse_source(str(repaired), "7").marks.whole == {4, 7}
    assert parse_source(f"{repaired}@2").marks is None


def test_a_folder_of_triplets_with_other_files_is_kept(run, path, tmp_path):
    folder = tmp_path / "triplets"
    arguments = ("triplets", path, folder, *SMALL)
    assert run(*arguments).code == 0
    assert run(*arguments, "--overwrite").code == 0
    (folder / "train" / "notes.md").write_text("work of years")
    assert "(train/notes.md)" in run(*arguments, "--overwrite").sentence
    assert (folder / "train" / "notes.md").exists()

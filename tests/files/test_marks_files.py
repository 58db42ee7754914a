from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.files import open_image, open_stack
from napari_ssan.files.marks_files import check_marks, read_marks, write_marks
from napari_ssan.files.open import StackFile
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region

ALL = (slice(0, 70), slice(0, 50))


@pytest.fixture
def file(make) -> StackFile:
    """(6, 70, 50)."""
    return open_stack(make("tiff"))


def marks() -> Marks:
    spots = [Region(3, 4, np.ones((9, 7), bool)), Region(40, 20, np.eye(8, dtype=bool))]
    found = Marks({1, 4}, {2: [spots[0]], 3: spots}, corrected={4})
    found.treat([2], "correct")
    return found


def masks(path: Path, **pixels: np.ndarray) -> Path:
    path.mkdir()
    for name, mask in pixels.items():
        (path / f"{name}.png").write_bytes(imagecodecs.png_encode(mask))
    return path


def same(a: Marks, b: Marks) -> None:
    assert (a.whole, a.corrected) == (b.whole, b.corrected)
    assert a.regions.keys() == b.regions.keys()
    for z in a.regions:
        np.testing.assert_array_equal(a.mask(z, ALL), b.mask(z, ALL))
        assert len(a.regions[z]) == len(b.regions[z])
        assert {r.treatment for r in a.regions[z]} == {r.treatment for r in b.regions[z]}


@pytest.mark.parametrize("name", ["m.json", "m.ome.zarr"])
def test_marks_come_back(tmp_path, file, name):
    write_marks(tmp_path / name, marks(), file, False)
    same(read_marks(tmp_path / name, file), marks())


@pytest.mark.parametrize("name", ["m.json", "m.ome.zarr"])
def test_regions_of_a_corrected_section_come_back(tmp_path, file, name):
    given = Marks({1}, {1: marks().regions[3]}, corrected={1})
    write_marks(tmp_path / name, given, file, False)
    same(read_marks(tmp_path / name, file), given)


def test_labels_may_be_smaller_than_sections_by_a_rest(tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((6, 71, 51), np.uint8), photometric="minisblack")
    file = open_stack(tmp_path / "in.tif")
    labels = np.full((6, 35, 25), 2, np.uint8)
    labels[:, :10, :10], labels[1] = 1, 1
    zarr.create_array(tmp_path / "m.zarr", data=labels)
    meaning = {"properties": [{"label-value": 2, "treatment": "correct"}]}
    zarr.open_array(tmp_path / "m.zarr").attrs["image-label"] = meaning
    found = read_marks(tmp_path / "m.zarr", file)
    assert (found.whole, found.corrected) == ({*range(6)}, {0, 2, 3, 4, 5})
    assert found.regions[0][0].window == (slice(0, 20), slice(0, 20))
    assert 1 not in found.regions


def test_a_label_image_says_what_its_labels_mean(tmp_path, file):
    write_marks(tmp_path / "m.ome.zarr", marks(), file, False)
    group = zarr.open_group(tmp_path / "m.ome.zarr", mode="r")
    assert group.attrs["ome"]["image-label"]["properties"] == [
        {"label-value": 1, "treatment": "synthesize"},
        {"label-value": 2, "treatment": "correct"},
    ]
    labels = np.asarray(open_image(tmp_path / "m.ome.zarr").data)
    assert [labels[z].max() for z in range(6)] == [0, 1, 2, 1, 2, 0]


def test_labels_of_other_programs_are_synthesized(tmp_path, file):
    labels = np.zeros((6, 35, 25), np.uint16)
    labels[2, 5:8, 5:9], labels[3] = 2, 40
    tifffile.imwrite(tmp_path / "m.tif", labels, photometric="minisblack")
    found = read_marks(tmp_path / "m.tif", file)
    assert (found.whole, found.corrected) == ({3}, set())
    assert found.regions[2][0].window == (slice(10, 16), slice(10, 18))


def test_a_folder_has_masks_of_what_is_synthesized(tmp_path, file):
    write_marks(tmp_path / "masks", marks(), file, False)
    assert sorted(each.name for each in (tmp_path / "masks").iterdir()) == ["0001.png", "0003.png"]
    mask = imagecodecs.png_decode((tmp_path / "masks" / "0003.png").read_bytes())
    assert set(np.unique(mask)) == {0, 255}
    found = read_marks(tmp_path / "masks", file)
    assert (found.whole, set(found.regions)) == ({1}, {3})
    np.testing.assert_array_equal(found.mask(3, ALL), marks().mask(3, ALL))


def test_masks_are_called_like_the_images_of_a_folder(tmp_path, make):
    file = open_stack(make("folder"))
    write_marks(tmp_path / "masks", marks(), file, False)
    assert {each.stem for each in file.path.iterdir()} >= {f"s{n}" for n in range(5, 11)}
    assert sorted(each.stem for each in (tmp_path / "masks").iterdir()) == ["s6", "s8"]
    same(read_marks(tmp_path / "masks", file), Marks({1}, {3: marks().regions[3]}))


def test_a_table_has_whole_slices(tmp_path, file):
    write_marks(tmp_path / "m.csv", marks(), file, False)
    assert (tmp_path / "m.csv").read_text() == "slice,treatment\n1,synthesize\n4,correct\n"
    same(read_marks(tmp_path / "m.csv", file), Marks({1, 4}, corrected={4}))


@pytest.mark.parametrize(
    ("name", "mask", "reason"),
    [
        ("z9", np.ones((70, 50), np.uint8), "names no slice of the stack"),
        ("cell", np.ones((70, 50), np.uint8), "names no slice of the stack"),
        ("z2", np.ones((70, 40), np.uint8), "by a whole factor"),
        ("z2", np.zeros((70, 50), np.uint8), "marks nothing"),
        ("z2", np.ones((70, 50, 3), np.uint8), "in colour"),
    ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path, file, name, mask, reason):
    with pytest.raises(BadInput, match=reason):
        read_marks(masks(tmp_path / "masks", **{name: mask}), file)


def test_of_several_numbers_in_the_names_of_masks_the_one_that_varies_counts(tmp_path, file):
    mask = np.full(file.stack().shape[1:], 255, np.uint8)
    found = read_marks(masks(tmp_path / "a", s_1_v3=mask, s_2_v3=mask), file)
    assert found.whole == {1, 2}
    for n, names in enumerate((["s_1_v3"], ["s_1_v1", "s_2_v3"], ["s_1_v3", "s_2"])):
        folder = masks(tmp_path / f"refused{n}", **dict.fromkeys(names, mask))
        with pytest.raises(BadInput, match="names several numbers"):
            read_marks(folder, file)


def test_what_macos_leaves_beside_masks_is_no_mask(tmp_path, file):
    mask = np.full(file.stack().shape[1:], 255, np.uint8)
    folder = masks(tmp_path / "masks", **{"0001": mask})
    (folder / "._0001.png").write_bytes(b"not an image")
    assert read_marks(folder, file).whole == {1}


def test_masks_that_are_not_there_are_told_of_in_plain_words(tmp_path, file):
    with pytest.raises(BadInput, match="masks marks nothing: it holds no PNG or TIFF images"):
        read_marks(masks(tmp_path / "masks"), file)
    (tmp_path / "masks" / "z2.png").mkdir()
    with pytest.raises(BadInput, match="it may be damaged: Is a directory") as refused:
        read_marks(tmp_path / "masks", file)
    assert "Errno" not in str(refused.value)


def test_a_label_image_of_other_slices_is_refused(tmp_path, file):
    tifffile.imwrite(tmp_path / "m.tif", np.ones((5, 70, 50), np.uint8), photometric="minisblack")
    with pytest.raises(BadInput, match="needs the 6 slices"):
        read_marks(tmp_path / "m.tif", file)


def test_metadata_that_make_no_sense_are_refused(tmp_path, file):
    write_marks(tmp_path / "m.zarr", marks(), file, False)
    group = zarr.open_group(tmp_path / "m.zarr", mode="r+")
    wrong = {"image-label": {"properties": [{"label-value": "x", "treatment": "correct"}]}}
    group.attrs["ome"] = {**group.attrs["ome"], **wrong}
    with pytest.raises(BadInput, match="make no sense"):
        read_marks(tmp_path / "m.zarr", file)


def test_names_of_other_forms_are_refused(tmp_path, file):
    with pytest.raises(BadInput, match=r"\.json, \.csv or \.ome\.zarr"):
        check_marks(tmp_path / "m.png", file, False)

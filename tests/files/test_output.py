import errno
import os
from pathlib import Path

import pytest
import zarr

from napari_ssan.atomic import scratch
from napari_ssan.errors import BadInput
from napari_ssan.files import check_distinct, check_output, error_path, mask_path
from napari_ssan.files.output import replacing, tidy


def _refusal(*args, **kwargs):
    with pytest.raises(BadInput) as caught:
        check_output(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["a.tif", "a.TIFF", "a.ome.tif", "a.ome.tiff", "a.ome.zarr", "a.zarr"]
)
def test_known_endings(tmp_path, name):
    check_output(tmp_path / name)


@pytest.mark.parametrize("name", ["a", "a.png", "a.h5", ".tif", "tif", "a.zarr.zip"])
def test_unknown_endings(tmp_path, name):
    assert "must end in" in _refusal(tmp_path / name)


def test_missing_parent(tmp_path):
    assert "does not exist" in _refusal(tmp_path / "none" / "a.tif")
    (tmp_path / "file").touch()
    assert "does not exist" in _refusal(tmp_path / "file" / "a.tif")


def test_existing(tmp_path):
    path = tmp_path / "a.tif"
    path.touch()
    assert "exists already" in _refusal(path)
    check_output(path, overwrite=True)
    (tmp_path / "b.tif").symlink_to(tmp_path / "nowhere")
    assert "exists already" in _refusal(tmp_path / "b.tif")


def test_output_that_is_the_input(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    path.touch()
    (tmp_path / "link.tif").symlink_to(path)
    os.link(path, tmp_path / "hard.tif")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "./a.tif", "sub/../a.tif", "link.tif", "hard.tif", path):
        assert "is the input itself" in _refusal(Path(name), path, overwrite=True)
        assert "is the input itself" in _refusal(path, Path(name), overwrite=True)


def test_nothing_that_is_read_is_overwritten(tmp_path):
    paths = [tmp_path / name for name in ("a.tif", "mask.tif", "b.zarr")]
    for path in paths[:2]:
        path.touch()
    zarr.create_group(paths[2])
    assert "is the input itself" in _refusal(paths[0], iter(paths), overwrite=True)
    for path in paths[1:]:
        assert "is another file that is read" in _refusal(path, map(str, paths), overwrite=True)
    assert "lies within" in _refusal(paths[2] / "c.zarr", paths)
    sources = [paths[0], paths[2] / "marks.json"]
    assert "lies within the output" in _refusal(paths[2], sources, overwrite=True)
    check_output(tmp_path / "new.tif", paths)
    check_output(paths[0], [], overwrite=True)


def test_output_within_or_around_the_input(tmp_path):
    folder = tmp_path / "sections"
    folder.mkdir()
    assert "within the input" in _refusal(folder / "a.tif", folder)
    store = tmp_path / "a.zarr"
    zarr.create_group(store)
    assert "within the input" in _refusal(store / "b.zarr", store)
    assert "lies within the output" in _refusal(store, store / "volume", overwrite=True)


def test_a_folder_is_never_replaced_unless_it_is_a_store(tmp_path):
    for name in ("a.zarr", "a.ome.zarr", "a.tif"):
        path = tmp_path / name
        path.mkdir()
        (path / "thesis.tex").touch()
        assert "choose another name" in _refusal(path, overwrite=True)
    store = tmp_path / "b.zarr"
    zarr.create_group(store)
    check_output(store, overwrite=True)
    assert "is a folder" in _refusal(store.rename(tmp_path / "b.tif"), overwrite=True)


def test_unwritable_parent(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written to" in _refusal(tmp_path / "a.tif")


def test_pixels_that_ome_tiff_has_not(tmp_path):
    assert "float16" in _refusal(tmp_path / "a.ome.tif", dtype="float16")


def test_name_of_the_mask():
    assert mask_path(Path("d/a.ome.tif")) == Path("d/a.synthetic.tif")
    assert mask_path(Path("d/a.b.zarr")) == Path("d/a.b.synthetic.ome.zarr")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("folder", [True, False])
def test_failure_leaves_nothing_and_keeps_the_old(tmp_path, error, folder):
    path = tmp_path / ("a.zarr" if folder else "a.tif")
    _fill(path, folder, "old")
    before = sorted(tmp_path.rglob("*"))

    def fail():
        with replacing(path, overwrite=True) as temporary:
            _fill(temporary, folder, "new")
            raise error

    with pytest.raises(error):
        fail()
    assert sorted(tmp_path.rglob("*")) == before
    assert _content(path) == "old"


@pytest.mark.parametrize("folder", [True, False])
def test_success_replaces_the_old(tmp_path, folder):
    path = tmp_path / ("a.zarr" if folder else "a.tif")
    _fill(path, folder, "old")
    with replacing(path, overwrite=True) as temporary:
        assert temporary.parent.parent == path.parent
        _fill(temporary, folder, "new")
        assert _content(path) == "old"
    assert _content(path) == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_old_store_comes_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    _fill(path, True, "old")
    rename = Path.rename

    def fail(this, target):
        if this.parent.suffix == ".part" and this.name == path.name:
            raise PermissionError(errno.EACCES, "denied")
        return rename(this, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(BadInput, match="permission"), replacing(path, True) as temporary:
        _fill(temporary, True, "new")
    assert _content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_came_into_being_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.tif"

    def lose():
        with replacing(path, False) as temporary:
            _fill(temporary, False, "new")
            _fill(path, False, "somebody's")

    with pytest.raises(BadInput, match="meanwhile"):
        lose()
    assert _content(path) == "somebody's"


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EIO, "Input/output")],
)
def test_errors_of_the_system_become_a_sentence(tmp_path, code, words):
    with pytest.raises(BadInput, match=words), replacing(tmp_path / "a.tif", False):
        raise OSError(code, os.strerror(code))


def _fill(path, folder, text):
    if folder:
        path.mkdir()
        (path / "zarr.json").write_text(text)
    else:
        path.write_text(text)


def _content(path):
    return (path / "zarr.json" if path.is_dir() else path).read_text()


def test_the_map_of_errors_stands_beside_the_output(tmp_path):
    assert error_path(tmp_path / "a.b.ome.tif") == tmp_path / "a.b.expected-error.tif"
    assert error_path(tmp_path / "a.zarr") == tmp_path / "a.expected-error.ome.zarr"


def test_outputs_of_a_run_are_apart(tmp_path):
    (tmp_path / "link.tif").symlink_to(tmp_path / "a.tif")
    check_distinct([tmp_path / "a.tif", tmp_path / "a.tif.zarr", tmp_path / "b.tif"])
    for other in ("a.tif", "link.tif", "a.tif/b.tif"):
        with pytest.raises(BadInput, match="a place of its own"):
            check_distinct([tmp_path / "a.tif", tmp_path / other])


def test_what_killed_runs_left_is_said_in_one_sentence(tmp_path, monkeypatch):
    assert tidy(tmp_path, tmp_path / "absent") == []
    part = tmp_path / ".a.0123456789abcdef.part"
    others = [tmp_path / f".b.{number:016x}.part" for number in range(3)]
    for each in (part, *others):
        each.mkdir()
        (each / ".lock").touch()
        (each / "a.tif").write_text("incomplete")
    with scratch(tmp_path / "living.tif") as path:
        path.write_text("at work")
        [note] = tidy(tmp_path, tmp_path)
        assert path.exists()
    where = f"({tmp_path})"
    assert note == f"4 hidden folders that a killed run had left were removed {where}."
    assert list(tmp_path.iterdir()) == []
    part.mkdir()
    (part / ".lock").touch()
    assert tidy(tmp_path) == [f"A hidden folder that a killed run had left was removed ({part})."]


def test_a_swap_that_cannot_be_finished_is_said(tmp_path, monkeypatch):
    def fail(folder):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("napari_ssan.files.output.recover", fail)
    with pytest.raises(BadInput, match="cannot be finished now: the disk is read-only"):
        tidy(tmp_path)

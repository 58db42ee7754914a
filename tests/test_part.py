from __future__ import annotations

import os
import stat

import pytest

from napari_ssan.atomic import together
from napari_ssan.part import LOCK, NAME, Part, held, kept, parts
from napari_ssan.swap import recover


def test_its_name_cannot_be_guessed_and_its_lock_is_held(tmp_path):
    one, other = Part(tmp_path / "a"), Part(tmp_path / "a")
    assert one.folder != other.folder
    assert all(NAME.fullmatch(each.folder.name) for each in (one, other))
    assert parts(tmp_path) == sorted([one.folder, other.folder])
    with held(one.folder) as free:
        assert not free
    for each in (one, other):
        each.remove()
    assert parts(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_nobody_else_may_look_into_it_and_outputs_have_the_usual_mode(tmp_path):
    usual = tmp_path / "usual"
    usual.mkdir()
    with together([tmp_path / "a"]) as (path,):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.mkdir()
    assert (tmp_path / "a").stat().st_mode == usual.stat().st_mode


def test_a_part_that_may_not_be_looked_into_is_left_alone(tmp_path, monkeypatch):
    folder = tmp_path / ".a.0123456789abcdef.part"
    folder.mkdir()

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(type(folder), "exists", refuse)
    with held(folder) as free:
        assert not free


def test_a_young_part_without_a_lock_belongs_to_a_run(tmp_path):
    folder = tmp_path / ".a.0123456789abcdef.part"
    folder.mkdir()
    with held(folder) as free:
        assert not free
    os.utime(folder, (0, 0))
    with held(folder) as free:
        assert free
    assert (folder / LOCK).exists()


def test_what_is_to_be_gone_on_with_stays_until_it_has_taken_its_place(tmp_path):
    part = Part(tmp_path / "a.zarr")
    part.keep("a.zarr")
    assert kept(part.folder) == ""  # nothing is there yet
    (part.folder / "a.zarr").mkdir()
    assert kept(part.folder) == "a.zarr"
    assert Part.take(part.folder) is None  # its run lives
    part.leave()
    assert recover(tmp_path) == ([], [])
    assert parts(tmp_path) == [part.folder]
    taken = Part.take(part.folder)
    taken.remove()
    assert parts(tmp_path) == [part.folder]
    taken = Part.take(part.folder)
    with together([tmp_path / "a.zarr", tmp_path / "b"], taken.folder / "a.zarr") as temporaries:
        assert temporaries[0] == taken.folder / "a.zarr"
        temporaries[1].touch()
    taken.remove()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.zarr", "b"]


def test_what_is_kept_can_be_given_up(tmp_path):
    part = Part(tmp_path / "a")
    part.keep("a")
    (part.folder / "a").touch()
    part.leave()
    Part.take(part.folder).discard()
    assert parts(tmp_path) == []

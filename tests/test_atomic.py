from __future__ import annotations

import errno
import os
import stat

import pytest

from napari_ssan.atomic import atomically, reason, scratch, worded, write_atomically


def fill(path, folder, text):
    if folder:
        path.mkdir()
        (path / "a").write_text(text)
    else:
        path.write_text(text)


def content(path):
    return (path / "a" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("folder", [True, False])
@pytest.mark.parametrize("existing", [True, False])
def test_it_appears_whole_at_the_end(tmp_path, folder, existing):
    path = tmp_path / "a.ome.zarr"
    if existing:
        fill(path, folder, "old")
    with atomically(path) as temporary:
        assert temporary.name == path.name
        assert not temporary.exists()
        fill(temporary, folder, "new")
        assert path.exists() == existing
        [part] = [each for each in tmp_path.iterdir() if each != path]
        assert part.name.startswith(".a.ome.zarr.")
        assert part.suffix == ".part"
    assert content(path) == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("folder", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, folder, error):
    path = tmp_path / "a"
    fill(path, folder, "old")

    def fail():
        with atomically(path) as temporary:
            fill(temporary, folder, "new")
            raise error

    with pytest.raises(error):
        fail()
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end_leaves_what_was_there(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    path.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, "new")
    assert content(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_and_its_folder_are_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    write_atomically(tmp_path / "a", "text")
    assert synced[0] == (tmp_path / "a").stat().st_ino
    if os.name != "nt":
        assert synced[1:] == [tmp_path.stat().st_ino]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_permissions_are_those_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "")
        with atomically(tmp_path / "b") as temporary:
            temporary.mkdir()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o750


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "shared"
    path.write_text("old")
    path.chmod(0o664)
    write_atomically(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o664)


def test_text_is_utf_8_and_bytes_are_as_they_are(tmp_path):
    write_atomically(tmp_path / "a", "µ\n")
    assert (tmp_path / "a").read_bytes() == b"\xc2\xb5\n"
    write_atomically(tmp_path / "a", b"\xff\r\n")
    assert (tmp_path / "a").read_bytes() == b"\xff\r\n"


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 120])
def test_any_name_that_the_system_takes_will_do(tmp_path, name):
    write_atomically(tmp_path / name, "text")
    assert content(tmp_path / name) == "text"


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "b" / "a", "text")
    assert not list(tmp_path.iterdir())


def test_scratch_touches_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")
    with scratch(tmp_path / "a") as temporary:
        temporary.write_text("new")
        os.link(temporary, tmp_path / "b")
    assert {each.name: content(each) for each in tmp_path.iterdir()} == {"a": "old", "b": "new"}


def test_reasons_are_in_a_users_words(tmp_path):
    assert reason(OSError(errno.ENOSPC, "No space left on device")) == "the disk is full"
    assert reason(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert reason(OSError("odd")) == "odd"
    with pytest.raises(OSError, match="the disk is read-only") as caught, worded(tmp_path):
        raise OSError(errno.EROFS, "Read-only file system")
    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, str(tmp_path))

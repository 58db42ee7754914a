from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from filelock import Timeout

from napari_ssan import part as part_module
from napari_ssan import swap
from napari_ssan.atomic import scratch, together
from napari_ssan.part import JOURNAL, LOCK, Part
from napari_ssan.swap import interrupted, recover


def fill(path, text, folder):
    if folder:
        path.mkdir()
        (path / "a").write_text(text)
    else:
        path.write_text(text)


def content(path):
    if not os.path.lexists(path):
        return None
    return (path / "a" if path.is_dir() else path).read_text()


class Killed(BaseException):
    """Stands for the end of the program: nothing is cleaned up after it."""


def killed(paths, folder, at, monkeypatch):
    """Write new content, and die before the rename with number `at`; how many there were."""
    renames = 0
    rename = os.rename

    def die(source, target):
        nonlocal renames
        if renames == at:
            raise Killed
        renames += 1
        rename(source, target)

    def gone(*_):
        raise Killed

    try:
        with monkeypatch.context() as patch:
            patch.setattr(swap.Path, "rename", lambda this, target: die(this, target))
            # a dead program neither undoes nor removes
            patch.setattr(swap._Move, "back", gone)
            patch.setattr(Part, "remove", lambda part: part._lock.release())
            with together(paths) as temporaries:
                for path in temporaries:
                    fill(path, "new", folder)
    except Killed:
        pass
    return renames


@pytest.mark.parametrize("folder", [True, False])
@pytest.mark.parametrize("existing", [0, 1, 2])
@pytest.mark.parametrize("at", range(5))
def test_a_set_that_was_killed_between_renames_is_finished(
    tmp_path, folder, existing, at, monkeypatch
):
    others = tmp_path / "others"
    others.mkdir()
    paths = [tmp_path / "a", others / "b"]
    for path in paths[:existing]:
        fill(path, "old", folder)
    renames = killed(paths, folder, at, monkeypatch)
    assert renames == min(at, 2 + existing)
    for path in paths:
        assert content(path) or interrupted(path)
        assert renames < 2 + existing or not interrupted(path)
    # of the folder of the second, too, the whole swap is finished
    finished, _ = recover(others if at % 2 else tmp_path)
    recover(tmp_path)
    recover(others)
    assert finished == (paths if renames < 2 + existing else [])
    assert [content(path) for path in paths] == ["new", "new"]
    assert sorted(tmp_path.iterdir()) == [paths[0], others]
    assert list(others.iterdir()) == [paths[1]]
    assert not any(map(interrupted, paths))


def test_a_swap_that_was_not_decided_leaves_the_old(tmp_path, monkeypatch):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        fill(path, "old", folder=True)
    write = swap._write_journal

    def die(part, moves):
        if part == moves[0].part:
            raise Killed
        write(part, moves)

    with monkeypatch.context() as patch:
        patch.setattr(swap, "_write_journal", die)
        killed(paths, True, 0, patch)
    assert len(list(tmp_path.glob(f"*/{JOURNAL}"))) == 1
    finished, removed = recover(tmp_path)
    assert (finished, len(removed)) == ([], 1)
    assert [content(path) for path in paths] == ["old", "old"]
    assert sorted(tmp_path.iterdir()) == paths


def test_an_error_between_renames_undoes_all(tmp_path, monkeypatch):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        fill(path, "old", folder=False)
    rename = Path.rename

    def fail(this, target):
        if target == paths[1] and this.name == "b":
            raise KeyboardInterrupt
        return rename(this, target)

    def write():
        with together(paths) as temporaries:
            for path in temporaries:
                path.write_text("new")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert [content(path) for path in paths] == ["old", "old"]
    assert sorted(tmp_path.iterdir()) == paths
    write()
    assert [content(path) for path in paths] == ["new", "new"]
    assert sorted(tmp_path.iterdir()) == paths


def test_what_somebody_put_there_meanwhile_stays(tmp_path, monkeypatch):
    paths = [tmp_path / "a", tmp_path / "b"]
    killed(paths, False, 1, monkeypatch)
    fill(paths[1], "somebody's", folder=False)
    recover(tmp_path)
    assert [content(path) for path in paths] == ["new", "somebody's"]
    assert sorted(tmp_path.iterdir()) == paths


def test_a_folder_that_was_moved_is_finished_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "a"
    fill(path, "old", folder=True)
    killed([path], True, 1, monkeypatch)
    there = (tmp_path / "here").rename(tmp_path / "there")
    assert recover(there)[0] == [there / "a"]
    assert content(there / "a") == "new"


def test_links_are_replaced_and_what_they_lead_to_stays(tmp_path):
    fill(tmp_path / "real", "old", folder=True)
    (tmp_path / "a").symlink_to(tmp_path / "real")
    with together([tmp_path / "a"]) as (temporary,):
        fill(temporary, "new", folder=True)
    assert not (tmp_path / "a").is_symlink()
    assert (content(tmp_path / "a"), content(tmp_path / "real")) == ("new", "old")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a", tmp_path / "real"]


def test_living_runs_are_left_alone_and_dead_ones_are_removed(tmp_path):
    child = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from napari_ssan.atomic import scratch
        with scratch(Path({str(tmp_path)!r}) / "out.tif") as path:
            path.write_text("incomplete")
            print("ready", flush=True)
            time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        [part] = tmp_path.iterdir()
        with scratch(tmp_path / "mine") as path:
            path.write_text("text")
            assert recover(tmp_path) == ([], [])
            assert len(list(tmp_path.iterdir())) == 2
    finally:
        process.kill()
        process.communicate()
    assert recover(tmp_path) == ([], [part])
    assert not list(tmp_path.iterdir())


def test_what_only_looks_like_a_leftover_stays(tmp_path):
    for name in (".a.part", ".a.0123.part", "a.0123456789abcdef.part", ".0123456789abcdef.part"):
        (tmp_path / name).mkdir()
    (tmp_path / ".b.0123456789abcdef.part").write_text("a file")
    before = sorted(tmp_path.iterdir())
    assert recover(tmp_path) == ([], [])
    assert sorted(tmp_path.iterdir()) == before
    assert recover(tmp_path / "absent") == ([], [])


def test_a_part_that_another_run_has_locked_is_left_to_it(tmp_path, monkeypatch):
    acquire, taken = part_module.FileLock.acquire, []

    def late(lock, **options):
        if not taken:
            taken.append(Path(lock.lock_file).parent)
            raise Timeout(lock.lock_file)
        return acquire(lock, **options)

    monkeypatch.setattr(part_module.FileLock, "acquire", late)
    part = Part(tmp_path / "a")
    assert part.folder != taken[0]
    assert (part.folder / LOCK).exists()
    part.remove()


def test_a_part_without_a_lock_is_a_leftover_once_it_is_old(tmp_path):
    part = tmp_path / ".a.0123456789abcdef.part"
    part.mkdir()
    assert recover(tmp_path) == ([], [])
    os.utime(part, (0, 0))
    assert recover(tmp_path) == ([], [part])


def test_where_there_are_no_locks_nothing_is_a_leftover(tmp_path, monkeypatch):
    def none(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(part_module.FileLock, "acquire", none)
    with scratch(tmp_path / "a") as path:
        path.write_text("text")
        assert recover(tmp_path) == ([], [])
        assert path.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "5",
        "[5]",
        '[["a", 5, 5]]',
        '[[".", 5, 5]]',
        '[["../../x", "a", null]]',
        "[" * 100_000,
    ],
)
def test_a_part_whose_journal_is_damaged_is_kept(tmp_path, monkeypatch, text):
    path = tmp_path / "a"
    fill(path, "old", folder=True)
    killed([path], True, 1, monkeypatch)
    [part] = tmp_path.iterdir()
    (part / JOURNAL).write_text(text)
    assert recover(tmp_path) == ([], [])
    assert interrupted(path) is None
    assert content(part / "a") == "new"
    assert content(part / ".old") == "old"


@pytest.mark.parametrize("name", ["thesis.tif", "../thesis.tif", "/thesis.tif", ".."])
def test_a_forged_journal_replaces_nothing(tmp_path, name):
    """Such a folder may come out of an archive."""
    for folder in (tmp_path, tmp_path / "here"):
        folder.mkdir(exist_ok=True)
        (folder / "thesis.tif").write_text("work of years")
    part = tmp_path / "here" / ".a.0123456789abcdef.part"
    part.mkdir()
    (part / LOCK).touch()
    (part / "thesis.tif").write_text("forged")
    (part / JOURNAL).write_text(json.dumps([[".", name, 1]]))
    recover(tmp_path / "here")
    for folder in (tmp_path, tmp_path / "here"):
        assert content(folder / "thesis.tif") == "work of years"


def test_threads_that_still_write_do_not_keep_a_part(tmp_path, monkeypatch):
    rmtree, late = part_module.shutil.rmtree, []

    def raced(path, **options):
        rmtree(path, **options)
        if not late:
            late.append(path)
            path.mkdir()
            (path / "chunk").write_text("late")

    monkeypatch.setattr(part_module.shutil, "rmtree", raced)
    with scratch(tmp_path / "a") as path:
        path.mkdir()
    assert late
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows brings no folders to the disk")
def test_a_folder_is_on_the_disk_before_the_old_one_goes(tmp_path, monkeypatch):
    path = tmp_path / "a"
    fill(path, "old", folder=True)
    synced, fsync = set(), os.fsync

    def note(handle):
        fsync(handle)
        synced.add(os.fstat(handle).st_ino)

    def check(this, target):
        if target == path or this == path:
            new = list(tmp_path.glob(".*/a/**/*")) + list(tmp_path.glob(".*/a"))
            assert {each.stat().st_ino for each in new} <= synced
            assert next(tmp_path.glob(f".*/{JOURNAL}")).stat().st_ino in synced
        return rename(this, target)

    rename = Path.rename
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "rename", check)
    begin = time.monotonic()
    with together([path]) as (temporary,):
        fill(temporary, "new", folder=True)
        (temporary / "deep" / "er").mkdir(parents=True)
        (temporary / "deep" / "er" / "b").write_text("new")
    assert time.monotonic() - begin < 5
    assert content(path) == "new"
    assert synced


def test_two_runs_that_replace_the_same_at_once_leave_one_whole(tmp_path, monkeypatch):
    path = tmp_path / "a"
    fill(path, "old", folder=True)
    rename, others = Path.rename, []

    def overtaken(this, target):
        done = rename(this, target)
        if this == path and not others:  # ours is aside: the other run comes first
            others.append(this)
            with together([path]) as (temporary,):
                fill(temporary, "other", folder=True)
        return done

    def write():
        with together([path]) as (temporary,):
            fill(temporary, "new", folder=True)

    monkeypatch.setattr(Path, "rename", overtaken)
    with pytest.raises(OSError, match="not empty"):
        write()
    assert content(path) == "other"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_does_not_break_into_the_cleaning_up(tmp_path, monkeypatch):
    rmtree, interrupted = part_module.shutil.rmtree, []

    def pressed(path, **options):
        if not interrupted:
            interrupted.append(path)
            raise KeyboardInterrupt
        rmtree(path, **options)

    def work():
        with scratch(tmp_path / "a") as path:
            path.mkdir()

    monkeypatch.setattr(part_module.shutil, "rmtree", pressed)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert interrupted
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_killed_while_it_cleans_up_leaves_the_lock(tmp_path, monkeypatch):
    def die(path, **options):
        raise Killed

    part = Part(tmp_path / "a")
    (part.folder / "a").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(part_module.shutil, "rmtree", die)
        with pytest.raises(Killed):
            part.remove()
    part._lock.release()
    assert recover(tmp_path) == ([], [part.folder])

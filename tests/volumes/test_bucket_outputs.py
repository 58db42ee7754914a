"""Repairs to an output in a bucket, by a real S3 server on the loopback: as to a path.

Covers: napari_ssan.volumes.remote_part, napari_ssan.files.remote_image
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr

from napari_ssan.files import open_stack, read_provenance, remote_clients, save_stack
from napari_ssan.files.remote import zarr_store
from napari_ssan.files.zarr_rows import Rows
from napari_ssan.paths import located
from napari_ssan.volumes import journal
from napari_ssan.volumes.claim import Claim
from napari_ssan.volumes.output_run import unfinished
from napari_ssan.volumes.remote_part import RemotePart

from .conftest import CUTS

AVERAGE = ("--method", "average")
MARKED = ("--defects", "3,7-8,10", "--insert-after", "4", *AVERAGE)
WHERE = "s3://lab/deep/out.ome.zarr"


def local(folder: Path) -> dict[str, bytes]:
    """All files of a folder, as objects of the bucket have their names."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {f"deep/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files}


@pytest.mark.parametrize("cut", CUTS)
def test_the_same_bytes_as_to_a_path(run, s3, stack, tmp_path, cut):
    folder = tmp_path / "deep"
    folder.mkdir()
    options = (*MARKED, *CUTS[cut], "--mask")
    code, said = run("repair", stack, folder / "out.ome.zarr", *options, "--resume")
    assert code == 0, said
    code, said = run("repair", stack, WHERE, *options)
    assert code == 0, said
    assert s3.objects() == local(folder)
    code, said = run("repair", stack, WHERE, *options)
    assert (code, f"{WHERE} exists already" in said) == (2, True)
    assert s3.objects() == local(folder)
    assert "slice 3: synthetic, from 2 and 4 (average)" in run("status", WHERE)[1]


def test_errors_and_a_report(run, s3, stack, tmp_path):
    options = ("--defects", "3,7", *AVERAGE)
    there, here = "s3://lab/deep/e.ome.zarr", tmp_path / "e.ome.zarr"
    whole = tmp_path / "out.ome.zarr"
    for output, errors, report in ((whole, here, "r.html"), (WHERE, there, "s.html")):
        more = ("--expected-error", errors, "--report", tmp_path / report)
        code, said = run("repair", stack, output, *options, *more)
        assert code == 0, said
    for one, other in ((whole, WHERE), (here, there)):
        np.testing.assert_array_equal(
            np.asarray(open_stack(one).data), np.asarray(open_stack(other).data)
        )
    assert (tmp_path / "r.html").stat().st_size == (tmp_path / "s.html").stat().st_size
    assert not any("unfinished" in name or "in-work" in name for name in s3.objects())


def test_a_volume_that_was_never_here(run, s3, web, make, tmp_path, monkeypatch):
    path = make("0.5 sharded")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    code, said = run("repair", f"{web.url}/{path.name}", WHERE, "--defects", "3,7", *AVERAGE)
    assert code == 0, said
    assert not list(scratch.iterdir())
    folder = tmp_path / "deep"
    folder.mkdir()
    assert run("repair", path, folder / "out.ome.zarr", "--defects", "3,7", *AVERAGE)[0] == 0
    assert s3.objects() == local(folder)
    levels = zarr.open_group(zarr_store(located(WHERE)), mode="r")
    assert np.asarray(levels["0"]).shape == (13, 100, 130)


def test_the_old_one_stays_until_the_new_one_is_whole(run, s3, stack, tmp_path, volume):
    assert run("repair", stack, WHERE, "--defects", "3", *AVERAGE, "--mask")[0] == 0
    before, first = s3.objects(), np.asarray(open_stack(WHERE).data)
    source = tmp_path / "in.zarr"
    zarr.create_array(source, data=volume, chunks=(1, 64, 64))
    bad = source / "c/9/0/1"
    good = bad.read_bytes()
    bad.write_bytes(b"rubbish")
    command = ("repair", source, WHERE, "--defects", "5", *AVERAGE, "--mask", "--overwrite")
    code, said = run(*command)
    assert (code, "is not finished" in said) == (3, True)
    now = s3.objects()
    assert {name: now[name] for name in before} == before
    np.testing.assert_array_equal(np.asarray(open_stack(WHERE).data), first)
    bad.write_bytes(good)
    code, said = run(*command, "--resume")
    assert code == 0, said
    assert [r.section for r in read_provenance(WHERE).sections] == [5]
    np.testing.assert_array_equal(np.asarray(open_stack(WHERE).data)[3], volume[3])
    mask = np.asarray(open_stack("s3://lab/deep/out.synthetic.ome.zarr").data)
    assert (mask[5].all(), mask[3].any()) == (True, False)
    levels = {name.split("/")[2] for name in s3.objects() if name.startswith("deep/out.ome.zarr/")}
    assert levels == {"zarr.json", "a0"}
    assert run(*command[:-1], "--overwrite")[0] == 0  # and back to the usual names
    levels = {name.split("/")[2] for name in s3.objects() if name.startswith("deep/out.ome.zarr/")}
    assert levels == {"zarr.json", "0"}


def test_what_is_refused(run, s3, web, stack):
    def said(*arguments: object) -> str:
        code, text = run("repair", stack, *arguments, "--defects", "3", *AVERAGE)
        assert code == 2, text
        return text

    assert "can only be read" in said(f"{web.url}/out.zarr")
    assert "Only OME-Zarr is written to an address" in said("s3://lab/out.tif")
    assert "s3://none/out.zarr cannot be listed: the server says 404" in said("s3://none/out.zarr")
    assert "No .html file is written to s3" in said(WHERE, "--report", "s3://lab/r.html")
    assert "no run to go on with" in run("repair", stack, WHERE, "--resume")[1]
    assert s3.objects() == {}
    s3.stored.put_object("lab", "deep/out.ome.zarr/notes.txt", b"mine")
    assert "holds notes.txt, but no image" in said(WHERE)
    s3.stored.put_object("lab", "deep/out.ome.zarr/zarr.json", b'{"node_type": "group"}')
    assert "would be lost (notes.txt)" in said(WHERE, "--overwrite")
    assert len(s3.objects()) == 2


def test_labels_follow_a_table_in_a_bucket(run, s3, stack):
    options = ("--insert-after", "4", *AVERAGE)
    assert run("repair", stack, WHERE, *options)[0] == 0
    table, labels = "s3://lab/deep/out.sections.csv", "s3://lab/deep/labels.zarr"
    code, said = run("renumber", stack, labels, "--map", table)
    assert (code, f"Wrote {labels}: 14 slices" in said.replace("\n", "")) == (0, True), said
    assert open_stack(labels).stack().shape[0] == 14
    other = "s3://lab/deep/other.zarr"
    assert "cannot be read" in run("renumber", stack, other, "--map", "s3://lab/none.csv")[1]


def test_an_output_is_apart_from_an_input(run, s3, make):
    where = s3.upload(make("0.5"))
    before = s3.objects()
    for output, words in ((where, "is the input itself"), (f"{where}/in.zarr", "lies within the")):
        code, said = run("repair", where, output, "--defects", "3", *AVERAGE, "--overwrite")
        assert (code, words in said) == (2, True), said
    assert s3.objects() == before


def test_nobody_is_told_of_credentials(run, s3, stack, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "napari_ssan.files.zarr_rows.Rows.write", lambda *_: (_ for _ in ()).throw(OSError(5, "no"))
    )
    code, said = run("repair", stack, WHERE, "--defects", "3", *AVERAGE)
    assert code == 3
    assert "not-to-be-told" not in said
    assert unfinished(located(WHERE)) == located("s3://lab/deep/.out.ome.zarr.unfinished")
    assert not any(b"not-to-be-told" in content for content in s3.objects().values())
    facts = json.loads(run("status", WHERE, "--json")[1])["unfinished"]
    assert (facts["left"][:2], facts["folder"]) == (
        [0, 1],
        "s3://lab/deep/.out.ome.zarr.unfinished",
    )
    monkeypatch.undo()


def test_begun_anew_without_resume(run, s3, stack, monkeypatch):
    monkeypatch.setattr(journal, "LINES", 2)
    with monkeypatch.context() as patch:
        patch.setattr("napari_ssan.files.save.fill", interrupt)
        code, said = run("repair", stack, WHERE, "--defects", "3", *AVERAGE, "--mask")
    assert (code, "--resume" in said) == (130, True)
    assert sum("/journal-" in name for name in s3.objects()) > 3
    code, said = run("repair", stack, WHERE, "--defects", "4", *AVERAGE)
    assert (code, "what an interrupted run had left" in said) == (0, True)
    assert [r.section for r in read_provenance(WHERE).sections] == [4]
    assert not any("unfinished" in name for name in s3.objects())


def test_killed_when_it_had_just_appeared(run, s3, stack, monkeypatch):
    options = ("repair", stack, WHERE, "--defects", "3", *AVERAGE, "--mask")
    remove, calls = RemotePart.remove, []

    def die(self):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        remove(self)

    with monkeypatch.context() as patch:
        patch.setattr(RemotePart, "remove", die)
        assert run(*options)[0] == 130
    left = s3.objects()
    assert unfinished(located(WHERE))
    with monkeypatch.context() as patch:  # begun anew, and killed at once
        patch.setattr(Rows, "write", interrupt)
        assert run(*options, "--overwrite")[0] == 130
    assert [r.section for r in read_provenance(WHERE).sections] == [3]
    assert open_stack(WHERE).notes == ()
    for name in s3.objects():
        s3.stored.delete_object("lab", name)
    for name, content in left.items():
        s3.stored.put_object("lab", name, content)
    code, said = run(*options, "--resume")
    assert code == 0, said
    assert s3.objects() == {name: each for name, each in left.items() if "journal" not in name}


def interrupt(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_what_is_saved_elsewhere_may_lie_in_a_bucket(s3, stack, volume):
    file = open_stack(stack)
    save_stack(located(WHERE), file.data, file)
    np.testing.assert_array_equal(np.asarray(open_stack(WHERE).data), volume)


@pytest.mark.skipif(os.name == "nt", reason="no fork")
@pytest.mark.parametrize("cut", CUTS)
def test_killed_again_and_again(nursery, s3, stack, cut):
    def go(seconds: float, *more: str) -> int:
        return nursery.run("repair", str(stack), WHERE, *MARKED, *CUTS[cut], *more, seconds=seconds)

    begin = time.monotonic()
    assert go(0) == 0
    length, wanted, chance = time.monotonic() - begin, s3.objects(), random.Random(cut)
    for name in wanted:
        s3.stored.delete_object("lab", name)
    first = nursery.order("run", "repair", str(stack), WHERE, *MARKED, *CUTS[cut])
    end = time.monotonic() + 60
    while unfinished(located(WHERE)) is None:
        assert time.monotonic() < end, nursery.log.read_text()
        time.sleep(0.01)
    os.kill(first, signal.SIGKILL)
    assert nursery.order("wait", first) == -signal.SIGKILL
    codes = []
    for _ in range(10):
        codes.append(go(chance.uniform(0.1, 0.7) * length, "--resume"))
        if codes[-1] == 2:  # it had appeared before
            break
    assert set(codes) <= {0, -signal.SIGKILL, 2}
    assert -signal.SIGKILL in codes
    assert go(0, "--resume") in (0, 2)
    assert s3.objects() == wanted


@pytest.mark.skipif(os.name == "nt", reason="process groups")
@pytest.mark.parametrize("what", ["worker and client", "everything"])
def test_workers_and_their_client_are_killed(run, s3, stack, tmp_path, what):
    pytest.importorskip("distributed")
    folder = tmp_path / "deep"
    folder.mkdir()
    options = (*MARKED, *CUTS["sharded"])
    assert run("repair", stack, folder / "out.ome.zarr", *options, "--resume")[0] == 0
    code = "from napari_ssan.cli import main; main()"
    start = [sys.executable, "-c", code, "repair", str(stack), WHERE, *options]
    process = subprocess.Popen([*start, "--workers", "2"], start_new_session=True)
    end = time.monotonic() + 240

    def wait_for(slabs: int) -> None:
        done = 0
        while done < slabs:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.02)
            lines = [each for name, each in s3.objects().items() if "journal" in name]
            done = b"".join(lines).count(b'"done"')

    wait_for(1)
    if what == "everything":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        workers = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "multiprocessing.spawn" in " ".join(child.cmdline())
        ]
        workers[0].send_signal(signal.SIGKILL)
        wait_for(2)
        process.send_signal(signal.SIGKILL)
    process.wait()
    assert "deep/out.ome.zarr/zarr.json" not in s3.objects()
    subprocess.run([*start, "--resume"], check=True)
    assert s3.objects() == local(folder)


@pytest.mark.parametrize("for_good", [False, True])
def test_the_network_is_away(run, s3, stack, monkeypatch, tmp_path, for_good):
    monkeypatch.setattr(remote_clients, "TRIES", 3 if for_good else 12)
    monkeypatch.setattr(remote_clients, "PAUSES", (0.05, 0.1 if for_good else 0.3))
    write, calls, threads = Rows.write, [], []

    def write_and_lose(self, data, row, step):
        calls.append(row)
        if len(calls) == 3:
            s3.down()
            threads.append(threading.Thread(target=lambda: (time.sleep(0.5), s3.up())))
            if not for_good:
                threads[0].start()
        write(self, data, row, step)

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "write", write_and_lose)
        code, said = run("repair", stack, WHERE, "--defects", "3", *AVERAGE)
    if for_good:
        assert (code, "the server does not answer" in said) == (2, True), said
        s3.up()
        code, said = run("repair", stack, WHERE, "--defects", "3", *AVERAGE, "--resume")
        assert "Going on: 11 of 13" in said
    else:
        threads[0].join()
    assert code == 0, said
    folder = tmp_path / "deep"
    folder.mkdir()
    assert run("repair", stack, folder / "out.ome.zarr", "--defects", "3", *AVERAGE)[0] == 0
    assert s3.objects() == local(folder)


def test_two_runs_at_once(run, s3, stack):
    with Claim(located(WHERE), str):
        code, said = run("repair", stack, WHERE, "--defects", "3", *AVERAGE)
    assert (code, "is being changed by process" in said) == (2, True)
    assert s3.objects() == {}


def test_the_bucket_is_emptied_meanwhile(run, s3, stack, monkeypatch):
    write, calls = Rows.write, []

    def write_and_lose(self, data, row, step):
        calls.append(row)
        if len(calls) == 3:
            for name in s3.objects():
                s3.stored.delete_object("lab", name)
        write(self, data, row, step)

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "write", write_and_lose)
        code, said = run("repair", stack, WHERE, "--defects", "3", *AVERAGE)
    assert (code, "is not there any more" in said) == (2, True), said
    assert len(calls) == 3
    assert run("repair", stack, WHERE, "--defects", "3", *AVERAGE)[0] == 0
    assert open_stack(WHERE).notes == ()

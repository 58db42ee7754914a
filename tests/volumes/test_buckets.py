"""Repairs in place of volumes in a bucket, by a real S3 server on the loopback."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack, remote_clients
from napari_ssan.paths import located
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.volumes.drive import SlabsDone
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place
from napari_ssan.volumes.status import begun, status

from .conftest import AVERAGE, content

MARKS = Marks({3}, {11: [Region.from_mask(np.tri(30, 40, 5, dtype=bool), 37, 51)]})


def say(text: object) -> None:
    pass


def local(path: Path) -> dict[str, bytes]:
    """The same repair of a folder: all its objects, but for the metadata that name the backup."""
    repair_in_place(path, MARKS, AVERAGE, say)
    files = (p for p in path.rglob("*") if p.is_file() and p.parent != path)
    return {f"{path.name}/{p.relative_to(path).as_posix()}": p.read_bytes() for p in files}


def pixels(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {name: each for name, each in objects.items() if name.count("/") > 1}


@pytest.mark.parametrize("kind", ["0.4", "0.5 sharded"])
def test_there_and_back(s3, make, kind, tmp_path):
    path = make(kind)
    where = located(s3.upload(path))
    before = s3.objects()
    outcome = repair_in_place(where, MARKS, AVERAGE, say, backup=tmp_path / "kept")
    assert outcome.sections == (3, 11)
    assert pixels(s3.objects()) == local(path)
    assert not any("in-work" in name for name in s3.objects())
    assert open_stack(where).provenance.numbers == {3, 11}
    assert begun(where)
    assert status(where).restorable == (3, 11)
    kept = [file for file in content(tmp_path / "kept") if file.startswith("objects/")]
    assert 0 < len(kept) < len(before)
    for file in (tmp_path / "kept").rglob("*"):
        assert not file.is_file() or b"not-to-be-told" not in file.read_bytes()
    assert restore(where, say) == {3, 11}
    assert s3.objects() == before
    assert not (tmp_path / "kept").exists()


def test_the_network_is_away_for_a_while(s3, make, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_clients, "TRIES", 12)
    monkeypatch.setattr(remote_clients, "PAUSES", (0.1, 0.3))
    path = make("0.5")
    where = located(s3.upload(path))
    threads = []

    def tell(item: object) -> None:
        if isinstance(item, SlabsDone) and not threads:
            s3.down()
            threads.append(threading.Thread(target=lambda: (time.sleep(0.5), s3.up())))
            threads[0].start()

    outcome = repair_in_place(where, MARKS, AVERAGE, tell, backup=tmp_path / "kept")
    threads[0].join()
    assert outcome.failed == ()
    assert pixels(s3.objects()) == local(path)


def test_the_network_is_away_for_good_and_the_run_goes_on_later(s3, make, tmp_path):
    path = make("0.5")
    where = located(s3.upload(path))
    before = s3.objects()

    def tell(item: object) -> None:
        if isinstance(item, SlabsDone) and item.done == 1 and not item.failed:
            s3.down()

    with pytest.raises(BadInput, match=r"^s3://lab/\S+ cannot be read: the server does not answer"):
        repair_in_place(where, MARKS, AVERAGE, tell, backup=tmp_path / "kept")
    s3.up()
    assert len(status(where).done) == 1
    outcome = repair_in_place(where, Marks(), AVERAGE, say, resume=True)
    assert outcome.sections == (3, 11)
    assert pixels(s3.objects()) == local(path)
    restore(where, say)
    assert s3.objects() == before


def test_two_runs_on_one_volume(s3, make, tmp_path):
    where = located(s3.upload(make("0.5")))
    said = []

    def tell(item: object) -> None:
        if isinstance(item, SlabsDone) and not said:
            with pytest.raises(BadInput, match="is being changed by process") as refused:
                repair_in_place(where, MARKS, AVERAGE, say, backup=tmp_path / "other")
            said.append(refused)

    repair_in_place(where, MARKS, AVERAGE, tell, backup=tmp_path / "kept")
    assert said


def test_what_is_refused(s3, web, make, tmp_path):
    path = make("0.5")
    with pytest.raises(BadInput, match="Say with --backup which folder"):
        repair_in_place(located(s3.upload(path)), MARKS, AVERAGE, say)
    with pytest.raises(BadInput, match="can only be read"):
        repair_in_place(
            located(f"{web.url}/{path.name}"), MARKS, AVERAGE, say, backup=tmp_path / "kept"
        )
    assert not (tmp_path / "kept").exists()

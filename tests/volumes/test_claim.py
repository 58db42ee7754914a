from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time

import pytest

from napari_ssan.errors import BadInput
from napari_ssan.volumes import claim
from napari_ssan.volumes.claim import Claim, claim_path, claimed, holds


@pytest.fixture
def volume(tmp_path):
    path = tmp_path / "image.zarr"
    path.mkdir()
    return path


def say(text: str) -> None:
    pass


def test_one_at_a_time(volume):
    with Claim(volume, say) as held:
        assert holds(volume, held.token)
        assert claimed(volume) == f"process {os.getpid()} on {platform.node()}"
        with pytest.raises(BadInput, match="is being changed by process"), Claim(volume, say):
            pass
        assert holds(volume, held.token)
    assert claimed(volume) == ""
    assert not list(volume.parent.glob(".*"))


def test_that_of_a_killed_process_is_taken_over_at_once(volume):
    code = (
        "import sys, time; from pathlib import Path; from napari_ssan.volumes.claim import Claim\n"
        "with Claim(Path(sys.argv[1]), print): print('held', flush=True); time.sleep(99)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(volume)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BadInput, match=f"process {process.pid}"), Claim(volume, say):
        pass
    process.kill()
    process.wait()
    assert claim_path(volume).exists()
    assert claimed(volume) == ""
    begin = time.monotonic()
    with Claim(volume, say):
        pass
    assert time.monotonic() - begin < 5
    process.stdout.close()


@pytest.mark.parametrize("alive", [True, False])
def test_that_of_another_machine_is_dead_when_it_does_not_change(volume, monkeypatch, alive):
    monkeypatch.setattr(claim, "PATIENCE", 1.0)
    found = {"token": "0", "host": "elsewhere", "process": 1, "begun": 0.0, "beat": 1}
    claim_path(volume).write_text(json.dumps(found))
    assert claimed(volume) == "process 1 on elsewhere"
    said: list[str] = []

    def beat() -> None:
        time.sleep(0.3)
        claim_path(volume).write_text(json.dumps(found | {"beat": 2}))

    other = threading.Thread(target=beat)
    if alive:
        other.start()
        with pytest.raises(BadInput, match="on elsewhere; wait"), Claim(volume, said.append):
            pass
        other.join()
    else:
        with Claim(volume, said.append) as held:
            assert holds(volume, held.token)
    assert "looking for 1 s" in said[0]


def test_it_beats(volume, monkeypatch):
    monkeypatch.setattr(claim, "BEAT", 0.05)
    with Claim(volume, say):
        first = claim_path(volume).read_text()
        time.sleep(0.5)
        assert claim_path(volume).read_text() != first


def test_what_another_run_has_taken_stays(volume):
    with Claim(volume, say):
        claim_path(volume).write_text(json.dumps({"token": "another"}))
    assert holds(volume, "another")


def test_a_folder_that_cannot_be_written_to(volume, monkeypatch):
    def refuse(self, *rest, **more):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(BadInput, match="cannot be written to"), Claim(volume, say):
        pass


def test_one_that_is_just_being_made_is_waited_for(volume):
    def late() -> None:
        time.sleep(0.2)
        with Claim(volume.with_name("other"), say):
            claim_path(volume).write_text(claim_path(volume.with_name("other")).read_text())

    claim_path(volume).touch()
    other = threading.Thread(target=late)
    other.start()
    with pytest.raises(BadInput, match="is being changed by process"), Claim(volume, say):
        pass
    other.join()
    claim_path(volume).write_text("")  # torn by a power cut
    with Claim(volume, say) as held:
        assert holds(volume, held.token)

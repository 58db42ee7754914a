"""A disk that is really full: what fails is said, and `--resume` ends in the same bytes.

Covers: napari_ssan.volumes.drive
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ssan.cli import main
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place

from .conftest import AVERAGE, content, write

MARKED = Marks({1, 3, 5, 7, 9, 11})


@pytest.fixture
def small(tmp_path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("no right to mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """Fill a disk, but for some bytes."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() // 4096 * 4096 - left))
    return path


def say(text: object) -> None:
    pass


@pytest.mark.parametrize("kind", ["0.4", "0.5 sharded"])
def test_in_place(small, tmp_path, volume, kind):
    path, whole = write(small / "image.ome.zarr", volume, kind), tmp_path / "image.ome.zarr"
    write(whole, volume, kind)
    before = content(path)
    repair_in_place(whole, MARKED, AVERAGE, say)
    filler = fill(small, 100_000)
    outcome = repair_in_place(path, MARKED, AVERAGE, say)
    assert outcome.failed
    assert {why for _, why in outcome.failed} == {"the disk is full"}
    filler.unlink()
    outcome = repair_in_place(path, MARKED, AVERAGE, say, resume=True)
    assert outcome.failed == ()
    assert content(path) == content(whole)
    restore(path, say)
    assert content(path) == before


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_an_output(small, tmp_path, volume, monkeypatch, capsys, workers):
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.concatenate([volume] * 3), photometric="minisblack")

    def run(output: Path, *more: str) -> tuple[int, str]:
        given = ("--defects", "3,30", "--method", "average", "--chunks", "3,64,64", "--resume")
        words = ["napari-ssan", "repair", str(stack), str(output), *given, *more]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    assert run(tmp_path / "out.ome.zarr")[0] == 0
    filler = fill(small, 200_000)
    code, said = run(small / "out.ome.zarr", *workers)
    assert code == 3, said
    assert "the disk is full" in said
    assert not (small / "out.ome.zarr").exists()
    filler.unlink()
    code, said = run(small / "out.ome.zarr")
    assert code == 0, said
    assert "Going on" in said
    assert content(small / "out.ome.zarr") == content(tmp_path / "out.ome.zarr")
    assert [each.name for each in small.iterdir()] == ["out.ome.zarr"]

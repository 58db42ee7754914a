"""Repairs to a new zarr output, slab by slab: as in one go, whatever is killed on the way.

Covers: napari_ssan.volumes.output_slabs, napari_ssan.cli.slab_runs
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ssan.cli import main
from napari_ssan.files import read_provenance
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region

from .conftest import content

AVERAGE = ("--method", "average")


@pytest.fixture
def marks(tmp_path) -> Path:
    """Whole sections at the end too, a region, one to be corrected, and two that are missing."""
    region = Region.from_mask(np.tri(30, 40, 5, dtype=bool), 37, 51)
    found = Marks({3, 7, 12}, {5: [region], 7: [region]}, {4: 2, 7: 1}, {3})
    path = tmp_path / "marks.json"
    path.write_text(found.to_json())
    return path


@pytest.fixture
def stack(tmp_path, volume) -> Path:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, volume, photometric="minisblack")
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """``run("repair", ...)``: exit code and what was said."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["napari-ssan", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    return call


def hidden(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.startswith(".")]


CUTS = {
    "as it is": (),
    "thick": ("--chunks", "4,32,32"),
    "sharded": ("--chunks", "2,16,16", "--shards", "4,32,64"),
}


@pytest.mark.parametrize("cut", CUTS)
def test_the_same_bytes_as_in_one_go(run, stack, marks, tmp_path, cut, monkeypatch):
    monkeypatch.setattr("napari_ssan.files.write_zarr.SMALLEST_LEVEL", 40)
    plain, slabs = tmp_path / "plain" / "out.ome.zarr", tmp_path / "slabs" / "out.ome.zarr"
    for path, more in ((plain, ()), (slabs, ("--resume",))):
        path.parent.mkdir()
        others = ("--mask", "--expected-error", path.parent / "e.tif")
        arguments = ("--defects-file", marks, *AVERAGE, *CUTS[cut], *others, *more)
        report = ("--report", path.parent / "r.html")
        code, said = run("repair", stack, path, *arguments, *report)
        assert code == 0, said
    assert content(slabs) == content(plain)
    assert content(slabs.parent) == content(plain.parent)
    assert hidden(slabs.parent) == []
    assert [r.section for r in read_provenance(slabs).sections] == [3, 5, 6, 7, 9, 10, 15]

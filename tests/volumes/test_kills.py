"""SIGKILL at ten random moments: nothing is lost, and runs that go on end in the same bytes.

In place and to an output, chunked and sharded; a run by itself, a worker, the client of workers, or
all of them. `test_cluster` has workers that the command starts itself.
"""

from __future__ import annotations

import os
import random
import shutil

import numpy as np
import pytest
import tifffile

from napari_ssan.volumes.claim import claim_path
from napari_ssan.volumes.output_run import unfinished

from .conftest import CUTS, content
from .nursery import VICTIMS, kill_again_and_again

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no fork")
AVERAGE = ("--method", "average", "--resume")
KILLS = 10


@pytest.fixture
def volume(volume) -> np.ndarray:
    """A part of it, so that most of the time is spent on what a kill may tear."""
    return volume[:, :40, :70]


@pytest.mark.parametrize("kind", ["0.4", "0.5 sharded, halved along z"])
@pytest.mark.parametrize("victim", VICTIMS)
def test_in_place(nursery, make, kind, victim):
    path, whole = make(kind), make(kind, "unbroken/image.ome.zarr")
    given = ("--in-place", "--defects", "1,3,7-8,10,12", *AVERAGE)
    assert nursery.run("repair", str(whole), *given) == 0
    before, wanted, chance = content(path), content(whole), random.Random(kind + victim)
    pixels = {name for name in before if name[0].isdigit() and "zarr" not in name}
    kept = path.with_name(f"{path.name}.originals")
    rest = random.Random(victim)

    def through() -> None:
        assert content(path) == wanted
        while victim == "the run alone" and rest.random() < 0.5:
            nursery.run("restore", str(path), seconds=rest.uniform(0.01, 0.15))
            if not kept.exists():
                break
        else:
            assert nursery.run("restore", str(path)) == 0, nursery.log.read_text()
        assert content(path) == before
        assert not kept.exists()

    def between() -> None:
        now = content(path)
        assert all(now[name] in (before[name], wanted[name]) for name in pixels)

    command = ["repair", str(path), *given]
    kill_again_and_again(
        nursery, victim, command, claim_path(path), chance, through, between, KILLS
    )


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("victim", VICTIMS)
def test_an_output(nursery, volume, tmp_path, cut, victim):
    stack, output = tmp_path / "stack.tif", tmp_path / "broken" / "out.zarr"
    tifffile.imwrite(stack, np.concatenate([volume, volume]), photometric="minisblack")
    given = ("--defects", "3,7-8,10,20", "--insert-after", "4", "--mask", *AVERAGE, *CUTS[cut])
    for name in ("broken", "whole"):
        (tmp_path / name).mkdir()
    assert nursery.run("repair", str(stack), str(tmp_path / "whole" / "out.zarr"), *given) == 0
    wanted, went_on = content(tmp_path / "whole"), []

    def through() -> None:
        assert content(output.parent) == wanted
        shutil.rmtree(output)

    def between() -> None:
        went_on.append(unfinished(output) is not None)
        if output.exists():  # it was through, or killed after it
            assert content(output.parent, hidden=False) == wanted or unfinished(output)

    command = ["repair", str(stack), str(output), *given, "--overwrite"]
    chance = random.Random(cut + victim)
    kill_again_and_again(
        nursery, victim, command, claim_path(output), chance, through, between, KILLS
    )
    assert any(went_on) or victim == "a worker"

"""Covers: napari_ssan.cli, napari_ssan.cli.demo, napari_ssan.cli.info, napari_ssan.cli.progress"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import typer
from PIL import Image

from napari_ssan import __version__
from napari_ssan.cli import COMMANDS, app
from napari_ssan.files import read_provenance


def test_info_in_words_and_as_json(run):
    assert __version__ in run("info").out
    facts = json.loads(run("info", "--json").out)
    assert facts["version"] == __version__
    assert facts["devices"][0]["name"] == "cpu"
    assert "ssan-fidelity" in [model["name"] for model in facts["models"]]
    assert all(model["terms"] for model in facts["models"])


def test_demo_writes_stacks_and_a_picture(run, tmp_path, tiny_model):
    folder = tmp_path / "new" / "demo"
    assert run("demo", folder, "--model", tiny_model, "--device", "cpu").code == 0
    repaired = tifffile.imread(folder / "repaired.ome.tif")
    broken = tifffile.imread(folder / "broken.ome.tif")
    assert np.flatnonzero((repaired != broken).any((1, 2))).tolist() == [6, 11, 16]
    assert len(read_provenance(folder / "repaired.ome.tif").sections) == 3
    picture = np.asarray(Image.open(folder / "before-after.png"))
    assert picture.shape[1] == 5 * 384
    picture_then = (folder / "before-after.png").read_bytes()
    (folder / "repaired.ome.tif").write_text("mine")
    assert "--overwrite" in run("demo", folder, "--model", tiny_model).sentence
    assert (folder / "repaired.ome.tif").read_text() == "mine"
    assert run("demo", folder, "--model", tiny_model, "--overwrite").code == 0
    assert (folder / "before-after.png").read_bytes() == picture_then


@pytest.mark.parametrize("option", ["--model", "--device"])
def test_a_demo_that_cannot_be_made_leaves_no_folder(run, tmp_path, option):
    assert "absent" in run("demo", tmp_path / "new", option, "absent").sentence
    assert not (tmp_path / "new").exists()


def test_demo_into_a_file_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be made" in run("demo", tmp_path / "file").sentence


def test_help_and_no_command(run):
    assert "repair" in run("--help").out
    assert run().code == 2
    assert run("frobnicate").code == 2


LOADED = """
import sys
from napari_ssan.cli import main
try:
    main()
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


def loaded(*words):
    """The modules that a command has loaded at its end."""
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_loads_no_command():
    assert "napari_ssan.cli" in (modules := loaded("--help"))
    assert not [each for each in modules if each.startswith("napari_ssan.cli.repair")]
    assert modules.isdisjoint({"torch", "zarr", "scipy"})


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_says_of_a_command_what_its_own_says_first(name):
    command = typer.main.get_command(app).commands[name]
    assert COMMANDS[name] == command.help.partition("\n")[0]


def test_the_version_is_told(run):
    done = run("--version")
    assert (done.code, done.out) == (0, f"napari-ssan {__version__}\n")


def test_a_command_loads_no_other():
    assert "napari_ssan.cli.restore" in (modules := loaded("restore", "--help"))
    assert modules.isdisjoint({"napari_ssan.cli.train", "napari_ssan.cli.evaluate"})


@pytest.mark.parametrize("name", ["a\x1b[31mb.tif", "a\x07\x9b.tif", "a\u202eb.tif", "a\udcff.tif"])
def test_names_do_not_steer_the_terminal(run, tmp_path, name):
    (tmp_path / name).write_bytes(b"no TIFF")
    outcome = run("repair", tmp_path / name, tmp_path / "out.tif", "--defects", "1")
    assert outcome.sentence.isprintable()
    assert "\\" in outcome.sentence
    assert outcome.out.isprintable()


@pytest.mark.parametrize("error", [MemoryError("4 GiB"), RuntimeError("can't allocate memory")])
def test_full_memory_is_one_sentence(run, stack, tmp_path, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr("napari_ssan.cli.repair.open_stack", full)
    told = run("repair", stack, tmp_path / "out.tif", "--defects", "2")
    assert "not enough memory" in told.sentence


def test_several_damaged_strips_are_one_sentence(tmp_path):
    """zarr, which reads them at once, would tell of each at the end of the program."""
    path = tmp_path / "in.tif"
    data = np.random.default_rng(0).integers(1, 255, (5, 300, 200)).astype(np.uint8)
    options = {"compression": "zlib", "rowsperstrip": 8, "metadata": None}
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    with tifffile.TiffFile(path) as tif:
        places = [offset for page in list(tif.pages)[3:] for offset in page.dataoffsets]
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            file.write(b"\xff" * 20)
    words = ["repair", str(path), str(tmp_path / "o.tif"), "--defects", "2", "--method", "average"]
    program = [sys.executable, "-c", "from napari_ssan.cli import main; main()"]
    done = subprocess.run([*program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("napari-ssan: in.tif cannot be read at slice 3")
    assert len(done.stderr.splitlines()) == 1

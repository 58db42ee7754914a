from __future__ import annotations

import json
import zipfile

import pytest

from napari_ssan.network import model_file
from napari_ssan.network.model_file import read_info


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "user_data_path", lambda name: tmp_path / "user" / name)
    return tmp_path / "user" / "napari-ssan" / "models"


def listed(run):
    return [model["name"] for model in json.loads(run("models", "list", "--json").out)]


def test_a_model_comes_and_goes(run, tiny_model, tmp_path, own):
    bundled = listed(run)
    assert bundled[0] == "ssan-fidelity"
    assert run("models", "import", tiny_model, "--name", "Großhirn [1]").code == 0
    assert listed(run) == [*bundled, "Großhirn [1]"]
    assert "Großhirn [1]" in run("models", "list").out
    entry = json.loads(run("models", "list", "--json").out)[-1]
    info = read_info(tiny_model)
    assert entry == {
        "name": "Großhirn [1]",
        "bundled": False,
        "summary": "",
        "terms": "",
        "tile": 64,
        "sha256": info.sha256,
        "path": str(own / "Großhirn [1].safetensors"),
    }
    assert "Großhirn [1]" in run("info").out
    assert json.loads(run("info", "--json").out)["models"][-1] == entry
    assert run("models", "rename", "Großhirn [1]", "cortex").code == 0
    shown = run("models", "show", "cortex").out
    assert shown.startswith("cortex\n")
    assert f"- SHA-256: {info.sha256}" in shown
    output = tmp_path / "out.safetensors"
    assert run("models", "export", "cortex", output).code == 0
    assert read_info(output).sha256 == info.sha256
    assert run("models", "delete", "cortex").code == 0
    assert listed(run) == bundled


def test_a_package_for_bioimage_io_is_written_and_read_back(run, tiny_model, tmp_path):
    pytest.importorskip("bioimageio.spec", reason='pip install "napari-ssan[bioimageio]"')
    output = tmp_path / "packed.zip"
    outcome = run("models", "export", tiny_model, output, "--bioimageio", "--author", "S. Cajal")
    assert outcome.code == 0, outcome.err
    with zipfile.ZipFile(output) as archive:
        assert "name: S. Cajal" in archive.read("rdf.yaml").decode()
    assert run("models", "import", output).code == 0
    assert listed(run)[-1] == "packed"


def test_damaged_models_are_noted_beside_the_list(run, own):
    own.mkdir(parents=True)
    (own / "bad.safetensors").write_bytes(b"no model")
    outcome = run("models", "list", "--json")
    assert "bad" not in [model["name"] for model in json.loads(outcome.out)]
    assert "Note: Your model bad is left out" in " ".join(outcome.err.split())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("show", "nothing"), "There is no model 'nothing'"),
        (("import", "absent.safetensors"), "There is no file"),
        (("export", "ssan-fidelity", "out.pt"), "must end in .safetensors"),
        (("export", "ssan-fidelity", "out.pt", "--bioimageio"), "must end in .zip"),
        (("export", "ssan-fidelity", "x.safetensors", "--author", "me"), "--bioimageio"),
        (("rename", "ssan-fidelity", "mine"), "is part of napari-ssan"),
        (("delete", "ssan-fidelity"), "is part of napari-ssan"),
        (("delete", "mine"), "You have no model 'mine'"),
    ],
)
def test_wrong_wishes_are_refused_in_a_sentence(run, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    if "--bioimageio" in arguments:
        pytest.importorskip("bioimageio.spec", reason='pip install "napari-ssan[bioimageio]"')
    assert reason in run("models", *arguments).sentence
    assert list(tmp_path.iterdir()) == []


def test_a_repair_takes_ones_own_model_by_name(run, tiny_model, stack, tmp_path):
    run("models", "import", tiny_model, "--name", "mine")
    output = tmp_path / "out.tif"
    outcome = run("repair", stack, output, "--defects", "3", "--model", "mine", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert output.exists()


def test_help_and_no_command(run):
    assert "import" in run("models", "--help").out
    assert run("models").code == 2

"""Covers: napari_ssan.export.description"""

from __future__ import annotations

import errno
import io
import sys
import warnings
import zipfile

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import BadInput
from napari_ssan.export import bioimageio
from napari_ssan.export.bioimageio import export_bioimageio, generated_sample
from napari_ssan.network import model_file
from napari_ssan.network.model_file import load_model, save_model
from napari_ssan.network.model_library import import_model
from napari_ssan.network.ssan import SSAN, SSANConfig

spec = pytest.importorskip("bioimageio.spec", reason='pip install "napari-ssan[bioimageio]"')

TILE = 32
CARD = {"tile": TILE, "terms": "CC BY-NC-SA 3.0 (the data's)", "curve": [{"step": 1, "psnr": 15.0}]}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Nothing here needs the network, and nobody is asked whether an address exists."""

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def write(path, **card):
    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return save_model(path, network, {**CARD, **card})


@pytest.fixture
def make(tmp_path):
    return lambda name="mine", **card: write(tmp_path / f"{name}.safetensors", **card)


@pytest.fixture(scope="module")
def sections():
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((2, 50, 64)), (0, 2, 2))
    bright = np.array([90, 140])[:, None, None], np.array([20, 35])[:, None, None]
    grey = bright[0] + bright[1] * structure / structure.std((1, 2), keepdims=True)
    return tuple(grey.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def packed(tmp_path_factory, sections):
    """A model and its package."""
    folder = tmp_path_factory.mktemp("packed")
    info = write(folder / "mine.safetensors", summary="Sharp.", trained_on=["a stack"])
    package = folder / "from a friend.zip"
    export_bioimageio(info.path, package, sections, authors=["A. Golgi", "S. Cajal"])
    return info, package


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def described(files):
    return yaml.safe_load(files["rdf.yaml"])


def array(files, source):
    return np.load(io.BytesIO(files[source]), allow_pickle=False)


def apply(steps, pixels):
    """The format's processing steps, as its description puts them."""
    for step in steps:
        kwargs = step["kwargs"]
        if step["id"] == "zero_mean_unit_variance":
            assert kwargs["axes"] == ["channel", "y", "x"]
            axes = (1, 2, 3)
            mean, std = pixels.mean(axes, keepdims=True), pixels.std(axes, keepdims=True)
            pixels = (pixels - mean) / (std + 1e-6)
        elif step["id"] == "scale_linear":
            pixels = pixels * kwargs["gain"] + kwargs["offset"]
        else:
            assert step == {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
            pixels = pixels.astype(np.float32)
    return pixels


def run(files, inputs):
    """A package as a program runs it that knows nothing but the format."""
    about = described(files)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(io.BytesIO(files[about["weights"]["torchscript"]["source"]]))
    ready = [
        torch.from_numpy(apply(tensor["preprocessing"], inputs[tensor["id"]]))
        for tensor in about["inputs"]
    ]
    with torch.no_grad():
        made = network(*ready).numpy()
    (output,) = about["outputs"]
    return apply(output["postprocessing"], made)


def test_the_format_s_own_validator_accepts_a_package(packed):
    description = spec.load_description(packed[1])
    summary = description.validation_summary
    assert isinstance(description, spec.ModelDescr), summary
    assert summary.status in ("passed", "valid-format")
    assert [error for detail in summary.details for error in detail.errors] == []
    said = [warning.msg for detail in summary.details for warning in detail.warnings]
    assert len(said) <= 1, said  # no maintainer was named


def test_a_package_reproduces_its_test_output(packed, sections):
    files = entries(packed[1])
    about = described(files)
    inputs = {t["id"]: array(files, t["test_tensor"]["source"]) for t in about["inputs"]}
    expected = array(files, about["outputs"][0]["test_tensor"]["source"])
    assert list(inputs) == ["previous", "following"]
    assert {tensor.shape for tensor in [*inputs.values(), expected]} == {(1, 1, TILE, TILE)}
    assert np.array_equal(inputs["previous"][0, 0], sections[0][9:41, 16:48])
    assert np.abs(run(files, inputs) - expected).max() < 1e-3 * np.abs(expected).max()


def test_grey_values_come_back_as_the_documentation_says(packed, sections):
    info, files = packed[0], entries(packed[1])
    first, second = (s[9:41, 16:48].astype(np.float64) for s in sections)
    section = run(files, {"previous": first[None, None], "following": second[None, None]})
    grey = section[0, 0] * (first.std() + second.std()) / 2 + (first.mean() + second.mean()) / 2

    def unit(pixels):
        normal = (pixels - pixels.mean()) / (6 * pixels.std()) + 0.5
        return torch.from_numpy(normal[None, None].astype(np.float32))

    with torch.no_grad():
        made = load_model(info.path).network(unit(first), unit(second)).image[0, 0].numpy()
    wanted = (made - 0.5) * 3 * (first.std() + second.std()) + (first.mean() + second.mean()) / 2
    assert np.abs(grey - wanted).max() < 0.1


def test_other_sizes_that_the_package_names_run_too(packed):
    files = entries(packed[1])
    size = described(files)["inputs"][0]["axes"][2]["size"]
    assert size == {"min": TILE, "step": 8}
    # A halo would widen one of the two inputs only, and programs could not run them any more.
    assert not any("halo" in axis for axis in described(files)["outputs"][0]["axes"])
    shape = (1, 1, size["min"] + size["step"], size["min"] + 3 * size["step"])
    random = np.random.default_rng(0)
    inputs = {name: random.normal(100, 20, shape) for name in ("previous", "following")}
    assert run(files, inputs).shape == shape


def test_a_package_tells_of_the_model(packed):
    info, files = packed[0], entries(packed[1])
    about = described(files)
    assert about["license"] == "CC-BY-NC-SA-3.0"
    assert [author["name"] for author in about["authors"]] == ["A. Golgi", "S. Cajal"]
    assert about["cite"][0]["doi"] == "10.1186/s13040-021-00236-z"
    assert about["description"] == "Sharp."
    assert about["config"]["napari_ssan"] == {
        "sha256": info.sha256,
        "config": info.config,
        "card": info.card,
    }
    assert "- Trained on: a stack" in files["README.md"].decode()
    with Image.open(io.BytesIO(files["cover.png"])) as cover:
        assert cover.size[0] == 2 * cover.size[1]
        assert np.asarray(cover).std() > 10
    assert len(files["cover.png"]) < 500_000


def test_the_model_is_imported_back_from_its_package(tmp_path, packed, monkeypatch):
    monkeypatch.setattr(model_file, "user_data_path", lambda name: tmp_path / "user")
    back = import_model(packed[1])
    assert (back.name, back.sha256) == ("from a friend", packed[0].sha256)
    load_model("from a friend")


@pytest.mark.parametrize(
    ("terms", "written"),
    [("free for non-commercial use", "TERMS.md"), ("", None)],
)
def test_other_terms_go_along_in_words(tmp_path, make, sections, terms, written):
    export_bioimageio(make(terms=terms).path, tmp_path / "out.zip", sections)
    files = entries(tmp_path / "out.zip")
    if written is None:
        assert "license" not in described(files) or described(files)["license"] is None
        assert "TERMS.md" not in files
    else:
        assert described(files)["license"]["source"] == written
        assert files[written].decode() == f"{terms}\n"
    assert isinstance(spec.load_description(tmp_path / "out.zip"), spec.ModelDescr)


def test_a_name_that_the_format_does_not_allow_is_spelled_otherwise(tmp_path, make, sections):
    export_bioimageio(make("Großhirn µ, 2024").path, tmp_path / "out.zip", sections)
    name = described(entries(tmp_path / "out.zip"))["name"]
    assert name == "EM section interpolation Gro-hirn -- 2024"


def test_the_generated_sample_has_room_for_the_tile_and_shows_something():
    tile = bioimageio.GENERATED + 20
    first, second = generated_sample(tile)
    assert first.shape == second.shape == (tile, tile)
    assert min(first.std(), second.std()) > 10
    assert (first != second).any()


def test_without_a_sample_the_generated_one_is_packed(tmp_path, make):
    export_bioimageio(make().path, tmp_path / "out.zip")
    files = entries(tmp_path / "out.zip")
    expected = array(files, "section.npy")
    inputs = {name: array(files, f"{name}.npy") for name in ("previous", "following")}
    assert np.abs(run(files, inputs) - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("bundled", [True, False])
def test_the_authors_of_bundled_models_are_known(tmp_path, make, sections, monkeypatch, bundled):
    path = make().path
    if bundled:
        monkeypatch.setattr(model_file, "model_folders", lambda: [tmp_path])
    export_bioimageio(path, tmp_path / "out.zip", sections)
    authors = described(entries(tmp_path / "out.zip")).get("authors", [])
    assert [author["name"] for author in authors] == (
        ["The napari-ssan developers"] if bundled else []
    )


def test_what_cannot_be_packed_is_refused_and_leaves_nothing(tmp_path, make, sections):
    path = make().path
    flat = np.full((64, 64), 7, np.uint8)
    refused = [
        ({"path": tmp_path / "out.pt"}, "must end in .zip"),
        ({"path": tmp_path / "absent" / "out.zip"}, "does not exist"),
        ({"sample": (sections[0], flat)}, "constant"),
        ({"sample": (sections[0][:20], sections[1][:20])}, "at least 32 pixels"),
        ({"authors": ["Golgi/Cajal"]}, "bioimage.io does not accept"),
    ]
    for changes, reason in refused:
        arguments = {"path": tmp_path / "out.zip", "sample": sections, **changes}
        with pytest.raises(BadInput, match=reason):
            export_bioimageio(path, **arguments)
    assert list(tmp_path.iterdir()) == [path]


def test_a_package_replaces_a_file_only_when_told_to(tmp_path, make, sections):
    path, out = make().path, tmp_path / "out.zip"
    out.write_text("precious")
    with pytest.raises(BadInput, match="--overwrite"):
        export_bioimageio(path, out, sections)
    assert out.read_text() == "precious"
    export_bioimageio(path, out, sections, overwrite=True)
    assert "rdf.yaml" in entries(out)


def test_a_full_disk_leaves_nothing_half_written(tmp_path, make, sections, monkeypatch):
    path, out = make().path, tmp_path / "out.zip"
    out.write_text("precious")

    def full(*_, output_path, **__):
        output_path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spec, "save_bioimageio_package", full)
    with pytest.raises(BadInput, match="No space left"):
        export_bioimageio(path, out, sections, overwrite=True)
    assert sorted(tmp_path.iterdir()) == sorted([path, out])
    assert out.read_text() == "precious"


def test_without_the_format_s_library_the_way_to_get_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    with pytest.raises(BadInput, match=r'pip install "napari-ssan\[bioimageio\]"'):
        export_bioimageio("ssan-fidelity", tmp_path / "out.zip")
    assert list(tmp_path.iterdir()) == []

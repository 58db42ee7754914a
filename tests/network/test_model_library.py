"""Covers: napari_ssan.network.writing"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from safetensors.numpy import load_file, save_file

from napari_ssan.errors import BadInput
from napari_ssan.network import model_file, model_library
from napari_ssan.network.model_file import (
    DEFAULT_MODEL,
    ModelInfo,
    find_model,
    load_model,
    save_model,
)
from napari_ssan.network.model_library import (
    delete,
    export_model,
    import_model,
    list_models,
    rename,
    safe_name,
)
from napari_ssan.network.ssan import SSAN, SSANConfig

CARD = {"tile": 32, "trained_on": ["a stack"], "curve": [{"step": 1, "psnr": 15.25}]}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2)))


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """The folder of the user's own models, which does not exist yet."""
    monkeypatch.setattr(model_file, "user_data_path", lambda name: tmp_path / "user" / name)
    return tmp_path / "user" / "napari-ssan" / "models"


@pytest.fixture(autouse=True)
def bundle(tmp_path, own, monkeypatch, network) -> Path:
    folder = tmp_path / "bundled"
    folder.mkdir()
    for name in ("a-first", DEFAULT_MODEL):
        save_model(folder / f"{name}.safetensors", network, CARD)
    monkeypatch.setattr(model_file, "model_folders", lambda: [folder])
    monkeypatch.setattr(model_library, "model_folders", lambda: [folder])
    return folder


def keep(network: SSAN, card: dict[str, object], name: str) -> ModelInfo:
    """Make one of the user's own models."""
    with TemporaryDirectory() as folder:
        return import_model(save_model(Path(folder) / "x.safetensors", network, card).path, name)


def names(**options) -> list[str]:
    return [info.name for info in list_models(**options)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_kept_model_is_listed_after_the_bundled_ones_and_loads_by_name(own, network):
    assert names() == [DEFAULT_MODEL, "a-first"]
    info = keep(network, CARD, "Zebra")
    keep(network, CARD, "aardvark")
    assert names() == [DEFAULT_MODEL, "a-first", "aardvark", "Zebra"]
    assert [info.bundled for info in list_models()] == [True, True, False, False]
    assert info.path == own / "Zebra.safetensors" == find_model("Zebra")
    model = load_model("Zebra")
    assert model.info == info
    assert model.info.card == CARD
    pair = torch.rand(2, 1, 1, 32, 32)
    assert torch.equal(model.network(*pair).image, network.eval()(*pair).image)


def test_a_taken_name_gets_a_number_and_nothing_is_overwritten(own, network):
    first = keep(network, CARD, "mine")
    with torch.no_grad():
        network.hybrid.out.bias.add_(1)
    assert [keep(network, CARD, name).name for name in ("mine", "MINE", "mine")] == [
        "mine 2",
        "MINE 3",
        "mine 4",
    ]
    assert load_model("mine").info == first
    assert first.sha256 != load_model("mine 2").info.sha256


def test_a_model_that_another_program_puts_there_meanwhile_is_not_overwritten(
    own, network, monkeypatch
):
    own.mkdir(parents=True)
    (own / "mine.safetensors").write_text("of another program")
    monkeypatch.setattr(model_library, "_is_taken", lambda name: False)
    assert keep(network, CARD, "mine").name == "mine 2"
    assert (own / "mine.safetensors").read_text() == "of another program"


def test_a_folder_without_links_holds_models_too(own, network, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(model_library.os, "link", refuse)
    assert [keep(network, CARD, "mine").name for _ in range(2)] == ["mine", "mine 2"]
    assert sorted(path.name for path in own.iterdir()) == [
        "mine 2.safetensors",
        "mine.safetensors",
    ]


def test_no_model_of_the_user_takes_a_bundled_name(network, own, tmp_path):
    assert keep(network, CARD, DEFAULT_MODEL).name == f"{DEFAULT_MODEL} 2"
    assert keep(network, CARD, "A-First").name == "A-First 2"
    with pytest.raises(BadInput, match="already"):
        rename("A-First 2", "SSAN-Fidelity")
    shutil.copy(own / "A-First 2.safetensors", own / "a-first.safetensors")
    notices: list[str] = []
    assert names(notice=notices.append) == [
        DEFAULT_MODEL,
        "a-first",
        "A-First 2",
        f"{DEFAULT_MODEL} 2",
    ]
    assert find_model("a-first").parent != own
    (notice,) = notices
    assert str(own / "a-first.safetensors") in notice


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("mouse cortex, 2024", "mouse cortex, 2024"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\models\\mine", "C--models-mine"),
        ("Großhirn µ 🧠 脑", "Großhirn µ 🧠 脑"),
        ("cafe\u0301", "café"),
        ("a\u202eb\nc\x00d", "ab-c-d"),
        ("  v1.2.safetensors ", "v1.2.safetensors"),
        ("v1.2.safetensors", "v1.2"),
        (".hidden", "hidden"),
        ("end. ", "end"),
        ("con", "model con"),
        ("LPT1.old", "model LPT1.old"),
        ("\ud800x", "x"),
        ("脑" * 300, "脑" * 50),
    ],
)
def test_names_are_made_safe(asked, name, own, network):
    assert safe_name(asked) == name
    assert keep(network, CARD, asked).path == own / f"{name}.safetensors"
    assert load_model(name).info.name == name


@pytest.mark.parametrize("name", ["", "   ", "../..", "---", "\u202e", "🧠"])
def test_a_name_without_letters_or_digits_is_refused(name, own, network):
    with pytest.raises(BadInput, match="letters or digits"):
        keep(network, CARD, name)
    assert not own.exists()


def test_a_name_in_another_form_of_unicode_finds_its_model(own, network):
    keep(network, CARD, "café")
    (own / "café.safetensors").rename(own / "cafe\u0301.safetensors")
    assert names()[-1] == "café"
    assert load_model("café").info == load_model("cafe\u0301").info
    delete("café")
    assert list(own.iterdir()) == []


def test_files_that_cannot_be_read_are_left_out_with_a_notice(own, network, bundle):
    keep(network, CARD, "good")
    (own / "bad.safetensors").write_bytes(b"no model")
    (own / "._good.safetensors").write_bytes(b"what some systems put beside a file")
    (bundle / f"{DEFAULT_MODEL}.safetensors").write_bytes(b"")
    notices: list[str] = []
    assert names(notice=notices.append) == ["a-first", "good"]
    assert len(notices) == 2
    assert DEFAULT_MODEL in notices[0]
    assert "install" in notices[0]
    assert "Your model bad is left out" in notices[1]
    with pytest.warns(UserWarning, match="is left out") as warned:
        list_models()
    assert [str(each.message) for each in warned] == notices


def test_export_and_import_return_the_model_as_it_was(tmp_path, own, network):
    info = keep(network, CARD, "mine")
    file = tmp_path / "given away.safetensors"
    export_model("mine", file)
    delete("mine")
    assert names() == [DEFAULT_MODEL, "a-first"]
    back = import_model(file)
    assert back.name == "given away"
    assert (back.sha256, back.card, back.config) == (info.sha256, info.card, info.config)
    assert import_model(str(file), "mine/2").name == "mine-2"
    assert import_model(file).name == "given away 2"
    load_model("given away 2")
    assert file.exists()


def test_a_bundled_model_is_exported_too(tmp_path, bundle):
    export_model("a-first", tmp_path / "copy.safetensors")
    copy, origin = tmp_path / "copy.safetensors", bundle / "a-first.safetensors"
    assert copy.read_bytes() == origin.read_bytes()


def test_an_altered_file_is_neither_imported_nor_exported(tmp_path, own, network):
    path = keep(network, CARD, "mine").path
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(BadInput, match="altered"):
        import_model(path)
    with pytest.raises(BadInput, match="altered"):
        export_model("mine", tmp_path / "out.safetensors")
    assert contents(tmp_path) == before


def test_an_altered_card_is_not_imported(tmp_path, own, network):
    path = tmp_path / "boast.safetensors"
    save_model(path, network, CARD)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    metadata = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    metadata["card"] = json.dumps({**CARD, "metrics": {"psnr": 99}})
    save_file(load_file(path), path, metadata)
    with pytest.raises(BadInput, match=r"boast\.safetensors .* altered"):
        import_model(path)
    assert not any(own.iterdir())


@pytest.mark.parametrize("kind", ["absent", "folder", "text", "foreign zip", "broken zip"])
def test_what_is_no_model_is_not_imported(tmp_path, own, kind):
    path = tmp_path / "file.zip"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("Dear diary")
    elif kind == "foreign zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../model.safetensors", "outside")
    elif kind == "broken zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.safetensors", "x" * 100)
        path.write_bytes(path.read_bytes().replace(b"x" * 100, b"y" * 100))
    with pytest.raises(BadInput, match=r"file\.zip"):
        import_model(path)
    assert not own.exists() or not any(own.iterdir())


def test_a_file_that_is_called_like_a_model_is_imported_itself(tmp_path, own, network, monkeypatch):
    with torch.no_grad():
        network.hybrid.out.bias.add_(1)
    info = save_model(tmp_path / "a-first", network, CARD)
    monkeypatch.chdir(tmp_path)
    assert import_model("a-first").sha256 == info.sha256


@pytest.mark.parametrize(
    ("name", "reason"),
    [("out.pt", "must end in"), ("absent/out.safetensors", "does not exist")],
)
def test_exports_to_wrong_places_are_refused(tmp_path, name, reason):
    with pytest.raises(BadInput, match=reason):
        export_model("a-first", tmp_path / name)
    assert not (tmp_path / name).exists()


def test_an_export_replaces_only_when_told_to(tmp_path):
    path = tmp_path / "out.safetensors"
    path.write_text("precious")
    with pytest.raises(BadInput, match="--overwrite"):
        export_model("a-first", path)
    assert path.read_text() == "precious"
    export_model("a-first", path, overwrite=True)
    assert load_model(path).info.card == CARD
    path.unlink()
    path.mkdir()
    with pytest.raises(BadInput, match="folder"):
        export_model("a-first", path, overwrite=True)


def test_a_renamed_model_keeps_its_content(own, network):
    before = keep(network, CARD, "mine")
    after = rename("mine", "yours")
    assert names()[2:] == ["yours"]
    assert (after.sha256, after.card) == (before.sha256, before.card)
    assert rename("yours", "Yours").name == "Yours"
    assert rename("Yours", "Yours").name == "Yours"
    assert [path.name for path in own.iterdir()] == ["Yours.safetensors"]
    keep(network, CARD, "other")
    with pytest.raises(BadInput, match="choose another name"):
        rename("other", "YOURS")
    assert names()[2:] == ["other", "Yours"]


@pytest.mark.parametrize("change", [delete, lambda name: rename(name, "new")])
def test_only_ones_own_models_are_renamed_and_deleted(change, bundle, own, network, tmp_path):
    before = contents(tmp_path)
    with pytest.raises(BadInput, match="is part of napari-ssan"):
        change(DEFAULT_MODEL)
    with pytest.raises(BadInput, match="you have none yet"):
        change("mine")
    with pytest.raises(BadInput, match="of your own"):
        change(str(bundle / "a-first.safetensors"))
    assert contents(tmp_path) == before
    keep(network, CARD, "kept")
    with pytest.raises(BadInput, match="your models are kept"):
        change("mine")


def test_a_model_that_cannot_be_read_any_more_can_be_deleted(own, network):
    path = keep(network, CARD, "mine").path
    path.write_bytes(b"")
    with pytest.raises(BadInput, match="cannot be used"):
        rename("mine", "other")
    delete("mine")
    assert not path.exists()


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half(source, target):
    Path(target).write_bytes(Path(source).read_bytes()[:1000])
    full()


def test_a_full_disk_leaves_nothing_half_written(tmp_path, own, network, monkeypatch):
    keep(network, CARD, "mine")
    export_model("mine", tmp_path / "out.safetensors")
    before = contents(tmp_path)

    monkeypatch.setattr(model_library.shutil, "copyfile", half)
    with pytest.raises(BadInput, match="No space left"):
        import_model(tmp_path / "out.safetensors", "second")
    for overwrite, name in ((True, "out.safetensors"), (False, "new.safetensors")):
        with pytest.raises(BadInput, match="No space left"):
            export_model("a-first", tmp_path / name, overwrite)
    assert contents(tmp_path) == before
    monkeypatch.undo()


def test_a_folder_that_cannot_be_made_is_named(own, network):
    own.parent.parent.mkdir()
    own.parent.write_text("a file in the way")
    with pytest.raises(BadInput, match="could not be saved"):
        keep(network, CARD, "mine")
    assert names() == [DEFAULT_MODEL, "a-first"]


def test_what_the_system_refuses_to_rename_or_delete_stays(own, network, monkeypatch):
    keep(network, CARD, "mine")

    def busy(*_, **__):
        raise PermissionError(errno.EACCES, "The file is in use")

    monkeypatch.setattr(Path, "unlink", busy)
    monkeypatch.setattr(Path, "rename", busy)
    for change in (delete, lambda name: rename(name, "new")):
        with pytest.raises(BadInput, match="The file is in use"):
            change("mine")
    monkeypatch.undo()
    assert (own / "mine.safetensors").exists()

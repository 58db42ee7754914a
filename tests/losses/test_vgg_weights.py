"""Covers: napari_ssan.losses.vgg_file"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.losses import vgg_weights
from napari_ssan.losses.vgg import VGG16
from napari_ssan.losses.vgg_file import CAFFE, read_weights
from napari_ssan.losses.vgg_weights import download, find_weights, import_weights


@pytest.fixture
def published(tensors, monkeypatch) -> bytes:
    """Bytes of what stands for torchvision's file here: old format, classifier and all."""
    weights = tensors() | {
        "features.24.weight": torch.rand(4, 20, 3, 3),
        "classifier.0.weight": torch.rand(500, 500),
    }
    stream = io.BytesIO()
    torch.save(weights, stream, _use_new_zipfile_serialization=False)
    content = stream.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    for module in ("vgg_file", "vgg_weights"):
        monkeypatch.setattr(f"napari_ssan.losses.{module}.SHA256", digest)
    monkeypatch.setattr(vgg_weights, "SIZE", len(content))
    return content


class Server(ThreadingHTTPServer):
    """Serves one file; or less of it than it promises, or an error."""

    content = b""
    status = 200
    sent = 1.0
    length = True


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        if self.server.length:
            self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content[: int(len(self.server.content) * self.server.sent)])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(published, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.content = published
        monkeypatch.setattr(vgg_weights, "URL", f"http://127.0.0.1:{server.server_port}/vgg.pth")
        monkeypatch.setattr(vgg_weights, "CHUNK", 4096)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def nothing(done: int, total: int) -> None:
    pass


def check_kept(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """The file has the convolutions up to the fourth tap, exactly, and no more."""
    kept = load_file(path)
    assert kept.keys() == tensors.keys()
    assert all(torch.equal(kept[key], tensors[key]) for key in kept)
    assert VGG16(path).taps == ("relu1_2", "relu2_2", "relu3_3", "relu4_3")


def test_without_a_file_there_is_the_cache_or_nothing(cache, vgg):
    assert find_weights(None) is None
    cache.mkdir()
    kept = cache / "vgg16.safetensors"
    kept.write_bytes(vgg.read_bytes())
    assert find_weights() == kept
    assert find_weights(vgg) == vgg


@pytest.mark.parametrize("name", ["nowhere.safetensors", "nowhere.pth", "."])
def test_a_given_file_must_be_there(cache, tmp_path, name):
    with pytest.raises(BadInput, match="does not exist"):
        find_weights(tmp_path / name)


def test_looking_for_weights_needs_no_torch():
    check = (
        "import sys; import napari_ssan.losses.config; from napari_ssan.losses import vgg_weights; "
        "vgg_weights.find_weights(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_safetensors_are_used_where_they_lie(cache, tensors, tmp_path, vgg):
    caffe = tmp_path / "caffe.safetensors"
    save_file(tensors("relu2_2", CAFFE), caffe)
    assert import_weights(vgg) == vgg
    assert import_weights(caffe) == caffe
    assert not cache.exists()


def test_of_a_large_file_only_what_is_needed_is_read(tensors, tmp_path):
    path = tmp_path / "whole.safetensors"
    save_file(tensors() | {"classifier.0.weight": torch.zeros(3)}, path)
    blocks = read_weights(path).blocks
    assert [len(block) for block in blocks.values()] == [2, 2, 3, 3]


def test_half_precision_is_widened(tensors, tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({key: value.half() for key, value in tensors("relu1_2").items()}, path)
    assert VGG16(path)(torch.rand(1, 1, 8, 8))[0].dtype == torch.float32


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "vgg.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="not a complete safetensors"):
        read_weights(path)


def test_foreign_and_broken_weights_are_refused(tensors, tmp_path):
    path = tmp_path / "vgg.safetensors"

    def refused(weights: dict[str, torch.Tensor], reason: str) -> None:
        save_file(weights, path)
        with pytest.raises(BadInput, match=reason):
            read_weights(path)

    good = tensors("relu1_2")
    refused({"other": torch.zeros(1)}, "no VGG16 weights")
    refused({key: v for key, v in good.items() if key != "features.2.bias"}, "no VGG16 weights")
    refused(good | {"features.2.weight": torch.zeros(8, 9, 3, 3)}, r"features\.2 has the shape")
    refused(good | {"features.0.bias": torch.full((8,), torch.nan)}, "not finite")


def test_a_block_that_is_incomplete_ends_the_taps(tensors, tmp_path):
    weights = tensors("relu4_3")
    del weights["features.12.bias"]
    save_file(weights, tmp_path / "vgg.safetensors")
    assert VGG16(tmp_path / "vgg.safetensors").taps == ("relu1_2", "relu2_2")


def test_torchvisions_own_file_is_taken_into_the_cache(cache, published, tensors, tmp_path):
    path = tmp_path / "mine.pth"
    path.write_bytes(published)
    kept = import_weights(path)
    assert kept == cache / "vgg16.safetensors"
    check_kept(kept, tensors())
    assert [file.name for file in cache.iterdir()] == ["vgg16.safetensors"]
    assert find_weights(path) == kept
    assert VGG16(path).taps == VGG16(kept).taps


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["vgg16-397923af.pth", "vgg.pt", "vgg.bin", "vgg"])
def test_nothing_else_is_unpickled(cache, tmp_path, monkeypatch, name):
    trace, path = tmp_path / "trace", tmp_path / name
    path.write_bytes(pickle.dumps(Harmful(trace)))
    monkeypatch.setattr(torch, "load", None)
    for use in (import_weights, find_weights, read_weights, VGG16):
        with pytest.raises(BadInput, match="not opened") as refusal:
            use(path)
        assert str(refusal.value).count(". ") == 0
    assert not trace.exists()


def test_a_cache_that_cannot_be_written_is_said(cache, published, tmp_path):
    path = tmp_path / "vgg.pth"
    path.write_bytes(published)
    cache.write_text("a file where the folder should be")
    with pytest.raises(BadInput, match="could not be copied"):
        import_weights(path)


def test_a_failed_write_leaves_what_was_there(cache, published, tmp_path, monkeypatch):
    path, kept = tmp_path / "vgg.pth", cache / "vgg16.safetensors"
    path.write_bytes(published)
    cache.mkdir()
    kept.write_bytes(b"before")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadInput, match="disk is full"):
        import_weights(path)
    assert [file.name for file in cache.iterdir()] == ["vgg16.safetensors"]
    assert kept.read_bytes() == b"before"


def test_a_download_is_kept_and_its_progress_told(cache, server, tensors):
    calls: list[tuple[int, int]] = []
    path = download(lambda *call: calls.append(call))
    check_kept(path, tensors())
    assert find_weights() == path
    assert [file.name for file in cache.iterdir()] == ["vgg16.safetensors"]
    done, totals = zip(*calls, strict=True)
    assert set(totals) == {len(server.content)}
    assert list(done) == sorted(done)
    assert done[0] <= 4096
    assert done[-1] == len(server.content)


def test_without_a_length_the_published_one_is_told(cache, server):
    server.length = False
    calls: list[tuple[int, int]] = []
    download(lambda *call: calls.append(call))
    assert {total for _, total in calls} == {len(server.content)}


def test_a_download_is_cancelled_within_a_chunk(cache, server):
    cancel, calls = threading.Event(), []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 3:
            cancel.set()

    with pytest.raises(Cancelled):
        download(stop, cancel)
    assert calls == [4096, 8192, 12288]
    assert not list(cache.iterdir())


def refused(match: str) -> None:
    with pytest.raises(BadInput, match=match) as refusal:
        download(nothing)
    assert "choose a file" in str(refusal.value)
    assert "L_1" in str(refusal.value)


def test_an_altered_download_is_not_taken(cache, server):
    server.content = server.content[:-1] + b"x"
    refused("not the published one")
    assert not list(cache.iterdir())


def test_a_download_that_breaks_off_leaves_nothing(cache, server):
    server.sent = 0.5
    refused("could not be downloaded")
    assert not list(cache.iterdir())


def test_an_address_without_the_file_is_said(cache, server):
    server.status = 404
    refused("HTTPError")


def test_without_a_network_it_says_what_to_do(cache, published, monkeypatch):
    monkeypatch.setattr(vgg_weights, "URL", "http://127.0.0.1:9/vgg.pth")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    refused("ConnectionError")
    assert not list(cache.iterdir())


def test_a_disk_that_is_too_full_is_said_before_anything_is_fetched(cache, server, monkeypatch):
    monkeypatch.setattr(vgg_weights, "SIZE", 2**62)
    refused("disk is full")


def test_a_disk_that_fills_up_is_said(cache, server, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    refused("disk is full")
    assert not list(cache.iterdir())

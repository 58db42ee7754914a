"""What all tests share: a screen or a reason, real data if there, nothing left behind."""

from __future__ import annotations

import functools
import http.server
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

SCREEN_FIXTURES = {"qtbot", "qapp", "make_napari_viewer", "make_napari_viewer_proxy"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a screen Qt would abort the whole run: skip what needs one, and in CI fail."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return
    needy = [item for item in items if SCREEN_FIXTURES & set(getattr(item, "fixturenames", ()))]
    if needy and os.environ.get("CI"):
        pytest.exit("These tests need a screen: install xvfb (and pytest-xvfb).", returncode=1)
    for item in needy:
        item.add_marker(pytest.mark.skip(reason="no screen: install xvfb (and pytest-xvfb)"))


@pytest.fixture
def tissue() -> Callable[..., np.ndarray]:
    """Makes a volume of uint8, neighbours alike: mean 128, deviation about 30, a little grain."""

    def make(shape: tuple[int, int, int] = (12, 96, 110), seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        structure = gaussian_filter(random.standard_normal(shape), (1.5, 3, 3), mode="wrap")
        grain = random.standard_normal(shape)
        volume = 128 + 28 * structure / structure.std() + 8 * grain
        return volume.clip(0, 255).astype(np.uint8)

    return make


class Looked(AbstractSet):
    """Incomplete sections, each of which costs a look at its chunks: nobody asks for all."""

    def __init__(self, *sections: int) -> None:
        self.sections, self.asked = sections, set[int]()

    def __contains__(self, z: object) -> bool:
        self.asked.add(z)
        return z in self.sections

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("all sections were asked for")

    __len__ = __iter__


@pytest.fixture
def looked() -> type[Looked]:
    """Makes such a set."""
    return Looked


@pytest.fixture(autouse=True)
def user_folder(tmp_path_factory, monkeypatch) -> Path:
    """The user's data folder, an empty one for every test, as is the cache."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    for module in ("session.sidecar", "session.rates", "network.model_file", "finetune.run_folder"):
        monkeypatch.setattr(
            f"napari_ssan.{module}.user_data_path", lambda name, *rest: folder / name
        )
    return folder


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder with ``data/`` and ``weights/``: real stacks that do not come with the project."""
    known = os.environ.get("NAPARI_SSAN_DATA")
    if not known:
        pytest.skip("set NAPARI_SSAN_DATA to the folder that holds data/ and weights/")
    folder = Path(known)
    if not (folder / "data").is_dir():
        pytest.fail(f"NAPARI_SSAN_DATA is {folder}, which has no folder data/")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> str:
    """Path of a network with random weights and attention that is felt, tile 64."""
    import torch

    from napari_ssan.network.model_file import save_model
    from napari_ssan.network.ssan import SSAN, SSANConfig

    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8))
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 0.5)
        if ".out.weight" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, network, {"tile": 64})
    return str(path)


@pytest.fixture(scope="session")
def vgg(tmp_path_factory) -> Path:
    """The first block of a VGG16 with few channels."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(0)
    tensors = {}
    for number, channels in ((0, 3), (2, 4)):
        tensors[f"features.{number}.weight"] = torch.randn(4, channels, 3, 3, generator=random)
        tensors[f"features.{number}.bias"] = torch.zeros(4)
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture
def volume() -> np.ndarray:
    """(9, 96, 130) uint8: structure that changes slowly from section to section, and grain."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((9, 96, 130)), (1.5, 4, 4))
    grain = random.normal(0, 4, structure.shape)
    return (128 + 40 * structure / structure.std() + grain).clip(1, 254).astype(np.uint8)


class Web(http.server.ThreadingHTTPServer):
    """Serves a folder.

    Attributes
    ----------
    asked : list of str
        Paths that were asked for.
    drop, tear, hang : int
        So many connections to close without an answer, or in the middle of one, or to keep
        waiting for some time.
    deny : str
        Ending of names that are denied.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
        self.asked: list[str] = []
        self.drop = self.tear = self.hang = 0
        self.deny = "?"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.drop:
            self.server.drop -= 1
            self._hang_up()
        elif self.server.hang:
            self.server.hang -= 1
            time.sleep(0.6)
            self._hang_up()
        elif self.server.tear:
            self.server.tear -= 1
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"a part")
            self._hang_up()
        elif self.path.endswith(self.server.deny):
            self.send_error(403)
        else:
            super().do_GET()

    def end_headers(self) -> None:
        self.send_header("ETag", '"1"')  # Google's has one
        super().end_headers()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path, monkeypatch) -> Iterator[Web]:
    """A web server for the folder `tmp_path`; whoever asks it does not wait long."""
    remote_clients = pytest.importorskip("napari_ssan.files.remote_clients")
    pytest.importorskip("obstore")
    monkeypatch.setattr(remote_clients, "TRIES", 3)
    monkeypatch.setattr(remote_clients, "PAUSES", (0.01, 0.05))
    remote_clients._client.cache_clear()
    server = Web(tmp_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def s3(monkeypatch, tmp_path) -> Iterator[Bucket]:
    """An S3 server with the bucket ``lab``, and the environment that leads to it."""
    pytest.importorskip("obstore")
    moto = pytest.importorskip("moto.server")
    from napari_ssan.files import remote_clients

    monkeypatch.setattr(remote_clients, "TRIES", 3)
    monkeypatch.setattr(remote_clients, "PAUSES", (0.01, 0.05))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    for key, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "not-to-be-told",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
    }.items():
        monkeypatch.setenv(key, value)
    from moto.s3.models import s3_backends

    stored = s3_backends["123456789012"]["aws"]
    stored.create_bucket("lab", "us-east-1")
    bucket = Bucket(stored, server)
    yield bucket
    bucket.server.stop()


class Bucket:
    """The bucket ``lab`` of an S3 server."""

    def __init__(self, stored, server) -> None:
        self.stored, self.server = stored, server

    @property
    def place(self) -> str:
        """Host and port."""
        return "{}:{}".format(*self.server.get_host_and_port())

    def down(self) -> None:
        """Make the server unreachable."""
        self._port = self.server.get_host_and_port()[1]
        self.server.stop()

    def up(self) -> None:
        """Make it reachable again, with all that is in it."""
        self.server = type(self.server)(ip_address="127.0.0.1", port=self._port, verbose=False)
        self.server.start()

    def upload(self, folder: Path) -> str:
        """Put a folder into it, without asking the server; its address."""
        for file in folder.rglob("*"):
            if file.is_file():
                key = f"{folder.name}/{file.relative_to(folder).as_posix()}"
                self.stored.put_object("lab", key, file.read_bytes())
        return f"s3://lab/{folder.name}"

    def objects(self) -> dict[str, bytes]:
        """All that is in it, by names; what is replaced meanwhile, before or after that."""
        stored = self.stored.buckets["lab"].keys
        contents = {}
        for name in list(stored):
            while (key := stored.get(name)) is not None:
                try:
                    contents[name] = key.value
                    break
                except ValueError:  # the server closes what a program replaces
                    if not key._value_buffer.closed:
                        raise
        return contents

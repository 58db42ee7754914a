"""A bucket that is full: one sentence, nothing is lost, and `--resume` ends in the same bytes."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator

import pytest

from napari_ssan.paths import located
from napari_ssan.volumes.output_run import unfinished

from .conftest import content

MARKED = ("--defects", "1,3,5,7,9,11", "--method", "average")
WHERE = "s3://lab/deep/out.ome.zarr"
#: What MinIO and Ceph say.
REFUSALS = {
    507: "<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum "
    "free drive threshold.</Message></Error>",
    403: "<Error><Code>QuotaExceeded</Code><Message>quota</Message></Error>",
}


class Quota(http.server.ThreadingHTTPServer):
    """Stands before an S3 server, and takes no more than so many bytes.

    Attributes
    ----------
    left : int
        Bytes that are still taken.
    status : int
        How it refuses what is too much.
    """

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.status, self.left = server, 507, 0


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Quota
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", -1, True

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "PUT":
            self.server.left -= len(body)
            if self.server.left < 0:
                self._answer(self.server.status, {}, REFUSALS[self.server.status].encode())
                return
        real = http.client.HTTPConnection(self.server.behind)
        real.request(self.command, self.path, body, dict(self.headers))
        found = real.getresponse()
        self._answer(found.status, dict(found.headers), found.read())
        real.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = headers.get("Content-Length", len(body)) if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def quota(s3, monkeypatch) -> Iterator[Quota]:
    """The bucket ``lab``, with room for nothing so far."""
    host, port = s3.server.get_host_and_port()
    server = Quota(f"{host}:{port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("status", "room"), [(507, 0), (507, 60_000), (403, 20_000)])
def test_an_output(run, s3, quota, stack, status, room):
    quota.status, quota.left = status, 2**30
    assert run("repair", stack, WHERE, *MARKED)[0] == 0
    whole = s3.objects()
    taken = sum(map(len, whole.values()))
    assert taken > 100_000
    for name in whole:
        s3.stored.delete_object("lab", name)
    quota.left = room
    code, said = run("repair", stack, WHERE, *MARKED)
    assert (code, "the bucket is full, or its quota is used up" in said) == (2, True), said
    assert said.count("napari-ssan: ") == 1
    assert not any(name.endswith("out.ome.zarr/zarr.json") for name in s3.objects())
    assert (unfinished(located(WHERE)) is not None) == bool(room)
    quota.left = 2**30
    code, said = run("repair", stack, WHERE, *MARKED, "--resume")
    assert code == 0, said
    assert ("Going on" in said) == bool(room)
    assert s3.objects() == whole


@pytest.mark.parametrize(
    ("kind", "status", "room"),
    [("0.4", 403, 0), ("0.4", 507, 60_000), ("0.5 sharded", 403, 60_000)],
)
def test_in_place(run, s3, quota, make, tmp_path, kind, status, room):
    quota.status = status
    path = make(kind)
    where, before = s3.upload(path), s3.objects()
    command = ("repair", where, "--in-place", *MARKED, "--backup", tmp_path / "kept")
    quota.left = room
    code, said = run(*command)
    assert (code, "the bucket is full, or its quota is used up" in said) == (2, True), said
    assert s3.objects().keys() <= before.keys() | {f"{path.name}/zarr.json"}
    quota.left = 2**30
    code, said = run(*command, "--resume")
    assert code == 0, said
    assert run("repair", path, "--in-place", *MARKED)[0] == 0
    local = {f"{path.name}/{name}" for name in content(path)}
    assert s3.objects().keys() == local
    now = s3.objects()
    for name in local:
        if name.count("/") > 1:
            assert now[name] == (path.parent / name).read_bytes()
    assert run("restore", where)[0] == 0
    assert s3.objects() == before

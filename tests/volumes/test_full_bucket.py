"""A bucket that is full: one sentence, nothing is lost, and `--resume` ends in the same bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from napari_ssan.paths import located
from napari_ssan.volumes.output_run import unfinished

from .conftest import content
from .front import Front, serving

MARKED = ("--defects", "1,3,5,7,9,11", "--method", "average")
WHERE = "s3://lab/deep/out.ome.zarr"
#: What MinIO and Ceph say.
REFUSALS = {
    507: "<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum "
    "free drive threshold.</Message></Error>",
    403: "<Error><Code>QuotaExceeded</Code><Message>quota</Message></Error>",
}


class Quota(Front):
    """Takes no more than so many bytes.

    Attributes
    ----------
    left : int
        Bytes that are still taken.
    status : int
        How it refuses what is too much.
    """

    status, left = 507, 0

    def refusal(self, method: str, body: bytes) -> tuple[int, str] | None:
        """As it is said that there is no room."""
        if method == "PUT":
            self.left -= len(body)
        return (self.status, REFUSALS[self.status]) if method == "PUT" and self.left < 0 else None


@pytest.fixture
def quota(s3, monkeypatch) -> Iterator[Quota]:
    """The bucket ``lab``, with room for nothing so far."""
    with serving(Quota(s3.place)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


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

"""Volumes at gs://, by the interface of Google's storage that obstore speaks (XML).

Nearly all of it is that of S3, so an S3 server answers; `Google` puts the rest in its words.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from napari_ssan.files import open_stack
from napari_ssan.files.remote import write
from napari_ssan.paths import located
from napari_ssan.volumes.claim import Claim
from napari_ssan.volumes.output_run import unfinished

from .conftest import content
from .front import Front, serving

MARKED = ("--defects", "3,7-8", "--method", "average")


class Google(Front):
    """Says of objects that must be new what S3 says of them."""

    def headers(self, known: dict[str, str]) -> dict[str, str]:
        """With ``If-None-Match`` for generation 0, which is that of no object."""
        told = {name.lower(): value for name, value in known.items()}
        assert told["authorization"].startswith("Bearer ")
        if told.pop("x-goog-if-generation-match", "") == "0":
            told["if-none-match"] = "*"
        return told


@pytest.fixture
def google(s3, monkeypatch) -> Iterator[Google]:
    """The bucket ``lab`` as one of Google's."""
    with serving(Google(s3.place)) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        yield server


@pytest.mark.parametrize("kind", ["0.4", "0.5 sharded"])
def test_in_place_and_back(run, s3, google, make, tmp_path, kind):
    path = make(kind)
    where = s3.upload(path).replace("s3://", "gs://")
    before = s3.objects()
    given = ("--in-place", *MARKED)
    code, said = run("repair", where, *given, "--backup", tmp_path / "kept")
    assert code == 0, said
    assert run("repair", path, *given)[0] == 0
    now = s3.objects()
    for name in content(path):
        if "/" in name:  # not the metadata, which name the backup
            assert now[f"{path.name}/{name}"] == (path / name).read_bytes()
    assert "restorable: 3,7-8" in run("status", where)[1]
    assert run("restore", where)[0] == 0
    assert s3.objects() == before


def test_an_output_has_the_same_bytes_as_on_a_disk(run, s3, google, stack, tmp_path):
    output = tmp_path / "out.ome.zarr"
    assert run("repair", stack, output, *MARKED, "--resume")[0] == 0
    code, said = run("repair", stack, "gs://lab/deep/out.ome.zarr", *MARKED)
    assert code == 0, said
    files = {f"deep/out.ome.zarr/{n}": (output / n).read_bytes() for n in content(output)}
    assert s3.objects() == files
    assert unfinished(located("gs://lab/deep/out.ome.zarr")) is None
    found = open_stack("gs://lab/deep/out.ome.zarr")
    np.testing.assert_array_equal(found.data, open_stack(output).data)


def test_one_run_at_a_time(run, s3, google, make):
    where = s3.upload(make("0.5")).replace("s3://", "gs://")
    before = s3.objects()
    with Claim(located(where), print):
        assert "is being changed by process" in run("restore", where)[1]
    assert s3.objects() == before
    write(located("gs://lab/once"), b"first", new=True)
    with pytest.raises(FileExistsError):
        write(located("gs://lab/once"), b"second", new=True)
    assert s3.objects()["once"] == b"first"

"""Stacks behind addresses, read from real servers on the loopback.

Covers: napari_ssan.paths, napari_ssan.files.remote_clients
"""

from __future__ import annotations

import json
import os
import re
import sys

import numpy as np
import pytest
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.files import open_image, open_stack, remote, remote_clients
from napari_ssan.paths import address, located, spelled


@pytest.mark.parametrize("flavour", ["zarr", "ome-zarr-0.4", "ome-zarr-0.5"])
def test_over_http(web, make, volume, flavour):
    path = make(flavour)
    file = open_stack(f"{web.url}/{path.name}")
    assert file.flavour == flavour
    assert file.calibration.scale == (40, 4, 4)
    assert file.notes == (f"It was not checked whether {path.name} has all of its chunks.",)
    before = len(web.asked)
    np.testing.assert_array_equal(file.stack().read(2), volume()[2])
    assert len(web.asked) - before == 6  # chunks of this section alone
    np.testing.assert_array_equal(np.asarray(file.data), volume())


@pytest.mark.parametrize("flavour", ["zarr", "ome-zarr-0.5"])
def test_from_s3(s3, make, volume, flavour):
    where = s3.upload(make(flavour))
    file = open_stack(where)
    assert spelled(file.path) == where
    assert file.notes == ()
    np.testing.assert_array_equal(np.asarray(file.data), volume())
    assert all("not-to-be-told" not in repr(each) for each in (file, file.path, file.data))


def test_chunks_that_lack_in_a_bucket_are_found(s3, make):
    path = make("zarr")
    (path / "c/3/0/0").unlink()
    file = open_stack(s3.upload(path))
    assert file.stack().incomplete == {3}
    assert "lacks 1 of its 36 chunks" in file.notes[0]


def test_from_google(web, make, volume, monkeypatch):
    """By its own road of Google's XML interface, of which a web server knows enough to be read."""
    path = make("ome-zarr-0.5")
    (path.parent / "lab").mkdir()
    path = path.rename(path.parent / "lab" / path.name)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", web.url.removeprefix("http://"))
    monkeypatch.setattr("napari_ssan.files.completeness.can_list", lambda path: False)
    file = open_stack(f"gs://lab/{path.name}")
    np.testing.assert_array_equal(file.stack().read(2), volume()[2])


@pytest.mark.parametrize("ranges", [False, True])
def test_shards(web, s3, tmp_path, volume, ranges):
    """Of a bucket, only the chunks are read; a plain web server knows no ranges."""
    path = tmp_path / "sharded.zarr"
    zarr.create_array(path, data=volume(), shards=(2, 64, 64), chunks=(1, 32, 32))
    where = s3.upload(path) if ranges else f"{web.url}/sharded.zarr"
    np.testing.assert_array_equal(np.asarray(open_stack(where).data), volume())


@pytest.mark.parametrize("fault", ["drop", "tear", "hang"])
def test_broken_connections_are_tried_again(web, make, volume, fault, monkeypatch):
    monkeypatch.setattr(remote_clients, "SILENCE", 0.3)
    file = open_stack(f"{web.url}/{make('zarr').name}")
    setattr(web, fault, 2)
    np.testing.assert_array_equal(file.stack().read(2), volume()[2])


@pytest.mark.parametrize("fault", ["drop", "tear"])
def test_a_connection_that_stays_broken_ends_in_a_sentence(web, make, fault):
    file = open_stack(f"{web.url}/{make('zarr').name}")
    setattr(web, fault, 1000)
    with pytest.raises(BadInput, match=r"^http://\S+ cannot be read: the server .*network\.$"):
        file.stack().read(2)
    with pytest.raises(BadInput, match=r"^http://\S+ cannot be read: the server .*network\.$"):
        open_stack(f"{web.url}/in.zarr")


def test_a_server_that_is_not_there(web):
    server = web.url
    web.shutdown()
    web.server_close()
    with pytest.raises(BadInput, match=r"cannot be read: the server does not answer"):
        open_stack(f"{server}/in.zarr")


def test_nothing_there(web, s3):
    with pytest.raises(BadInput, match=r"There is no zarr store at http://\S+/none\.zarr;"):
        open_image(f"{web.url}/none.zarr")
    with pytest.raises(BadInput, match=r"There is no zarr store at s3://lab/none\.zarr;"):
        open_stack("s3://lab/none.zarr")


def test_a_server_that_denies_what_is_not_there(web, make, volume):
    path = make("zarr", zarr_format=2)
    web.deny = ".zgroup"
    np.testing.assert_array_equal(open_stack(f"{web.url}/{path.name}").data[2], volume()[2])
    web.deny = "2.0.0"
    with pytest.raises(BadInput, match="access is denied; check the credentials"):
        open_stack(f"{web.url}/{path.name}").stack().read(2)


@pytest.mark.parametrize(
    "text",
    [
        "https://me:secret@host/v.zarr",
        "http://host:80/v.zarr?X-Amz-Signature=secret",
        "s3://key:secret@lab/v.zarr",
    ],
)
def test_passwords_and_signatures_are_refused_and_not_told(text):
    with pytest.raises(BadInput, match=r"was given with a password or a query") as refused:
        open_stack(text)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_password_in_netrc(web, make, monkeypatch, tmp_path):
    """It is sent to the server, and told to nobody else."""
    path = make("zarr")
    heard = []
    handler = web.RequestHandlerClass.func
    monkeypatch.setattr(
        handler, "log_request", lambda self, *_: heard.append(self.headers["Authorization"])
    )
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    open_stack(f"{web.url}/{path.name}").stack().read(0)
    assert set(heard) == {"Basic bWU6c2VjcmV0"}


def test_without_the_extra(monkeypatch):
    remote_clients._client.cache_clear()
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    said = re.escape('which needs obstore.store: pip install "napari-ssan[remote]".')
    with pytest.raises(BadInput, match=said):
        open_stack("https://host/v.zarr")


def test_a_file_url(make, volume, tmp_path):
    path = make("zarr").rename(tmp_path / "a b.zarr")
    np.testing.assert_array_equal(open_stack(path.as_uri()).data[1], volume()[1])


def test_addresses_keep_their_parts(tmp_path):
    path = located("S3://lab/a/v.ome.zarr/")
    assert (path.name, address(path), address(path.parent)) == (
        "v.ome.zarr", "s3://lab/a/v.ome.zarr", "s3://lab/a",
    )  # fmt: skip
    assert located(path) == path
    assert address(tmp_path / "s3:/x") is None


def test_objects(s3):
    path = located("s3://lab/a/b")
    assert remote.read(path) is None
    remote.write(path, b"one", new=True)
    with pytest.raises(FileExistsError):
        remote.write(path, b"two", new=True)
    remote.write(path, b"two")
    assert remote.read(path) == b"two"
    assert list(remote.names(path.parent)) == [("b", 3)]
    remote.remove(path)
    remote.remove(path)
    assert remote.read(path) is None


def test_no_such_bucket(s3):
    with pytest.raises(BadInput, match=r"cannot be written: there is no such bucket\.$"):
        remote.write(located("s3://nobody/a"), b"")
    with pytest.raises(BadInput, match="There is no zarr store at s3://nobody/v"):
        open_stack("s3://nobody/v.zarr")


def test_an_object_whose_answer_was_lost_is_our_own(s3):
    path = located("s3://lab/claim")
    remote.write(path, b"mine", new=True)
    remote.write(path, b"mine", new=True)
    with pytest.raises(FileExistsError):
        remote.write(path, b"another's", new=True)


def test_wrong_credentials(s3, monkeypatch, make):
    s3.upload(make("zarr"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(BadInput, match=r"^s3://lab cannot be opened: .*nobody"):
        open_stack("s3://lab/in.zarr")


def test_credentials_of_google(monkeypatch, tmp_path):
    """As google.auth finds them; without any, requests are not signed."""
    pytest.importorskip("google.auth")
    pytest.importorskip("obstore")
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    assert remote_clients._gcs() == {"skip_signature": True}
    user = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    (tmp_path / "user.json").write_text(json.dumps(user))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "user.json"))
    assert set(remote_clients._gcs()) == {"credential_provider"}


def test_credentials_of_a_profile(s3, make, volume, monkeypatch, tmp_path):
    where = s3.upload(make("zarr"))
    config = tmp_path / "config"
    config.write_text(
        "[profile lab]\nregion = us-east-1\n"
        f"endpoint_url = {os.environ['AWS_ENDPOINT_URL']}\n"
        "aws_access_key_id = a\naws_secret_access_key = b\n"
    )
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    np.testing.assert_array_equal(open_stack(where).data[2], volume()[2])

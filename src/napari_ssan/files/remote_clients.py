"""Clients of servers and buckets: timeouts, several tries, and credentials from the environment.

obstore is an extra, and only imported here and in `remote`. Pauses between tries become longer and
longer. Easy to get wrong: credentials are read anew when the environment changes.
"""

from __future__ import annotations

import netrc
import os
from base64 import b64encode
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from napari_ssan.errors import BadInput

if TYPE_CHECKING:
    from obstore.store import GCSStore, HTTPStore, S3Store

#: Seconds until a connection must stand, without a byte of an answer, and until all is there.
CONNECT, SILENCE, LONGEST = 10.0, 60.0, 3600.0
#: How often something is tried again, within how many seconds, and the first and longest pause.
TRIES, PATIENCE, PAUSES = 8, 180.0, (0.2, 15.0)


def client_of(where: str) -> HTTPStore | S3Store | GCSStore:
    """Client for all below an address.

    Raises
    ------
    BadInput
        If obstore is not installed, or settings in the environment make no sense.
    """
    return _client(where, _settings())


def _settings() -> tuple[str | None, ...]:
    """What in the environment decides who is asked, and as whom."""
    own = ("AWS_", "GOOGLE_", "STORAGE_EMULATOR_HOST", "NETRC")
    return tuple(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(own))


@lru_cache(maxsize=32)
def _client(where: str, settings: tuple[str | None, ...]) -> HTTPStore | S3Store | GCSStore:
    """Client for all below an address; `settings` only tells clients apart."""
    scheme, _, rest = where.partition("://")
    server, _, inner = rest.partition("/")
    client: dict[str, Any] = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=CONNECT),
        "read_timeout": timedelta(seconds=SILENCE),
        "timeout": timedelta(seconds=LONGEST),
    }
    retry: dict[str, Any] = {
        "max_retries": TRIES,
        "retry_timeout": timedelta(seconds=PATIENCE),
        "backoff": {
            "init_backoff": timedelta(seconds=PAUSES[0]),
            "max_backoff": timedelta(seconds=PAUSES[1]),
            "base": 2,
        },
    }
    options: dict[str, Any] = {"client_options": client, "retry_config": retry}
    try:
        from obstore.store import GCSStore, HTTPStore, S3Store

        if scheme == "s3":
            return S3Store(server, prefix=inner or None, **_s3(server), **options)
        if scheme == "gs":
            return GCSStore(server, prefix=inner or None, **_gcs(), **options)
    except ImportError as error:
        raise BadInput(
            f'{where} is an address, which needs {error.name}: pip install "napari-ssan[remote]".'
        ) from None
    client["default_headers"] = login(server.partition(":")[0])
    return HTTPStore.from_url(where, **options)


def login(host: str) -> dict[str, str]:
    """Header with name and password of a server, from the file .netrc."""
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return {}
    if not found:
        return {}
    return {"authorization": f"Basic {b64encode(f'{found[0]}:{found[2]}'.encode()).decode()}"}


def s3_place(bucket: str) -> tuple[str | None, str]:
    """Endpoint, if it is not Amazon's own, and region of a bucket, as boto3 finds them."""
    endpoint, region, _ = _session(bucket)
    return endpoint, region


def _s3(bucket: str) -> dict[str, Any]:
    """Endpoint, region and credentials of a bucket; without any, nothing is signed."""
    from obstore.auth.boto3 import Boto3CredentialProvider

    endpoint, region, session = _session(bucket)
    options = {"region": region} | ({"endpoint": endpoint} if endpoint else {})
    if session.get_credentials() is None:
        return {**options, "skip_signature": True}
    return {**options, "credential_provider": Boto3CredentialProvider(session)}


def _session(bucket: str) -> tuple[str | None, str, Any]:
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        session.get_credentials()
        endpoint = session.client("s3").meta.endpoint_url
    except (BotoCoreError, ValueError) as error:
        raise BadInput(f"s3://{bucket} cannot be opened: {error}") from error
    region = session.region_name or "us-east-1"
    return None if ".amazonaws.com" in endpoint else endpoint, region, session


def _gcs() -> dict[str, Any]:
    """Endpoint and credentials, as google.auth finds them; without any, nothing is signed."""
    if emulator := os.environ.get("STORAGE_EMULATOR_HOST"):
        where = emulator if "://" in emulator else f"http://{emulator}"
        # Writing asks for a token even where nothing is signed.
        token = {"token": "emulator", "expires_at": None}
        return {"base_url": where, "credential_provider": lambda: token}
    from google.auth.exceptions import DefaultCredentialsError
    from obstore.auth.google import GoogleCredentialProvider

    try:
        return {"credential_provider": GoogleCredentialProvider()}
    except DefaultCredentialsError:
        return {"skip_signature": True}

"""A server before an S3 server, which changes what is asked for or refuses it."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Front(http.server.ThreadingHTTPServer):
    """Passes everything on.

    Parameters
    ----------
    behind : str
        Host and port of the S3 server.
    """

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def refusal(self, method: str, body: bytes) -> tuple[int, str] | None:
        """Status and text if something is not passed on."""

    def headers(self, known: dict[str, str]) -> dict[str, str]:
        """What the S3 server is told for the headers of a request."""
        return known


@contextmanager
def serving(front: Front) -> Iterator[Front]:
    """Have it answer."""
    thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield front
    finally:
        front.shutdown()
        front.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Front
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", -1, True

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if refusal := self.server.refusal(self.command, body):
            self._answer(refusal[0], {}, refusal[1].encode())
            return
        real = http.client.HTTPConnection(self.server.behind)
        real.request(self.command, self.path, body, self.server.headers(dict(self.headers)))
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

    def log_message(self, *args: Any) -> None:
        pass

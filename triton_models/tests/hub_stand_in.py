"""A model hub on this machine, for tests: serves files with ranges, cuts lines, sends people elsewhere, tells of files."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# The real one keeps files from 10 MB on by git-lfs, and their sha256 in its lists.
_LARGE_BYTES = 1000


@dataclass
class Request:
    path: str
    range: str
    authorization: str


@dataclass
class Hub:
    """
    files: by "repository/path". cuts: how many bytes of each of the next answers are sent before the line is cut.
    codes: what a path is answered with instead. elsewhere: the address of another hub that has the files. ranges: False
    for one that has never heard of them. gate: files are sent once it is set.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    elsewhere: str = ""
    ranges: bool = True
    gate: threading.Event = field(default_factory=threading.Event)
    requests: list[Request] = field(default_factory=list)
    bytes_sent: int = 0
    address: str = ""

    def asked(self) -> list[str]:
        return [request.range for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_what: object) -> None:
        pass

    def do_GET(self) -> None:
        headers = self.headers
        self.hub.requests.append(Request(self.path, headers.get("Range", ""), headers.get("Authorization", "")))
        if told := re.fullmatch(r"/api/models/(.+)/revision/([^?]+)\?blobs=true", self.path):
            self._tell(told[1], unquote(told[2]))
        elif file := re.fullmatch(r"/(.+)/resolve/[^/]+/(.+)", self.path):
            self._serve(f"{file[1]}/{file[2]}")
        else:
            self.send_error(404)

    def _tell(self, repository: str, revision: str) -> None:
        prefix = f"{repository}/"
        files = {name.removeprefix(prefix): data for name, data in self.hub.files.items() if name.startswith(prefix)}
        if not files or revision not in {"main", "refs/pr/7", COMMIT}:
            self.send_error(404)
            return
        body = json.dumps({"sha": COMMIT, "siblings": [_told(path, data) for path, data in files.items()]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self, name: str) -> None:
        if code := self.hub.codes.get(name):
            self.send_error(code)
        elif self.hub.elsewhere:
            self.send_response(302)
            self.send_header("Location", self.hub.elsewhere + self.path)
            self.end_headers()
        elif name not in self.hub.files:
            self.send_error(404)
        else:
            self._send(self.hub.files[name])

    def _send(self, content: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if self.hub.ranges else None
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.flush()
        self.hub.gate.wait()
        part = content[start : start + self.hub.cuts.pop(0)] if self.hub.cuts else content[start:]
        self.hub.bytes_sent += len(part)
        self.wfile.write(part)


def _told(path: str, data: bytes) -> dict[str, object]:
    known: dict[str, object] = {"rfilename": path, "size": len(data)}
    if len(data) >= _LARGE_BYTES:
        known["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return known


@contextmanager
def served() -> Iterator[Hub]:
    """Serve a hub on a free port of 127.0.0.1."""
    hub = Hub()
    hub.gate.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()

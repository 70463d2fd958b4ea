"""A registry on loopback that serves one image archive, to those who know the password."""

from __future__ import annotations

import base64
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

USER, PASSWORD = "reader", "right"
NAME = "team/web"


@contextmanager
def registry(archive: bytes) -> Iterator[str]:
    """The reference of the image in it, `team/web:1`."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = {each.name: file.read() for each in opened if each.isfile() and (file := opened.extractfile(each))}
    top = json.loads(files["index.json"])["manifests"][0]
    blobs = {name.removeprefix("blobs/").replace("/", ":"): content for name, content in files.items()}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(blobs, top))
    serving = threading.Thread(target=server.serve_forever, name="registry")
    serving.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}/{NAME}:1"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def _handler(blobs: dict[str, bytes], top: dict[str, Any]) -> type[http.server.BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.headers.get("Authorization") != expected:
                self._answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="registry"'})
                return
            digest = top["digest"] if self.path == f"/v2/{NAME}/manifests/1" else self.path.rpartition("/")[2]
            content = blobs.get(digest)
            if content is None:
                self._answer(404, b"{}", {})
                return
            kind = "application/octet-stream"
            if "/manifests/" in self.path:
                kind = json.loads(content)["mediaType"]
            self._answer(200, content, {"Content-Type": kind, "Docker-Content-Digest": digest})

        do_HEAD = do_GET

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    return Handler

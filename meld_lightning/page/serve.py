"""Serves the page on this machine alone, and writes it again when runs finish.

Reads index.html and looks at the run folders; writes nothing itself. Used by the command `report`
with serve=true. The page that is served asks every few seconds for the digest of its results and
loads itself again when it changes.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from meld_lightning.errors import UserError
from meld_lightning.storage.fingerprint import bytes_digest

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
LOOK_S = 3.0  # seconds between two looks at the run folders
POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server(ThreadingHTTPServer):
    """Answers / with the page and /version with its digest, to requests for this host and port.

    port: 0 takes any that is free. Raises UserError where the port is taken.
    """

    daemon_threads = True
    page = b""
    version = ""
    policy = ""

    def __init__(self, port: int) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(
                f"port={port}: {reason}; give another, such as port={port + 1}"
            ) from error

    @property
    def address(self) -> str:
        """http://127.0.0.1:PORT/"""
        return f"http://{HOST}:{self.server_port}/"

    def show(self, path: Path) -> None:
        """Serves the page in `path` from now on. It may connect to this server and to no other."""
        text = path.read_text(encoding="utf-8")
        text = text.replace("connect-src 'none'", "connect-src 'self'", 1)
        found = POLICY.search(text)
        assert found is not None, path
        self.policy = f"{found[1]}; frame-ancestors 'none'"
        self.page = text.encode()
        self.version = bytes_digest([self.page])[:12]


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        # a name that leads to 127.0.0.1 may be another site's (DNS rebinding)
        if self.headers.get("Host") not in (
            f"{HOST}:{self.server.server_port}",
            f"localhost:{self.server.server_port}",
        ):
            self.send_error(421, "This page is served for this machine alone")
        elif self.path in ("/", "/index.html"):
            self._answer("text/html; charset=utf-8", self.server.page)
        elif self.path == "/version":
            self._answer("text/plain; charset=utf-8", self.server.version.encode())
        else:
            self.send_error(404)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        headers = {**HEADERS, "Content-Security-Policy": self.server.policy, "Content-Type": kind}
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for every look of the page would bury what the command says."""


def serve(build: Callable[[], Path], runs: Path, port: int, stop: threading.Event) -> None:
    """Serves what `build` writes until `stop` is set, and builds it again when a run finishes.

    runs: the folder of the run folders. A page that cannot be built again stays as it is, with a
    warning that says why.
    """
    with Server(port) as server:
        seen = finished(runs)
        server.show(build())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"{server.address}   (Ctrl+C ends it)", flush=True)
        while not stop.wait(LOOK_S):
            now = finished(runs)
            if now == seen:
                continue
            seen = now
            try:
                server.show(build())
            except UserError as error:
                logger.warning("the page stays as it is: %s", error)
        server.shutdown()


def finished(runs: Path) -> list[tuple[str, int]]:
    """The finished runs, and when each finished."""
    found = []
    for path in sorted(runs.glob("*/*/result.json")):
        try:
            found.append((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:  # removed meanwhile
            continue
    return found

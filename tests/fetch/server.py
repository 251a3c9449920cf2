"""A file server on this machine that behaves as badly as the ones that MELD is downloaded from."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import MappingProxyType
from typing import Any

import numpy as np

CONTENT = np.random.default_rng(0).bytes(300_000)
ETAG = '"first"'
STEP = 50_000  # bytes that a request breaks off after


@dataclass
class Server:
    """What is served, how, and what was asked for.

    behave: answers one request; gets the handler and its number. ended: set when the test is over.
    """

    url: str = ""
    content: bytes = CONTENT
    etag: str | None = ETAG
    behave: Callable[["Handler", int], None] | None = None
    ranges: list[str | None] = field(default_factory=list)
    ended: Event = field(default_factory=Event)


class Handler(BaseHTTPRequestHandler):
    """Serves `given.content` under every path, with ranges and If-Range."""

    protocol_version = "HTTP/1.1"
    given: Server

    def do_GET(self) -> None:
        self.given.ranges.append(self.headers.get("Range"))
        if self.given.behave is not None:
            self.given.behave(self, len(self.given.ranges))
        else:
            self.serve()

    do_HEAD = do_GET

    def serve(self, ends_after: int | None = None) -> None:
        """As a good server does, or a part of the body and then the end of the connection."""
        content, start = self.given.content, self.start_asked()
        if start >= len(content):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        elif start:
            span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            self.answer(206, content[start:], span, ends_after)
        else:
            self.answer(200, content, ends_after=ends_after)

    def start_asked(self) -> int:
        """The first byte asked for; 0 where another version of the file was asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        fits = self.headers.get("If-Range") == self.given.etag
        return int(asked[1]) if asked and fits else 0

    def answer(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] = MappingProxyType({}),
        ends_after: int | None = None,
    ) -> None:
        self.send_response(status)
        usual = {"Content-Length": str(len(body))}
        if self.given.etag is not None:
            usual["ETag"] = self.given.etag
        for name, value in {**usual, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:ends_after])
        self.close_connection = ends_after is not None or "Content-Length" in headers

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(**how: Any) -> Iterator[Server]:
    """Runs a server for the block."""
    given = Server(**how)
    handler = type("OwnHandler", (Handler,), {"given": given})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        given.url = f"http://127.0.0.1:{http.server_port}/file"
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield given
        finally:
            given.ended.set()
            http.shutdown()
            thread.join()

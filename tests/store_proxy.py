"""Stands between clients and an object store, and behaves as a store in trouble does."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

THROTTLED = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
LATE_SECONDS = (0.5, 5.0)
HUNG_SECONDS = 40.0
"""Longer than clients wait for an answer."""
TROUBLES = {"throttled": 0.05, "late": 0.03, "lost": 0.02, "hung": 0.001}
"""Share of requests that are refused with 503, answered late, done but not answered, and done but answered too late."""
OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect"}


class StoreProxy:
    """Passes requests on to an object store, in a process of its own: clients may hold Python's lock while they wait.

    Args:
        upstream: URL of the store.
    """

    def __init__(self, upstream: str) -> None:
        context = get_context("spawn")
        self._is_in_trouble, self._counts, self._port = (
            context.Event(),
            context.Array("i", len(TROUBLES)),
            context.Queue(),
        )
        shared = (self._is_in_trouble, self._counts, self._port)
        self._process = context.Process(target=_serve, args=(urlsplit(upstream).netloc, *shared), daemon=True)
        self.url = ""
        """Where clients find it."""

    def __enter__(self) -> "StoreProxy":
        self._process.start()
        self.url = f"http://127.0.0.1:{self._port.get(timeout=60)}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    @contextmanager
    def in_trouble(self) -> Iterator[None]:
        """Some requests go wrong meanwhile."""
        self._is_in_trouble.set()
        try:
            yield
        finally:
            self._is_in_trouble.clear()

    @property
    def did(self) -> dict[str, int]:
        """How often it did each kind of trouble."""
        return dict(zip(TROUBLES, self._counts, strict=True))


def _serve(upstream: str, is_in_trouble: Any, counts: Any, port: Any) -> None:
    chance, kinds = random.Random(0), [*TROUBLES, None]
    shares = [*TROUBLES.values(), 1 - sum(TROUBLES.values())]

    def draw() -> str | None:
        """What goes wrong with the next request; None for nothing."""
        (trouble,) = chance.choices(kinds, shares) if is_in_trouble.is_set() else [None]
        if trouble is not None:
            with counts.get_lock():
                counts[kinds.index(trouble)] += 1
        return trouble

    server = _Server(("127.0.0.1", 0), partial(_Request, draw, upstream))
    port.put(server.server_port)
    server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that has given up or died is no error."""


class _Request(BaseHTTPRequestHandler):
    """The requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"

    def __init__(self, draw: Callable[[], str | None], upstream: str, *connection: object) -> None:
        self._draw = draw
        self._upstream = HTTPConnection(upstream)
        super().__init__(*connection)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        trouble = self._draw()
        if trouble == "throttled":
            self._answer(503, {"Content-Type": "application/xml", "Content-Length": str(len(THROTTLED))}, THROTTLED)
            return
        try:
            response = self._ask(body)
        except (BrokenPipeError, ConnectionResetError, RemoteDisconnected):
            # The store has ended a connection on which nothing was asked for a while.
            self._upstream.close()
            response = self._ask(body)
        content = response.read()
        if trouble == "late":
            time.sleep(random.uniform(*LATE_SECONDS))
        elif trouble == "hung":
            time.sleep(HUNG_SECONDS)
        elif trouble == "lost":
            self.close_connection = True
            return
        self._answer(response.status, dict(response.getheaders()), content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def _ask(self, body: bytes) -> HTTPResponse:
        # As it came, since its headers are signed.
        self._upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in OF_CONNECTION:
                self._upstream.putheader(name, value)
        self._upstream.endheaders(body or None)
        return self._upstream.getresponse()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        named = {name: value for name, value in headers.items() if name.lower() not in OF_CONNECTION}
        if self.command != "HEAD" and status not in (204, 304):
            named = {name: value for name, value in named.items() if name.lower() != "content-length"}
            named["Content-Length"] = str(len(content))
        for name, value in named.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

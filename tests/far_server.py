"""A server on loopback that stands in for the internet: names lead to public addresses, connections to loopback."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import httpx

ADDRESSES = {
    "photos.test": ["93.184.216.34"],
    "other.test": ["2606:2800:220:1::1"],
    "two.test": ["93.184.216.35", "93.184.216.36"],
    "internal.test": ["10.0.0.5"],
    "mixed.test": ["93.184.216.34", "127.0.0.1"],
    "nowhere.test": [],
}


def resolve(host: str, port: int) -> list[str]:
    return ADDRESSES.get(host) or [host]


class Seen(NamedTuple):
    """A request as it was sent: to which address, with what."""

    method: str
    url: str
    headers: httpx.Headers
    server_name: str
    body: bytes


class FarServer:
    """Answers by `answers`: a path to what writes the answer. `seen` holds what was sent, in order."""

    def __init__(self, context: ssl.SSLContext | None = None):
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.seen: list[Seen] = []
        self.unreachable: set[str] = set()
        self.over = threading.Event()  # set when the test is over: for answers that never come
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.answers))
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]

    def transport(self, verify: ssl.SSLContext | bool = True) -> httpx.AsyncBaseTransport:
        """What a Fetcher sends with."""
        return _ToLoopback(self, httpx.AsyncHTTPTransport(verify=verify, trust_env=False))

    def redirect(self, path: str, location: str, status: int = 302, **headers: str) -> None:
        """Answer `path` by a redirect."""
        self.answer(path, b"moved", status, Location=location, **headers)

    def answer(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Answer `path` by this."""

        def write(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            request.wfile.write(body)

        self.answers[path] = write

    @contextmanager
    def running(self) -> Iterator["FarServer"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _ToLoopback(httpx.AsyncBaseTransport):
    def __init__(self, server: FarServer, inner: httpx.AsyncHTTPTransport):
        self._server, self._inner = server, inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.extensions["sni_hostname"]
        self._server.seen.append(Seen(request.method, str(request.url), request.headers, name, request.read()))
        if request.url.host in self._server.unreachable:
            raise httpx.ConnectError("unreachable")
        request.url = request.url.copy_with(host="127.0.0.1", port=self._server.port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _handler(answers: dict) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answers[self.path](self)
            except (BrokenPipeError, ConnectionResetError):  # whoever refuses an answer hangs up
                self.close_connection = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler

"""Requests to addresses that strangers give: photos are fetched, callbacks posted. Knows no tune and no prompt.

A host's name is resolved once, every address it has must be a public one, and the connection goes to the address that
was checked, with the certificate verified against the name: there is no second look-up that could answer otherwise
(DNS rebinding). Redirects are followed by hand, so that each hop is checked as the first was. There is no client that
could keep a cookie, take up a proxy or a password that the machine is set up with, or log a URL.
"""

import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TypeVar

import anyio
import httpx

from faceid.domain import Upload
from faceid.errors import BadURL
from faceid.validation import clean_file_name

PORTS = {"http": (80, 8080), "https": (443, 8443)}
MOST_REDIRECTS = 3
LONGEST_URL = 2048
CONNECT_SECONDS = 5.0
USER_AGENT = "FaceID-for-Flux"

_REFUSED = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments: Pythons differ in what they make of them
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # Azure's own services, by an address that looks public
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
]
_UNICAST = ipaddress.ip_network("2000::/3")  # no mapped, compatible, NAT64, site-local or multicast address is in it

Resolve = Callable[[str, int], Iterable[str]]
MakeTransport = Callable[[], httpx.AsyncBaseTransport]
Answer = TypeVar("Answer")


def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a host as the operating system knows them; OSError where there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: str) -> bool:
    """Whether an IP address is a host's on the public internet: see RFC 6890 and the IANA special-purpose registries.

    Not so are private, shared (100.64/10), loopback, link-local, site-local, multicast and documentation addresses, and
    whatever leads to an IPv4 address by way of another: mapped, compatible, 6to4, Teredo, NAT64.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.version == 6 and ip not in _UNICAST:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _REFUSED)


def check_url(url: str, *, field: str) -> httpx.URL:
    """The URL, parsed. BadURL unless it is http(s) with a host, on a web port, without a user name or password.

    Where the host leads is looked at when it is connected to, not here.
    """
    try:
        if not isinstance(url, str) or len(url) > LONGEST_URL:
            raise BadURL(f"{field}: a URL is a text of at most {LONGEST_URL} characters.", field=field)
        parsed = httpx.URL(url.strip())
        host = _host(parsed)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadURL(f"{field}: is not a URL; give one like https://example.com/me.jpg.", field=field) from error
    if parsed.scheme not in PORTS or not host:
        raise BadURL(f"{field}: a URL starts with https:// or http://, and a host.", field=field)
    if parsed.userinfo:
        raise BadURL(f"{field}: the URL on {host} has a user name or password; none is sent.", field=field)
    if (parsed.port or PORTS[parsed.scheme][0]) not in PORTS[parsed.scheme]:
        taken = " or ".join(map(str, PORTS[parsed.scheme]))
        raise BadURL(f"{field}: port {parsed.port} of {host} is not taken; use {taken}.", field=field)
    return parsed.copy_with(fragment=None)


class Fetcher:
    """Fetches files and posts callbacks. Blocking: call it from a thread that runs no event loop; any number may.

    `resolve` gives a host's addresses; `transport` makes what one request is sent with: its URL has a checked address
    for its host. `seconds` is the most that all of a fetch or a post may take, from the name to the last byte.
    """

    def __init__(
        self, *, resolve: Resolve = resolve_host, transport: MakeTransport | None = None, seconds: float = 30.0
    ):
        self._resolve = resolve
        self._transport = transport or _transport_maker()
        self._seconds = seconds

    def fetch(self, url: str, max_bytes: int, *, field: str = "image_urls") -> Upload:
        """The file at `url`, named by the last part of its path; after 3 redirects at most.

        BadURL names the host and says why not. A compressed answer is refused, as none was asked for: the bytes that
        are counted are the file's.
        """
        target = check_url(url, field=field)
        return anyio.run(self._in_time, target, field, partial(self._fetch, target, max_bytes, field))

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, field: str = "callback") -> int:
        """Post `body` and give the answer's status; nothing more of it is read, no redirect followed. BadURL."""
        target = check_url(url, field=field)
        return anyio.run(self._in_time, target, field, partial(self._post, target, body, headers, field))

    async def _in_time(self, target: httpx.URL, field: str, work: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            with anyio.fail_after(self._seconds):
                return await work()
        except TimeoutError:
            waited = f"did not give its whole answer within {self._seconds:g} seconds"
            raise BadURL(f"{field}: {_host(target)} {waited}.", field=field) from None

    async def _fetch(self, first: httpx.URL, max_bytes: int, field: str) -> Upload:
        target = first
        headers = {"Accept": "image/*", "Accept-Encoding": "identity"}
        for _ in range(MOST_REDIRECTS + 1):
            async with self._exchange("GET", target, headers, field) as response:
                if not response.has_redirect_location:
                    name = clean_file_name(first.path) or _host(first)
                    return Upload(name, await _read_file(response, max_bytes, _host(target), field))
                location = str(target.join(response.headers["location"]))
            target = check_url(location, field=field)
        raise BadURL(f"{field}: {_host(first)} redirects more than {MOST_REDIRECTS} times.", field=field)

    async def _post(self, target: httpx.URL, body: bytes, headers: Mapping[str, str], field: str) -> int:
        async with self._exchange("POST", target, headers, field, body) as response:
            return response.status_code

    @asynccontextmanager
    async def _exchange(
        self, method: str, target: httpx.URL, headers: Mapping[str, str], field: str, body: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """One request on a connection of its own: on another host's, this one's certificate was never checked."""
        addresses = await self._public_addresses(target, field)
        given = {"Host": target.netloc.decode("ascii"), "User-Agent": USER_AGENT, **headers}
        extensions = {"sni_hostname": _host(target), "timeout": {"connect": CONNECT_SECONDS}}
        pinned = [
            httpx.Request(method, target.copy_with(host=address), headers=given, content=body, extensions=extensions)
            for address in addresses
        ]
        with _explained(target, field):
            async with self._transport() as transport:
                response = await _send_to_first_reached(transport, pinned)
                try:
                    yield response
                finally:
                    await response.aclose()

    async def _public_addresses(self, target: httpx.URL, field: str) -> list[str]:
        """The host's addresses. BadURL where there is none, or one that is not public, with the same text for both."""
        host, port = _host(target), target.port or PORTS[target.scheme][0]
        try:
            addresses = list(await anyio.to_thread.run_sync(self._resolve, host, port, abandon_on_cancel=True))
        except (OSError, ValueError):
            addresses = []
        if not addresses or not all(map(is_public, addresses)):
            raise BadURL(f"{field}: {host} is not known, or leads to an address that is not public.", field=field)
        return addresses


def _transport_maker() -> MakeTransport:
    """Makes transports that verify certificates by certifi's roots, keep no connection and know no proxy."""
    context = httpx.create_ssl_context(trust_env=False)
    limits = httpx.Limits(max_keepalive_connections=0)
    return partial(httpx.AsyncHTTPTransport, verify=context, trust_env=False, limits=limits)


async def _send_to_first_reached(transport: httpx.AsyncBaseTransport, pinned: list[httpx.Request]) -> httpx.Response:
    *others, last = pinned
    for request in others:
        try:
            return await transport.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue
    return await transport.handle_async_request(last)


async def _read_file(response: httpx.Response, max_bytes: int, host: str, field: str) -> bytes:
    if response.status_code != 200:
        raise BadURL(f"{field}: {host} answered with status {response.status_code}, not with a file.", field=field)
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise BadURL(f"{field}: {host} sends the file compressed, which was not asked for.", field=field)
    too_large = BadURL(f"{field}: the file on {host} has more than {max_bytes / 2**20:g} MB.", field=field)
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large
    content = bytearray()
    async for chunk in response.aiter_raw():
        if len(content) + len(chunk) > max_bytes:
            raise too_large
        content += chunk
    return bytes(content)


@contextmanager
def _explained(target: httpx.URL, field: str) -> Iterator[None]:
    """Turns what a connection can raise into BadURL, which names the host and nothing else of the URL."""
    host = _host(target)
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        why = "its certificate is not valid for it" if "CERTIFICATE" in str(error) else "no connection could be made"
        raise BadURL(f"{field}: {host} cannot be reached: {why}.", field=field) from None
    except (httpx.TransportError, httpx.InvalidURL):
        raise BadURL(f"{field}: {host} did not answer in proper HTTP.", field=field) from None


def _host(url: httpx.URL) -> str:
    """The host in ASCII, as DNS and certificates have it."""
    return url.raw_host.decode("ascii").rstrip(".")

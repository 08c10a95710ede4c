"""Requests to strangers' addresses: public hosts only, the address that was checked, so much and no longer."""

import datetime
import ipaddress
import logging
import ssl
import threading
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from far_server import FarServer, resolve
from hypothesis import given
from hypothesis import strategies as st

from faceid.domain import Upload
from faceid.errors import BadURL
from faceid.fetching import Fetcher, check_url, is_public, resolve_host

MOST = 1000


@pytest.fixture
def far():
    with FarServer().running() as server:
        yield server


@pytest.fixture
def fetcher(far):
    return Fetcher(resolve=resolve, transport=far.transport)


def refused(call, *args, **kwargs) -> str:
    with pytest.raises(BadURL) as error:
        call(*args, **kwargs)
    return str(error.value)


# Addresses

NOT_PUBLIC = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00:ec2::254"],
    "shared": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%1"],
    "site-local": ["fec0::1", "feff::1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "100::1", "5f00::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "benchmarking": ["198.18.0.1", "2001:2::1"],
    "protocol assignments": ["192.0.0.1", "192.0.0.192", "192.88.99.1"],
    "the cloud's own": ["168.63.129.16"],
    "mapped": ["::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8"],
    "compatible": ["::127.0.0.1", "::8.8.8.8"],
    "6to4": ["2002:7f00:1::1", "2002:808:808::1"],
    "Teredo": ["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::10.0.0.1"],
    "nothing": ["", "localhost", "1.2.3", "1.2.3.4.5", "0x7f.1", "::g"],
}


@pytest.mark.parametrize("address", [address for group in NOT_PUBLIC.values() for address in group])
def test_what_is_not_a_host_on_the_public_internet(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111"])
def test_what_is(address):
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_public_is_anything_else(address):
    if is_public(str(address)):
        assert address.is_global
        assert not any([address.is_multicast, address.is_private, address.is_loopback, address.is_link_local])
        assert address.version == 4 or not (address.ipv4_mapped or address.sixtofour or address.teredo)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "[::]"])
def test_this_machine_is_not_fetched_from_however_it_is_written(host):
    """By the operating system's own resolver, which reads numbers as addresses too."""
    assert "not public" in refused(Fetcher().fetch, f"http://{host}/", MOST)


def test_the_operating_system_resolves():
    assert set(resolve_host("localhost", 80)) <= {"127.0.0.1", "::1"}
    assert resolve_host("127.0.0.1", 80) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["internal.test", "mixed.test", "nowhere.test", "169.254.169.254", "[fd00::1]"])
def test_every_address_of_a_host_must_be_public(far, fetcher, host):
    message = refused(fetcher.fetch, f"http://{host}/a.jpg?token=secret", MOST)
    assert host.strip("[]") in message
    assert "secret" not in message
    assert far.seen == []


def test_a_name_that_cannot_be_encoded_or_found():
    def fails(host, port):
        raise OSError("no such host")

    assert "not known" in refused(Fetcher(resolve=fails).fetch, "http://photos.test/", MOST)
    assert "not known" in refused(Fetcher().fetch, f"http://{'a' * 70}.test/", MOST)


# URLs


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "starts with https"),
        ("photos.test/a.jpg", "starts with https"),
        ("//photos.test/a.jpg", "starts with https"),
        ("file:///etc/passwd", "starts with https"),
        ("ftp://photos.test/a", "starts with https"),
        ("gopher://photos.test/", "starts with https"),
        ("data:image/png;base64,AA==", "starts with https"),
        ("http:///a.jpg", "starts with https"),
        ("http://./", "starts with https"),
        ("http://me@photos.test/", "user name"),
        ("http://me:secret@photos.test/", "user name"),
        ("http://photos.test:22/", "port 22"),
        ("http://photos.test:443/", "port 443"),
        ("https://photos.test:80/", "port 80"),
        ("http://photos.test:99999/", "port 99999"),
        ("http://photos.test:x/", "not a URL"),
        ("http://[::1/", "not a URL"),
        ("http://photos.test/\n", None),
        ("http://photos.test/a\nb", "not a URL"),
        ("http://photos.test/\x00", "not a URL"),
        (f"http://photos.test/{'a' * 2048}", "at most 2048"),
        (5, "at most 2048"),
    ],
)
def test_urls_are_checked_before_anything_is_sent(url, why):
    if why is None:
        check_url(url, field="callback")
        return
    with pytest.raises(BadURL, match=f"callback: .*{why}") as error:
        check_url(url, field="callback")
    assert error.value.field == "callback"
    assert "secret" not in str(error.value)


@given(st.text(max_size=40) | st.text(max_size=20).map("http://{}".format))
def test_any_text_is_a_url_or_refused_with_our_own_error(text):
    try:
        url = check_url(text, field="callback")
    except BadURL:
        return
    assert url.scheme in ("http", "https")
    assert url.host


# Fetching


def test_a_file_is_fetched_from_the_address_that_was_checked(far, fetcher):
    far.answer("/me%20too.jpg?size=1", b"photo")
    assert fetcher.fetch("http://photos.test/me%20too.jpg?size=1#face", MOST) == Upload("me too.jpg", b"photo")
    (seen,) = far.seen
    assert (seen.method, seen.url) == ("GET", "http://93.184.216.34/me%20too.jpg?size=1")
    assert seen.server_name == "photos.test"
    names = {"host": "photos.test", "accept": "image/*", "accept-encoding": "identity", "user-agent": "FaceID-for-Flux"}
    assert dict(seen.headers) == names


def test_a_name_is_resolved_once_so_that_it_cannot_lead_elsewhere_later(far):
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    far.answer("/", b"photo")
    fetcher = Fetcher(resolve=lambda host, port: next(answers), transport=far.transport)
    assert fetcher.fetch("http://photos.test/", MOST) == Upload("photos.test", b"photo")
    assert far.seen[0].url == "http://93.184.216.34/"
    assert next(answers) == ["127.0.0.1"]


def test_ports_and_ipv6(far, fetcher):
    far.answer("/a.jpg", b"photo")
    assert fetcher.fetch("http://other.test:8080/a.jpg", MOST).content == b"photo"
    assert far.seen[0].url == "http://[2606:2800:220:1::1]:8080/a.jpg"
    assert far.seen[0].headers["host"] == "other.test:8080"


def test_another_address_is_tried_where_the_first_is_not_reached(far, fetcher):
    far.answer("/", b"photo")
    far.unreachable.add("93.184.216.35")
    assert fetcher.fetch("http://two.test/", MOST).content == b"photo"
    assert [seen.url for seen in far.seen] == ["http://93.184.216.35/", "http://93.184.216.36/"]
    far.unreachable.add("93.184.216.36")
    assert "two.test cannot be reached" in refused(fetcher.fetch, "http://two.test/", MOST)


def test_redirects_are_followed_without_what_the_first_host_set(far, fetcher):
    far.redirect("/1", "/2", Set_Cookie="a=b")
    far.redirect("/2", "http://other.test/3", 301)
    far.redirect("/3", "4?x=y", 307)
    far.answer("/4?x=y", b"photo")
    assert fetcher.fetch("http://photos.test/1", MOST) == Upload("1", b"photo")
    assert [seen.headers["host"] for seen in far.seen] == ["photos.test", "photos.test", "other.test", "other.test"]
    assert {name for seen in far.seen for name in seen.headers} == {"host", "accept", "accept-encoding", "user-agent"}


def test_a_fourth_redirect_is_too_many(far, fetcher):
    far.redirect("/", "/")
    assert "more than 3 times" in refused(fetcher.fetch, "http://photos.test/", MOST)
    assert len(far.seen) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://internal.test/",
        "//internal.test/",
        "http://127.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "file:///etc/passwd",
        "http://me:secret@photos.test/",
        "http://photos.test:22/",
        "http://[",
    ],
)
def test_every_hop_is_checked(far, fetcher, location):
    far.redirect("/", location)
    far.redirect("/first", "/")
    assert "secret" not in refused(fetcher.fetch, "http://photos.test/first", MOST)
    assert len(far.seen) == 2


@pytest.mark.parametrize("status", [201, 204, 304, 404, 500])
def test_an_answer_that_is_no_file(far, fetcher, status):
    far.answer("/", b"", status)
    assert f"photos.test answered with status {status}" in refused(fetcher.fetch, "http://photos.test/", MOST)


def test_a_file_may_be_as_large_as_was_said(far, fetcher):
    far.answer("/", b"x" * MOST)
    assert len(fetcher.fetch("http://photos.test/", MOST).content) == MOST
    far.answer("/", b"x" * (MOST + 1))
    assert "the file on photos.test has more than" in refused(fetcher.fetch, "http://photos.test/", MOST)


def test_bytes_are_counted_as_they_arrive(far, fetcher):
    """The answer has no length and no end: what stops it is the count."""
    hung_up = threading.Event()

    def endless(request):
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"x" * 10_000)
        finally:
            hung_up.set()

    far.answers["/"] = endless
    assert "more than" in refused(fetcher.fetch, "http://photos.test/", 10_000_000)
    assert hung_up.wait(10)


def test_a_compressed_answer_is_refused_unread(far, fetcher):
    far.answer("/", b"\x1f\x8b", Content_Encoding="gzip")
    assert "compressed" in refused(fetcher.fetch, "http://photos.test/", MOST)


def slow_headers(far, request):
    far.over.wait(60)


def slow_body(far, request):
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b"x")
    far.over.wait(60)


@pytest.mark.parametrize("answer", [slow_headers, slow_body])
def test_all_of_it_has_to_come_in_time(far, answer):
    far.answers["/slow"] = partial(answer, far)
    far.redirect("/?token=secret", "/slow")
    fetcher = Fetcher(resolve=resolve, transport=far.transport, seconds=0.3)
    message = refused(fetcher.fetch, "http://photos.test/?token=secret", MOST)
    assert message == "image_urls: photos.test did not give its whole answer within 0.3 seconds."


def test_a_trickle_is_no_way_around_the_time(far):
    """One byte after another, each sent when the one before has gone out, also ends on time."""

    def trickle(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not far.over.wait(0.02):
            request.wfile.write(b"x: y\r\n")

    far.answers["/"] = trickle
    fetcher = Fetcher(resolve=resolve, transport=far.transport, seconds=0.3)
    assert "within 0.3 seconds" in refused(fetcher.fetch, "http://photos.test/", MOST)


def test_a_resolver_that_hangs_is_left_behind():
    over = threading.Event()
    fetcher = Fetcher(resolve=lambda host, port: over.wait(60) and [], seconds=0.1)
    assert "within 0.1 seconds" in refused(fetcher.fetch, "http://photos.test/", MOST)
    over.set()


def test_what_is_no_http_is_refused(far, fetcher):
    far.answers["/"] = lambda request: request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert "proper HTTP" in refused(fetcher.fetch, "http://photos.test/", MOST)
    far.answer("/short", b"photo", Content_Length="50")
    far.answers["/short-closed"] = lambda request: (far.answers["/short"](request), request.wfile.close())
    assert "proper HTTP" in refused(fetcher.fetch, "http://photos.test/short-closed", MOST)


# Posting


def test_a_post_gives_the_status_and_follows_nothing(far, fetcher):
    far.redirect("/hook?key=1", "/elsewhere", 307)
    assert fetcher.post("http://photos.test/hook?key=1", b"{}", {"Content-Type": "application/json"}) == 307
    (seen,) = far.seen
    assert (seen.method, seen.url, seen.body) == ("POST", "http://93.184.216.34/hook?key=1", b"{}")
    assert seen.headers["content-type"] == "application/json"
    assert "internal.test" in refused(fetcher.post, "http://internal.test/", b"{}", {})


def test_the_answer_to_a_post_is_not_read(far):
    far.answers["/"] = partial(slow_body, far)
    assert Fetcher(resolve=resolve, transport=far.transport, seconds=5).post("http://photos.test/", b"{}", {}) == 200


# Certificates, logs


def certificate(folder, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    issued = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, issued, issued + datetime.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


def test_the_certificate_is_verified_against_the_name_not_the_address(tmp_path):
    server, client = certificate(tmp_path, "photos.test")
    with FarServer(server).running() as far:
        far.answer("/", b"photo")
        trusting = Fetcher(resolve=resolve, transport=partial(far.transport, client))
        assert trusting.fetch("https://photos.test/", MOST).content == b"photo"
        assert trusting.fetch("https://photos.test./", MOST).content == b"photo"
        assert "other.test cannot be reached: its certificate" in refused(trusting.fetch, "https://other.test/", MOST)
        public_roots_only = Fetcher(resolve=resolve, transport=far.transport)
        assert "its certificate" in refused(public_roots_only.fetch, "https://photos.test/", MOST)


def test_no_log_has_a_path_or_query_in_it(far, fetcher, caplog):
    caplog.set_level(logging.DEBUG)
    far.answer("/private?token=secret", b"photo")
    fetcher.fetch("http://photos.test/private?token=secret", MOST)
    fetcher.post("http://photos.test/private?token=secret", b"hidden", {})
    assert not {word for word in ("secret", "private", "hidden") if word in caplog.text}


def test_nothing_of_the_environment_is_used(far, fetcher, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    far.answer("/", b"photo")
    assert fetcher.fetch("http://photos.test/", MOST).content == b"photo"


def test_addresses_of_the_tests_are_public():
    assert all(is_public(address) for address in resolve("photos.test", 80) + resolve("two.test", 80))
    assert ipaddress.ip_address(resolve("other.test", 80)[0]).version == 6

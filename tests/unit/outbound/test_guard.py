"""The guard against addresses that a user must not make us call."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from spellcast.domain.errors import AddressRefused
from spellcast.outbound.downloads import HttpMediaSource
from spellcast.outbound.guard import check_url, guarded_client, is_loopback, shared_guarded_client
from spellcast.ports.media import MediaNotCopied

PUBLIC = "93.184.216.34"

# Refused by what is written in the URL alone, without a look-up.
REFUSED_URLS = """
http://example.com/
HTTP://example.com/
ftp://example.com/
file:///etc/passwd
file://example.com/etc/passwd
gopher://example.com/
data:text/plain,x
javascript:alert(1)
//example.com/
example.com
https://
https:///path
https://user@example.com/
https://user:password@example.com/
https://example.com:password@127.0.0.1/
https://example.com:80/
https://example.com:22/
https://example.com:9001/
https://example.com:0/
https://example.com:99999/
https://127.0.0.1/
https://127.0.0.1:9001/2018-06-01/runtime/invocation/next
https://127.1/
https://127.0.1/
https://2130706433/
https://0x7f000001/
https://0x7f.0.0.1/
https://0177.0.0.1/
https://017700000001/
https://127.0.0.1./
https://127.255.255.254/
https://0.0.0.0/
https://0/
https://10.0.0.1/
https://172.16.0.1/
https://172.31.255.255/
https://192.168.1.1/
https://169.254.169.254/latest/meta-data/
https://169.254.170.2/v2/credentials
https://0xa9fea9fe/
https://2852039166/
https://100.64.0.1/
https://100.100.100.200/
https://168.63.129.16/
https://192.0.0.1/
https://192.0.2.1/
https://192.88.99.1/
https://198.18.0.1/
https://198.51.100.1/
https://203.0.113.1/
https://224.0.0.1/
https://240.0.0.1/
https://255.255.255.255/
https://[::1]/
https://[::]/
https://[::ffff:127.0.0.1]/
https://[::ffff:7f00:1]/
https://[::ffff:169.254.169.254]/
https://[::ffff:93.184.216.34]/
https://[::127.0.0.1]/
https://[fe80::1]/
https://[fe80::1%25eth0]/
https://[fc00::1]/
https://[fd00:ec2::254]/
https://[ff02::1]/
https://[2001:db8::1]/
https://[2001::1]/
https://[2002:7f00:1::]/
https://[64:ff9b::7f00:1]/
https://[64:ff9b::a9fe:a9fe]/
https://[64:ff9b:1::1]/
https://[3fff::1]/
https://localhost/
https://LOCALHOST/
https://localhost./
https://a.localhost/
https://printer.local/
https://metadata.google.internal/
https://ip-10-0-0-1.ec2.internal/
https://router.lan/
https://intranet/
https://①②⑦.⓪.⓪.①/
https://127。0。0。1/
ws://example.com/
wss://example.com/
dict://example.com:11211/
ldap://example.com/
s3://bucket/key
s3:media/c1/c1.0.1/0.png
blob:https://example.com/x
jar:https://example.com/x!/y
mailto:a@example.com
https:example.com
https:/example.com/
https://@127.0.0.1/
https://example.com@127.0.0.1/
https://example.com%40127.0.0.1/
https://127.0.0.1#@example.com/
https://127.0.0.1?@example.com/
https://127.0.0.1%00.example.com/
https://127.0.0.1%2f.example.com/
https://127%2e0%2e0%2e1/
https://%31%32%37.0.0.1/
https://%6c%6f%63%61%6c%68%6f%73%74/
https://127.0.0.1:443/
https://127.0.0.1:8443/
https://example.com:8080/
https://example.com:65535/
https://example.com:-1/
https://0x7f.1/
https://0X7F000001/
https://0x0a000001/
https://0x7f.0x0.0x0.0x1/
https://012.0.0.1/
https://10.1/
https://169.254.43518/
https://0251.0376.0251.0376/
https://0xa9.0xfe.0xa9.0xfe/
https://00000177.0.0.1/
https://2130706433./
https://0x7f000001./
https://127.0.0.1../
https://4294967295/
https://4294967296/
https://192.0.0.192/
https://192.168.0.1.:443/
https://[0:0:0:0:0:0:0:1]/
https://[::1]:8443/
https://[::1%25lo]/
https://[::1%lo]/
https://[::ffff:0:127.0.0.1]/
https://[::ffff:0a00:0001]/
https://[::ffff:2130706433]/
https://[64:ff9b::10.0.0.1]/
https://[64:ff9b::192.168.1.1]/
https://[64:ff9b:1:a00:1::]/
https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/
https://[2002:a9fe:a9fe::1]/
https://[2002:c0a8:101::1]/
https://[fec0::1]/
https://[100::1]/
https://[5f00::1]/
https://[4000::1]/
https://[fd20:ce::254]/
https://[febf::1%251]/
https://[ff05::2]/
https://localhost.localdomain/
https://localhost:8443/
https://x.localhost./
https://router.home.arpa/
https://service.onion/
https://kubernetes.default.svc.cluster.local/
https://instance-data/
https://metadata/
https://example.internal./
https://printer.LOCAL/
https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/
https://ｌｏｃａｌｈｏｓｔ/
https://１２７.０.０.１/
https://１２７．０．０．１/
https://localhost。/
https://metadata。google。internal/
https://xn--/
https://.example.com/
https://example..com/
https://-/
""".strip("\n").split("\n")
# httpx itself refuses some before the guard is asked.
REFUSALS = (AddressRefused, httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError)
# Refused because readers of URLs differ about what they mean.
MALFORMED_URLS = [
    "",
    " ",
    " https://example.com/",
    "https://example.com/ ",
    "https://exa mple.com/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "https://example.com/\r\nHost: localhost",
    "https://example.com/\x00",
    "https://example.com/\u202e",
    "https://local\u200bhost/",
    "https://a\u00adb.localhost/",
    "https://exa\u00admple.internal/",
    "https://[::1",
    "https://example.com:443:80/",
    "https://example.com/" + "a" * 2048,
]

ALLOWED_URLS = [
    "https://example.com/",
    "https://EXAMPLE.com./a?b=c#d",
    "https://example.com:443/hook",
    "https://example.com:8443/hook",
    f"https://{PUBLIC}/",
    "https://[2606:4700::1111]/",
    "https://bücher.example/",
    "https://sub.domain.example.co.uk/%2e%2e/",
]

REFUSED_ANSWERS = [
    ["127.0.0.1"],
    ["10.1.2.3"],
    ["169.254.169.254"],
    ["100.64.1.1"],
    ["0.0.0.0"],
    ["::1"],
    ["::ffff:10.0.0.1"],
    ["fe80::1%eth0"],
    ["fd00:ec2::254"],
    ["64:ff9b::a00:1"],
    ["2002:a00:1::"],
    [PUBLIC, "10.0.0.1"],
    ["2606:4700::1111", "::1"],
]


class Network:
    """A resolver with fixed answers, and a transport that notes where it was sent."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self._answers = list(answers)
        self.lookups: list[str] = []
        self.requests: list[httpx.Request] = []
        self.handler: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200, text="fine")

    def resolve(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.lookups.append(host)
        try:
            answer: Any = [str(ipaddress.ip_address(host))]
        except ValueError:
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.handler(request)

    def client(self, allow_loopback: bool = False) -> httpx.Client:
        return guarded_client(allow_loopback, self.resolve, httpx.MockTransport(self.handle))

    @property
    def destinations(self) -> list[str]:
        return [request.url.host for request in self.requests]


def download(client: httpx.Client, url: str) -> bytes:
    """As outputs are fetched."""
    source = HttpMediaSource(lambda: client, lambda: client)
    with source.open(url, lambda _: None, max_bytes=1000, seconds=5) as chunks:
        return b"".join(chunks)


@pytest.mark.parametrize("url", REFUSED_URLS, ids=lambda url: ascii(url)[:60])
def test_refused_urls(url: str) -> None:
    assert check_url(url, False) is not None
    network = Network([PUBLIC])
    with network.client() as client, pytest.raises(REFUSALS):
        client.get(url)
    assert network.requests == []


@pytest.mark.parametrize("url", MALFORMED_URLS, ids=lambda url: ascii(url)[:60])
def test_malformed_urls(url: str) -> None:
    assert check_url(url, False) is not None
    network = Network([PUBLIC])
    with network.client() as client, contextlib.suppress(AddressRefused, httpx.UnsupportedProtocol, httpx.InvalidURL):
        client.get(url)
    assert set(network.destinations) <= {PUBLIC}


@pytest.mark.parametrize(
    "url",
    # Without a host they are relative, and lead to where they came from.
    [url for url in REFUSED_URLS if re.match(r"\w+://[^/]", url)],
    ids=lambda url: ascii(url)[:60],
)
def test_a_redirect_of_an_output_to_a_refused_url(url: str) -> None:
    network = Network([PUBLIC])
    network.handler = lambda _: httpx.Response(302, headers=[(b"location", url.encode())])
    with network.client() as client, pytest.raises(MediaNotCopied):
        download(client, "https://example.com/")
    assert network.destinations == [PUBLIC]


def test_an_output_whose_host_is_another_after_a_redirect() -> None:
    network = Network([PUBLIC], ["169.254.169.254"])
    network.handler = lambda _: httpx.Response(302, headers={"location": "/again"})
    with network.client() as client, pytest.raises(MediaNotCopied, match="not on the public internet"):
        download(client, "https://example.com/")
    assert network.destinations == [PUBLIC]


def test_international_names_are_looked_up_and_verified_in_their_ascii_form() -> None:
    network = Network([PUBLIC])
    with network.client() as client:
        client.get("https://straße.example/")
    (sent,) = network.requests
    # Older readers take it for strasse.example, which may belong to somebody else.
    assert network.lookups == ["xn--strae-oqa.example"] == [sent.extensions["sni_hostname"]]
    assert sent.headers["host"] == "xn--strae-oqa.example"


def test_the_table_is_long_enough() -> None:
    assert len(set(REFUSED_URLS)) == len(REFUSED_URLS) >= 160


@pytest.mark.parametrize("url", ALLOWED_URLS)
def test_allowed_urls(url: str) -> None:
    assert check_url(url, False) is None
    network = Network([PUBLIC])
    with network.client() as client:
        assert client.get(url).text == "fine"


@pytest.mark.parametrize("answer", REFUSED_ANSWERS, ids=str)
def test_a_name_that_leads_to_a_private_address(answer: list[str]) -> None:
    network = Network(answer)
    with network.client() as client, pytest.raises(AddressRefused, match="not on the public internet"):
        client.get("https://example.com/")
    assert network.requests == []


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    network = Network([PUBLIC], ["169.254.169.254"])
    with network.client() as client:
        client.post("https://example.com/hook?a=1", content=b"body", headers={"X-Own": "1"})
    assert network.lookups == ["example.com"], "resolved once: a second answer cannot be another"
    (sent,) = network.requests
    assert str(sent.url) == f"https://{PUBLIC}/hook?a=1"
    assert sent.headers["host"] == "example.com"
    assert sent.headers["x-own"] == "1"
    assert sent.extensions["sni_hostname"] == "example.com"
    assert sent.read() == b"body"


def test_rebinding_between_two_requests_is_caught() -> None:
    network = Network([PUBLIC], ["169.254.169.254"])
    with network.client() as client:
        client.get("https://example.com/")
        with pytest.raises(AddressRefused):
            client.get("https://example.com/")
    assert network.destinations == [PUBLIC]


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://internal.example/",
        "file:///etc/passwd",
        "https://2130706433/",
    ],
)
def test_a_redirect_is_checked_as_any_request(target: str) -> None:
    network = Network([PUBLIC], ["10.0.0.1"])
    network.handler = lambda _: httpx.Response(302, headers={"location": target})
    with network.client() as client:
        assert client.get("https://example.com/").status_code == 302, "it does not follow by itself"
        network.requests.clear()
    network = Network([PUBLIC], ["10.0.0.1"])
    network.handler = lambda _: httpx.Response(302, headers={"location": target})
    with network.client() as client, pytest.raises((AddressRefused, httpx.UnsupportedProtocol)):
        client.get("https://example.com/", follow_redirects=True)
    assert network.destinations == [PUBLIC]


def test_addresses_are_tried_in_turn_as_long_as_nothing_was_sent() -> None:
    network = Network(["2606:4700::1111", PUBLIC, "8.8.8.8", "9.9.9.9"])

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host != PUBLIC:
            raise httpx.ConnectError("no route")
        return httpx.Response(200)

    network.handler = handler
    with network.client() as client:
        assert client.get("https://example.com/").is_success
    assert network.destinations == ["2606:4700::1111", PUBLIC]

    def never(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    network.handler = never
    network.requests.clear()
    with network.client() as client, pytest.raises(httpx.ConnectError):
        client.get("https://example.com/")
    assert len(network.requests) == 3

    def reset(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset")

    network.handler = reset
    network.requests.clear()
    with network.client() as client, pytest.raises(httpx.ReadError):
        client.post("https://example.com/")
    assert len(network.requests) == 1, "what was sent is not sent again"


def test_names_that_do_not_resolve() -> None:
    for error in (socket.gaierror(socket.EAI_NONAME, "x"), UnicodeError("label too long"), OSError("x")):
        with Network(error).client() as client, pytest.raises(AddressRefused, match="does not resolve"):
            client.get("https://example.com/")
    with Network(socket.gaierror(socket.EAI_AGAIN, "x")).client() as client, pytest.raises(httpx.ConnectError):
        client.get("https://example.com/")
    with Network([]).client() as client, pytest.raises(AddressRefused):
        client.get("https://example.com/")


# --- A local stage ---

LOOPBACK = ["http://127.0.0.1:4599/x", "http://localhost:80/", "https://[::1]:8443/", "http://127.0.0.2/"]


@pytest.mark.parametrize("url", LOOPBACK)
def test_a_local_stage_may_allow_loopback(url: str) -> None:
    assert check_url(url, True) is None
    assert check_url(url, False) is not None
    network = Network(["127.0.0.1"])
    with network.client(allow_loopback=True) as client:
        assert client.get(url).is_success


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://10.0.0.1/",
        "https://169.254.169.254/",
        "http://0.0.0.0/",
        "http://127.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://user@localhost/",
        "ftp://localhost/",
        "https://example.com:9001/",
    ],
)
def test_and_nothing_but_loopback(url: str) -> None:
    assert check_url(url, True) is not None
    network = Network(["127.0.0.1"])
    with network.client(allow_loopback=True) as client, pytest.raises((AddressRefused, httpx.UnsupportedProtocol)):
        client.get(url)
    assert network.requests == []


def test_other_names_do_not_lead_to_loopback_even_there() -> None:
    with Network(["127.0.0.1"]).client(True) as client, pytest.raises(AddressRefused):
        client.get("https://example.com/")
    with Network(["10.0.0.1"]).client(True) as client, pytest.raises(AddressRefused):
        client.get("http://localhost/")


def test_what_is_loopback() -> None:
    assert all(is_loopback(host) for host in ("localhost", "LOCALHOST.", "a.localhost", "127.9.9.9", "::1", "[::1]"))
    assert not any(is_loopback(host) for host in ("", "localhost.example.com", "127.1", "0.0.0.0", "example.com"))


# --- One client for all accounts ---


def test_the_client_keeps_no_cookie_and_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    network = Network([PUBLIC])
    network.handler = lambda _: httpx.Response(200, headers={"set-cookie": "session=secret; Path=/"})
    with network.client() as client:
        client.get("https://example.com/")
        client.get("https://example.com/")
    assert "cookie" not in network.requests[1].headers


@pytest.mark.parametrize("name", ["localhost", "other.example"])
def test_the_certificate_must_show_the_name_and_not_the_pinned_address(tmp_path: Path, name: str) -> None:
    key, certificate = make_certificate(tmp_path, name)
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(certificate, key)
    names: list[str] = []
    accepting.sni_callback = lambda _, server_name, __: names.append(server_name)

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError), accepting.wrap_socket(server.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        transport = httpx.HTTPTransport(verify=ssl.create_default_context(cafile=certificate))
        with guarded_client(True, Network(["127.0.0.1"]).resolve, transport) as client:
            outcome: int | str
            try:
                outcome = client.get(f"https://localhost:{server.getsockname()[1]}/").status_code
            except httpx.ConnectError as error:
                outcome = str(error)
        thread.join()
    assert names == ["localhost"]
    if name == "localhost":
        assert outcome == 204
    else:
        assert "not valid for 'localhost'" in str(outcome)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A key and a certificate that shows this name, for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "key.pem", folder / "certificate.pem"
    files[0].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    files[1].write_bytes(certificate.public_bytes(Encoding.PEM))
    return files


def test_a_container_has_one_guarded_client() -> None:
    assert shared_guarded_client(False) is shared_guarded_client(False)
    assert shared_guarded_client(True) is not shared_guarded_client(False)

"""Outputs are fetched from the provider's own server, wherever that is, and from the public internet."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from spellcast.adapters.exchange import Provider, provider_client
from spellcast.domain.errors import AddressRefused
from spellcast.outbound.downloads import MAX_REDIRECTS, HttpMediaSource
from spellcast.outbound.guard import guarded_client
from spellcast.ports.media import MediaNotCopied

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A server on loopback, which is private; what it was asked is remembered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, str | None]] = []
        self.answers: dict[str, Answer] = {}


@contextmanager
def served() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, self.headers.get("Authorization")))
            found.answers[self.path](self)

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Server(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def own() -> Iterator[Server]:
    with served() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    with served() as server:
        yield server


@pytest.fixture
def clients() -> Iterator[tuple[httpx.Client, httpx.Client]]:
    # As on AWS: nothing on loopback is public.
    with guarded_client(False) as guarded, provider_client() as of_providers:
        yield guarded, of_providers


@pytest.fixture
def source(clients: tuple[httpx.Client, httpx.Client]) -> HttpMediaSource:
    return HttpMediaSource(lambda: clients[0], lambda: clients[1])


def answer(status: int = 200, body: bytes = b"content", length: int | None = -1, **headers: str) -> Answer:
    def send(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        if length is not None:
            request.send_header("Content-Length", str(len(body) if length < 0 else length))
        request.end_headers()
        request.wfile.write(body)

    return send


def headers_of(server: Server) -> Callable[[str], Mapping[str, str] | None]:
    provider = Provider("Own", server.url, {"Authorization": "Bearer key"}, provider_client)
    return lambda url: provider.file_headers(url, re.compile("/|/view|/files/a"))


def nobody(url: str) -> None:
    return None


def fetch(
    source: HttpMediaSource,
    url: str,
    own: Callable[[str], Mapping[str, str] | None],
    max_bytes: int = 1000,
    seconds: float = 5,
) -> bytes:
    with source.open(url, own, max_bytes=max_bytes, seconds=seconds) as chunks:
        return b"".join(chunks)


def test_the_providers_own_private_server_is_asked_with_its_key(source: HttpMediaSource, own: Server) -> None:
    own.answers["/view?filename=a.png"] = answer()
    assert fetch(source, f"{own.url}/view?filename=a.png", headers_of(own)) == b"content"
    assert own.asked == [("/view?filename=a.png", "Bearer key")]


def test_no_other_private_server_is(source: HttpMediaSource, own: Server, other: Server) -> None:
    for url in (
        f"{other.url}/",
        f"{own.url.replace('127.0.0.1', 'localhost')}/",
        "http://169.254.169.254/",
        "file:///etc",
    ):
        with pytest.raises(MediaNotCopied, match="refused") as raised:
            fetch(source, url, headers_of(own))
        assert not raised.value.may_pass
    assert own.asked == other.asked == []


def test_a_redirect_from_the_own_server_takes_no_privilege_along(
    source: HttpMediaSource, own: Server, other: Server
) -> None:
    own.answers["/"] = answer(302, Location=f"{other.url}/secret")
    with pytest.raises(MediaNotCopied, match="refused"):
        fetch(source, f"{own.url}/", headers_of(own))
    assert other.asked == []


def test_a_redirect_within_the_own_server_is_followed(source: HttpMediaSource, own: Server) -> None:
    own.answers |= {"/": answer(307, Location="/files/a"), "/files/a": answer()}
    assert fetch(source, f"{own.url}/", headers_of(own)) == b"content"
    assert own.asked == [("/", "Bearer key"), ("/files/a", "Bearer key")]


def test_a_redirect_to_what_is_no_file_of_the_own_server_is_judged_as_anybodys(
    source: HttpMediaSource, own: Server
) -> None:
    own.answers["/view"] = answer(302, Location="/v1/webhooks/default/secret")
    with pytest.raises(MediaNotCopied, match="refused"):
        fetch(source, f"{own.url}/view", headers_of(own))
    assert own.asked == [("/view", "Bearer key")]


def test_a_redirect_to_another_server_does_not_take_the_key_along(own: Server, other: Server) -> None:
    own.answers["/"] = answer(302, Location=f"{other.url}/a")
    other.answers["/a"] = answer()
    with guarded_client(True) as guarded, provider_client() as of_providers:
        source = HttpMediaSource(lambda: guarded, lambda: of_providers)
        assert fetch(source, f"{own.url}/", headers_of(own)) == b"content"
    assert other.asked == [("/a", None)]


@pytest.mark.parametrize("location", ["https://[", "gopher://x/", "https://user@x.example/"])
def test_a_redirect_to_what_is_no_address(source: HttpMediaSource, own: Server, location: str) -> None:
    own.answers["/"] = answer(302, Location=location)
    with pytest.raises(MediaNotCopied) as raised:
        fetch(source, f"{own.url}/", headers_of(own))
    assert not raised.value.may_pass


def test_redirects_end(source: HttpMediaSource, own: Server) -> None:
    own.answers["/"] = answer(302, Location="/")
    with pytest.raises(MediaNotCopied, match="too often"):
        fetch(source, f"{own.url}/", headers_of(own))
    assert len(own.asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("status", "may_pass"),
    [
        *((status, False) for status in (204, 206, 304, 401, 404, 410)),
        *((status, True) for status in (408, 425, 429, 500, 503)),
    ],
)
def test_what_a_status_means(source: HttpMediaSource, own: Server, status: int, may_pass: bool) -> None:
    own.answers["/"] = answer(status, b"")
    with pytest.raises(MediaNotCopied, match=f"answered {status}") as raised:
        fetch(source, f"{own.url}/", headers_of(own))
    assert raised.value.may_pass is may_pass


@pytest.mark.parametrize("length", [-1, None])
def test_what_is_too_large_is_not_read_to_its_end(source: HttpMediaSource, own: Server, length: int | None) -> None:
    own.answers["/"] = answer(body=b"x" * 2**21, length=length)
    with pytest.raises(MediaNotCopied, match="over 1 MB"):
        fetch(source, f"{own.url}/", headers_of(own), max_bytes=2**20)
    own.answers["/"] = answer(body=b"x" * 2**20, length=length)
    assert len(fetch(source, f"{own.url}/", headers_of(own), max_bytes=2**20)) == 2**20


def test_what_breaks_off_is_not_taken_for_the_whole(source: HttpMediaSource, own: Server) -> None:
    own.answers["/"] = answer(body=b"half", length=8)
    with pytest.raises(MediaNotCopied, match="broke off") as raised:
        fetch(source, f"{own.url}/", headers_of(own))
    assert raised.value.may_pass


@pytest.mark.parametrize("length", [100, None])
def test_what_comes_too_slowly_is_given_up(source: HttpMediaSource, own: Server, length: int | None) -> None:
    ended = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        answer(body=b"some", length=length)(request)
        ended.wait(5)

    own.answers["/"] = drip
    with pytest.raises(MediaNotCopied, match="broke off"):
        fetch(source, f"{own.url}/", headers_of(own), seconds=0.2)
    ended.set()


def test_what_could_unpack_to_any_size_is_refused(source: HttpMediaSource, own: Server) -> None:
    own.answers["/"] = answer(Content_Encoding="gzip")
    with pytest.raises(MediaNotCopied):
        fetch(source, f"{own.url}/", headers_of(own))


def test_what_cannot_be_reached_may_be_later(source: HttpMediaSource) -> None:
    with served() as gone:
        pass
    with pytest.raises(MediaNotCopied, match="could not be reached") as raised:
        fetch(source, f"{gone.url}/", headers_of(gone))
    assert raised.value.may_pass


def test_what_reads_the_content_may_fail_for_its_own_reasons(source: HttpMediaSource, own: Server) -> None:
    own.answers["/"] = answer()
    with (
        pytest.raises(ZeroDivisionError),
        source.open(f"{own.url}/", headers_of(own), max_bytes=100, seconds=5) as chunks,
    ):
        next(chunks)
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("http://10.0.0.5:8188/base/view", True),
        ("http://10.0.0.5:8188/base/view?filename=a/../b&subfolder=%2e%2e", True),
        ("HTTP://10.0.0.5:8188/base/view#fragment", True),
        ("http://10.0.0.5:8188/other/../base/view", True),
        ("http://10.0.0.5:8188/view", False),
        ("http://10.0.0.5:8188/base/history", False),
        ("http://10.0.0.5:8188/base/view/", False),
        ("http://10.0.0.5:8188/base/views", False),
        ("http://10.0.0.5:8188/base/view/../history", False),
        ("http://10.0.0.5:8188/base/view/%2e%2e/history", False),
        ("http://10.0.0.5:8188/base/view%2F..%2Fhistory", False),
        ("http://10.0.0.5:8188/base/vi%65w", False),
        ("http://10.0.0.5:8188/base//view", False),
        ("http://10.0.0.5:8188//base/view", False),
        ("http://10.0.0.5:8188/basement/view", False),
        ("http://10.0.0.5:8188/base/view;x", False),
        ("http://10.0.0.5:8188/base\\view", False),
        ("http://10.0.0.5:8189/base/view", False),
        ("http://10.0.0.5/base/view", False),
        ("https://10.0.0.5:8188/base/view", False),
        ("http://10.0.0.6:8188/base/view", False),
        ("http://user@10.0.0.5:8188/base/view", False),
        ("http://10.0.0.5:8188@evil.example/base/view", False),
        ("http://evil.example/http://10.0.0.5:8188/base/view", False),
        ("http://10.0.0.5.evil.example:8188/base/view", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_what_is_the_providers_own(url: str, is_own: bool) -> None:
    provider = Provider("ComfyUI", "http://10.0.0.5:8188/base/", {"Authorization": "Bearer key"}, provider_client)
    assert provider.file_headers(url, re.compile("/view")) == ({"Authorization": "Bearer key"} if is_own else None)


def test_a_default_port_is_no_other_origin() -> None:
    provider = Provider("ComfyUI", "https://comfy.example:443", {}, provider_client)
    assert provider.file_headers("https://comfy.example/view", re.compile("/view")) == {}


def test_a_refusal_of_the_guard_is_told_in_its_words(source: HttpMediaSource) -> None:
    with pytest.raises(MediaNotCopied) as raised:
        fetch(source, "https://10.0.0.1/", nobody)
    assert raised.value.reason == "The address is refused: its host is not on the public internet"
    assert isinstance(raised.value.__cause__, AddressRefused)

"""Inputs that are addresses of media: what reaches ComfyUI and the Comfy API, and what is never fetched."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from spellcast.adapters import input_media
from spellcast.adapters.comfyapi import ComfyApiAdapter
from spellcast.adapters.comfyui import ComfyUIAdapter
from spellcast.adapters.input_media import InputMedia, Media
from spellcast.domain.errors import (
    AddressRefused,
    FileUnavailable,
    InvalidStepInput,
    ProviderAnswerInvalid,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.tools import Tool
from spellcast.outbound.guard import guarded_client
from spellcast.ports.adapter import Adapter, ProviderConfig, Request

BASE = "http://comfy.internal:8188"
PNG = b"\x89PNG\r\n\x1a\n and the rest"
NAME = hashlib.sha256(PNG).hexdigest()
WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "2": {"class_type": "LoadAudio", "inputs": {"audio": ""}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
}
PUBLIC = "https://files.example/a%20b.png?token=abc"

Web = Callable[[httpx.Request], httpx.Response]


def resolve(host: str, *_: Any, **__: Any) -> Any:
    address = "10.0.0.7" if host == "rebound.example" else "93.184.215.14"
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]


class Internet:
    """What the guard lets through to; by default every address leads to a picture."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answer: Web = lambda request: httpx.Response(200, content=PNG, headers={"content-type": "image/png"})

    def client(self) -> httpx.Client:
        def handle(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            return self.answer(request)

        return guarded_client(False, resolve, httpx.MockTransport(handle))


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def comfyui(provider: Any, internet: Internet) -> Adapter:
    client, guarded = provider.client(), internet.client()
    return ComfyUIAdapter(ProviderConfig(BASE, "a secret"), lambda: client, lambda: guarded)


@pytest.fixture
def comfyapi(provider: Any, internet: Internet) -> Adapter:
    client, guarded = provider.client(), internet.client()
    return ComfyApiAdapter(ProviderConfig(BASE, "a secret"), lambda: client, lambda: guarded)


@pytest.fixture
def tool(bare_tool: Callable[..., Tool]) -> Tool:
    kinds = {"input_image": "image", "input_audio": "audio", "input_text": "string", "input_mask": "image"}
    return bare_tool(
        "comfyui",
        deliveryMode="async",
        inputSchema={key: {"type": kind, "required": False} for key, kind in kinds.items()},
        metadata={
            "workflow": WORKFLOW,
            "workflowInputs": {
                "input_image": ["1", "image"],
                "input_audio": ["2", "audio"],
                "input_text": ["9", "filename_prefix"],
            },
        },
    )


def uploaded(**named: Any) -> httpx.Response:
    return httpx.Response(200, json={"name": "kept (1).png", "subfolder": "", "type": "input", **named})


def accepted(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"prompt_id": "p", "number": 1, "node_errors": {}})


def start(adapter: Adapter, ask: Callable[..., Request], tool: Tool, **inputs: Any) -> None:
    adapter.start_job(ask(tool, **inputs))


def test_a_picture_is_fetched_uploaded_and_placed_under_the_name_that_it_got(
    comfyui: Adapter, provider: Any, internet: Internet, ask: Any, tool: Tool
) -> None:
    provider.answers(uploaded(), uploaded(name="s.flac", subfolder="sounds"), accepted)
    start(comfyui, ask, tool, input_image=PUBLIC, input_audio={"url": "https://files.example/s.flac"})
    assert [str(request.url.path) for request in internet.asked] == ["/a b.png", "/s.flac"]
    assert all("authorization" not in request.headers for request in internet.asked)
    assert provider.lines == ["POST /upload/image", "POST /upload/image", "POST /prompt"]
    form = provider.requests[0].content
    assert f'name="image"; filename="{NAME}.png"'.encode() in form
    assert b"Content-Type: image/png\r\n\r\n" + PNG in form
    assert b'name="overwrite"\r\n\r\ntrue' in form
    assert provider.requests[0].headers["authorization"] == "Bearer a secret"
    prompt = provider.body(2)["prompt"]
    assert prompt["1"]["inputs"]["image"] == "kept (1).png"
    assert prompt["2"]["inputs"]["audio"] == "sounds/s.flac"


def test_the_comfy_api_takes_assets(comfyapi: Adapter, provider: Any, ask: Any, tool: Tool) -> None:
    provider.answers(httpx.Response(201, json={"id": "asset-1"}), httpx.Response(201, json={"id": "job-1"}))
    start(comfyapi, ask, tool, input_image=PUBLIC)
    assert provider.lines == ["POST /api/v2/assets", "POST /api/v2/jobs"]
    form = provider.requests[0].content
    assert b'name="content_type"\r\n\r\nimage/png' in form
    assert f'name="file_path"\r\n\r\n{NAME}.png'.encode() in form
    image = provider.body(1)["workflow"]["1"]["inputs"]["image"]
    assert image == {"__type": "core/ASSET", "info": {"id": "asset-1"}}


@pytest.mark.parametrize(
    ("inputs", "node", "value"),
    [
        ({"input_image": "example.png"}, "1", "example.png"),
        ({"input_image": 7}, "1", 7),
        ({"input_text": PUBLIC}, "9", PUBLIC),
        ({"input_mask": PUBLIC}, "1", "example.png"),
    ],
    ids=["a name on the server", "no text", "a text that is an address", "an input without a place"],
)
def test_what_is_left_alone(
    comfyui: Adapter, provider: Any, internet: Internet, ask: Any, tool: Tool, inputs: Any, node: str, value: Any
) -> None:
    provider.answers(accepted)
    start(comfyui, ask, tool, **inputs)
    assert (provider.lines, internet.asked) == (["POST /prompt"], [])
    assert value in provider.body()["prompt"][node]["inputs"].values()


def test_a_data_address_is_unpacked_here(
    comfyui: Adapter, provider: Any, internet: Internet, ask: Any, tool: Tool
) -> None:
    for address, content in (("data:image/webp;base64,AAEC", b"\x00\x01\x02"), ("data:,a%20b", b"a b")):
        provider.answers(uploaded(), accepted)
        start(comfyui, ask, tool, input_image=address)
        assert b"\r\n\r\n" + content + b"\r\n" in provider.requests[0].content
    assert b".png" in provider.requests[0].content
    assert internet.asked == []
    with pytest.raises(InvalidStepInput, match="input_image: its data: address cannot be read"):
        start(comfyui, ask, tool, input_image="data:image/png;base64,%%%")


@pytest.mark.parametrize("service", ["comfyui", "comfyapi"])
def test_an_address_at_the_providers_own_server_is_asked_without_its_key(
    provider: Any, internet: Internet, ask: Any, tool: Tool, service: str
) -> None:
    client, guarded = provider.client(), internet.client()
    build = ComfyUIAdapter if service == "comfyui" else ComfyApiAdapter
    adapter = build(ProviderConfig("https://files.example", "a secret"), lambda: client, lambda: guarded)
    provider.answers(uploaded(id="asset-1"), httpx.Response(200, json={"id": "p", "prompt_id": "p"}))
    path = "/view?filename=ComfyUI_00001_.png&type=output" if service == "comfyui" else "/api/v2/assets/a/content"
    start(adapter, ask, tool, input_image=f"https://files.example{path}")
    (asked,) = internet.asked
    assert (asked.url.raw_path.decode(), asked.headers.get("authorization")) == (path, None)
    assert all(request.method == "POST" for request in provider.requests)


@pytest.mark.parametrize(
    "address",
    [
        f"{BASE}/history",
        f"{BASE}/view?filename=ComfyUI_00001_.png&type=output",
        f"{BASE}/api/v2/assets/a/content",
        "http://comfy.internal.example:8188/view?filename=x.png",
        "http://files.example/a.png",
        "https://127.0.0.1/a.png",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/a.png",
        "https://user:password@files.example/a.png",
        "https://rebound.example/a.png",
    ],
)
@pytest.mark.parametrize("service", ["comfyui", "comfyapi"])
def test_what_the_guard_refuses_is_not_fetched_and_not_submitted(
    request: pytest.FixtureRequest,
    provider: Any,
    internet: Internet,
    ask: Any,
    tool: Tool,
    address: str,
    service: str,
) -> None:
    with pytest.raises(AddressRefused):
        start(request.getfixturevalue(service), ask, tool, input_image=address)
    assert (provider.requests, internet.asked) == ([], [])


def test_redirects_go_through_the_guard_too(
    comfyui: Adapter, provider: Any, internet: Internet, ask: Any, tool: Tool
) -> None:
    targets = {"/a b.png": "https://cdn.example/b.png", "/b.png": "", "/loop": "/loop", "/in": "https://10.0.0.1/x.png"}

    def answer(request: httpx.Request) -> httpx.Response:
        target = targets[request.url.path]
        return httpx.Response(302, headers={"location": target}) if target else httpx.Response(200, content=PNG)

    internet.answer = answer
    provider.answers(uploaded(), accepted)
    start(comfyui, ask, tool, input_image=PUBLIC)
    assert [request.headers["host"] for request in internet.asked] == ["files.example", "cdn.example"]
    provider.answers(uploaded())
    with pytest.raises(AddressRefused):
        start(comfyui, ask, tool, input_image="https://files.example/in")
    internet.asked.clear()
    with pytest.raises(InvalidStepInput, match="answered 302"):
        start(comfyui, ask, tool, input_image="https://files.example/loop")
    assert len(internet.asked) == 4
    assert provider.requests == []


def fail(error: Exception) -> Web:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda _: httpx.Response(404), InvalidStepInput, "its address answered 404"),
        (lambda _: httpx.Response(503), FileUnavailable, "its address answered 503"),
        (lambda _: httpx.Response(429), FileUnavailable, "its address answered 429"),
        (lambda _: httpx.Response(200), InvalidStepInput, "leads to an empty file"),
        (lambda _: httpx.Response(200, html="<html>"), InvalidStepInput, "leads to text/html, which is no image"),
        (lambda _: httpx.Response(200, json={}), InvalidStepInput, "leads to application/json, which is no image"),
        (lambda _: httpx.Response(200, content=b"x" * 2001), InvalidStepInput, "leads to more than 2000 bytes"),
        (fail(httpx.ReadTimeout("x")), FileUnavailable, "could not be reached"),
        (fail(httpx.ReadError("x")), FileUnavailable, "could not be reached"),
    ],
)
def test_an_address_that_gives_no_picture(
    comfyui: Adapter,
    provider: Any,
    internet: Internet,
    ask: Any,
    tool: Tool,
    monkeypatch: pytest.MonkeyPatch,
    answer: Web,
    error: type[StepFailed],
    message: str,
) -> None:
    monkeypatch.setattr(comfyui, "_media", InputMedia(internet.client, max_bytes=2000))
    internet.answer = answer
    with pytest.raises(error, match=f"^input_image: .*{message}") as caught:
        start(comfyui, ask, tool, input_image=PUBLIC)
    assert "abc" not in caught.value.message
    assert provider.requests == []


@pytest.mark.parametrize(
    ("address", "content", "stated", "found"),
    [
        (PUBLIC, PNG, "image/webp", "image/png"),
        (PUBLIC, b"a file", "image/webp; q=1", "image/webp"),
        (PUBLIC, b"a file", "binary/octet-stream", "image/png"),
        ("https://files.example/a", b"a file", "", "image/png"),
        ("https://files.example/a?filename=b.webp", b"a file", "", "image/webp"),
    ],
    ids=["its bytes", "what is stated", "its extension", "what is usual", "its name"],
)
def test_what_a_file_is_taken_for(internet: Internet, address: str, content: bytes, stated: str, found: str) -> None:
    internet.answer = lambda request: httpx.Response(200, content=content, headers={"content-type": stated})
    client = internet.client()
    media = InputMedia(lambda: client).fetch("input_image", "image", address, time.monotonic() + 60)
    assert (media.media_type, media.data) == (found, content)


def test_what_a_data_address_holds_is_bounded_too(internet: Internet) -> None:
    def fetch(address: str) -> Media:
        return InputMedia(internet.client, max_bytes=4).fetch("input_image", "image", address, time.monotonic() + 60)

    assert fetch("data:image/png;base64,YWJjZA%3D%3D").data == b"abcd"
    with pytest.raises(InvalidStepInput, match="input_image: its address leads to more than 4 bytes"):
        fetch("data:,abcde")
    with pytest.raises(InvalidStepInput, match="an empty file"):
        fetch("data:,")


def test_all_media_of_a_step_share_one_bound_of_time(
    comfyui: Adapter, provider: Any, ask: Any, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_media, "TOTAL_SECONDS", 0.0)
    with pytest.raises(FileUnavailable, match="takes too long"):
        start(comfyui, ask, tool, input_image=PUBLIC)
    assert provider.requests == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.ReadTimeout("x"), ProviderUnavailable),
        (httpx.Response(500, text="trouble"), ProviderUnavailable),
        (httpx.Response(413), ProviderRefused),
        (httpx.Response(401), ProviderRefused),
        (httpx.Response(200, content=b"{"), ProviderAnswerInvalid),
        (httpx.Response(200, json={}), ProviderAnswerInvalid),
        (httpx.Response(200, json={"name": 7, "id": 7}), ProviderAnswerInvalid),
    ],
)
@pytest.mark.parametrize("service", ["comfyui", "comfyapi"])
def test_an_upload_that_fails_starts_nothing(
    request: pytest.FixtureRequest, provider: Any, ask: Any, tool: Tool, service: str, answer: Any, error: Any
) -> None:
    provider.answers(answer)
    with pytest.raises(error):
        start(request.getfixturevalue(service), ask, tool, input_image=PUBLIC)
    assert len(provider.requests) == 1

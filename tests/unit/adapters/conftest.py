"""What the adapters' tests share: requests of catalog tools, and a provider that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from spellcast.catalog import built_in_tools
from spellcast.domain.tools import Tool, parse_tool
from spellcast.ports.adapter import Request

GENERATION = "c4573.1.1"
CALLBACK = "https://spellcast.example/v1/completions/token"

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class FakeProvider:
    """Answers each request with the next of its answers; the last one is repeated."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._answers: list[Answer] = [httpx.Response(500)]

    def answers(self, *answers: Answer) -> None:
        """What the next requests get."""
        self.requests.clear()
        self._answers = list(answers)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """The transport's handler."""
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def client(self) -> httpx.Client:
        """The client factory that an adapter is given."""
        return httpx.Client(transport=httpx.MockTransport(self.handle))

    @property
    def lines(self) -> list[str]:
        """Method and path of each request."""
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]

    def body(self, number: int = 0) -> Any:
        """The JSON of one request."""
        return json.loads(self.requests[number].content)


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def tool() -> Callable[..., Tool]:
    """A catalog tool, with other metadata where a test needs it."""

    def make(tool_id: str, **metadata: Any) -> Tool:
        found = built_in_tools()[tool_id]
        return replace(found, metadata={**found.metadata, **metadata}) if metadata else found

    return make


@pytest.fixture
def bare_tool() -> Callable[..., Tool]:
    """A tool without anything but what the test says."""

    def make(service: str, **fields: Any) -> Tool:
        return parse_tool({"toolId": "bare", "service": service, "displayName": "Bare", **fields})

    return make


@pytest.fixture
def ask() -> Callable[..., Request]:
    """A request of a tool with these inputs."""

    def make(tool: Tool, *, generation_id: str = GENERATION, callback_url: str = CALLBACK, **inputs: Any) -> Request:
        return Request(generation_id, tool, inputs, callback_url)

    return make

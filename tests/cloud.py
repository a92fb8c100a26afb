"""An embedded cloud as its callers see it: real HTTP, a real WebSocket, a real bus."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from local import stack
from tests.ports import free_port

Document = dict[str, Any]
TERMINAL = ("completed", "failed", "cancelled")
PATIENCE = 30.0


@dataclass
class Listener:
    """What arrives on one WebSocket, in order."""

    messages: list[Document] = field(default_factory=list)
    _arrived: queue.Queue[Document] = field(default_factory=queue.Queue)

    def listen(self, socket: Any) -> None:
        try:
            for text in socket:
                message = json.loads(text)
                self.messages.append(message)
                self._arrived.put(message)
        except ConnectionClosed:
            pass

    def until(self, wanted: Callable[[Document], bool], patience: float = PATIENCE) -> Document:
        """The next message that is wanted; those before it are passed over."""
        deadline = time.monotonic() + patience
        while True:
            message = self._arrived.get(timeout=max(0.01, deadline - time.monotonic()))
            if wanted(message):
                return message

    def until_ended(self, cast: Document, patience: float = PATIENCE) -> Document:
        """The cast's terminal `castUpdate`."""
        ended = self.until(
            lambda message: (
                message.get("type") == "castUpdate"
                and message["payload"]["castId"] == cast["castId"]
                and message["payload"]["status"] in TERMINAL
            ),
            patience,
        )
        payload: Document = ended["payload"]
        return payload

    def of(self, cast: Document, kind: str) -> list[Document]:
        """The payloads of the cast's messages of one type, in the order of their arrival."""
        return [
            message["payload"]
            for message in self.messages
            if message.get("type") == kind and message["payload"].get("castId") == cast["castId"]
        ]


@contextmanager
def started(directory: Path, settings: Mapping[str, str] | None = None, port: int | None = None) -> Iterator[Cloud]:
    """A cloud of one's own, with these variables and, of the caller's, only where programs are found.

    So no test asks a provider that somebody's environment names.
    """
    port = port or free_port()
    outputs = stack.start(port, directory, environment={"PATH": os.environ["PATH"], **(settings or {})})
    cloud = Cloud(outputs, stack.running(port, directory) or 0, directory / str(port))
    try:
        yield cloud
    finally:
        cloud.close()
        stack.stop(port, directory)


class Cloud:
    """The API as its caster, and what a test may do behind its back."""

    def __init__(self, outputs: dict[str, str], process: int, directory: Path | None = None) -> None:
        self.outputs = outputs
        self.process = process
        self.directory = directory
        self.api = httpx.Client(
            base_url=outputs["httpUrl"], headers={"X-API-Key": outputs["apiKey"]}, timeout=httpx.Timeout(30)
        )
        port = int(outputs["httpUrl"].rsplit(":", 1)[1])
        self.provider = httpx.Client(base_url=f"http://127.0.0.1:{port + 1}", timeout=30)

        self._session = boto3.session.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=outputs["region"]
        )
        self._clients: dict[str, Any] = {}

    def aws(self, service: str) -> Any:
        """A client of an AWS service of the embedded cloud."""
        if service not in self._clients:
            endpoint = self.outputs["endpointUrl"]
            self._clients[service] = self._session.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]
        return self._clients[service]

    def close(self) -> None:
        for client in (self.api, self.provider, *self._clients.values()):
            client.close()

    def spell(self, *steps: Document, **more: Any) -> Document:
        return self._created("/v1/spells", {"name": "a spell", "steps": list(steps), **more})

    def tool(self, definition: Document) -> Document:
        return self._created("/v1/tools", definition)

    def cast(self, spell: Document, inputs: Document | None = None, **more: Any) -> Document:
        answer = self.api.post("/v1/casts", json={"spell": spell["spellId"], "inputs": inputs or {}, **more})
        assert answer.status_code == 202, answer.text
        cast: Document = answer.json()
        return cast

    def put_on_bus(self, **detail: Any) -> None:
        """A `Job Completed` event of this detail."""
        entry = {
            "Source": "a.test",
            "DetailType": "Job Completed",
            "Detail": json.dumps(detail),
            "EventBusName": self.outputs["eventBusName"],
        }
        assert self.aws("events").put_events(Entries=[entry])["FailedEntryCount"] == 0

    def get_cast(self, cast: Document) -> Document:
        found: Document = self.api.get(f"/v1/casts/{cast['castId']}").raise_for_status().json()
        return found

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """A WebSocket of the account, acknowledged."""
        ticket = self.api.post("/v1/realtime/ticket").raise_for_status().json()
        listener = Listener()
        with connect(ticket["url"]) as socket:
            thread = threading.Thread(target=listener.listen, args=[socket], daemon=True)
            thread.start()
            listener.until(lambda message: message.get("type") == "connection_ack")
            yield listener
        thread.join(PATIENCE)

    def run(self, spell: Document, inputs: Document | None = None, **more: Any) -> Document:
        """The ended cast with its generations."""
        with self.listening() as listener:
            cast = self.cast(spell, inputs, **more)
            listener.until_ended(cast)
        return self.get_cast(cast)

    def await_cast(self, cast: Document, patience: float = PATIENCE) -> Document:
        """The cast once it has ended, among others that run beside it."""
        deadline = time.monotonic() + patience
        while (found := self.get_cast(cast))["status"] not in TERMINAL:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def await_generation(self, generation_id: str, status: str) -> Document:
        """Polls the record, for what is not announced to this test."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = self.api.get(f"/v1/generations/{generation_id}")
            if answer.is_success and answer.json()["status"] == status:
                found: Document = answer.json()
                return found
            time.sleep(0.05)
        raise AssertionError(f"{generation_id} did not become {status}")

    def counts(self) -> Document:
        found: Document = httpx.get(f"{self.outputs['httpUrl']}/_spellcast/counts").raise_for_status().json()
        return found

    def reset_counts(self) -> None:
        httpx.post(f"{self.outputs['httpUrl']}/_spellcast/counts/reset").raise_for_status()

    def set_faults(self, rates: dict[str, float], seed: int = 0) -> None:
        """Of a cloud that was started with SPELLCAST_FAULTS: its calls meet faults at these rates from now on."""
        body = {"seed": seed, "rates": rates}
        httpx.post(f"{self.outputs['httpUrl']}/_spellcast/faults", json=body).raise_for_status()

    def faults(self) -> dict[str, dict[str, int]]:
        """By kind of fault: how many calls there were, and how many met it."""
        found: dict[str, dict[str, int]] = httpx.get(f"{self.outputs['httpUrl']}/_spellcast/faults").json()
        return found

    def _created(self, path: str, body: Document) -> Document:
        answer = self.api.post(path, json=body)
        assert answer.status_code == 201, answer.text
        document: Document = answer.json()
        return document


def words(text: str = "a cat", node: str = "words") -> Document:
    """A pure immediate step."""
    return {
        "id": node,
        "toolIdentifier": "string-primitive",
        "parameterMappings": {
            "operation": {"type": "static", "value": "concat"},
            "inputText": {"type": "static", "value": text},
            "appendText": {"type": "static", "value": "!"},
        },
    }


def evaluated(expression: str, node: str, **wired: Document) -> Document:
    """A line of JSONata; `input=wire("words", "text")` gives it something to work on."""
    mappings = {"expression": {"type": "static", "value": expression}, **wired}
    return {"id": node, "toolIdentifier": "expression", "parameterMappings": mappings}


def wire(node: str, output: str) -> Document:
    """A mapping that takes an earlier step's output."""
    return {"type": "nodeOutput", "nodeId": node, "outputKey": output}


def drawn(prompt: str = "a cat", node: str = "draw") -> Document:
    """A polled job."""
    return {
        "id": node,
        "toolIdentifier": "comfyui-text-to-image",
        "parameterMappings": {"input_prompt": {"type": "static", "value": prompt}},
    }


def called(prompt: str = "a cat", node: str = "flux", tool: str = "replicate-flux-schnell") -> Document:
    """A job whose provider calls back."""
    return {
        "id": node,
        "toolIdentifier": tool,
        "parameterMappings": {"prompt": {"type": "static", "value": prompt}},
    }

"""The functions of a deployment over the fakes: each is called with the event that AWS sends it, as JSON."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from spellcast import bootstrap
from spellcast.application.media_links import MediaLinks
from spellcast.application.notify import Notify
from spellcast.application.send_webhook import SendWebhook
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.documents import DocumentStore
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.polling import Polling
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment
from tests.fakes.world import World
from tests.unit.api.caller import KEY, Caller, request

# What Step Functions calls what the closed list calls otherwise.
_MACHINES_WORDS = {"TIMED_OUT": "States.Timeout", "INTERNAL_ERROR": "StepEndedInFailure"}


class Receiver:
    """Implements `ports.receiver.Receiver`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def post(self, url: str, body: bytes, headers: Any) -> None:
        self.bodies.append(body)


class Handlers:
    """Has the names of those use cases of a world that `StepFunctions` calls, so that it drives functions.

    `on_event` is told of each event before its function is.
    """

    def __init__(self, world: World, on_event: Callable[[str, Document], object] = lambda function, event: None):
        self.machine, self.clock = world.machine, world.clock
        self.receiver = Receiver()
        self._world = world
        self._on_event = on_event
        api = Caller(world).api
        send_webhook = SendWebhook(
            world.store, self.receiver, world.queue, MediaLinks(world.media), world.clock, (5, 30)
        )
        # It reads nothing but the image.
        casts = DynamoCastStore(None, DocumentStore(None, ""))  # type: ignore[arg-type]
        written = SimpleNamespace(casts=casts)
        use_cases = {
            "cast_api": api,
            "execute_step": world.execute_step,
            "process_output": world.process_output,
            "finalize_cost": world.finalize_cost,
            "receive_callback": world.receive_callback,
            "complete_job": world.complete_job,
            "poll_job": world.poll_job,
            "notify": Notify(world.announcer, MediaLinks(world.media), world.clock),
            "send_webhook": send_webhook,
            "sweep": world.sweep,
            "parts": SimpleNamespace(written=lambda image: bootstrap.Parts.written(written, image)),  # type: ignore[arg-type]
        }
        self._roots: dict[str, Any] = {name: lambda use_case=use_case: use_case for name, use_case in use_cases.items()}

    def __call__(self, function: str, event: Document) -> Any:
        """What the function answers."""
        event = json.loads(json.dumps(event))
        self._on_event(function, event)
        handler = importlib.import_module(f"functions.{function}.app").lambda_handler
        with patch.multiple(bootstrap, **self._roots):
            answer = handler(event, _Context())
        return json.loads(json.dumps(answer))

    def execute_step(self, cast_id: str, segment: Segment, token: str, execution: str) -> None:
        event = {"castId": cast_id, "execution": execution, "segment": list(segment), "taskToken": token}
        self("execute_step", event)

    def process_output(self, cast_id: str, segments: Sequence[Segment]) -> list[Segment]:
        answer = self("process_output", {"castId": cast_id, "segments": [list(segment) for segment in segments]})
        return [Segment(*segment) for segment in answer["segments"]]

    def finalize_cost(self, cast_id: str, interruption: Failure | None, execution: str) -> Cast | None:
        event: Document = {"castId": cast_id, "execution": execution}
        if interruption:
            code = _MACHINES_WORDS.get(interruption.code, interruption.code)
            event["error"] = {"code": code, "message": interruption.message}
        self("finalize_cost", event)
        return self._world.store.get_cast(cast_id)

    def receive_callback(self, token: str, headers: Document, body: bytes) -> int:
        event = {
            **request("POST", f"/v1/completions/{token}", headers=headers),
            "routeKey": "POST /v1/completions/{token}",
            "pathParameters": {"token": token},
            "body": body.decode(),
        }
        status: int = self("complete_job", event)["statusCode"]
        return status

    def complete_on_bus(self, **detail: Any) -> None:
        self("complete_job", {"source": "a.test", "detail-type": "Job Completed", "detail": detail})

    def poll_job(self, polling: Polling) -> Polling:
        answer = self("poll_job", polling.to_document())
        return Polling(
            answer["generationId"], answer["polls"], answer["misses"], answer["waitSeconds"], answer["finished"]
        )

    def ask(self, method: str, path: str, body: Document | None = None, key: str = "once") -> Document:
        """The API's answer, which is no refusal."""
        event = request(method, path, headers={"x-api-key": KEY, "idempotency-key": key})
        answer = self("cast_api", event if body is None else {**event, "body": json.dumps(body)})
        assert answer["statusCode"] < 300, answer["body"]
        document: Document = json.loads(answer["body"] or "{}")
        return document

    def announce(self, image: Document) -> list[Document]:
        """A row's image as it leaves the stream; answered with what of it was put on the bus."""
        before = len(self._world.announcer.published)
        record = {
            "eventName": "MODIFY",
            "dynamodb": {
                "Keys": {name: image[name] for name in ("pk", "sk")},
                "NewImage": image,
                "SequenceNumber": "1",
            },
        }
        assert self("notify", {"Records": [record]}) == {"batchItemFailures": []}
        return [
            {"source": "spellcast", "detail-type": event.detail_type, "detail": event.detail}
            for event in self._world.announcer.published[before:]
        ]

    def deliver(self, event: Document) -> None:
        """What the bus does with an event of ours."""
        if event["detail"].get("webhookDue"):
            record = {
                "messageId": "m",
                "receiptHandle": "r",
                "body": json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            assert self("send_webhook", {"Records": [record]}) == {"batchItemFailures": []}
        if event["detail"].get("cancelDue"):
            self("finalize_cost", event)

    def sweep(self) -> Document:
        """As at the start of the embedded cloud."""
        counts: Document = self("sweep", {"detail-type": "Scheduled Event", "detail": {"olderThanSeconds": 0}})
        return counts


class _Context:
    """What Lambda passes beside the event."""

    function_name = "a-function"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:a-function"
    aws_request_id = "00000000-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 90_000

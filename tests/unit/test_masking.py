"""Nothing that is marked reaches the log, whatever goes wrong with it (contract: no prompt, token, key or address)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError
from pydantic import BaseModel

from spellcast.api.completions import answer_callback
from spellcast.application import ask_provider
from spellcast.domain.casts import Cast
from spellcast.domain.errors import (
    CastNotFound,
    InvalidInput,
    JobFailed,
    OutcomeUnknown,
    ProviderRefused,
    ProviderUnavailable,
    StepEndedInFailure,
    WebhookNotDelivered,
)
from spellcast.domain.polling import Polling
from spellcast.domain.results import Failure, ToolResult
from spellcast.observability import begin, logger, observed
from spellcast.ports.media import MediaNotCopied
from tests.fakes.world import World
from tests.unit.api.caller import KEY, Caller

PROMPT = "marked-prompt of a red fox"
SIGNATURE = "marked-signature-5c1f"
SECRET = "marked-provider-key-77aa"
TICKET = "marked-ticket-e3"
URL = f"https://bucket.example/media/x.png?X-Amz-Signature={SIGNATURE}"
MARKS = (PROMPT, "marked-", SIGNATURE, SECRET, TICKET, KEY)
EVERYTHING = f"{PROMPT} {URL} Authorization: Bearer {SECRET}"


class Numbers(BaseModel):
    number: int


def pydantic_error() -> Exception:
    try:
        Numbers.model_validate({"number": PROMPT})
    except ValueError as error:
        return error
    raise AssertionError("it is no number")


def chained() -> Exception:
    try:
        try:
            raise ValueError(EVERYTHING)
        except ValueError as error:
            raise KeyError(PROMPT) from error
    except KeyError as error:
        error.add_note(EVERYTHING)
        try:
            raise RuntimeError(URL)
        except RuntimeError as last:
            last.__context__ = error
            return last


RAISED: dict[str, Callable[[], Exception]] = {
    "ValueError": lambda: ValueError(EVERYTHING),
    "KeyError": lambda: KeyError(PROMPT),
    "OSError": lambda: FileNotFoundError(2, "none", URL),
    "UnicodeError": lambda: UnicodeEncodeError("ascii", PROMPT, 0, 1, URL),
    "json": lambda: json.JSONDecodeError(EVERYTHING, EVERYTHING, 0),
    "pydantic": pydantic_error,
    "httpx": lambda: httpx.ConnectError(EVERYTHING, request=httpx.Request("GET", URL)),
    "httpx status": lambda: httpx.HTTPStatusError(
        EVERYTHING, request=httpx.Request("GET", URL), response=httpx.Response(500, text=PROMPT)
    ),
    "botocore": lambda: ClientError({"Error": {"Code": "ValidationException", "Message": EVERYTHING}}, "PutItem"),
    "botocore parameters": lambda: ParamValidationError(report=EVERYTHING),
    "botocore endpoint": lambda: EndpointConnectionError(endpoint_url=URL),
    "powertools": lambda: GetParameterError(EVERYTHING),
    "a chain": chained,
    "a group": lambda: ExceptionGroup(PROMPT, [ValueError(EVERYTHING)]),
    "refused": lambda: ProviderRefused(EVERYTHING),
    "unavailable": lambda: ProviderUnavailable(EVERYTHING),
    "unknown": lambda: OutcomeUnknown(EVERYTHING),
    "failed": lambda: JobFailed(EVERYTHING),
    "not delivered": lambda: WebhookNotDelivered(EVERYTHING, 500),
}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that anybody logs from DEBUG on."""
    stream = io.StringIO()
    listener = logging.StreamHandler(stream)
    listener.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [*root.handlers, listener])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    begin()
    own = logging.getLogger("spellcast")
    kept = [(handler, handler.stream) for handler in own.handlers if isinstance(handler, logging.StreamHandler)]
    for handler, _ in kept:
        handler.setStream(stream)
    try:
        yield stream
    finally:
        for handler, before in kept:
            handler.setStream(before)


def assert_clean(log: io.StringIO, *, lines: int = 0) -> None:
    text = log.getvalue()
    for mark in MARKS:
        assert mark not in text, text
    assert len(text.splitlines()) >= lines, "nothing was logged: this test shows nothing"


def raiser(name: str) -> Callable[..., Any]:
    def raise_it(*arguments: object, **named: object) -> Any:
        raise RAISED[name]()

    return raise_it


@pytest.mark.parametrize("name", RAISED)
def test_a_traceback_tells_places_and_kinds_and_no_texts(log: io.StringIO, name: str) -> None:
    try:
        raiser(name)()
    except Exception as error:
        kind = type(error).__name__
        logger().exception("It failed")
        logger().warning("It failed", exc_info=True)
    assert_clean(log, lines=2)
    entries = [json.loads(line) for line in log.getvalue().splitlines() if line.startswith("{")]
    assert [entry["exception_name"] for entry in entries] == [kind] * 2
    assert all("raise_it" in entry["exception"] for entry in entries)
    assert all(entry["stack_trace"]["type"] == kind for entry in entries)


@pytest.mark.parametrize("name", RAISED)
def test_what_leaves_a_handler_has_its_name_and_not_its_text(log: io.StringIO, name: str) -> None:
    """The runtime logs what leaves, and Step Functions goes by its name."""
    with pytest.raises(Exception) as left:
        observed(raiser(name))({}, None)
    assert type(left.value).__name__ == type(RAISED[name]()).__name__
    assert not [mark for mark in MARKS if mark in repr(left.value) + str(left.getrepr(style="native"))]
    assert_clean(log, lines=1)


@pytest.mark.parametrize("error", [CastNotFound("There is no cast 1."), StepEndedInFailure("1.0.1 ended with X.")])
def test_what_is_of_ours_leaves_as_it_is(error: Exception) -> None:
    def handler(event: dict[str, Any], context: Any) -> None:
        raise error

    with pytest.raises(type(error)) as left:
        observed(handler)({}, None)
    assert left.value is error


# Casts


def finish(world: World, cast: Cast) -> None:
    for number, _ in enumerate(world.segments(cast)):
        world.execute(cast, number)
        if "token" in world.machine.answers and world.process(cast, number).is_terminal:
            return
    world.settle(cast)


@pytest.mark.parametrize("name", RAISED)
@pytest.mark.parametrize("tool", ["free", "paid", "polled", "called"])
def test_a_provider_that_breaks_with_it(log: io.StringIO, name: str, tool: str) -> None:
    world = World()
    world.adapter.on_execute = world.adapter.on_start = raiser(name)
    cast = world.cast(tool, inputs={"prompt": PROMPT})
    finish(world, cast)
    assert_clean(log)


@pytest.mark.parametrize("name", RAISED)
def test_a_poll_and_a_cancellation_that_break_with_it(log: io.StringIO, name: str) -> None:
    world = World()
    cast = world.cast("polled", inputs={"prompt": PROMPT})
    world.execute(cast)
    world.adapter.on_poll = raiser(name)
    world.poll_job(Polling(f"{cast.cast_id}.0.1", 0, 0, 1))
    world.adapter.cancel_job = raiser(name)  # type: ignore[method-assign]
    ask_provider.cancel_job(world.adapters, "fake", "job-1")
    world.settle(cast, Failure("TIMED_OUT", PROMPT, True))
    assert_clean(log, lines=1)


@pytest.mark.parametrize("name", RAISED)
def test_a_callback_that_breaks_with_it(log: io.StringIO, name: str) -> None:
    world = World()
    cast = world.cast("called", inputs={"prompt": PROMPT})
    world.execute(cast)
    url = world.adapter.started[0].callback_url
    assert url is not None
    token = url.rpartition("/")[2]
    body = json.dumps({"status": "succeeded", "output": {"text": PROMPT, "url": URL}}).encode()
    answer_callback(world.receive_callback, token, {"x-signature": SECRET}, body)
    answer_callback(world.receive_callback, "fake", {"x-signature": "good"}, json.dumps({"token": TICKET}).encode())
    world.announcer.push = raiser(name)  # type: ignore[method-assign]
    answer_callback(world.receive_callback, token, {"x-signature": "good"}, b'{"status": "processing"}')
    world.adapter.parse_webhook = raiser(name)  # type: ignore[method-assign]
    answer_callback(world.receive_callback, token, {"x-signature": "good"}, body)
    assert token not in log.getvalue()
    assert_clean(log, lines=3)


@pytest.mark.parametrize("name", RAISED)
def test_media_history_and_counts_that_break_with_it(
    log: io.StringIO, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.adapter.on_execute = lambda request: ToolResult(
        "succeeded", ({"type": "image", "data": {"images": [{"url": URL}]}},)
    )
    monkeypatch.setattr(world.media_source, "open", raiser(name))
    monkeypatch.setattr(world.store, "record_runs", raiser(name))
    monkeypatch.setattr(world.store, "count_usage", raiser(name))
    finish(world, world.cast("paid", inputs={"prompt": PROMPT}))
    assert_clean(log, lines=2)


def test_outputs_that_are_not_kept_are_told_of_by_a_reason_of_ours(log: io.StringIO) -> None:
    world = World()
    world.adapter.on_execute = lambda request: ToolResult(
        "succeeded", ({"type": "image", "data": {"images": [{"url": URL}]}},)
    )

    def refuse(*arguments: object, **named: object) -> Any:
        raise MediaNotCopied("The server answered 404.", may_pass=False)

    world.media_source.open = refuse  # type: ignore[method-assign]
    finish(world, world.cast("free", inputs={"prompt": PROMPT}))
    assert_clean(log, lines=1)
    assert "404" in log.getvalue()


# The API


@pytest.mark.parametrize("name", RAISED)
def test_a_request_that_breaks_with_it(log: io.StringIO, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Caller(World())
    monkeypatch.setattr(call.world.store, "get_spell", raiser(name))
    monkeypatch.setattr(call.world.store, "get_spell_by_slug", raiser(name))
    reply = call("POST", "/v1/casts", {"spell": "a-spell", "inputs": {"prompt": PROMPT}, "webhookUrl": URL})
    assert reply.status >= 400
    assert_clean(log, lines=0 if issubclass(type(RAISED[name]()), InvalidInput) else 1)


def test_requests_that_are_refused(log: io.StringIO) -> None:
    call = Caller(World())
    call("POST", "/v1/casts", {"spell": PROMPT, "webhookUrl": URL, "webhookSecret": SECRET})
    call("POST", "/v1/casts", {"spell": 1, PROMPT: URL})
    call("POST", "/v1/spells", {"name": PROMPT, "steps": [{"id": PROMPT, "toolIdentifier": URL}]})
    call("GET", "/v1/casts", key=SECRET)
    call("GET", "/v1/casts", headers={"authorization": f"Bearer {SECRET}"}, key=None)
    call("GET", f"/v1/{PROMPT}")
    call("GET", "/v1/spells", query={"cursor": SIGNATURE})
    call("GET", "/internal/v1/data/x", headers={"x-internal-client-key": SECRET})
    assert_clean(log)

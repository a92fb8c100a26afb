"""What OpenAI's own client accepts, the fake really speaks."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.providers.openai import READ, WRITTEN, OpenAI
from tests.providers.serving import serving
from tests.receiver import receiving

PATIENCE = 10.0


@pytest.fixture
def fake() -> OpenAI:
    return OpenAI(job_seconds=0.05)


@pytest.fixture
def client(fake: OpenAI) -> Iterator[Any]:
    with serving(fake.app()) as url, openai.OpenAI(api_key="sk-test", base_url=f"{url}/v1", max_retries=0) as client:
        yield client


def ended(client: Any, response: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while response.status in ("queued", "in_progress") and time.monotonic() < deadline:
        time.sleep(0.02)
        response = client.responses.retrieve(response.id)
    return response


def test_a_response_at_once(client: Any) -> None:
    response = client.responses.create(
        model="gpt-6-luna", input="a cat", instructions="Briefly.", temperature=0.7, store=False
    )
    assert (response.status, response.output_text) == ("completed", "An answer to: a cat")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (READ, WRITTEN)
    assert response.store is False


def test_a_response_in_the_background(client: Any) -> None:
    asked = client.responses.create(
        model="gpt-6-luna", input="a cat", background=True, store=True, metadata={"spellcast_token": "t"}
    )
    assert (asked.status, asked.background, asked.output_text) == ("queued", True, "")
    done = ended(client, asked)
    assert (done.id, done.status, done.output_text) == (asked.id, "completed", "An answer to: a cat")
    assert done.metadata == {"spellcast_token": "t"}
    assert client.responses.cancel(asked.id).status == "completed", "what is over stays as it is"


@pytest.mark.parametrize(
    ("mark", "status"), [("fail", "failed"), ("cut", "incomplete"), ("decline", "completed"), ("mute", "completed")]
)
def test_responses_that_end_badly(client: Any, mark: str, status: str) -> None:
    done = ended(client, client.responses.create(model="m", input=f"x [fault:{mark}]", background=True))
    assert done.status == status
    match mark:
        case "fail":
            assert done.error.code == "server_error"
        case "cut":
            assert done.incomplete_details.reason == "max_output_tokens"
        case "decline":
            assert done.output[1].content[0].refusal
        case "mute":
            assert done.output_text == ""


def test_a_cancelled_response(client: Any) -> None:
    asked = client.responses.create(model="m", input="x [fault:stall]", background=True)
    assert client.responses.cancel(asked.id).status == "cancelled"
    assert client.responses.cancel(asked.id).status == "cancelled", "twice is as good as once"
    assert client.responses.retrieve(asked.id).status == "cancelled"


def test_a_picture(client: Any) -> None:
    answer = client.images.generate(model="gpt-image-2.6-sunburst", prompt="a cat", size="1024x1024", quality="low")
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.output_format == "png"


def test_a_webhook_is_unwrapped(client: Any) -> None:
    with receiving(refusals=1) as receiver:
        endpoint = client.webhooks.create(event_types=["response.completed"], name="ours", url=receiver.url)
        asked = client.responses.create(model="m", input="x", background=True)
        refused, again = receiver.next(), receiver.next()
    assert refused[0]["webhook-id"] == again[0]["webhook-id"], "an event that was not taken comes again"
    headers, body = again
    event = client.webhooks.unwrap(body, headers, secret=endpoint.signing_secret)
    assert (event.type, event.data.id) == ("response.completed", asked.id)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body + b" ", headers, secret=endpoint.signing_secret)


@pytest.mark.parametrize(
    ("mark", "error", "code"),
    [
        ("throttle", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota", openai.RateLimitError, "insufficient_quota"),
        ("policy", openai.BadRequestError, "moderation_blocked"),
        ("refuse", openai.BadRequestError, "decimal_above_max_value"),
        ("broken", openai.InternalServerError, None),
    ],
)
def test_refusals_have_the_clients_names(client: Any, mark: str, error: type[openai.APIError], code: str) -> None:
    with pytest.raises(error) as caught:
        client.responses.create(model="m", input=f"x [fault:{mark}]")
    assert caught.value.code == code


def test_a_wrong_key_and_an_unknown_response(client: Any) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-other").responses.create(model="m", input="x")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_unknown")
    with pytest.raises(openai.NotFoundError):
        client.images.generate(model="dall-e-3", prompt="a cat")


def test_a_client_that_retries_pays_three_times(client: Any, fake: OpenAI) -> None:
    """Why the adapter has a client of its own."""
    with pytest.raises(openai.InternalServerError):
        client.with_options(max_retries=2).responses.create(model="m", input="x [fault:broken]")
    assert fake.switches.counts["submits"] == 3

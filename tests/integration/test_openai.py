"""OpenAI's texts and pictures on an embedded cloud of their own, over the fake of its protocol."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from local import stack
from spellcast.domain import standard_webhooks
from tests.cloud import PATIENCE, Cloud, Document, words
from tests.ports import free_port
from tests.providers.openai import OpenAI
from tests.providers.serving import serving

KEY = "sk-of-this-test"
SECRET = "whsec_" + base64.b64encode(b"the signing secret of this test").decode()


@pytest.fixture(scope="module")
def fake() -> OpenAI:
    return OpenAI(key=KEY, job_seconds=0.3)


@pytest.fixture(scope="module")
def cloud(fake: OpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("openai")
    port = free_port()
    with serving(fake.app()) as url:
        environment = {
            "PATH": os.environ["PATH"],
            "SPELLCAST_OPENAI_URL": f"{url}/v1",
            "SPELLCAST_OPENAI_KEY": KEY,
            "SPELLCAST_OPENAI_WEBHOOK_SECRET": SECRET,
        }
        outputs = stack.start(port, directory, provider=False, environment=environment)
        cloud = Cloud(outputs, stack.running(port, directory) or 0)
        # As the project's settings do it.
        fake.register_endpoint(f"{outputs['httpUrl']}/v1/completions/openai", SECRET)
        try:
            yield cloud
        finally:
            cloud.close()
            stack.stop(port, directory)


@pytest.fixture(autouse=True)
def counted_anew(fake: OpenAI) -> None:
    fake.switches.reset()
    fake.deliveries.clear()


def asked(prompt: str, tool: str, node: str = "gpt") -> Document:
    mappings = {"prompt": {"type": "static", "value": prompt}}
    return {"id": node, "toolIdentifier": tool, "parameterMappings": mappings}


def variant(cloud: Cloud, **changes: object) -> str:
    """A tool like `openai-response`, of an id of its own."""
    tool_id = f"gpt-{time.monotonic_ns()}"
    definition = cloud.api.get("/v1/tools/openai-response").json()
    cloud.tool({**definition, "toolId": tool_id, "displayName": tool_id, **changes})
    return tool_id


def test_a_chat_at_once_and_what_follows(cloud: Cloud, fake: OpenAI) -> None:
    after = words(node="after")
    after["parameterMappings"]["inputText"] = {"type": "nodeOutput", "nodeId": "gpt", "outputKey": "text"}
    ended = cloud.run(cloud.spell(asked("a cat", "chatgpt-free"), after))
    assert ended["status"] == "completed", ended
    assert (ended["outputs"]["text"], ended["costUsd"]) == ("An answer to: a cat!", "0.0000125")
    assert fake.switches.counts == {"submits": 1}


@pytest.mark.parametrize("tool_id", ["dall-e-3-image", "openai-image"])
def test_a_picture(cloud: Cloud, fake: OpenAI, tool_id: str) -> None:
    ended = cloud.run(cloud.spell(asked("a cat", tool_id)))
    assert ended["status"] == "completed", ended
    (image,) = ended["outputs"]["images"]
    assert (image["mediaType"], ended["costUsd"]) == ("image/png", "0.031805")
    assert fake.switches.counts == {"submits": 1}


def test_a_response_by_webhook(cloud: Cloud, fake: OpenAI) -> None:
    ended = cloud.run(cloud.spell(asked("a cat", "openai-response"), words(node="after")))
    assert ended["status"] == "completed", ended
    generation = ended["generations"][0]
    assert generation["outputs"]["text"] == "An answer to: a cat"
    assert (generation["costUsd"], generation["metadata"]["run_id"]) == ("0.000125", next(reversed(fake.responses)))
    assert [status for _, _, status in fake.deliveries] == [200]
    assert fake.switches.counts == {"submits": 1, "polls": 2}, "the event is thin: both are to read what it is about"


def test_a_webhook_that_never_comes_is_made_up_for_by_a_poll(cloud: Cloud, fake: OpenAI) -> None:
    ended = cloud.run(cloud.spell(asked("lost [fault:drop]", variant(cloud, deadlineSeconds=2))))
    assert ended["status"] == "completed", ended
    assert fake.switches.counts == {"submits": 1, "polls": 1}


def test_a_response_by_poll(cloud: Cloud, fake: OpenAI) -> None:
    ended = cloud.run(cloud.spell(asked("polled [fault:drop]", variant(cloud, deliveryMode="async"))))
    assert ended["status"] == "completed", ended
    assert fake.switches.counts["submits"] == 1
    assert fake.deliveries == []


@pytest.mark.parametrize("mark", ["broken", "garbage"])
def test_a_lost_acceptance_is_made_up_for_by_the_webhook(cloud: Cloud, fake: OpenAI, mark: str) -> None:
    ended = cloud.run(cloud.spell(asked(f"x [fault:{mark}]", "openai-response")))
    assert ended["status"] == "completed", ended
    assert fake.switches.counts["submits"] == 1


@pytest.mark.parametrize(
    ("mark", "code", "message"),
    [
        ("quota", "PROVIDER_REFUSED", "OpenAI refused (429): insufficient_quota"),
        ("throttle", "PROVIDER_UNAVAILABLE", "OpenAI takes no more requests at the moment (429 rate_limit_exceeded)"),
        ("policy", "PROVIDER_REFUSED", "OpenAI refused the request by its content policy: moderation_blocked"),
        ("fail", "JOB_FAILED", "OpenAI: server_error"),
    ],
)
def test_a_failure_is_the_casts(cloud: Cloud, fake: OpenAI, mark: str, code: str, message: str) -> None:
    for tool_id in ("chatgpt-free", "openai-response"):
        fake.switches.reset()
        ended = cloud.run(cloud.spell(asked(f"x [fault:{mark}]", tool_id)))
        assert (ended["status"], ended["failure"]["code"]) == ("failed", code)
        assert ended["failureReason"].startswith(message)
        assert fake.switches.counts["submits"] == (4 if mark == "throttle" else 1)


def test_the_address_hears_of_others_too(cloud: Cloud) -> None:
    body = json.dumps({"object": "event", "type": "response.completed", "data": {"id": "resp_of_a_test"}}).encode()
    headers = standard_webhooks.sign(SECRET, "wh_1", datetime.now(UTC), body)
    url = f"{cloud.outputs['httpUrl']}/v1/completions/openai"
    taken = httpx.post(url, content=body, headers=headers, timeout=PATIENCE)
    assert (taken.status_code, taken.json()) == (200, {"generationId": None})
    forged = httpx.post(url, content=body + b" ", headers=headers, timeout=PATIENCE)
    assert (forged.status_code, forged.json()["error"]["code"]) == (401, "INVALID_SIGNATURE")

"""A spell of Hugging Face's tools, cast over the fake router."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.cloud import Cloud, Document, wire
from tests.providers.huggingface import HuggingFace
from tests.providers.serving import serving


@pytest.fixture(scope="module")
def router(cloud: Cloud) -> Iterator[HuggingFace]:
    fake = HuggingFace()
    with serving(fake.app()) as url:
        configuration = json.dumps({"url": url, "key": "hf_key", "billTo": "an-org"})
        cloud.aws("secretsmanager").put_secret_value(SecretId="spellcast/local/huggingface", SecretString=configuration)
        yield fake


def step(node: str, tool: str, **mappings: str | Document) -> Document:
    return {
        "id": node,
        "toolIdentifier": tool,
        "parameterMappings": {
            key: value if isinstance(value, dict) else {"type": "static", "value": value}
            for key, value in mappings.items()
        },
    }


def test_a_spell_of_three_tools(cloud: Cloud, router: HuggingFace) -> None:
    spell = cloud.spell(
        step("ask", "huggingface-chat", prompt="a fox"),
        step("draw", "huggingface-flux-schnell", prompt=wire("ask", "text")),
        step("tell", "joycaption", imageUrl="https://x.example/a.png"),
    )
    ended = cloud.run(spell)
    assert ended["status"] == "completed", ended.get("failure")
    asked, drawn, told = ended["generations"]
    assert drawn["requestPayload"]["prompt"] == asked["outputs"]["text"] == "a fox? I saw 0 pictures."
    image = drawn["outputs"]["images"][0]
    assert image["mediaType"] == "image/png"
    assert "b64_json" not in image or base64.b64decode(image["b64_json"]).startswith(b"\x89PNG")
    assert "Descriptive" in told["outputs"]["text"]
    assert Decimal(ended["costUsd"]) == sum(Decimal(item["costUsd"]) for item in ended["generations"]) > 0
    assert Decimal(drawn["costUsd"]) == Decimal("0.000444") * drawn["durationMs"] / 1000
    assert len(router.requests) == sum(router.runs.values()) == 3
    assert all(request["headers"]["x-hf-bill-to"] == "an-org" for request in router.requests)


@pytest.mark.parametrize(
    ("fault", "code", "words", "runs"),
    [
        ("broken", "OUTCOME_UNKNOWN", "Hugging Face answered 502", 1),
        ("credits", "PROVIDER_REFUSED", "the credits are used up", 0),
    ],
)
def test_a_spell_that_fails_is_asked_for_once(
    cloud: Cloud, router: HuggingFace, fault: str, code: str, words: str, runs: int
) -> None:
    before, ran = len(router.requests), sum(router.runs.values())
    ended = cloud.run(cloud.spell(step("draw", "huggingface-flux-schnell", prompt=f"a fox [fault:{fault}]")))
    assert (ended["status"], ended["failure"]["code"]) == ("failed", code)
    assert words in ended["failure"]["message"]
    assert len(router.requests) == before + 1
    assert sum(router.runs.values()) == ran + runs

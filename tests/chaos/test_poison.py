"""What nobody should send to the completion routes, over HTTP: a 4xx as documented, and nothing is changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest

from spellcast.application.issue_api_key import IssueApiKey
from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.clock import SystemClock
from spellcast.aws.table import Table, from_item, to_item
from spellcast.domain import callback_tokens
from tests.chaos.conftest import Defends
from tests.cloud import Cloud, Document, called
from tests.integration.test_completions import callback_token, waiting_job

LARGEST = 1_000_000


@pytest.fixture
def waiting(cloud: Cloud) -> Document:
    """The generation of a job that calls back only when this test does."""
    cast = waiting_job(cloud, "poisoned")
    found: Document = cloud.api.get(f"/v1/generations/{cast['castId']}.0.1").json()
    return found


@pytest.fixture
def anothers(cloud: Cloud) -> Document:
    """The same, of another account."""
    access = DynamoAccessStore(Table(cloud.aws("dynamodb"), cloud.outputs["tableName"]))
    headers = {"X-API-Key": IssueApiKey(access, SystemClock())("a victim")}
    with httpx.Client(base_url=cloud.outputs["httpUrl"], headers=headers, timeout=60) as api:
        steps = [called("theirs [fault:drop]")]
        spell = api.post("/v1/spells", json={"name": "theirs", "steps": steps}).raise_for_status().json()
        cast = api.post("/v1/casts", json={"spell": spell["spellId"]}).raise_for_status().json()
        while True:
            answer = api.get(f"/v1/generations/{cast['castId']}.0.1")
            if answer.is_success and answer.json()["status"] == "processing":
                found: Document = answer.json()
                return found
            time.sleep(0.05)


def signed(secret: str, body: bytes, *, age: int = 0, message_id: str = "msg_1") -> dict[str, str]:
    """As Replicate signs, written apart from the product's own."""
    timestamp = str(int(time.time()) - age)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def rows(cloud: Cloud, *generations: Document) -> list[Document]:
    """All that is stored of these casts."""
    found = []
    for generation in generations:
        answer = cloud.aws("dynamodb").query(
            TableName=cloud.outputs["tableName"],
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=to_item({":pk": f"CAST#{generation['castId']}"}),
            ConsistentRead=True,
        )
        found += [from_item(item) for item in answer["Items"]]
    return found


def test_poison_is_refused_and_changes_nothing(
    cloud: Cloud, waiting: Document, anothers: Document, defends: Defends
) -> None:
    config = cloud.aws("secretsmanager").get_secret_value(SecretId="spellcast/local/replicate")["SecretString"]
    secret = json.loads(config)["webhookSecret"]
    good = callback_token(cloud, waiting["generationId"])
    unknown = callback_token(cloud, f"{waiting['castId']}.7.1")
    body = done(waiting)
    nested = body[:-1] + b', "output": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    wrong = "whsec_" + base64.b64encode(b"another secret").decode()
    forged = callback_tokens.sign(waiting["generationId"], SystemClock().now(), "not the key")
    theirs = callback_token(cloud, anothers["generationId"])
    # Name, token, body, how it is signed, and what it is answered.
    cases: list[tuple[str, str, bytes, dict[str, Any] | None, int, str]] = [
        ("1 MB and a byte", good, body.ljust(LARGEST + 1), {}, 413, "PAYLOAD_TOO_LARGE"),
        ("5 MB", good, b"x" * 5 * LARGEST, {}, 413, "PAYLOAD_TOO_LARGE"),
        ("1 MB of brackets", good, b"[" * LARGEST, {}, 400, "PROVIDER_ANSWER_INVALID"),
        ("10,000 levels", good, nested, {}, 400, "PROVIDER_ANSWER_INVALID"),
        ("no JSON", good, b"\x00\xff", {}, 400, "PROVIDER_ANSWER_INVALID"),
        ("nothing", good, b"", {}, 400, "PROVIDER_ANSWER_INVALID"),
        ("a wrong signature", good, body, {"secret": wrong}, 401, "INVALID_SIGNATURE"),
        ("another body's signature", good, body, {"body": body + b" "}, 401, "INVALID_SIGNATURE"),
        ("no signature", good, body, None, 401, "INVALID_SIGNATURE"),
        ("301 s old", good, body, {"age": 301}, 401, "INVALID_SIGNATURE"),
        # By more than 301 s: until it arrives, it has come nearer.
        ("from the future", good, body, {"age": -360}, 401, "INVALID_SIGNATURE"),
        ("another's token", theirs, body, {}, 401, "INVALID_SIGNATURE"),
        ("another's job", good, done(anothers), {}, 401, "INVALID_SIGNATURE"),
        ("an unknown generation", unknown, body, {}, 401, "INVALID_TOKEN"),
        ("a forged token", forged, body, {}, 401, "INVALID_TOKEN"),
        ("no token", "x", body, {}, 401, "INVALID_TOKEN"),
        ("a token of 4 KB", "a" * 4_000, body, {}, 401, "INVALID_TOKEN"),
    ]
    before = rows(cloud, waiting, anothers)
    for name, token, content, signing, status, code in cases:
        headers = {} if signing is None else signed(**{"secret": secret, "body": content, **signing})
        answer = post(cloud, token, content, headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), (name, answer.text)
        assert rows(cloud, waiting, anothers) == before, name
    defends("I8, I10", "poison at the completion route", f"{len(cases)} kinds over HTTP")


def test_a_replayed_message_changes_nothing(cloud: Cloud, waiting: Document, defends: Defends) -> None:
    config = cloud.aws("secretsmanager").get_secret_value(SecretId="spellcast/local/replicate")["SecretString"]
    secret = json.loads(config)["webhookSecret"]
    token, body = callback_token(cloud, waiting["generationId"]), done(waiting)
    headers = signed(secret, body)
    assert post(cloud, token, body, headers).status_code == 200
    cloud.await_cast(waiting)
    before = rows(cloud, waiting)
    failed = done(waiting, status="failed", error="no")
    other = done(waiting, output=["another picture"])
    for content, sent in (
        (body, headers),
        (body, signed(secret, body, message_id="msg_2")),
        (other, signed(secret, other)),
        (failed, signed(secret, failed, message_id="msg_3")),
    ):
        assert post(cloud, token, content, sent).status_code == 200
    assert rows(cloud, waiting) == before
    defends("I3, I4", "a replayed callback, also with another result", "4 kinds over HTTP")


@pytest.mark.parametrize("key", ["wrong", None])
def test_the_internal_route_takes_no_result_without_its_key(cloud: Cloud, waiting: Document, key: str | None) -> None:
    before = rows(cloud, waiting)
    headers = {} if key is None else {"X-Internal-Client-Key": key}
    path = f"{cloud.outputs['httpUrl']}/internal/v1/data/generations/{waiting['generationId']}"
    answer = httpx.put(path, json={"status": "completed"}, headers=headers, timeout=60)
    assert answer.status_code in (401, 403), answer.text
    assert rows(cloud, waiting) == before


def done(generation: Document, **more: Any) -> bytes:
    """What the provider would say of this generation's job."""
    told = {"id": generation["metadata"]["run_id"], "status": "succeeded", "output": ["a picture"], **more}
    return json.dumps(told).encode()


def post(cloud: Cloud, token: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(
        f"{cloud.outputs['httpUrl']}/v1/completions/{token}", content=content, headers=headers, timeout=60
    )

"""The original's callers, pointed here: its internal routes, and its two operations in Python."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from spellcast import WorkflowExecutionService, bootstrap
from spellcast.domain.errors import SpellNotExecutable
from tests.cloud import Cloud, Document, called, words

DATA = "/internal/v1/data"


@pytest.fixture(scope="module")
def internal(cloud: Cloud) -> Iterator[httpx.Client]:
    """The Node service's client."""
    headers = {"X-Internal-Client-Key": cloud.outputs["internalKey"]}
    with httpx.Client(base_url=cloud.outputs["httpUrl"] + DATA, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def account(cloud: Cloud) -> str:
    """The account that the cloud's API key speaks for, and listens as."""
    return str(cloud.spell(words())["ownedBy"])


@pytest.fixture
def service(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkflowExecutionService]:
    """In this process, with the settings that the stack gives its functions."""
    configuration = cloud.aws("lambda").get_function_configuration(FunctionName="spellcast-local-cast_api")
    environment = {
        **{name: value for name, value in configuration["Environment"]["Variables"].items() if "SPELLCAST" in name},
        "AWS_ENDPOINT_URL": cloud.outputs["endpointUrl"],
        "AWS_DEFAULT_REGION": cloud.outputs["region"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _forget()
    yield WorkflowExecutionService()
    _forget()


def _forget() -> None:
    for member in vars(bootstrap).values():
        if hasattr(member, "cache_clear"):
            member.cache_clear()


def waiting_job(cloud: Cloud) -> Document:
    """A cast that waits for a callback which its provider never sends."""
    cast = cloud.cast(cloud.spell(called("[fault:drop]"), words(node="after")))
    cloud.await_generation(f"{cast['castId']}.0.1", "processing")
    return cast


def execution(account: str, tool: str, **inputs: Any) -> Document:
    return {"toolId": tool, "inputs": inputs, "user": {"masterAccountId": account, "platform": "web-sandbox"}}


def test_the_key_is_needed_and_opens_only_these_routes(cloud: Cloud, internal: httpx.Client) -> None:
    url = f"{cloud.outputs['httpUrl']}{DATA}/generations"
    assert httpx.get(url).json()["error"]["code"] == "MISSING_AUTH_HEADER"
    assert cloud.api.get(url).status_code == 401
    wrong = httpx.get(url, headers={"X-Internal-Client-Key": "wrong"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, "INVALID_API_KEY")
    assert internal.get(f"{cloud.outputs['httpUrl']}/v1/casts").status_code == 401


def test_an_event_is_kept(internal: httpx.Client, account: str) -> None:
    event = {"masterAccountId": account, "eventType": "t", "eventData": {"a": 1}, "sourcePlatform": "web"}
    logged = internal.post("/events", json=event)
    assert logged.status_code == 201
    assert internal.get(f"/events/{logged.json()['_id']}").json() == logged.json()


def test_a_tool_is_run_and_answered(internal: httpx.Client, account: str) -> None:
    body = execution(account, "/string", operation="concat", inputText="a", appendText="b")
    answer = internal.post("/execute", json={**body, "toolId": "string-primitive"})
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["status"], done["response"], done["costUsd"]) == ("completed", "ab", "0")
    record = internal.get(f"/generations/{done['generationId']}").json()
    assert (record["status"], record["masterAccountId"]) == ("completed", account)
    assert internal.get(f"/generations/last/{account}").json()["_id"] == done["generationId"]
    refused = internal.post("/execute", json=execution(account, "comfyui-text-to-image"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "MISSING_INPUTS")


def test_a_job_is_submitted_listed_and_completed_by_its_caller(internal: httpx.Client, account: str) -> None:
    answer = internal.post("/execute", json=execution(account, "replicate-flux-schnell", prompt="[fault:drop]"))
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["runId"]
    cast_id = job["generationId"].partition(".")[0]
    found = internal.get("/generations", params={"metadata.castId": cast_id, "status_in": "pending,processing"}).json()
    assert [record["_id"] for record in found["generations"]] == [job["generationId"]]
    result = {
        "status": "completed",
        "responsePayload": [{"type": "text", "data": {"text": "by hand"}}],
        "costUsd": 0.01,
    }
    for _ in range(2):
        put = internal.put(f"/generations/{job['generationId']}", json=result)
        assert put.status_code == 200, put.text
    assert internal.put(f"/generations/{job['generationId']}", json={"status": "failed"}).status_code == 409


def test_the_original_way_to_cast_and_to_close(cloud: Cloud, internal: httpx.Client, account: str) -> None:
    spell = cloud.spell(called("[fault:drop]"))
    body = {"slug": spell["slug"], "context": {"masterAccountId": account, "castId": f"own-{spell['spellId']}"}}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: internal.post("/spells/cast", json=body), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    (cast_id,) = {answer.json()["castId"] for answer in answers}
    cloud.await_generation(f"{cast_id}.0.1", "processing")
    closed = internal.put(f"/spells/casts/{cast_id}", json={"status": "failed", "failureReason": "stopped"})
    assert closed.json() == {"ok": True}
    cast = internal.get(f"/spells/casts/{cast_id}").json()
    assert (cast["status"], cast["failureReason"], cast["initiatorAccountId"]) == ("failed", "stopped", account)
    assert internal.put(f"/spells/casts/{cast_id}", json={"status": "completed"}).status_code == 409


def test_python_executes_a_spell_and_continues_it(
    cloud: Cloud, internal: httpx.Client, account: str, service: WorkflowExecutionService
) -> None:
    spell = {
        "_id": {"$oid": "65f1c0ffee65f1c0ffee0001"},
        "name": "From elsewhere",
        "isPublic": False,
        "steps": [
            {"stepId": 1, "toolIdentifier": "replicate-flux-schnell", "outputMappings": {"text": "inputText"}},
            {
                "stepId": 2,
                "toolIdentifier": "string-primitive",
                "parameterOverrides": {"operation": "concat", "appendText": "!"},
            },
        ],
    }
    with pytest.raises(SpellNotExecutable):
        service.execute({**spell, "steps": []}, {"masterAccountId": account})
    context = {"masterAccountId": account, "parameterOverrides": {"prompt": "[fault:drop]"}, "castId": "of-the-caller"}
    with cloud.listening() as listener:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: service.execute(spell, context), range(2)))
        started = listener.until(lambda message: message["type"] == "castUpdate")["payload"]
        generation_id = f"{started['castId']}.0.1"
        cloud.await_generation(generation_id, "processing")
        record = internal.get(f"/generations/{generation_id}").json()
        done = {
            **record,
            "status": "completed",
            "responsePayload": {"text": "painted"},
            "costUsd": {"$numberDecimal": "0.02"},
        }
        for _ in range(2):
            service.continue_execution(done)
        listener.until_ended(started)
    ended = internal.get(f"/spells/casts/{started['castId']}").json()
    assert (ended["status"], ended["outputs"], ended["costUsd"]) == ("completed", {"text": "painted!"}, "0.02")
    assert ended["metadata"] == {"castId": "of-the-caller"}
    casts = cloud.api.get("/v1/casts", params={"limit": 100}).json()["casts"]
    assert [cast["castId"] for cast in casts if cast["spellId"] == ended["spellId"]] == [ended["castId"]]
    service.continue_execution({**done, "status": "failed"})
    assert internal.get(f"/spells/casts/{started['castId']}").json() == ended

"""Many at once with the same key, or with the same callback: one of them does something, all are told the same."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx

from tests.chaos.conftest import Defends
from tests.chaos.sizes import SEED, size
from tests.cloud import Cloud, Document, called, words
from tests.integration.test_completions import callback_token, signed_callback, waiting_job

THREADS = 50
COPIES = 20


def at_once(number: int, ask: Any) -> list[httpx.Response]:
    """The answers to `ask(client)`, each asked over a connection of its own when all are ready.

    Who gets a 5xx asks again, as callers do: the gateway gives up on a function that got no core for half a minute.
    """
    ready = threading.Barrier(number)

    def one(client: httpx.Client) -> httpx.Response:
        ready.wait()
        while (answer := ask(client)).status_code >= 500:
            pass
        found: httpx.Response = answer
        return found

    limits = httpx.Limits(max_connections=number)
    with httpx.Client(timeout=60, limits=limits) as client, ThreadPoolExecutor(number) as threads:
        return list(threads.map(one, [client] * number))


def executions(cloud: Cloud, cast_id: str) -> int:
    machine = cloud.outputs["castStateMachineArn"]
    pages = cloud.aws("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
    return sum(execution["name"].startswith(cast_id) for page in pages for execution in page["executions"])


def test_fifty_threads_with_one_key_make_one_cast(cloud: Cloud, defends: Defends) -> None:
    rounds = size(20, 100)
    # Its job does not end, so that the cast is the same for all who ask.
    spell = cloud.spell(words(), called("[fault:drop] [seconds:600]"))
    headers = {"X-API-Key": cloud.outputs["apiKey"]}
    url = f"{cloud.outputs['httpUrl']}/v1/casts"
    casts = set()
    for number in range(rounds):
        body = {"spell": spell["spellId"], "inputs": {"round": number}}
        key = {**headers, "Idempotency-Key": f"same-{SEED}-{number}"}
        answers = at_once(THREADS, lambda client, body=body, key=key: client.post(url, json=body, headers=key))
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses[202] <= 1 and statuses[200] + statuses[202] == THREADS, [answer.text for answer in answers]
        # What a spell's author is warned of is told with the new cast only.
        documents = [{**answer.json(), "warnings": []} for answer in answers]
        assert [document for document in documents if document != documents[0]] == [], documents[0]
        cast = documents[0]
        casts.add(cast["castId"])
        cloud.await_generation(f"{cast['castId']}.1.1", "processing")
        assert executions(cloud, cast["castId"]) == 1
        other = cloud.api.post("/v1/casts", json={**body, "inputs": {"round": -1}}, headers=key)
        assert (other.status_code, other.json()["error"]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
        assert len(cloud.get_cast(cast)["generations"]) == 2
        assert cloud.api.post(f"/v1/casts/{cast['castId']}/cancel").is_success
    assert len(casts) == rounds
    defends("I1, I4", "the same Idempotency-Key at once", f"{THREADS} threads × {rounds} rounds over HTTP")


def test_copies_of_a_callback_at_once_are_applied_once(cloud: Cloud, defends: Defends) -> None:
    rounds = size(5, 50)
    for number in range(rounds):
        cast = waiting_job(cloud, f"copied {number}")
        generation_id = f"{cast['castId']}.0.1"
        before = cloud.api.get(f"/v1/generations/{generation_id}").json()
        url = f"{cloud.outputs['httpUrl']}/v1/completions/{callback_token(cloud, generation_id)}"
        body, headers = signed_callback(cloud, before["metadata"]["run_id"], status="succeeded", output=["a picture"])
        answers = at_once(COPIES, partial(httpx.Client.post, url=url, content=body, headers=headers))
        assert [(answer.status_code, answer.json()) for answer in answers] == [
            (200, {"generationId": generation_id})
        ] * COPIES
        ended: Document = cloud.await_cast(cast)
        assert ended["status"] == "completed"
        generation = ended["generations"][0]
        # One revision with the result, one with the step's end: whoever came later wrote nothing.
        assert revision(cloud, generation_id) == 4
        assert generation["costUsd"] == ended["costUsd"] == "0.003"
    defends("I4", "copies of one callback at once", f"{COPIES} copies × {rounds} rounds over HTTP")


def revision(cloud: Cloud, generation_id: str) -> int:
    cast_id, step, attempt = generation_id.split(".")
    key = {"pk": {"S": f"CAST#{cast_id}"}, "sk": {"S": f"GENERATION#{int(step):04}#{int(attempt):04}"}}
    row = cloud.aws("dynamodb").get_item(TableName=cloud.outputs["tableName"], Key=key, ConsistentRead=True)["Item"]
    return int(row["revision"]["N"])

"""`sam local start-api` and `start-lambda` before the embedded cloud: its API's answers, casts through containers."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx

from tests.cloud import Cloud, called, drawn, words
from tests.runtime.relay import RELAYED, relay
from tests.sam_local import FOLDER
from tests.sam_local.events import plain

Say = Callable[[str], None]
_WARM = 20
_PATIENCE = 240.0  # seconds; every function of a cast may have to be started
_STEPS = [words("a fox"), drawn(), called(), words("the end", "last")]
# Method, path, whether with the key, body; {cast} is that of a cast that has ended.
_REQUESTS: tuple[tuple[str, str, bool, Any], ...] = (
    ("GET", "/v1/health", False, None),
    ("GET", "/v1/tools", False, None),
    ("GET", "/v1/tools", True, None),
    ("GET", "/v1/spells", True, None),
    ("POST", "/v1/spells", True, {"name": "no steps"}),
    ("POST", "/v1/casts", True, {"spell": "unknown"}),
    ("GET", "/v1/casts/{cast}", True, None),
    ("GET", "/v1/casts/{cast}/graph", True, None),
    ("GET", "/v1/casts/0123", True, None),
    ("POST", "/v1/completions/forged.token", False, {"id": "1"}),
    ("GET", "/openapi.json", False, None),
    ("GET", "/console", False, None),
)


def compare_api(cloud: Cloud, address: str, say: Say) -> Iterator[str]:
    """Casts by the API of `start-api`, and compares its answers with those of the embedded cloud's; differences."""
    headers = {"X-API-Key": cloud.outputs["apiKey"]}
    with httpx.Client(base_url=address, headers=headers, timeout=120) as api:
        spell = _created(api.post("/v1/spells", json={"name": "by start-api", "steps": _STEPS}))
        begun = time.monotonic()
        cast = _created(api.post("/v1/casts", json={"spell": spell["spellId"], "inputs": {}}))
        ended = cloud.await_cast(cast, _PATIENCE)
        say(f"start-api: a cast of {len(_STEPS)} steps has {ended['status']} after {time.monotonic() - begun:.1f} s")
        if ended["status"] != "completed":
            yield f"the cast by start-api: {json.dumps(ended)}"
        same = 0
        for method, path, with_key, body in _REQUESTS:
            options: dict[str, Any] = {"json": body, "headers": {} if with_key else {"X-API-Key": ""}}
            url = path.format(cast=cast["castId"])
            there, here = (_told(client.request(method, url, **options)) for client in (api, cloud.api))
            if there == here:
                same += 1
            else:
                yield f"{method} {path}: {json.dumps(there)[:500]} by start-api, {json.dumps(here)[:500]} of the cloud"
        say(f"start-api: {same} of {len(_REQUESTS)} requests are answered as by the embedded cloud's API")
        times = [_milliseconds(client) for client in (api, cloud.api)]
        say(f"start-api: GET /v1/health, warm: {times[0]:.0f} ms; of the embedded cloud's API: {times[1]:.0f} ms")


def cast_through_containers(cloud: Cloud, address: str, names: dict[str, str], say: Say) -> Iterator[str]:
    """Casts whose functions the embedded cloud runs by `start-lambda`: one that completes, one that fails."""
    client = boto3.client(
        "lambda",
        endpoint_url=address,
        region_name=cloud.outputs["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    asked = client.invoke(FunctionName=names["execute_step"], Payload=_unknown_cast())
    answer = json.loads(asked["Payload"].read())
    say(
        f"start-lambda: an exception is answered with {asked['StatusCode']}, FunctionError "
        f"{asked.get('FunctionError')}, errorType {answer.get('errorType')}"
    )
    for function in RELAYED:
        url = f"{address}/2015-03-31/functions/{names[function]}/invocations"
        code = relay(url, FOLDER / f"{function}.lock")
        cloud.aws("lambda").update_function_code(FunctionName=f"spellcast-local-{function}", ZipFile=code)
    for steps, status in ((_STEPS, "completed"), ([words(), called("a cat [fault:fail]")], "failed")):
        spell = cloud.spell(*steps)
        begun = time.monotonic()
        ended = cloud.await_cast(cloud.cast(spell), _PATIENCE)
        say(f"start-lambda: a cast of {len(steps)} steps has {ended['status']} after {time.monotonic() - begun:.1f} s")
        if ended["status"] != status:
            yield f"the cast by start-lambda, which should have {status}: {json.dumps(ended)}"


def count_calls(log: Path, say: Say) -> Iterator[str]:
    """Says how many calls containers have answered; none is a fault: then the cloud has run the casts by itself."""
    calls = log.read_text(errors="replace").count("REPORT RequestId")
    say(f"start-lambda: {calls} calls were answered by containers")
    if not calls:
        yield "no call of a cast was answered by a container"


def _unknown_cast() -> bytes:
    return json.dumps(
        {"castId": "0" * 32, "execution": "0" * 32, "segment": [0, 0, 1, 75], "taskToken": "none"}
    ).encode()


def _created(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (201, 202), answer.text
    document: dict[str, Any] = answer.json()
    return document


def _told(answer: httpx.Response) -> Any:
    kind = answer.headers.get("content-type", "")
    return plain({"statusCode": answer.status_code, "type": kind, "body": answer.text})


def _milliseconds(client: httpx.Client) -> float:
    times = []
    for _ in range(_WARM):
        begun = time.monotonic()
        client.get("/v1/health").raise_for_status()
        times.append((time.monotonic() - begun) * 1000)
    return statistics.median(times)

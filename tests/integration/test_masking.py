"""Casts whose every text is marked, good and bad ones, and then a look at all that the cloud has logged."""

from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.cloud import Cloud, called, drawn, evaluated, words
from tests.logs import leaks, logged
from tests.receiver import receiving

MARK = "marked-text-81f3"
SECRET = "marked-secret-5b0e"
WEBHOOK_TOKEN = "marked-token-c2d7"
NOBODYS = "0" * 32
TOKEN_IN_A_URL = "marked-signature-9a44"
PICTURE = f"https://bucket.example/x.png?X-Amz-Signature={TOKEN_IN_A_URL}"


def fail_in_every_way(cloud: Cloud) -> list[str]:
    """Casts of prompts with marks, which end well, are refused, fail, are lost, and whose webhooks fail."""
    casts = []
    spells = [
        [words(MARK), called(f"{MARK} good")],
        [drawn(f"{MARK} [fault:refuse]")],
        [called(f"{MARK} [fault:refuse]")],
        [drawn(f"{MARK} [fault:fail]")],
        [called(f"{MARK} [fault:garbage]")],
        [called(f"{MARK} [fault:throttle]")],
        [words(MARK), evaluated(f"$error('{MARK} {PICTURE}')", "broken")],
    ]
    with receiving(refusals=4) as caster, cloud.listening() as listener:
        for steps in spells:
            webhook = {"webhookUrl": f"{caster.url}?token={WEBHOOK_TOKEN}", "webhookSecret": SECRET}
            cast = cloud.cast(cloud.spell(*steps), {"input_image": PICTURE, "prompt": MARK}, **webhook)
            listener.until_ended(cast)
            casts.append(cast["castId"])
    return casts


def be_refused_in_every_way(cloud: Cloud) -> None:
    url = cloud.outputs["httpUrl"]
    cloud.api.post("/v1/casts", json={"spell": MARK, "webhookSecret": SECRET, MARK: PICTURE})
    cloud.api.post("/v1/spells", json={"name": MARK, "steps": [{"id": MARK, "toolIdentifier": PICTURE}]})
    cloud.api.get("/v1/casts", params={"cursor": MARK})
    for headers in ({"X-API-Key": SECRET}, {"Authorization": f"Bearer {SECRET}"}, {}):
        assert httpx.get(f"{url}/v1/casts?token={WEBHOOK_TOKEN}", headers=headers).status_code == 401
    httpx.post(f"{url}/internal/v1/data/events", headers={"X-Internal-Client-Key": SECRET}, json={})
    httpx.post(f"{url}/v1/completions/{WEBHOOK_TOKEN}.x", json={"status": MARK})
    cloud.put_on_bus(generationId=MARK, status=MARK, type="image", data={"images": [{"url": PICTURE}]}, error=MARK)
    cloud.put_on_bus(generationId=f"{NOBODYS}.0.1", status="failed", error={"message": f"{MARK} {PICTURE}"})
    with contextlib.suppress(InvalidStatus), connect(f"{cloud.outputs['webSocketUrl']}?ticket={WEBHOOK_TOKEN}"):
        pass


def break_handlers(cloud: Cloud) -> None:
    """Events that no deployment sends, so that handlers raise what the runtime then logs."""
    function = cloud.aws("lambda")
    events: dict[str, dict[str, Any]] = {
        "execute_step": {"castId": NOBODYS, "segment": [MARK], "taskToken": SECRET},
        "poll_job": {"generationId": f"{NOBODYS}.0.1", "polls": PICTURE},
        "process_output": {"castId": NOBODYS, "segments": [[PICTURE]]},
        "finalize_cost": {"detail-type": "x", "detail": {"input": MARK, "status": PICTURE}},
        "complete_job": {"detail-type": "x", "detail": {"generationId": PICTURE, "status": MARK}},
        "send_webhook": {"Records": [{"body": MARK, "receiptHandle": SECRET, "attributes": {}}]},
        "notify": {"Records": [{"dynamodb": {"Keys": {"pk": {"S": "x"}, "sk": {"S": "x"}}, "NewImage": {MARK: {}}}}]},
        "websocket": {"requestContext": {MARK: PICTURE}},
        "authorize": {"queryStringParameters": {"ticket": SECRET}},
        "cast_api": {"rawPath": 1, "headers": {"x-api-key": SECRET}, "body": MARK},
    }
    for name, event in events.items():
        with contextlib.suppress(ClientError):
            function.invoke(FunctionName=f"spellcast-local-{name}", Payload=json.dumps(event).encode())


def test_nothing_that_is_marked_is_logged_anywhere(cloud: Cloud) -> None:
    casts = fail_in_every_way(cloud)
    be_refused_in_every_way(cloud)
    break_handlers(cloud)
    found = logged(cloud)
    everything = "\n".join(found.values())
    for cast_id in casts:
        assert cast_id in everything, "what was scanned is not the log of these casts"
    assert "its text is withheld" in everything, "no handler broke: nothing is shown of tracebacks"
    assert leaks(cloud, found, (MARK, SECRET, WEBHOOK_TOKEN, TOKEN_IN_A_URL)) == {}


def test_of_two_who_bring_a_ticket_at_once_one_is_let_in(cloud: Cloud) -> None:
    for _ in range(3):
        url = cloud.api.post("/v1/realtime/ticket").raise_for_status().json()["url"]
        together = threading.Barrier(4)

        def knock(_: int, url: str = url, together: threading.Barrier = together) -> bool:
            together.wait()
            try:
                with connect(url):
                    return True
            except InvalidStatus as refused:
                assert refused.response.status_code in (401, 403)
                return False

        with ThreadPoolExecutor(4) as threads:
            assert sorted(threads.map(knock, range(4))) == [False, False, False, True]


def test_a_revoked_key_is_refused_at_the_next_request(cloud: Cloud) -> None:
    listed = cloud.api.get("/v1/accounts/me/keys").json()["keys"]
    own = listed[-1]["keyId"]
    rotated = cloud.api.post(f"/v1/accounts/me/keys/{own}/rotate", json={"validForSeconds": 604_800})
    assert rotated.status_code == 201, rotated.text
    new = rotated.json()
    headers = {"X-API-Key": new["key"]}
    with httpx.Client(base_url=cloud.outputs["httpUrl"], headers=headers, timeout=30) as client:
        assert client.get("/v1/casts").status_code == 200
        assert client.delete(f"/v1/accounts/me/keys/{new['keyId']}").status_code == 204
        assert client.get("/v1/casts").status_code == 401
    assert cloud.api.get("/v1/casts").status_code == 200

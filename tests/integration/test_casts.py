"""Spells are cast to their end, and told about on the way."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
from websockets.sync.client import connect

from tests.cloud import Cloud, called, drawn, words


def test_three_kinds_of_steps_in_one_spell(cloud: Cloud) -> None:
    enlarge = {
        "id": "enlarge",
        "toolIdentifier": "replicate-clarity-upscaler",
        "parameterMappings": {"image": {"type": "nodeOutput", "nodeId": "draw", "outputKey": "image"}},
    }
    draw = drawn()
    draw["parameterMappings"]["input_prompt"] = {"type": "nodeOutput", "nodeId": "words", "outputKey": "text"}
    spell = cloud.spell(words("a cat"), draw, enlarge)

    with cloud.listening() as listener:
        cast = cloud.cast(spell)
        assert cast["status"] == "running"
        listener.until_ended(cast)
        ended = cloud.get_cast(cast)

        assert ended["status"] == "completed"
        first, second, third = ended["generations"]
        assert [first["status"], second["status"], third["status"]] == ["completed"] * 3
        assert second["requestPayload"]["input_prompt"] == "a cat!"
        assert third["requestPayload"]["image"] == second["outputs"]["images"][0]["url"]
        assert ended["outputs"] == third["outputs"]
        assert ended["stepGenerationIds"] == [item["generationId"] for item in ended["generations"]]
        assert Decimal(ended["costUsd"]) == sum(Decimal(item["costUsd"]) for item in ended["generations"]) > 0
        for generation in (second, third):
            (image,) = generation["outputs"]["images"]
            assert f"/media/{cast['castId']}/{generation['generationId']}/0.png?" in image["url"]
            picture = httpx.get(image["url"]).raise_for_status()
            assert picture.content.startswith(b"\x89PNG")
            assert (picture.headers["content-type"], len(picture.content)) == (image["mediaType"], image["bytes"])
        told = [*listener.of(cast, "castUpdate"), *listener.of(cast, "generationUpdate"), ended]
        assert "s3:media" not in json.dumps(told)

        for generation in ended["generations"]:
            told = [
                update
                for update in listener.of(cast, "generationUpdate")
                if update["generationId"] == generation["generationId"]
            ]
            revisions = {update["revision"]: update["status"] for update in told}
            assert list(revisions) == sorted(revisions), "a record's revisions are told in their order"
            assert sum(status == "completed" for status in revisions.values()) == 1
        assert [update["status"] for update in listener.of(cast, "castUpdate")] == ["running", "completed"]
        assert listener.of(cast, "tool-response")[0]["output"] == "a cat!"
        assert any(item["runId"] == third["metadata"]["run_id"] for item in listener.of(cast, "generationProgress"))


def test_a_generation_shows_the_metadata_of_the_original(cloud: Cloud) -> None:
    spell = cloud.spell(words("a", "one"), words("b", "two"))
    ended = cloud.run(spell, {"prompt": "hello"}, webhookSecret="never shown")
    generation = cloud.api.get(f"/v1/generations/{ended['castId']}.1.1").json()
    metadata = generation["metadata"]
    assert metadata["isSpell"] is True and metadata["castId"] == ended["castId"] and metadata["stepIndex"] == 1
    assert metadata["spell"]["steps"][0]["id"] == "one"
    assert metadata["pipelineContext"]["one_text"] == "a!"
    assert metadata["originalContext"]["parameterOverrides"]["prompt"] == "hello"
    assert "never shown" not in str(generation) + str(ended)


def test_the_same_key_at_once_is_one_cast(cloud: Cloud) -> None:
    spell = cloud.spell(words())
    body = {"spell": spell["spellId"], "inputs": {"prompt": "x"}}
    headers = {"Idempotency-Key": f"key-{spell['spellId']}"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: cloud.api.post("/v1/casts", json=body, headers=headers), range(16)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert sum(answer.status_code == 202 for answer in answers) == 1
    assert len({answer.json()["castId"] for answer in answers}) == 1
    other = cloud.api.post("/v1/casts", json={**body, "inputs": {"prompt": "y"}}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_casts_are_listed_latest_first_in_parts(cloud: Cloud) -> None:
    spell = cloud.spell(words())
    cast_ids = [cloud.run(spell)["castId"] for _ in range(3)]
    part = cloud.api.get("/v1/casts", params={"limit": 2, "status": "completed"}).json()
    rest = cloud.api.get("/v1/casts", params={"limit": 1, "status": "completed", "cursor": part["cursor"]}).json()
    listed = [cast["castId"] for cast in part["casts"] + rest["casts"]]
    assert listed == cast_ids[::-1]


def unsigned(document: object) -> str:
    """Without the signatures of links, which name the second in which they were made."""
    return re.sub(r"\?X-Amz-[^\"]*", "", json.dumps(document, sort_keys=True))


def test_a_client_that_connects_late_misses_nothing(cloud: Cloud) -> None:
    ended = cloud.run(cloud.spell(words(), called()))
    with cloud.listening() as listener:
        ticket = cloud.api.post("/v1/realtime/ticket").json()
        with connect(ticket["url"]) as socket:
            socket.send(json.dumps({"action": "ping"}))
            socket.send(json.dumps({"action": "subscribe", "castId": ended["castId"]}))
            socket.send(json.dumps({"action": "subscribe", "castId": "somebody-elses"}))
            socket.send("nonsense")
            answers: dict[str, list[dict[str, object]]] = {}
            while sum(map(len, answers.values())) < 5:
                message = json.loads(socket.recv(30))
                answers.setdefault(message["type"], []).append(message["payload"])
        assert unsigned(answers["castSnapshot"]) == unsigned([ended])
        assert len(answers["pong"]) == len(answers["connection_ack"]) == 1
        assert sorted(str(error["code"]) for error in answers["error"]) == ["CAST_NOT_FOUND", "INVALID_INPUT"]
        assert not listener.of(ended, "castSnapshot"), "a snapshot goes to whoever asked for it"

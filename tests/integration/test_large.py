"""A cast whose inputs, contexts and outputs are too large for a row, a message and an event: nothing of it is lost."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.cloud import Cloud, Document, called, wire, words


def rows_of(cloud: Cloud, cast: Document) -> list[Document]:
    key = {":pk": {"S": f"CAST#{cast['castId']}"}}
    answer = cloud.aws("dynamodb").query(
        TableName=cloud.outputs["tableName"], KeyConditionExpression="pk = :pk", ExpressionAttributeValues=key
    )
    rows: list[Document] = answer["Items"]
    return rows


def test_a_large_cast_is_read_back_to_the_byte_and_announced_without_what_has_no_room(cloud: Cloud) -> None:
    """Three jobs whose provider never calls back, each asked with what the one before it made."""
    steps = [called("[fault:drop]", "one"), called(node="two"), called(node="three")]
    for step, before in zip(steps[1:], ("one", "two"), strict=True):
        step["parameterMappings"]["prompt"] = wire(before, "text")
    made = [f'[fault:drop] {number} "\\ ' + "é" * (120_000 + 50_000 * number) for number in range(3)]
    inputs = {"ballast": {"of": "a caster", "text": "ü" * 480_000}}
    headers = {"X-Internal-Client-Key": cloud.outputs["internalKey"]}
    with cloud.listening() as listener:
        cast = cloud.cast(cloud.spell(*steps), inputs, metadata={"note": "n"})
        for position, text in enumerate(made):
            cloud.await_generation(f"{cast['castId']}.{position}.1", "processing")
            done = {"status": "completed", "responsePayload": [{"type": "text", "data": {"text": text}}]}
            url = f"{cloud.outputs['httpUrl']}/internal/v1/data/generations/{cast['castId']}.{position}.1"
            assert httpx.put(url, json=done, headers=headers, timeout=30).status_code == 200
        told = listener.until_ended(cast)
        messages = [message for message in listener.messages if message["payload"].get("castId") == cast["castId"]]
    assert told["status"] == "completed", told
    # What has no room in a message is left out of it, and that is said.
    ended = [message for message in messages if message["payload"].get("status") == "completed"]
    assert [message["type"] for message in ended].count("generationUpdate") == 3
    for message in ended:
        assert message["truncated"] is True
        assert not {"inputs", "outputs", "truncated"} & message["payload"].keys()
    for message in messages:
        assert len(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()) <= 100_000
    # Read by itself, all of it is there.
    found = cloud.get_cast(cast)
    assert found["inputs"]["ballast"] == inputs["ballast"]
    assert found["outputs"] == {"text": made[-1]}
    assert [(item["truncated"], "outputs" in item) for item in found["generations"]] == [(True, False)] * 3
    for position, text in enumerate(made):
        record = cloud.api.get(f"/v1/generations/{cast['castId']}.{position}.1").raise_for_status().json()
        assert (record["outputs"], "truncated" in record) == ({"text": text}, False)
        assert record["requestPayload"]["prompt"] == ("[fault:drop]" if position == 0 else made[position - 1])
        assert record["metadata"]["pipelineContext"]["ballast"] == inputs["ballast"]
    # In the table are pointers, and in the machine ids.
    rows = rows_of(cloud, cast)
    assert all(len(json.dumps(row, ensure_ascii=False).encode()) < 400 * 1024 for row in rows)
    assert [row["inputs"]["S"].startswith("s3:") for row in rows if row["sk"]["S"] == "CAST"] == [True]
    arn = f"{cloud.outputs['castStateMachineArn'].replace(':stateMachine:', ':execution:')}:{cast['castId']}"
    history = cloud.aws("stepfunctions").get_execution_history(executionArn=arn, maxResults=1000)["events"]
    assert 0 < max(len(text.encode()) for event in history for text in texts_of(event)) <= 4_096
    # A list names it, and has no room for it.
    (listed,) = [item for item in cloud.api.get("/v1/casts").json()["casts"] if item["castId"] == cast["castId"]]
    assert (listed["truncated"], "inputs" in listed) == (True, False)


def texts_of(value: Any) -> list[str]:
    """The inputs and outputs within an event of a history."""
    if not isinstance(value, dict):
        return []
    found = [item for key, item in value.items() if key in ("input", "output", "cause", "parameters")]
    return [item for item in found if isinstance(item, str)] + [
        text for item in value.values() for text in texts_of(item)
    ]


def test_an_answer_over_6_mb_is_behind_a_link_that_needs_no_key(cloud: Cloud) -> None:
    """Written by ourselves into the bucket: no caster's step makes as much on the embedded cloud."""
    cast = cloud.run(cloud.spell(words("a", "one"), words("b", "two")))
    large = [{"type": "text", "data": {"text": "x" * 6_000_000}}]
    key = f"documents/{cast['castId']}/large.json"
    table = cloud.outputs["tableName"]
    row = next(row for row in rows_of(cloud, cast) if row["sk"]["S"].startswith("GENERATION#0000"))
    bucket = cloud.aws("lambda").get_function_configuration(FunctionName="spellcast-local-cast_api")["Environment"][
        "Variables"
    ]["SPELLCAST_BUCKET"]
    cloud.aws("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(large).encode())
    cloud.aws("dynamodb").put_item(TableName=table, Item={**row, "responsePayload": {"S": f"s3:{key}"}})
    answer = cloud.api.get(f"/v1/generations/{cast['castId']}.0.1").raise_for_status().json()
    assert (answer["truncated"], "outputs" in answer) == (True, False)
    whole = httpx.get(answer["wholeUrl"]).raise_for_status().json()
    assert whole["responsePayload"] == large
    cloud.aws("s3").delete_object(Bucket=bucket, Key=key)
    lost = cloud.api.get(f"/v1/generations/{cast['castId']}.0.1")
    assert (lost.status_code, lost.json()["error"]["code"]) == (500, "DOCUMENT_LOST")
    first, second = cloud.get_cast(cast)["generations"]
    assert (first["truncated"], "truncated" in second) == (True, False)


def test_a_body_of_a_megabyte_is_taken_and_one_byte_more_is_refused(cloud: Cloud) -> None:
    body = json.dumps({"name": "large", "steps": [words()]})
    fits = cloud.api.post("/v1/spells", content=body + " " * (1_000_000 - len(body)))
    assert fits.status_code == 201, fits.text
    refused = cloud.api.post("/v1/spells", content=body + " " * (1_000_001 - len(body)))
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")

"""Answers that a Lambda can give, whatever the records hold: at most 6 MB, to the byte."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from spellcast.api import answers
from spellcast.application.fit_answer import MAX_ANSWER_BYTES
from spellcast.domain import documents
from spellcast.domain.casts import Cast
from spellcast.domain.documents import MAX_ROW_BYTES
from spellcast.domain.errors import DocumentLost, StorageUnavailable
from spellcast.domain.results import succeeded
from spellcast.ports.media import MediaNotCopied
from tests.fakes.media import BUCKET_URL
from tests.fakes.world import ACCOUNT, INTERNAL_KEY, World
from tests.unit.api.caller import Caller, Reply

# "Response payload size exceeded maximum allowed payload size (6291556 bytes)"
LAMBDA_BYTES = 6_291_556
LARGE = "x" * (MAX_ROW_BYTES + 1)


def sent_bytes(reply: Reply) -> int:
    """What Lambda sends to API Gateway: the body is a text in JSON."""
    answer = {"statusCode": reply.status, "headers": reply.headers, "body": reply.text, "isBase64Encoded": False}
    return len(json.dumps(answer, ensure_ascii=False).encode())


def fits(reply: Reply) -> Any:
    assert reply.status == 200
    assert sent_bytes(reply) <= LAMBDA_BYTES
    return reply.json


def output(text: str) -> Any:
    return lambda request: succeeded("text", {"text": text})


def run(world: World, *texts: str, inputs: dict[str, Any] | None = None) -> Cast:
    """A cast to its end, whose steps make these texts."""
    made = iter(texts)
    world.adapter.on_execute = lambda request: succeeded("text", {"text": next(made)})
    cast = world.cast(*["free"] * len(texts), inputs=inputs)
    for number in range(len(world.segments(cast))):
        world.execute(cast, number)
        world.process(cast, number)
    return world.settle(cast)


def with_input(cast: Cast, text: str) -> Cast:
    return replace(cast, inputs={"p": text})


def whole(world: World, answer: dict[str, Any]) -> Any:
    """What the answer's link leads to."""
    key = answer["wholeUrl"].removeprefix(BUCKET_URL).partition("?")[0]
    content, media_type = world.media.objects[key]
    assert media_type == "application/json"
    return documents.from_text(content)


class TestOneCast:
    def test_its_own_documents_are_read_back_to_the_byte(self, call: Caller, world: World) -> None:
        cast = run(world, "é" * 400_000, inputs={"p": "é" * 450_000})
        answer = fits(call("GET", f"/v1/casts/{cast.cast_id}"))
        answers.CastAnswer.model_validate(answer)
        assert answer["inputs"] == {"p": "é" * 450_000}
        assert answer["outputs"] == {"text": "é" * 400_000}
        assert "truncated" not in answer

    def test_a_large_step_comes_as_facts_and_its_record_has_it(self, call: Caller, world: World) -> None:
        cast = run(world, "small", LARGE)
        second, first = fits(call("GET", f"/v1/casts/{cast.cast_id}"))["generations"]
        assert not {"outputs", "responsePayload"} & first.keys()
        assert first["truncated"] is True
        assert (second["outputs"], "truncated" in second) == ({"text": "small"}, False)
        found = fits(call("GET", f"/v1/generations/{first['generationId']}"))
        assert found["outputs"] == {"text": LARGE}
        assert "truncated" not in found

    def test_many_steps_that_are_each_small_leave_their_documents_out_together(
        self, call: Caller, world: World
    ) -> None:
        text = '"' * 95_000
        cast = run(world, *[text] * 40)
        answer = fits(call("GET", f"/v1/casts/{cast.cast_id}"))
        answers.CastAnswer.model_validate(answer)
        assert [item["truncated"] for item in answer["generations"]] == [True] * 40
        assert answer["outputs"] == {"text": text}
        assert not {"truncated", "wholeUrl"} & answer.keys()

    @pytest.mark.parametrize("character", ["x", "é", '"', "\\", "\n", "\x01", "\U0001f600"])
    def test_the_limit_is_met_to_the_byte(self, call: Caller, world: World, character: str) -> None:
        """Of the answer as it is sent, in which a quote is four bytes and not one."""
        cast = run(world, "")
        path = f"/v1/casts/{cast.cast_id}"
        each = documents.size_in_text(character) - documents.size_in_text("")
        room = MAX_ANSWER_BYTES - documents.size_in_text(fits(call("GET", path)))
        world.store._casts[cast.cast_id] = with_input(cast, character * (room // each - 20))
        room = MAX_ANSWER_BYTES - documents.size_in_text(fits(call("GET", path)))
        assert 0 < room < 30 * each
        full = world.store._casts[cast.cast_id]
        at_most = with_input(full, str(full.inputs["p"]) + "y" * room)
        world.store._casts[cast.cast_id] = at_most
        answer = fits(call("GET", path))
        assert "wholeUrl" not in answer
        assert answer["inputs"] == at_most.inputs
        over = with_input(full, str(full.inputs["p"]) + "y" * (room + 1))
        # The step's facts are what leaves first.
        world.store._casts[cast.cast_id] = over
        answer = fits(call("GET", path))
        assert answer["inputs"] == over.inputs
        assert answer["generations"][0]["truncated"] is True

    def test_a_cast_that_is_too_large_even_so_has_a_link_to_all_of_it(self, call: Caller, world: World) -> None:
        text = "x" * MAX_ANSWER_BYTES
        cast = run(world, text, inputs={"p": "p"})
        answer = fits(call("GET", f"/v1/casts/{cast.cast_id}"))
        answers.CastAnswer.model_validate(answer)
        assert (answer["truncated"], answer["status"], answer["costUsd"]) == (True, "completed", "0")
        assert not {"inputs", "outputs", "metadata"} & answer.keys()
        found = whole(world, answer)
        assert (found["inputs"], found["outputs"]) == ({"p": "p"}, {"text": text})
        # Read again, it is the same object.
        assert call("GET", f"/v1/casts/{cast.cast_id}").json["wholeUrl"] == answer["wholeUrl"]
        assert len(world.media.objects) == 1

    def test_others_get_neither_it_nor_the_link(self, call: Caller, world: World) -> None:
        cast = run(world, "x" * MAX_ANSWER_BYTES)
        reply = call("GET", f"/v1/casts/{cast.cast_id}", key="a key of bob")
        assert (reply.status, world.media.objects) == (404, {})


class TestOneGeneration:
    @pytest.mark.parametrize("position", [0, 1])
    def test_one_that_is_too_large_has_a_link_to_all_of_it(self, call: Caller, world: World, position: int) -> None:
        """Of the first it is its output, of the second the context that it found."""
        text = "x" * MAX_ANSWER_BYTES
        cast = run(world, text, "small")
        answer = fits(call("GET", f"/v1/generations/{cast.cast_id}.{position}.1"))
        answers.GenerationAnswer.model_validate(answer)
        assert (answer["truncated"], answer["status"]) == (True, "completed")
        found = whole(world, answer)
        assert found["outputs"] == {"text": ["small", text][position == 0]}
        assert found["metadata"]["spell"]["steps"]

    def test_a_store_that_does_not_take_it_is_a_503_that_says_so(self, call: Caller, world: World) -> None:
        cast = run(world, "x" * MAX_ANSWER_BYTES)
        world.media.failures.append(MediaNotCopied("The bucket did not take it.", may_pass=True))
        reply = call("GET", f"/v1/generations/{cast.cast_id}.0.1")
        assert (reply.status, reply.code) == (503, "STORAGE_UNAVAILABLE")
        assert fits(call("GET", f"/v1/generations/{cast.cast_id}.0.1"))["wholeUrl"]


class TestLists:
    def test_a_page_of_the_largest_casts(self, call: Caller, world: World) -> None:
        """Of quotes, which are four bytes each as they are sent."""
        for _ in range(100):
            cast = world.cast("free")
            world.store._casts[cast.cast_id] = with_input(cast, '"' * 19_000)
        listed = fits(call("GET", "/v1/casts", query={"limit": "100"}))["casts"]
        assert [cast["truncated"] for cast in listed] == [True] * 100

    def test_a_listed_cast_says_what_it_came_without(self, call: Caller, world: World) -> None:
        cast = run(world, LARGE, inputs={"p": "p"})
        (listed,) = fits(call("GET", "/v1/casts"))["casts"]
        assert (listed["inputs"], listed["truncated"], "outputs" in listed) == ({"p": "p"}, True, False)
        assert "truncated" not in fits(call("GET", f"/v1/casts/{cast.cast_id}"))

    def test_tools_that_do_not_fit_together_come_as_facts(self, call: Caller) -> None:
        for number in range(8):
            definition = {
                "toolId": f"mine-{number}",
                "service": "fake",
                "displayName": f"Mine {number}",
                "description": "x" * (900_000 if number < 7 else 10),
            }
            assert call("POST", "/v1/tools", definition).status == 201
        tools = {tool["toolId"]: tool for tool in fits(call("GET", "/v1/tools"))["tools"]}
        facts = {"toolId": "mine-0", "service": "fake", "displayName": "Mine 0", "truncated": True}
        assert tools["mine-0"] == facts
        assert "truncated" not in tools["mine-7"]
        assert len(fits(call("GET", "/v1/tools/mine-0"))["description"]) == 900_000

    def test_an_internal_list(self, call: Caller, world: World) -> None:
        for _ in range(5):
            run(world, *['"' * 4_500] * 40)
        headers = {"x-internal-client-key": INTERNAL_KEY}
        query = {"masterAccountId": ACCOUNT, "limit": "200"}
        reply = call("GET", "/internal/v1/data/generations", query=query, headers=headers, key=None)
        assert len(fits(reply)["generations"]) == 200


def test_a_started_cast_is_answered_even_where_its_numbers_are_written_longer(call: Caller, world: World) -> None:
    world.create_spell(ACCOUNT, "A cat", "private", {"steps": [{"toolIdentifier": "free"}]})
    numbers = ",".join(["9e15"] * 199_000)
    reply = call("POST", "/v1/casts", text=f'{{"spell":"a-cat","inputs":{{"n":[{numbers}]}}}}')
    assert reply.status == 202
    assert sent_bytes(reply) <= LAMBDA_BYTES
    fits(call("GET", f"/v1/casts/{reply.json['castId']}"))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StorageUnavailable("It did not answer; try again in a moment."), 503, "STORAGE_UNAVAILABLE"),
        (DocumentLost("The record's document 'inputs' is not in the bucket any more."), 500, "DOCUMENT_LOST"),
    ],
)
def test_a_bucket_without_the_document_is_an_error_with_its_reason(
    call: Caller, world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    cast = run(world, LARGE)

    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(world.store, "get_cast", fail)
    reply = call("GET", f"/v1/casts/{cast.cast_id}")
    assert (reply.status, reply.code, reply.json["error"]["message"]) == (status, code, str(error))
    # A list reads none of it.
    assert len(fits(call("GET", "/v1/casts"))["casts"]) == 1


def test_a_run_of_a_tool_leaves_out_what_its_record_has(call: Caller, world: World) -> None:
    world.adapter.on_execute = output("x" * MAX_ANSWER_BYTES)

    def go_on() -> None:
        (cast_id,) = world.machine.casts
        cast = world.store._casts[cast_id]
        if not cast.is_terminal:
            world.execute(cast)
            world.process(cast)
            world.settle(cast)

    call.meanwhile = go_on
    body = {"toolId": "free", "inputs": {}, "user": {"masterAccountId": ACCOUNT}}
    headers = {"x-internal-client-key": INTERNAL_KEY}
    answer = fits(call("POST", "/internal/v1/data/execute", body, headers=headers, key=None))
    assert (answer["status"], answer["truncated"], "outputs" in answer) == ("completed", True, False)
    found = fits(call("GET", f"/internal/v1/data/generations/{answer['generationId']}", headers=headers, key=None))
    assert whole(world, found)["outputs"] == {"text": "x" * MAX_ANSWER_BYTES}

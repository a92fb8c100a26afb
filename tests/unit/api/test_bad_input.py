"""Bad input gets 4xx with every fault at its path, and changes nothing (contract I10)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from spellcast.api.bodies import MAX_MIGRATIONS, MAX_VALUES
from spellcast.api.errors import MAX_FAULTS
from spellcast.api.resolver import MAX_BODY_BYTES, MAX_DEPTH
from spellcast.domain.linter import MAX_STEPS
from spellcast.domain.tool_definitions import MAX_INPUTS
from tests.fakes.world import ACCOUNT, World
from tests.unit.api.caller import MAX_ANSWER_BYTES, Caller, Reply

POSTS = ["/v1/spells", "/v1/casts", "/v1/tools", "/v1/tools/import"]


# A JSON number would be a binary fraction by the time it is read; what has more digits is no amount of money.
WRONG_AMOUNTS: list[Any] = [
    1,
    0.1,
    1e-7,
    -0.1,
    True,
    "-1",
    "-0",
    "+1",
    "1e3",
    "1E-7",
    ".5",
    "1.",
    "1,5",
    "NaN",
    "Infinity",
]
WRONG_AMOUNTS += ["1\n", " 1", "", "٣", "1" * 13, "1" * 39, "0." + "1" * 13, "0." + "1" * 39]


def step(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"n{number}", "toolIdentifier": "free", **more}


def wire(node_id: str, output_key: str = "text") -> dict[str, Any]:
    return {"prompt": {"type": "nodeOutput", "nodeId": node_id, "outputKey": output_key}}


def spell(*steps: Any, **more: Any) -> dict[str, Any]:
    return {"name": "A cat", "steps": list(steps), **more}


def many(value: Any) -> dict[str, Any]:
    """One more than any form has."""
    return {f"p{number}": value for number in range(MAX_INPUTS + 1)}


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def refused(call: Caller, reply: Reply, *paths: str) -> None:
    """A 400 that names exactly these paths, after which nothing is stored."""
    assert reply.status == 400, reply.text
    assert reply.code == "INVALID_INPUT"
    assert sorted(reply.faults) == sorted(paths)
    assert all(message for message in reply.faults.values())
    assert not call.has_written


class TestBodies:
    @pytest.mark.parametrize("path", POSTS)
    @pytest.mark.parametrize(
        "text", ["{", "{'name': 1}", "nonsense", '{"a":1,}', '"\x01"', '{"a":1}{}', "[1", "\ufeff{}", "1" * 5000]
    )
    def test_what_is_not_json_is_refused(self, call: Caller, path: str, text: str) -> None:
        refused(call, call("POST", path, text=text), "body")

    @pytest.mark.parametrize("path", POSTS)
    @pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
    def test_what_python_takes_for_json_and_json_does_not_is_refused(
        self, call: Caller, path: str, constant: str
    ) -> None:
        refused(call, call("POST", path, text=f'{{"name":{constant}}}'), "body")

    @pytest.mark.parametrize("path", POSTS)
    @pytest.mark.parametrize("text", ["null", "[]", "1", '"a"', "true", "", "[1]"])
    def test_what_is_no_object_is_refused(self, call: Caller, path: str, text: str) -> None:
        refused(call, call("POST", path, text=text), "body")

    @pytest.mark.parametrize("count", [1, 2])
    def test_a_list_of_bodies_is_no_body(self, call: Caller, count: int) -> None:
        refused(call, call("POST", "/v1/spells", [spell(step(0))] * count), "body")

    def test_what_only_the_route_refuses_is_a_fault_of_the_body(self, call: Caller) -> None:
        refused(call, call("POST", "/v1/casts", text="  "), "body")

    @pytest.mark.parametrize("path", POSTS)
    def test_no_body_is_refused(self, call: Caller, path: str) -> None:
        refused(call, call("POST", path), "body")

    @pytest.mark.parametrize("path", POSTS)
    @pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 1_000, 100_000])
    def test_a_depth_bomb_is_refused(self, call: Caller, path: str, levels: int) -> None:
        refused(call, call("POST", path, text=nested(levels)), "body")
        refused(call, call("POST", path, text="[" * levels + "]" * levels), "body")

    def test_a_body_as_deep_as_is_allowed_is_taken(self, call: Caller) -> None:
        call("POST", "/v1/spells", spell(step(0)))
        text = f'{{"spell":"a-cat","inputs":{nested(MAX_DEPTH - 1)}}}'
        assert call("POST", "/v1/casts", text=text).status == 202

    @pytest.mark.parametrize("path", ["/v1/spells", "/v1/casts"])
    def test_an_infinity_within_a_document_is_refused(self, call: Caller, world: World, path: str) -> None:
        world.create_spell(ACCOUNT, "A cat", "private", {"steps": [step(0)]})
        texts = {
            "/v1/spells": '{"name":"x","steps":[{"toolIdentifier":"free","parameterOverrides":{"prompt":1e999}}]}',
            "/v1/casts": '{"spell":"a-cat","inputs":{"prompt":[1e999]}}',
        }
        reply = call("POST", path, text=texts[path])
        assert (reply.status, world.store.writes) == (400, [])

    @pytest.mark.parametrize("path", ["/v1/spells", "/v1/casts", "/v1/tools"])
    def test_a_text_that_is_no_unicode_is_refused(self, call: Caller, world: World, path: str) -> None:
        world.create_spell(ACCOUNT, "A cat", "private", {"steps": [step(0)]})
        texts = {
            "/v1/spells": r'{"name":"x","steps":[{"toolIdentifier":"free","parameterOverrides":{"prompt":"\ud800"}}]}',
            "/v1/casts": r'{"spell":"a-cat","inputs":{"prompt":"\ud800"}}',
            "/v1/tools": r'{"toolId":"t","service":"http","displayName":"T","metadata":{"\ud800":1}}',
        }
        reply = call("POST", path, text=texts[path])
        assert reply.status == 400
        assert world.store.writes == []

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
    def test_another_encoding_is_refused(self, call: Caller, encoding: str) -> None:
        refused(call, call("POST", "/v1/spells", data=json.dumps(spell(step(0))).encode(encoding)), "body")

    def test_bytes_that_are_no_text_are_refused(self, call: Caller) -> None:
        refused(call, call("POST", "/v1/casts", data=b'{"spell":"\xff\xfe"}'), "body")

    def test_what_is_not_base64_is_refused(self, call: Caller) -> None:
        event = copy.deepcopy(BASE64_EVENT)
        refused(call, call.send({**event, "body": "abc"}), "body")

    def test_a_body_in_base64_is_a_body(self, call: Caller) -> None:
        assert call("POST", "/v1/spells", data=json.dumps(spell(step(0))).encode()).status == 201

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "image/png"])
    def test_a_body_is_json_whatever_its_sender_calls_it(self, call: Caller, content_type: str) -> None:
        reply = call("POST", "/v1/spells", spell(step(0)), headers={"content-type": content_type})
        assert reply.status == 201


class TestSizes:
    def body(self, size: int) -> str:
        text = json.dumps(spell(step(0), description=""))
        return text + " " * (size - len(text))

    def test_a_megabyte_is_taken(self, call: Caller) -> None:
        assert call("POST", "/v1/spells", text=self.body(MAX_BODY_BYTES)).status == 201

    @pytest.mark.parametrize("path", POSTS)
    def test_more_is_refused(self, call: Caller, path: str) -> None:
        reply = call("POST", path, text=self.body(MAX_BODY_BYTES + 1))
        assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
        assert not call.has_written

    def test_bytes_are_counted_and_not_characters(self, call: Caller) -> None:
        text = json.dumps(spell(step(0), description="é" * 600_000), ensure_ascii=False)
        assert len(text) < MAX_BODY_BYTES
        assert call("POST", "/v1/spells", text=text).status == 413

    def test_the_bytes_within_base64_are_counted(self, call: Caller) -> None:
        fits = self.body(MAX_BODY_BYTES).encode()
        assert call("POST", "/v1/spells", data=fits).status == 201
        assert call("POST", "/v1/spells", data=fits + b" ").status == 413

    @pytest.mark.parametrize("kind", ["steps", "mappings"])
    def test_the_list_of_faults_can_be_answered(self, call: Caller, kind: str) -> None:
        if kind == "steps":
            text = '{"name":"x","steps":[' + ",".join("1" * 100_000) + "]}"
        else:
            mappings = ",".join(f'"{number:x}":1' for number in range(80_000))
            text = f'{{"name":"x","steps":[{{"toolIdentifier":"free","parameterMappings":{{{mappings}}}}}]}}'
        assert len(text) < MAX_BODY_BYTES
        reply = call("POST", "/v1/spells", text=text)
        assert reply.status == 400
        assert len(reply.text.encode()) < MAX_ANSWER_BYTES


class TestSpells:
    def test_every_fault_is_named_at_its_path(self, call: Caller) -> None:
        body = {
            "name": " ",
            "steps": [
                {"id": "n0", "toolIdentifier": 7, "colour": "red"},
                step(1, parameterMappings={"prompt": {"type": "nodeOutput", "nodeId": "n0"}}),
                step(2, parameterMappings={"prompt": {"type": "magic"}}),
                "step",
            ],
            "visibility": "secret",
            "tags": ["a", 1],
            "exposedInputs": [{"nodeId": "n0"}],
            "unknown": True,
        }
        refused(
            call,
            call("POST", "/v1/spells", body),
            "name",
            "steps[0].toolIdentifier",
            "steps[0].colour",
            "steps[1].parameterMappings.prompt.outputKey",
            "steps[2].parameterMappings.prompt",
            "steps[3]",
            "visibility",
            "tags[1]",
            "exposedInputs[0].paramKey",
            "unknown",
        )

    def test_faults_of_shape_and_of_meaning_are_named_together(self, call: Caller) -> None:
        body = spell(
            {"id": "n0", "toolIdentifier": "no such tool"}, step(0, parameterMappings=wire("n9")), colour="red"
        )
        refused(
            call,
            call("POST", "/v1/spells", body),
            "colour",
            "steps[0].toolIdentifier",
            "steps[1].id",
            "steps[1].parameterMappings.prompt.nodeId",
        )

    def test_every_fault_of_the_linter_is_named_too(self, call: Caller) -> None:
        body = spell(
            {"id": "n0", "toolIdentifier": "no such tool"},
            step(0),
            step(2, parameterMappings=wire("n9")),
            exposedInputs=[{"nodeId": "n8", "paramKey": "prompt"}],
        )
        refused(
            call,
            call("POST", "/v1/spells", body),
            "steps[0].toolIdentifier",
            "steps[1].id",
            "steps[2].parameterMappings.prompt.nodeId",
            "exposedInputs[0].nodeId",
        )

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            (spell(), "steps"),
            (spell(*(step(number) for number in range(MAX_STEPS + 1))), "steps"),
            (spell({"id": "n0"}), "steps[0].toolIdentifier"),
            (spell({"id": "n0", "toolIdentifier": ""}), "steps[0].toolIdentifier"),
            (spell({"id": "n0", "toolIdentifier": None}), "steps[0].toolIdentifier"),
            (spell(step(0), {"id": "n1", "toolIdentifier": "unknown"}), "steps[1].toolIdentifier"),
            (spell(step(0), step(1), step(0)), "steps[2].id"),
            (spell(step(0, parameterMappings=wire("n7"))), "steps[0].parameterMappings.prompt.nodeId"),
            (spell(step(0, parameterMappings=wire("n1")), step(1)), "steps[0].parameterMappings.prompt.nodeId"),
            (spell(step(0, parameterMappings=wire("n0"))), "steps[0].parameterMappings.prompt.nodeId"),
            (spell(step(0, parameterOverrides=wire("n0"))), "steps[0].parameterOverrides.prompt.nodeId"),
            (spell(step(0), step(1, parameterMappings=wire("n0", " "))), "steps[1].parameterMappings.prompt.outputKey"),
            (spell(step(0, parameterMappings=[])), "steps[0].parameterMappings"),
            (spell(step(0, id=1)), "steps[0].id"),
            (spell(step(0, fallbackTool="unknown")), "steps[0].fallbackTool"),
            (spell(step(0, fallbackTool=7)), "steps[0].fallbackTool"),
            (spell(step(0, fallbackTool="")), "steps[0].fallbackTool"),
            (spell(step(0, fallbackTool=["paid"])), "steps[0].fallbackTool"),
            (spell(step(0, fallbackTool="x" * 201)), "steps[0].fallbackTool"),
            (spell(step(0, fallbackTool="Free")), "steps[0].fallbackTool"),
            (spell(step(0), step(1, toolIdentifier="polled", fallbackTool="paid")), "steps[1].fallbackTool"),
            (spell(step(0), name=["A cat"]), "name"),
            (spell(step(0), name="x" * 201), "name"),
            (spell(step(0), description="x" * 5_001), "description"),
            (spell(step(0), tags=["x"] * 51), "tags"),
            (spell(step(0), version=2), "version"),
            (spell(step(0), exposedInputs=[{"nodeId": "n1", "paramKey": "prompt"}]), "exposedInputs[0].nodeId"),
            ({"steps": [step(0)]}, "name"),
            ({"name": "A cat"}, "steps"),
            ({"name": "A cat", "steps": {"0": step(0)}}, "steps"),
        ],
    )
    def test_what_cannot_be_cast_is_not_saved(self, call: Caller, body: Any, path: str) -> None:
        refused(call, call("POST", "/v1/spells", body), path)

    def test_fifty_steps_are_a_spell(self, call: Caller) -> None:
        assert call("POST", "/v1/spells", spell(*(step(number) for number in range(MAX_STEPS)))).status == 201

    @pytest.mark.parametrize("more", [{}, {"unknown": 1}], ids=str)
    def test_too_many_steps_are_refused_before_their_tools_are_looked_up(
        self, call: Caller, world: World, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
    ) -> None:
        asked: list[str] = []

        def find_none(account_id: str, identifier: str) -> None:
            asked.append(identifier)

        monkeypatch.setattr(world.store, "get_tool", find_none)
        body = spell(*({"id": f"n{number}", "toolIdentifier": f"t{number}"} for number in range(5_000)))
        assert call("POST", "/v1/spells", {**body, **more}).status == 400
        assert len(asked) <= MAX_STEPS

    def test_every_reason_against_a_fallback_is_named(self, call: Caller) -> None:
        body = spell(step(0, fallbackTool="polled", parameterOverrides={"colour": 1}))
        reply = call("POST", "/v1/spells", body)
        named = [detail["path"] for detail in reply.json["error"]["details"]]
        assert (reply.status, named) == (400, ["steps[0].fallbackTool"] * 3)
        saved = call("POST", "/v1/spells", spell(step(0))).json["spellId"]
        again = call("PUT", f"/v1/spells/{saved}", body)
        assert (again.status, again.json) == (400, reply.json)

    def test_anothers_tool_is_no_tool(self, call: Caller) -> None:
        tool = {"toolId": "theirs", "service": "http", "displayName": "Theirs"}
        assert call("POST", "/v1/tools", tool, key="a key of bob").status == 201
        reply = call("POST", "/v1/spells", spell({"id": "n0", "toolIdentifier": "theirs"}))
        assert (reply.status, list(reply.faults)) == (400, ["steps[0].toolIdentifier"])

    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            ([step(0, parameterMappings=wire("n0"))], "'n0' does not run before this step"),
            (
                [step(0, parameterMappings=wire("n1")), step(1, parameterMappings=wire("n0"))],
                "'n1' does not run before this step",
            ),
            ([step(0, parameterMappings=wire("gone"))], "no step has the id 'gone'"),
        ],
        ids=["to itself", "to each other", "to a step that was removed"],
    )
    @pytest.mark.parametrize("section", ["parameterMappings", "parameterOverrides"])
    def test_wires_that_lead_nowhere(
        self, call: Caller, steps: list[dict[str, Any]], message: str, section: str
    ) -> None:
        moved = [{key.replace("parameterMappings", section): value for key, value in step.items()} for step in steps]
        reply = call("POST", "/v1/spells", spell(*moved))
        refused(call, reply, f"steps[0].{section}.prompt.nodeId")
        assert list(reply.faults.values()) == [message]

    @pytest.mark.parametrize(
        "mapping", [{"type": "magic"}, {"type": "Static", "value": 1}, {"type": None}, {}, "raw", 1]
    )
    def test_a_mapping_of_no_known_type(self, call: Caller, mapping: Any) -> None:
        reply = call("POST", "/v1/spells", spell(step(0, parameterMappings={"prompt": mapping})))
        refused(call, reply, "steps[0].parameterMappings.prompt")

    @pytest.mark.parametrize(
        ("more", "path", "message"),
        [
            ({"toolId": "free"}, "steps[0].toolId", "is not known here; the tool is named by toolIdentifier"),
            ({"parameters": {}}, "steps[0].parameters", "is not known here; values stand in parameterOverrides"),
            ({"colour": 1}, "steps[0].colour", "is not known here"),
        ],
    )
    def test_keys_that_the_original_had_elsewhere(
        self, call: Caller, more: dict[str, Any], path: str, message: str
    ) -> None:
        reply = call("POST", "/v1/spells", spell(step(0, **more)))
        refused(call, reply, path)
        assert reply.faults[path] == message

    def test_a_hint_is_for_steps_only(self, call: Caller) -> None:
        reply = call("POST", "/v1/spells", spell(step(0), toolId="free", parameters={}))
        assert reply.faults == {"toolId": "is not known here", "parameters": "is not known here"}

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
    @pytest.mark.parametrize("where", ['"parameterOverrides":{"prompt":%s}', '"stepId":%s'])
    def test_a_number_that_is_none_is_refused(self, call: Caller, number: str, where: str) -> None:
        text = '{"name":"x","steps":[{"toolIdentifier":"free",%s}]}' % (where % number)
        refused(call, call("POST", "/v1/spells", text=text), "body")

    def test_a_prompt_of_a_megabyte_is_too_large(self, call: Caller) -> None:
        reply = call("POST", "/v1/spells", spell(step(0, parameterOverrides={"prompt": "x" * MAX_BODY_BYTES})))
        assert (reply.status, reply.code, call.has_written) == (413, "PAYLOAD_TOO_LARGE", False)

    @pytest.mark.parametrize("more", [{}, {"unknown": 1}], ids=str)
    def test_of_a_thousand_steps_the_limit_is_named(self, call: Caller, more: dict[str, Any]) -> None:
        reply = call("POST", "/v1/spells", spell(*(step(number) for number in range(1_000)), **more))
        refused(call, reply, "steps", *more)
        assert str(MAX_STEPS) in reply.faults["steps"]

    def test_a_value_that_is_nested_too_deep_is_refused(self, call: Caller) -> None:
        def text(levels: int) -> str:
            step = f'{{"toolIdentifier":"free","parameterOverrides":{{"prompt":{nested(levels)}}}}}'
            return f'{{"name":"x","steps":[{step}]}}'

        refused(call, call("POST", "/v1/spells", text=text(MAX_DEPTH)), "body")
        assert call("POST", "/v1/spells", text=text(MAX_DEPTH - 4)).status == 201

    def test_the_list_of_warnings_can_be_answered(self, call: Caller) -> None:
        overrides = {f"{number:x}": 1 for number in range(60_000)}
        reply = call("POST", "/v1/spells", spell(step(0, parameterOverrides=overrides)))
        assert (reply.status, len(reply.json["warnings"])) == (201, MAX_FAULTS)
        assert len(reply.text.encode()) < MAX_ANSWER_BYTES


class TestQuotes:
    @pytest.mark.parametrize(
        ("body", "path"), [({"inputs": []}, "inputs"), ({"inputs": None}, "inputs"), ({"version": 1}, "version")]
    )
    def test_a_wrong_question_is_not_answered(self, call: Caller, body: Any, path: str) -> None:
        assert call("POST", "/v1/spells", spell(step(0))).status == 201
        reply = call("POST", "/v1/spells/a-cat/quote", body)
        assert (reply.status, list(reply.faults)) == (400, [path])

    def test_a_tool_that_is_gone_is_named(self, call: Caller, world: World) -> None:
        call("POST", "/v1/tools", TOOL)
        assert call("POST", "/v1/spells", spell(step(0), step(1, toolIdentifier="mine"))).status == 201
        world.store.forget_tool(ACCOUNT, "mine")
        reply = call("POST", "/v1/spells/a-cat/quote")
        assert (reply.status, list(reply.faults)) == (400, ["spell.steps[1].toolIdentifier"])
        assert "'mine'" in reply.text


class TestCasts:
    @pytest.fixture(autouse=True)
    def saved(self, call: Caller) -> None:
        assert call("POST", "/v1/spells", spell(step(0))).status == 201

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"spell": None}, "spell"),
            ({"spell": ""}, "spell"),
            ({"spell": "x" * 201}, "spell"),
            ({"inputs": []}, "inputs"),
            ({"inputs": {"": 1}}, "inputs..[key]"),
            ({"version": 0}, "version"),
            ({"version": "1"}, "version"),
            ({"version": 1.5}, "version"),
            ({"version": True}, "version"),
            *(({"budgetUsd": amount}, "budgetUsd") for amount in WRONG_AMOUNTS),
            ({"webhookUrl": "http://hooks.example/"}, "webhookUrl"),
            ({"webhookUrl": "https://169.254.169.254/"}, "webhookUrl"),
            ({"webhookUrl": "https://127.0.0.1/"}, "webhookUrl"),
            ({"webhookUrl": "https://localhost/"}, "webhookUrl"),
            ({"webhookUrl": "ftp://hooks.example/"}, "webhookUrl"),
            ({"webhookUrl": "https://user:word@hooks.example/"}, "webhookUrl"),
            ({"webhookUrl": "nonsense"}, "webhookUrl"),
            ({"webhookUrl": ""}, "webhookUrl"),
            ({"webhookUrl": "https://hooks.example/" + "x" * 2048}, "webhookUrl"),
            ({"webhookSecret": ""}, "webhookSecret"),
            ({"webhookSecret": "x" * 257}, "webhookSecret"),
            ({"metadata": "x"}, "metadata"),
            ({"unknown": 1}, "unknown"),
            ({"castId": "mine"}, "castId"),
        ],
    )
    def test_a_wrong_order_starts_nothing(self, call: Caller, world: World, change: dict[str, Any], path: str) -> None:
        reply = call("POST", "/v1/casts", {"spell": "a-cat", **change})
        assert (reply.status, reply.code) == (400, "INVALID_INPUT"), reply.text
        assert list(reply.faults) == [path]
        assert world.store.writes == []
        assert world.machine.casts == {}

    @pytest.mark.parametrize("key", ["size", "n0_size"])
    def test_values_that_an_exposed_input_cannot_take(self, call: Caller, world: World, key: str) -> None:
        schema = {"size": {"type": "integer", "required": False}}
        tool = {"toolId": "sized", "service": "http", "displayName": "Sized", "inputSchema": schema}
        assert call("POST", "/v1/tools", tool).status == 201
        steps = [{"id": "n0", "toolIdentifier": "sized"}]
        exposed = [{"nodeId": "n0", "paramKey": "size"}]
        call("POST", "/v1/spells", spell(*steps, name="sized", exposedInputs=exposed))
        reply = call("POST", "/v1/casts", {"spell": "sized", "inputs": {key: "wide"}})
        assert (reply.status, reply.faults) == (400, {f"inputs.{key}": "is not a whole number"})
        assert (world.store.writes, world.machine.casts) == ([], {})
        assert call("POST", "/v1/casts", {"spell": "sized", "inputs": {key: "7"}}).status == 202

    def test_inputs_beyond_number_are_answered(self, call: Caller) -> None:
        inputs = {f"{number:x}": 1 for number in range(60_000)}
        reply = call("POST", "/v1/casts", {"spell": "a-cat", "inputs": inputs})
        assert (reply.status, len(reply.json["warnings"])) == (202, MAX_FAULTS)
        assert len(reply.text.encode()) < MAX_ANSWER_BYTES

    def test_every_fault_is_named(self, call: Caller) -> None:
        assert "decimal number" in call("POST", "/v1/casts", {"spell": "x", "budgetUsd": "-1"}).text
        reply = call("POST", "/v1/casts", {"inputs": 1, "version": 0, "budgetUsd": "x", "what": 1})
        assert sorted(reply.faults) == ["budgetUsd", "inputs", "spell", "version", "what"]

    @pytest.mark.parametrize(
        ("method", "path", "query"),
        [("GET", "/v1/casts", {"stauts": "failed"}), ("POST", "/v1/spells", {"dryrun": "true"})],
    )
    def test_a_question_that_is_misspelt_is_not_another_question(
        self, call: Caller, world: World, method: str, path: str, query: dict[str, str]
    ) -> None:
        reply = call(method, path, spell(step(0)) if method == "POST" else None, query=query)
        assert (reply.status, list(reply.faults)) == (400, list(query))
        assert world.store.writes == []

    @pytest.mark.parametrize("body", [{"spell": "no such spell"}, {"spell": "a-cat", "version": 2}])
    def test_an_unknown_spell_is_not_found(self, call: Caller, world: World, body: dict[str, Any]) -> None:
        reply = call("POST", "/v1/casts", body)
        assert (reply.status, reply.code) == (404, "SPELL_NOT_FOUND")
        assert world.store.writes == []

    @pytest.mark.parametrize("key", ["", "x" * 256])
    def test_a_wrong_idempotency_key_is_refused(self, call: Caller, world: World, key: str) -> None:
        reply = call("POST", "/v1/casts", {"spell": "a-cat"}, headers={"idempotency-key": key})
        assert (reply.status, list(reply.faults)) == (400, ["idempotency-key"]), reply.text
        assert world.store.writes == []

    def test_a_spell_whose_tool_went_is_refused(self, call: Caller, world: World) -> None:
        del world.store._catalog["free"]
        reply = call("POST", "/v1/casts", {"spell": "a-cat"})
        assert (reply.status, list(reply.faults)) == (400, ["spell.steps[0].toolIdentifier"])
        assert world.store.writes == []


class TestTools:
    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"toolId": "a b"}, "toolId"),
            ({"toolId": "a/b"}, "toolId"),
            ({"toolId": "a#b"}, "toolId"),
            ({"toolId": "ünï"}, "toolId"),
            ({"toolId": "-a"}, "toolId"),
            ({"toolId": ""}, "toolId"),
            ({"toolId": "mine\n"}, "toolId"),
            ({"toolId": "x" * 101}, "toolId"),
            ({"displayName": ""}, "displayName"),
            ({"service": 1}, "service"),
            ({"deliveryMode": "someday"}, "deliveryMode"),
            ({"deadlineSeconds": 0}, "deadlineSeconds"),
            ({"deadlineSeconds": 86_401}, "deadlineSeconds"),
            ({"deadlineSeconds": "60"}, "deadlineSeconds"),
            ({"inputSchema": {"a": "string"}}, "inputSchema.a"),
            ({"inputSchema": {"a": {"required": "yes"}}}, "inputSchema.a.required"),
            ({"costingModel": {}}, "costingModel.rateSource"),
            ({"costingModel": {"rateSource": "machine", "rate": -1}}, "costingModel.rate"),
            ({"costingModel": {"rateSource": "machine", "rate": "NaN"}}, "costingModel.rate"),
            ({"costingModel": {"rateSource": "machine", "rate": "Infinity"}}, "costingModel.rate"),
            ({"costingModel": {"rateSource": "machine", "rate": "1", "unit": "year"}}, "costingModel.unit"),
            (
                {"costingModel": {"rateSource": "static", "staticCost": {"amount": "x"}}},
                "costingModel.staticCost.amount",
            ),
            ({"visibility": "secret"}, "visibility"),
            ({"unknown": 1}, "unknown"),
            ({"metadata": []}, "metadata"),
            ({"metadata": {"costTable": {"m": {"s": 1}}}}, "metadata.costTable.m.s"),
            ({"metadata": {"costTable": {"m": {"s": {"q": "-1"}}}}}, "metadata.costTable.m.s.q"),
            ({"metadata": {"tokenPrices": {"m": {"input": 1}}}}, "metadata.tokenPrices.m.output"),
            ({"metadata": {"tokenPrices": {"m": {"input": 1, "output": "x"}}}}, "metadata.tokenPrices.m.output"),
            ({"metadata": {"estimatedTokens": 0}}, "metadata.estimatedTokens"),
            ({"metadata": {"keepOutputs": "perhaps"}}, "metadata.keepOutputs"),
            ({"metadata": {"estimatedDurationSeconds": -1}}, "metadata.estimatedDurationSeconds"),
            ({"executionStrategy": "async () => {}"}, "executionStrategy"),
            ({"executionStrategy": None}, "executionStrategy"),
            ({"commandName": "mine"}, "commandName"),
            ({"version": "1.0"}, "version"),
            ({"version": "1.0.0-rc"}, "version"),
            ({"version": "1.0.0\n"}, "version"),
            ({"deliveryMode": "async"}, "deliveryMode"),
            ({"service": "nope"}, "service"),
            ({"deadlineSeconds": 721}, "deadlineSeconds"),
            ({"inputSchema": {"a": {"type": "colour"}}}, "inputSchema.a.type"),
            ({"inputSchema": {"a": {"type": "number", "default": "x"}}}, "inputSchema.a.default"),
            ({"inputSchema": {"a": {"type": "number", "default": int("9" * 400)}}}, "inputSchema.a.default"),
            ({"inputSchema": {"a": {"type": "number", "enum": [1, "x"]}}}, "inputSchema.a.enum[1]"),
            ({"inputSchema": {"a": {"visibleIf": {"values": [1]}}}}, "inputSchema.a.visibleIf.field"),
            ({"inputSchema": {"a": {"visibleIf": {"field": "b", "values": [1]}}}}, "inputSchema.a.visibleIf.field"),
            (
                {"inputSchema": {"a": {}, "b": {"visibleIf": {"field": "a", "values": []}}}},
                "inputSchema.b.visibleIf.values",
            ),
            ({"outputSchema": {"a": {}}}, "outputSchema.a.type"),
            ({"outputSchema": {"a": {"type": "text", "colour": 1}}}, "outputSchema.a.colour"),
            ({"inputSchema": many({})}, "inputSchema"),
            (
                {"inputSchema": {"a": {}, "b": {"visibleIf": {"field": "a", "values": [1] * (MAX_VALUES + 1)}}}},
                "inputSchema.b.visibleIf.values",
            ),
            ({"migrations": {f"1.0.{n}": {"parameters": {}} for n in range(MAX_MIGRATIONS + 1)}}, "migrations"),
            ({"migrations": {"1.0.0": {"parameters": many({"default": None})}}}, "migrations.1.0.0.parameters"),
            ({"migrations": {"1.0.0": {}}}, "migrations.1.0.0.parameters"),
            ({"migrations": {"1": {"parameters": {}}}}, "migrations.1"),
            ({"migrations": {"1.0.0": {"parameters": {"a": 1}}}}, "migrations.1.0.0.parameters.a"),
            ({"migrations": {"1.0.0": {"parameters": {"a": "b"}}}}, "migrations.1.0.0.parameters.a"),
            ({"platformHints": {"primaryInput": "a"}}, "platformHints.primaryInput"),
            ({"platformHints": {"primaryInput": 1}}, "platformHints.primaryInput"),
            ({"metadata": {"estimatedDurationSeconds": 0}}, "metadata.estimatedDurationSeconds"),
            ({"metadata": {"minDurationSeconds": "3"}}, "metadata.minDurationSeconds"),
            ({"metadata": {"costTable": {"m": {"s": {"q": "x"}}}}}, "metadata.costTable.m.s.q"),
            ({"webhookStrategy": {"resultPath": "output"}}, "webhookStrategy.resultPath"),
            ({"deliveryHints": {"telegram": 1}}, "deliveryHints.telegram"),
        ],
    )
    def test_a_wrong_definition_is_not_saved(self, call: Caller, change: dict[str, Any], path: str) -> None:
        refused(call, call("POST", "/v1/tools", {**TOOL, **change}), path)

    @pytest.mark.parametrize("amount", ["1E+999999", "1E-999999", "0." + "1" * 60, "1" * 60])
    def test_a_rate_that_cannot_be_kept_is_refused(self, call: Caller, amount: str) -> None:
        costing = {"rateSource": "static", "staticCost": {"amount": amount}}
        refused(call, call("POST", "/v1/tools", {**TOOL, "costingModel": costing}), "costingModel.staticCost.amount")

    def test_every_fault_is_named(self, call: Caller) -> None:
        refused(call, call("POST", "/v1/tools", {"toolId": "", "x": 1}), "toolId", "x", "service", "displayName")

    def test_faults_of_shape_and_of_meaning_are_named_together(self, call: Caller) -> None:
        renamed = {"default": "nope", "when": {"field": "a", "value": 1}}
        body = {
            **TOOL,
            "service": "nope",
            "colour": "red",
            "inputSchema": {"a": {"type": "colour"}, "b": {"type": "number", "default": "x"}, "c": 1},
            "migrations": {"1.0.0": {"parameters": {"old": renamed}}},
        }
        refused(
            call,
            call("POST", "/v1/tools", body),
            "service",
            "colour",
            "inputSchema.a.type",
            "inputSchema.b.default",
            "inputSchema.c",
            "migrations.1.0.0.parameters.old.default",
            "migrations.1.0.0.parameters.old.when.use",
        )

    def test_code_is_refused_with_the_reason(self, call: Caller) -> None:
        reply = call("POST", "/v1/tools", {**TOOL, "executionStrategy": {"execute": "x"}})
        assert "was code in the original" in reply.faults["executionStrategy"]


class TestSettings:
    @pytest.mark.parametrize(
        ("body", "paths"),
        [
            ({}, ["tools"]),
            ({"tools": []}, ["tools"]),
            ({"tools": {"free": 1}}, ["tools.free"]),
            ({"tools": {"free": {"prompt": ""}}}, ["tools.free.prompt"]),
            ({"tools": {"free": {"colour": 1}}, "theme": "dark"}, ["theme", "tools.free.colour"]),
            ({"tools": {"Free": {}, "nope": {"x": 1}, "paid": []}}, ["tools.Free", "tools.nope", "tools.paid"]),
            ({"tools": {"free": {"prompt": "x" * 100_000}}}, ["tools"]),
            *(({"tools": {}, "dailyBudgetUsd": amount}, ["dailyBudgetUsd"]) for amount in WRONG_AMOUNTS),
        ],
    )
    def test_wrong_settings_are_refused_with_every_fault(self, call: Caller, body: Any, paths: list[str]) -> None:
        refused(call, call("PUT", "/v1/accounts/me/settings", body), *paths)

    def test_anothers_tool_is_none(self, call: Caller) -> None:
        assert call("POST", "/v1/tools", {**TOOL, "inputSchema": {"x": {}}}, key="a key of bob").status == 201
        reply = call("PUT", "/v1/accounts/me/settings", {"tools": {"mine": {"x": "1"}}})
        assert list(reply.faults) == ["tools.mine"]


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ({"from": "yesterday"}, "from"),
            ({"from": "2026-02-30"}, "from"),
            ({"to": "2026-01-31T12:00:00"}, "to"),
            ({"to": "2026-01-31T24:00:01Z"}, "to"),
            ({"from": "2025-12-31", "to": "2026-02-01"}, "from"),
            ({"from": "2026-01-31", "to": "2026-01-30"}, "from"),
            ({"from": "2025-12-31"}, "from"),
            ({"from": "2027-01-01"}, "from"),
            ({"from": "2999-12-31", "to": "2000-01-01"}, "from"),
            ({"cursor": "AAAA"}, "cursor"),
        ],
    )
    def test_a_wrong_period_is_refused(self, call: Caller, query: dict[str, str], path: str) -> None:
        refused(call, call("GET", "/v1/accounts/me/ledger", query=query), path)

    @pytest.mark.parametrize("path", ["/v1/spells", "/v1/casts", "/v1/accounts/me/ledger"])
    @pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.5", "9" * 5000])
    def test_a_wrong_limit_is_refused(self, call: Caller, path: str, limit: str) -> None:
        refused(call, call("GET", path, query={"limit": limit}), "limit")

    @pytest.mark.parametrize("path", ["/v1/spells", "/v1/casts"])
    @pytest.mark.parametrize("cursor", ["ünï", "AAA", "x" * 513])
    def test_a_wrong_cursor_is_refused(self, call: Caller, path: str, cursor: str) -> None:
        refused(call, call("GET", path, query={"cursor": cursor}), "cursor")

    @pytest.mark.parametrize("status", ["", "done", "Running", "running,failed"])
    def test_a_wrong_status_is_refused(self, call: Caller, status: str) -> None:
        refused(call, call("GET", "/v1/casts", query={"status": status}), "status")

    @pytest.mark.parametrize("version", ["0", "-1", "latest", "1.5", ""])
    def test_a_wrong_version_is_refused(self, call: Caller, version: str) -> None:
        refused(call, call("GET", "/v1/spells/a-cat", query={"version": version}), "version")

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("/v1/spells/unknown", "SPELL_NOT_FOUND"),
            ("/v1/casts/unknown", "CAST_NOT_FOUND"),
            ("/v1/generations/unknown", "GENERATION_NOT_FOUND"),
            ("/v1/generations/unknown.0.1", "GENERATION_NOT_FOUND"),
            ("/v1/tools/unknown", "TOOL_NOT_FOUND"),
            ("/v1/nothing", "NOT_FOUND"),
            ("/v2/casts", "NOT_FOUND"),
            ("/", "NOT_FOUND"),
            ("/v1/casts/a/b", "NOT_FOUND"),
        ],
    )
    def test_what_does_not_exist_is_not_found(self, call: Caller, path: str, code: str) -> None:
        reply = call("GET", path)
        assert (reply.status, reply.code) == (404, code)

    @pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE"])
    def test_another_method_is_not_found(self, call: Caller, method: str) -> None:
        assert call(method, "/v1/casts", {}).status == 404


TOOL: dict[str, Any] = {"toolId": "mine", "service": "http", "displayName": "Mine"}
BASE64_EVENT: dict[str, Any] = {
    "version": "2.0",
    "rawPath": "/v1/casts",
    "rawQueryString": "",
    "headers": {"x-api-key": "a key of alice"},
    "requestContext": {"http": {"method": "POST", "path": "/v1/casts"}, "stage": "$default"},
    "isBase64Encoded": True,
}


class TestImports:
    @pytest.mark.parametrize(
        ("order", "paths"),
        [
            ({}, ["kind"]),
            ({"kind": "midjourney"}, ["kind"]),
            ({"kind": "comfyui"}, ["workflow"]),
            ({"kind": "comfyui", "workflow": [], "more": 1}, ["workflow", "more"]),
            ({"kind": "comfyui", "workflow": {"nodes": [], "links": []}}, ["workflow"]),
            ({"kind": "comfyui", "workflow": {"1": {"inputs": {}}, "2": 5}}, ["workflow.1.class_type", "workflow.2"]),
            ({"kind": "replicate", "model": "", "openapi": 5, "toolId": "a b"}, ["model", "openapi", "toolId"]),
            ({"kind": "fal", "endpoint": "a/b", "openapi": {}, "workflow": {}}, ["workflow"]),
            ({"kind": "fal", "endpoint": "a/b", "openapi": {}}, ["openapi.paths"]),
            (
                {"kind": "fal", "endpoint": "a/b", "openapi": {}, "costingModel": {"rateSource": "fixed"}},
                ["costingModel"],
            ),
        ],
    )
    def test_every_fault_is_named_and_nothing_is_kept(
        self, call: Caller, order: dict[str, Any], paths: list[str]
    ) -> None:
        refused(call, call("POST", "/v1/tools/import", order), *paths)

    def test_a_document_over_the_limit_is_refused(self, call: Caller) -> None:
        node = {"class_type": "CLIPTextEncode", "inputs": {"text": "x" * MAX_BODY_BYTES}}
        reply = call("POST", "/v1/tools/import", {"kind": "comfyui", "workflow": {"1": node}})
        assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
        assert not call.has_written

"""Each route's success, held against the shapes that the OpenAPI document promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from spellcast.api import answers
from spellcast.api.bodies import ToolBody
from spellcast.domain.errors import JobFailed
from spellcast.domain.results import Failure, failed
from tests.fakes.world import ACCOUNT, World
from tests.unit.api.caller import KEY, MAX_ANSWER_BYTES, Caller, Reply

SPELL: dict[str, Any] = {
    "name": "A cat, painted!",
    "description": "Draws a cat.",
    "steps": [
        {"id": "n0", "toolIdentifier": "free", "parameterMappings": {"prompt": {"type": "static", "value": "a cat"}}},
        {
            "id": "n1",
            "toolIdentifier": "Called",
            "parameterMappings": {"text": {"type": "nodeOutput", "nodeId": "n0", "outputKey": "text"}},
        },
    ],
    "exposedInputs": [{"nodeId": "n0", "paramKey": "prompt"}],
    "connections": [{"from": "n0", "to": "n1"}],
    "visibility": "public",
    "tags": ["cats"],
}
TOOL: dict[str, Any] = {
    "toolId": "my-tool",
    "service": "http",
    "displayName": "My Tool",
    "inputSchema": {"url": {"type": "url"}},
    "costingModel": {"rateSource": "static", "staticCost": {"amount": "0.25", "unit": "run"}},
}
SETTINGS: dict[str, Any] = {"tools": {"free": {"prompt": "a cat"}, "paid": {"text": ["x"]}}}


def check(reply: Reply, status: int, model: type[BaseModel]) -> Any:
    """The body, once status, type and shape are as documented."""
    assert reply.status == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    model.model_validate(reply.json)
    return reply.json


class TestSpells:
    def test_a_saved_spell_is_answered_whole(self, call: Caller) -> None:
        spell = check(call("POST", "/v1/spells", SPELL), 201, answers.SpellAnswer)
        assert spell["slug"] == spell["publicSlug"] == "a-cat-painted"
        assert (spell["version"], spell["ownedBy"], spell["warnings"]) == (1, ACCOUNT, [])
        for key, value in SPELL.items():
            assert spell[key] == value

    def test_a_new_version_is_answered_whole_and_the_first_can_still_be_read(self, call: Caller) -> None:
        spell = call("POST", "/v1/spells", SPELL).json
        changed = check(
            call("PUT", f"/v1/spells/{spell['spellId']}", {**SPELL, "name": "A dog", "tags": []}),
            200,
            answers.SpellAnswer,
        )
        assert (changed["version"], changed["name"], changed["slug"]) == (2, "A dog", spell["slug"])
        first = call("GET", f"/v1/spells/{spell['spellId']}", query={"version": "1"}).json
        assert (first["version"], first["name"], first["tags"]) == (1, SPELL["name"], ["cats"])

    def test_a_dry_run_says_what_is_wrong_and_saves_nothing(self, call: Caller) -> None:
        wrong = {**SPELL, "steps": [{"id": "n0", "toolIdentifier": "gone"}], "colour": "red"}
        refused = call("POST", "/v1/spells", wrong, query={"dryRun": "true"})
        assert refused.status == 400
        assert {"steps[0].toolIdentifier", "colour"} <= refused.faults.keys()
        step = {"id": "n0", "toolIdentifier": "free", "parameterMappings": {"odd": {"type": "static", "value": 1}}}
        odd = {**SPELL, "steps": [step, *SPELL["steps"][1:]]}
        linted = check(call("POST", "/v1/spells", odd, query={"dryRun": "true"}), 200, answers.LintAnswer)
        assert linted["warnings"][0] == {"path": "steps[0]", "message": "Free has no input 'odd'"}
        assert not call.has_written
        assert check(call("POST", "/v1/spells", odd), 201, answers.SpellAnswer)["warnings"] == linted["warnings"]

    def test_its_picture_shows_steps_and_wires(self, call: Caller) -> None:
        spell = call("POST", "/v1/spells", SPELL).json
        call("PUT", f"/v1/spells/{spell['spellId']}", {**SPELL, "steps": SPELL["steps"][:1]})
        path = f"/v1/spells/{spell['slug']}/graph"
        picture = call("GET", path)
        assert (picture.status, picture.headers["content-type"]) == (200, "image/svg+xml")
        assert picture.headers["x-content-type-options"] == "nosniff"
        assert picture.headers["content-security-policy"].startswith("default-src 'none'")
        assert "Free" in picture.text and "Called" not in picture.text
        text = call("GET", path, query={"format": "mermaid", "version": "1"})
        assert (text.status, text.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert "text #8594; text" in text.text
        assert call("GET", path, query={"format": "png"}).faults.keys() == {"format"}
        assert call("GET", path, query={"version": "3"}).status == 404

    def test_a_fallback_is_kept_with_its_step(self, call: Caller) -> None:
        body = {"name": "A cat", "steps": [{"id": "n0", "toolIdentifier": "polled", "fallbackTool": "Called"}]}
        spell_id = call("POST", "/v1/spells", body).json["spellId"]
        assert call("GET", f"/v1/spells/{spell_id}").json["steps"] == body["steps"]
        without = [{"id": "n0", "toolIdentifier": "polled"}]
        assert call("PUT", f"/v1/spells/{spell_id}", {**body, "steps": without}).json["steps"] == without
        assert call("GET", f"/v1/spells/{spell_id}", query={"version": "1"}).json["steps"] == body["steps"]
        schemas = call("GET", "/openapi.json").json["components"]["schemas"]
        assert "fallbackTool" in schemas["StepBody"]["properties"]

    def test_a_new_version_is_refused_with_every_fault(self, call: Caller) -> None:
        spell_id = call("POST", "/v1/spells", SPELL).json["spellId"]
        wrong = {**SPELL, "colour": "red", "steps": [{"toolIdentifier": "nothing"}]}
        reply = call("PUT", f"/v1/spells/{spell_id}", wrong)
        assert (reply.status, {"colour", "steps[0].toolIdentifier"} <= set(reply.faults)) == (400, True)
        assert call("GET", f"/v1/spells/{spell_id}").json["version"] == 1

    def test_a_deleted_spell_is_gone(self, call: Caller) -> None:
        spell_id = call("POST", "/v1/spells", SPELL).json["spellId"]
        reply = call("DELETE", f"/v1/spells/{spell_id}")
        assert (reply.status, reply.text) == (204, "")
        assert call("GET", f"/v1/spells/{spell_id}").code == "SPELL_NOT_FOUND"
        assert call("DELETE", f"/v1/spells/{spell_id}").status == 404
        assert call("GET", "/v1/spells").json == {"spells": []}

    def test_it_is_found_by_id_slug_and_name(self, call: Caller) -> None:
        spell = call("POST", "/v1/spells", SPELL).json
        del spell["warnings"]
        for reference in (spell["spellId"], spell["slug"], "A cat, painted!"):
            assert check(call("GET", f"/v1/spells/{reference}"), 200, answers.SpellAnswer) == spell

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("What?", "What?"),
            ("50% off", "50%25 off"),  # API Gateway leaves this escape as it is, and no other
            ('Cat 🐈 “é” "#\\', 'Cat 🐈 “é” "#\\'),
        ],
    )
    def test_it_is_found_by_a_name_of_any_characters(self, call: Caller, name: str, path: str) -> None:
        call("POST", "/v1/spells", {**SPELL, "name": name})
        assert call("GET", f"/v1/spells/{path}").json["name"] == name
        assert call("POST", f"/v1/spells/{path}/quote", {}).status == 200

    def test_a_version_is_found_by_its_number(self, call: Caller) -> None:
        call("POST", "/v1/spells", SPELL)
        spell = check(call("GET", "/v1/spells/a-cat-painted", query={"version": "1"}), 200, answers.SpellAnswer)
        assert spell["version"] == 1
        missing = call("GET", "/v1/spells/a-cat-painted", query={"version": "2"})
        assert (missing.status, missing.code) == (404, "SPELL_NOT_FOUND")

    def test_the_list_comes_in_pages_without_what_versions_hold(self, call: Caller) -> None:
        for number in range(3):
            call("POST", "/v1/spells", {**SPELL, "name": f"spell {number}"})
            call.world.clock.advance(1)
        first = check(call("GET", "/v1/spells", query={"limit": "2"}), 200, answers.SpellsAnswer)
        query = {"limit": "2", "cursor": first["cursor"]}
        second = check(call("GET", "/v1/spells", query=query), 200, answers.SpellsAnswer)
        names = [spell["name"] for spell in first["spells"] + second["spells"]]
        assert names == ["spell 2", "spell 1", "spell 0"]
        assert "cursor" not in second
        assert "steps" not in first["spells"][0]

    def test_two_spells_of_one_name_have_two_slugs(self, call: Caller) -> None:
        slugs = {call("POST", "/v1/spells", SPELL).json["slug"] for _ in range(2)}
        assert len(slugs) == 2

    def test_the_linters_warnings_come_with_the_spell(self, call: Caller) -> None:
        steps = [{"id": "n0", "toolIdentifier": "free", "parameterOverrides": {"colour": "red"}}]
        spell = check(call("POST", "/v1/spells", {"name": "x", "steps": steps}), 201, answers.SpellAnswer)
        assert [warning["path"] for warning in spell["warnings"]] == ["steps[0]"]

    def test_an_own_spell_is_found_by_its_name_whatever_slugs_others_have(self, call: Caller) -> None:
        theirs = {**SPELL, "name": "portrait", "visibility": "private"}
        assert call("POST", "/v1/spells", theirs, key="a key of bob").status == 201
        own = call("POST", "/v1/spells", theirs).json
        assert call("GET", "/v1/spells/portrait").json["spellId"] == own["spellId"]

    def test_the_beginning_of_an_own_slug_is_enough_to_read_and_to_cast(self, call: Caller) -> None:
        spell_id = call("POST", "/v1/spells", SPELL).json["spellId"]
        assert check(call("GET", "/v1/spells/A-CAT"), 200, answers.SpellAnswer)["spellId"] == spell_id
        assert check(call("POST", "/v1/casts", {"spell": "a-cat"}), 202, answers.CastAnswer)["spellId"] == spell_id
        assert call("PUT", "/v1/spells/a-cat", SPELL).code == "SPELL_NOT_FOUND"
        assert call("DELETE", "/v1/spells/a-cat").code == "SPELL_NOT_FOUND"

    def test_several_that_begin_so_are_a_conflict(self, call: Caller) -> None:
        for name in ("cat one", "cat two"):
            call("POST", "/v1/spells", {**SPELL, "name": name})
        for reply in (call("GET", "/v1/spells/cat"), call("POST", "/v1/casts", {"spell": "cat"})):
            assert (reply.status, reply.code) == (409, "SPELL_AMBIGUOUS")
            assert reply.json["error"]["message"] == 'Multiple spells found starting with "cat": cat-one, cat-two'
        assert call("DELETE", "/v1/spells/cat").status == 404

    def test_casts_are_counted(self, call: Caller) -> None:
        spell_id = call("POST", "/v1/spells", SPELL).json["spellId"]
        for _ in range(2):
            call("POST", "/v1/casts", {"spell": spell_id}, headers={"idempotency-key": "once"})
        call("POST", "/v1/casts", {"spell": spell_id}, key="a key of bob")
        assert call("GET", f"/v1/spells/{spell_id}").json["usageCount"] == 2


class TestPermissions:
    @pytest.fixture
    def spell(self, call: Caller) -> str:
        return str(call("POST", "/v1/spells", {**SPELL, "visibility": "listed"}).json["slug"])

    def test_a_listed_spell_is_for_those_to_whom_it_was_granted(self, call: Caller, spell: str) -> None:
        for granted in (False, True, False):
            if granted:
                grant = check(call("PUT", f"/v1/spells/{spell}/permissions/bob"), 200, answers.PermissionAnswer)
                assert grant == {"accountId": "bob", "grantedBy": ACCOUNT, "grantedAt": "2026-01-31T12:00:00.000Z"}
            else:
                reply = call("DELETE", f"/v1/spells/{spell}/permissions/bob")
                assert (reply.status, reply.text) == (204, "")
            read = call("GET", f"/v1/spells/{spell}", key="a key of bob")
            cast = call("POST", "/v1/casts", {"spell": spell}, key="a key of bob")
            assert (read.status, cast.status) == ((200, 202) if granted else (404, 404))

    def test_grants_are_listed_and_may_be_repeated(self, call: Caller, spell: str) -> None:
        path = f"/v1/spells/{spell}/permissions"
        assert check(call("GET", path), 200, answers.PermissionsAnswer) == {"permissions": []}
        first = call("PUT", f"{path}/bob").json
        call.world.clock.advance(1)
        assert call("PUT", f"{path}/bob").json == first
        second = call("PUT", f"{path}/auth0|5f7c").json
        assert check(call("GET", path), 200, answers.PermissionsAnswer) == {"permissions": [second, first]}
        for _ in range(2):
            assert call("DELETE", f"{path}/bob").status == 204
        assert call("GET", path).json == {"permissions": [second]}

    @pytest.mark.parametrize(("method", "of"), [("GET", ""), ("PUT", "/carol"), ("DELETE", "/bob")])
    def test_they_are_the_owners_alone(self, call: Caller, spell: str, method: str, of: str) -> None:
        call("PUT", f"/v1/spells/{spell}/permissions/bob")
        reply = call(method, f"/v1/spells/{spell}/permissions{of}", key="a key of bob")
        assert (reply.status, reply.code) == (404, "SPELL_NOT_FOUND")
        assert call(method, f"/v1/spells/nothing/permissions{of}").code == "SPELL_NOT_FOUND"
        permissions = call("GET", f"/v1/spells/{spell}/permissions").json["permissions"]
        assert [permission["accountId"] for permission in permissions] == ["bob"]

    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    @pytest.mark.parametrize("account", ["a b", "-a", "ünï", "a%23b", "x" * 256, "a$b"])
    def test_what_is_no_account_id_is_refused(self, call: Caller, spell: str, method: str, account: str) -> None:
        path = f"/v1/spells/{spell}/permissions/{account}"
        for reply in (call(method, path), call(method, path, {"steps": [{}]})):
            assert (reply.status, list(reply.faults)) == (400, ["account_id"])
        assert call("GET", f"/v1/spells/{spell}/permissions").json == {"permissions": []}


class TestQuotes:
    def test_a_spell_is_quoted_step_by_step_with_exact_totals(self, call: Caller) -> None:
        call("POST", "/v1/spells", SPELL)
        quote = check(
            call("POST", "/v1/spells/a-cat-painted/quote", {"inputs": {"prompt": "a dog"}}), 200, answers.QuoteAnswer
        )
        first = {"stepIndex": 0, "toolId": "free", "costUsd": "0", "points": 3, "runtimeMs": 1000, "basis": "model"}
        called = {"stepIndex": 1, "toolId": "called", "costUsd": "0.03", "points": 89, "runtimeMs": 30_000}
        assert quote == {
            "totalCostUsd": "0.03",
            "totalPoints": 92,
            "totalRuntimeMs": 31_000,
            "breakdown": [first, {**called, "basis": "model"}],
        }

    @pytest.mark.parametrize("text", [None, "", "{}", '{"inputs":{}}'])
    def test_the_body_may_be_empty_or_absent(self, call: Caller, text: str | None) -> None:
        call("POST", "/v1/spells", SPELL)
        quote = check(call("POST", "/v1/spells/a-cat-painted/quote", text=text), 200, answers.QuoteAnswer)
        assert quote["totalCostUsd"] == "0.03"


class TestCasts:
    @pytest.fixture
    def spell(self, call: Caller) -> str:
        return str(call("POST", "/v1/spells", SPELL).json["slug"])

    def test_a_cast_is_accepted_and_its_machine_started(self, call: Caller, spell: str) -> None:
        body = {
            "spell": spell,
            "inputs": {"prompt": "a dog"},
            "version": 1,
            "webhookUrl": "https://hooks.example/x",
            "webhookSecret": "very secret",
            "budgetUsd": "1.50",
            "metadata": {"cookId": "k"},
        }
        cast = check(call("POST", "/v1/casts", body), 202, answers.CastAnswer)
        assert (cast["status"], cast["spellSlug"], cast["budgetUsd"]) == ("running", spell, "1.50".rstrip("0"))
        assert cast["metadata"] == {"cookId": "k"}
        assert "generations" not in cast
        assert "very secret" not in json.dumps(cast)
        assert list(call.world.machine.casts) == [cast["castId"]]

    def test_inputs_that_no_step_takes_are_warned_of_once(self, call: Caller, spell: str) -> None:
        inputs = {"prompt": "a dog", "n0_prompt": "a cow", "colour": "red"}
        headers = {"idempotency-key": "once"}
        cast = check(
            call("POST", "/v1/casts", {"spell": spell, "inputs": inputs}, headers=headers), 202, answers.CastAnswer
        )
        assert cast["warnings"] == [{"path": "inputs.colour", "message": "no step of the spell can take it"}]
        assert "warnings" not in call("POST", "/v1/casts", {"spell": spell, "inputs": inputs}, headers=headers).json
        assert call("POST", "/v1/casts", {"spell": spell, "inputs": {"prompt": "x"}}).json["warnings"] == []

    def test_a_finished_cast_comes_with_its_generations_and_exact_costs(self, call: Caller, world: World) -> None:
        cast = world.cast("paid", "paid", inputs={"prompt": "a dog"})
        world.execute(cast)
        world.process(cast)
        world.settle(cast)
        answer = check(call("GET", f"/v1/casts/{cast.cast_id}"), 200, answers.CastAnswer)
        assert (answer["status"], answer["costUsd"]) == ("completed", "0.02")
        assert [item["costUsd"] for item in answer["generations"]] == ["0.01", "0.01"]
        assert answer["stepGenerationIds"] == [item["generationId"] for item in answer["generations"]]
        assert answer["outputs"] == {"text": "<a dog>"}

    def test_a_failed_cast_says_which_step_and_why(self, call: Caller, world: World) -> None:
        world.adapter.on_execute = lambda request: failed(JobFailed("too dark"))
        cast = world.cast("free")
        world.execute(cast)
        world.process(cast)
        answer = check(call("GET", f"/v1/casts/{cast.cast_id}"), 200, answers.CastAnswer)
        assert (answer["status"], answer["failureReason"]) == ("failed", "too dark")
        assert answer["failure"] == {
            "stepIndex": 0,
            "stepId": "n0",
            "generationId": f"{cast.cast_id}.0.1",
            "code": "JOB_FAILED",
            "message": "too dark",
        }
        assert answer["generations"][0]["error"]["code"] == "JOB_FAILED"

    def test_the_list_is_filtered_and_paged(self, call: Caller, world: World) -> None:
        casts = []
        for _ in range(3):
            casts.append(world.cast("free"))
            world.clock.advance(1)
        world.execute(casts[1])
        world.process(casts[1])
        world.settle(casts[1])
        running = check(call("GET", "/v1/casts", query={"status": "running", "limit": "1"}), 200, answers.CastsAnswer)
        query = {"status": "running", "limit": "1", "cursor": running["cursor"]}
        following = check(call("GET", "/v1/casts", query=query), 200, answers.CastsAnswer)
        completed = check(call("GET", "/v1/casts", query={"status": "completed"}), 200, answers.CastsAnswer)
        found = [page["casts"][0]["castId"] for page in (running, following, completed)]
        assert found == [casts[2].cast_id, casts[0].cast_id, casts[1].cast_id]

    def test_casts_are_listed_of_a_spell_by_its_id_slug_or_name(self, call: Caller, world: World) -> None:
        made = [call("POST", "/v1/spells", {**SPELL, "name": name}).json for name in ("One Cat", "Two Cats")]
        ids = [call("POST", "/v1/casts", {"spell": spell["spellId"]}).json["castId"] for spell in made]
        for spell, cast_id in zip(made, ids, strict=True):
            for reference in (spell["spellId"], spell["slug"], spell["name"]):
                found = check(call("GET", "/v1/casts", query={"spell": reference}), 200, answers.CastsAnswer)["casts"]
                assert [cast["castId"] for cast in found] == [cast_id]
        call("DELETE", f"/v1/spells/{made[0]['spellId']}")
        assert len(call("GET", "/v1/casts", query={"spell": made[0]["spellId"]}).json["casts"]) == 1
        assert call("GET", "/v1/casts", query={"spell": "no such"}).code == "SPELL_NOT_FOUND"

    def test_a_page_of_large_casts_can_be_answered(self, call: Caller, world: World) -> None:
        for _ in range(25):
            world.cast("free", inputs={"image": "x" * 300_000})
        reply = call("GET", "/v1/casts")
        assert reply.status == 200
        assert len(reply.text) < MAX_ANSWER_BYTES

    @pytest.mark.parametrize("finished", [True, False])
    def test_a_generation_has_the_originals_metadata(self, call: Caller, world: World, finished: bool) -> None:
        cast = world.cast("free", "called", inputs={"prompt": "a dog"})
        world.execute(cast)
        if finished:
            world.complete_job(f"{cast.cast_id}.1.1", failed(JobFailed("no")))
            world.process(cast)
        first = check(call("GET", f"/v1/generations/{cast.cast_id}.0.1"), 200, answers.GenerationAnswer)
        second = check(call("GET", f"/v1/generations/{cast.cast_id}.1.1"), 200, answers.GenerationAnswer)
        assert first["metadata"]["pipelineContext"]["prompt"] == "a dog"
        assert second["metadata"]["run_id"] == "job-1"
        assert second["metadata"]["pipelineContext"]["n0_text"] == "<a dog>"
        assert second["status"] == ("failed" if finished else "processing")

    def test_the_webhooks_secret_is_shown_nowhere(self, call: Caller, world: World, spell: str) -> None:
        body = {"spell": spell, "webhookUrl": "https://hooks.example/x", "webhookSecret": "very secret"}
        cast_id = call("POST", "/v1/casts", body).json["castId"]
        world.execute(world.cast_of(world.store._casts[cast_id]))
        for path in (f"/v1/casts/{cast_id}", "/v1/casts", f"/v1/generations/{cast_id}.0.1"):
            reply = call("GET", path)
            assert reply.status == 200
            assert "very secret" not in reply.text

    @pytest.mark.parametrize("error", [None, "Webhook returned 500: err"])
    def test_whether_the_caster_was_told_is_shown(
        self, call: Caller, world: World, spell: str, error: str | None
    ) -> None:
        body = {"spell": spell, "webhookUrl": "https://hooks.example/x"}
        cast_id = call("POST", "/v1/casts", body).json["castId"]
        assert "delivery" not in call("GET", f"/v1/casts/{cast_id}").json
        ended = world.settle(world.store._casts[cast_id], Failure("CAST_INTERRUPTED", "Stopped."))
        shown = check(call("GET", f"/v1/casts/{cast_id}"), 200, answers.CastAnswer)
        assert shown["delivery"] == {"deliveryStatus": "pending"}
        world.store.save_cast(ended.delivery_ended(attempts=3, error=error, now=world.clock.now()), ended)
        shown = check(call("GET", f"/v1/casts/{cast_id}"), 200, answers.CastAnswer)
        assert (shown["delivery"]["deliveryAttempts"], shown["delivery"].get("deliveryError")) == (3, error)
        assert call("GET", "/v1/casts").json["casts"][0]["delivery"] == shown["delivery"]

    def test_a_cast_is_cancelled_and_says_so(self, call: Caller, world: World) -> None:
        cast = world.cast("polled")
        world.execute(cast)
        path = f"/v1/casts/{cast.cast_id}/cancel"
        asked = check(call("POST", path), 202, answers.CastAnswer)
        assert (asked["status"], asked["cancelRequestedAt"]) == ("running", asked["updatedAt"])
        assert check(call("POST", path), 202, answers.CastAnswer)["status"] == "running"
        world.settle(cast)
        ended = check(call("POST", path), 202, answers.CastAnswer)
        assert (ended["status"], ended["cancelledAt"]) == ("cancelled", ended["updatedAt"])
        assert not {"failure", "failureReason", "failedAt", "completedAt", "delivery"} & ended.keys()
        shown = check(call("GET", f"/v1/casts/{cast.cast_id}"), 200, answers.CastAnswer)
        assert [item["error"]["code"] for item in shown["generations"]] == ["CAST_CANCELLED"]
        assert [item["castId"] for item in call("GET", "/v1/casts", query={"status": "cancelled"}).json["casts"]] == [
            cast.cast_id
        ]

    @pytest.mark.parametrize("tool", ["free", "nothing"])
    def test_a_cast_that_has_ended_is_not_cancelled(self, call: Caller, world: World, tool: str) -> None:
        cast = world.cast("free")
        if tool == "free":
            world.execute(cast)
            world.process(cast)
        ended = world.settle(cast)
        reply = call("POST", f"/v1/casts/{cast.cast_id}/cancel")
        assert (reply.status, reply.code) == (409, "CAST_ENDED")
        assert ended.status in reply.json["error"]["message"]

    def failed(self, world: World) -> str:
        cast = world.cast("polled")
        world.execute(cast)
        world.complete_job(f"{cast.cast_id}.0.1", failed(JobFailed("No.")))
        world.process(cast)
        return cast.cast_id

    @pytest.mark.parametrize("body", [None, {}, {"version": 1, "budgetUsd": "2.50"}])
    def test_a_failed_cast_is_resumed(self, call: Caller, world: World, body: dict[str, Any] | None) -> None:
        path = f"/v1/casts/{self.failed(world)}/resume"
        cast = check(call("POST", path, body), 202, answers.CastAnswer)
        assert (cast["status"], cast["resumedAt"]) == ("running", cast["startedAt"])
        assert cast.get("budgetUsd") == (body or {}).get("budgetUsd", "").rstrip("0") or "budgetUsd" not in cast
        assert check(call("POST", path, body), 202, answers.CastAnswer) == cast
        other = call("POST", path, {"budgetUsd": "7"})
        assert (other.status, other.code) == (409, "CAST_RUNNING")

    def test_a_step_is_retried_with_other_inputs(self, call: Caller, world: World) -> None:
        cast_id = self.failed(world)
        path, headers = f"/v1/generations/{cast_id}.0.1/retry", {"idempotency-key": "once"}
        body = {"inputs": {"prompt": "a dog"}}
        cast = check(call("POST", path, body, headers=headers), 202, answers.CastAnswer)
        assert (cast["status"], cast["stepOverrides"]) == ("running", {"n0": {"prompt": "a dog"}})
        assert check(call("POST", path, body, headers=headers), 202, answers.CastAnswer) == cast
        reused = call("POST", path, {}, headers=headers)
        assert (reused.status, reused.code) == (409, "IDEMPOTENCY_KEY_REUSED")
        assert call("POST", path).code == "CAST_RUNNING"

    def test_faults_of_a_retry_are_named(self, call: Caller, world: World) -> None:
        path = f"/v1/generations/{self.failed(world)}.0.1/retry"
        assert call("POST", path, {"inputs": {"colour": "red"}}).faults == {"inputs.colour": "is no input of Polled"}
        assert set(call("POST", path, {"input": {}}).faults) == {"input"}
        assert call("POST", path, {"inputs": None}).status == 400

    def test_faults_of_a_resume_are_named(self, call: Caller, world: World) -> None:
        path = f"/v1/casts/{self.failed(world)}/resume"
        reply = call("POST", path, {"version": 0, "budgetUsd": "much", "colour": "red"})
        assert (reply.status, set(reply.faults)) == (400, {"version", "budgetUsd", "colour"})
        assert call("POST", path, {"version": 9}).code == "SPELL_NOT_FOUND"

    def test_a_completed_cast_is_retried_and_not_resumed(self, call: Caller, world: World) -> None:
        cast = world.cast("free")
        world.execute(cast)
        world.process(cast)
        world.settle(cast)
        assert call("POST", f"/v1/casts/{cast.cast_id}/resume").code == "CAST_ENDED"
        assert call("POST", f"/v1/generations/{cast.cast_id}.0.1/retry").status == 202
        world.execute(world.cast_of(cast))
        world.process(world.cast_of(cast))
        world.settle(world.cast_of(cast))
        assert call("POST", f"/v1/generations/{cast.cast_id}.0.1/retry").code == "GENERATION_SUPERSEDED"

    def test_the_same_key_and_body_is_the_same_cast(self, call: Caller, spell: str) -> None:
        headers = {"idempotency-key": "once"}
        first = call("POST", "/v1/casts", {"spell": spell, "inputs": {"a": 1}}, headers=headers)
        text = json.dumps({"inputs": {"a": 1}, "spell": spell}, indent=2)
        again = call("POST", "/v1/casts", text=text, headers=headers)
        assert (first.status, again.status) == (202, 200)
        assert {**check(again, 200, answers.CastAnswer), "warnings": first.json["warnings"]} == first.json
        assert len(call.world.store.writes) == 1

    def test_the_same_key_and_another_body_is_a_conflict(self, call: Caller, spell: str) -> None:
        headers = {"idempotency-key": "once"}
        call("POST", "/v1/casts", {"spell": spell}, headers=headers)
        other = call("POST", "/v1/casts", {"spell": spell, "inputs": {"a": 1}}, headers=headers)
        assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")
        assert len(call.world.store.writes) == 1

    def test_another_accounts_key_is_another_key(self, call: Caller, spell: str) -> None:
        headers = {"idempotency-key": "once"}
        own = call("POST", "/v1/casts", {"spell": spell}, headers=headers)
        theirs = call("POST", "/v1/casts", {"spell": spell, "inputs": {"a": 1}}, headers=headers, key="a key of bob")
        assert (own.status, theirs.status) == (202, 202)
        assert own.json["castId"] != theirs.json["castId"]


class TestPicturesOfCasts:
    def test_they_show_steps_or_times(self, call: Caller) -> None:
        cast = call.world.cast("free", "paid")
        call.world.execute(cast)
        call.world.process(cast)
        path = f"/v1/casts/{cast.cast_id}/graph"
        shown = {
            (form, view): call("GET", path, query={"format": form, "view": view})
            for form in ("svg", "mermaid")
            for view in ("graph", "gantt")
        }
        assert {reply.status for reply in shown.values()} == {200}
        assert shown["mermaid", "graph"].text.startswith("flowchart")
        assert "completed" in shown["mermaid", "graph"].text
        assert shown["mermaid", "gantt"].text.startswith("gantt")
        assert all(shown["svg", view].text.startswith("<svg") for view in ("graph", "gantt"))
        assert call("GET", path).text == shown["svg", "graph"].text
        assert call("GET", path, query={"view": "pie"}).faults.keys() == {"view"}

    def test_they_outlive_the_spell(self, call: Caller) -> None:
        cast = call.world.cast("free")
        call.world.execute(cast)
        call("DELETE", f"/v1/spells/{cast.spell_id}")
        assert "Free" in call("GET", f"/v1/casts/{cast.cast_id}/graph").text


class TestTools:
    def test_the_list_has_the_catalog_and_the_own(self, call: Caller) -> None:
        before = check(call("GET", "/v1/tools"), 200, answers.ToolsAnswer)["tools"]
        assert check(call("POST", "/v1/tools", TOOL), 201, answers.ToolAnswer) == TOOL
        after = check(call("GET", "/v1/tools"), 200, answers.ToolsAnswer)["tools"]
        assert after == [*before, TOOL]

    @pytest.mark.parametrize("name", ["my-tool", "My Tool"])
    def test_a_tool_is_found_by_id_and_name(self, call: Caller, name: str) -> None:
        call("POST", "/v1/tools", TOOL)
        assert check(call("GET", f"/v1/tools/{name}"), 200, answers.ToolAnswer) == TOOL

    @pytest.mark.parametrize(
        "taken", [{}, {"toolId": "other"}, {"displayName": "Other"}, {"toolId": "free"}, {"displayName": "Paid"}]
    )
    def test_ids_and_names_are_not_taken_twice(self, call: Caller, taken: dict[str, str]) -> None:
        call("POST", "/v1/tools", TOOL)
        reply = call("POST", "/v1/tools", {**TOOL, **taken})
        assert (reply.status, reply.code) == (409, "TOOL_EXISTS")

    def test_a_definition_is_kept_whole(self, call: Caller) -> None:
        renamed = {"default": "url", "when": {"field": "method", "value": "GET", "use": "url"}}
        tool = {
            **TOOL,
            "commandName": "/mine",
            "version": "1.1.0",
            "migrations": {"1.1.0": {"parameters": {"address": "url", "method": renamed}}},
            "inputSchema": {
                "kind": {"type": "enum", "enum": ["a", "b"], "default": "a"},
                "url": {"type": "url", "visibleIf": {"field": "kind", "values": ["a"]}, "order": 1},
            },
            "outputSchema": {"text": {"type": "string", "description": "The answer."}},
            "webhookStrategy": {"expectedStatusField": "status", "resultPath": ["output"]},
            "platformHints": {"primaryInput": "url", "supportsFileCaption": False, "primary_input": "kept"},
            "deliveryHints": {"telegram": {"send-as": "photo", "filename": "x.png"}},
            "visibility": "hidden",
            "humanDefaults": {"kind": "b"},
            "metadata": {
                "costTable": {"m": {"1024x1024": {"hd": "0.08"}}},
                "cost_table": "kept",
                "estimatedDurationSeconds": 2.5,
                "model": "m",
                "workflow": {"3": {"inputs": {"model": ["4", 0]}}},
            },
        }
        assert check(call("POST", "/v1/tools", tool), 201, answers.ToolAnswer) == tool
        assert call("GET", "/v1/tools/my-tool").json == tool

    def test_an_own_tool_is_deleted_and_its_id_is_free_again(self, call: Caller) -> None:
        call("POST", "/v1/tools", TOOL)
        gone = call("DELETE", "/v1/tools/my-tool")
        assert (gone.status, gone.text) == (204, "")
        assert (call("GET", "/v1/tools/my-tool").code, call("DELETE", "/v1/tools/my-tool").code) == (
            "TOOL_NOT_FOUND",
            "TOOL_NOT_FOUND",
        )
        assert call("POST", "/v1/tools", {**TOOL, "description": "anew"}).status == 201
        assert call("GET", "/v1/tools/my-tool").json["description"] == "anew"

    @pytest.mark.parametrize("tool_id", ["free", "unknown", "my-tool"])
    def test_nobody_deletes_a_built_in_tool_or_anothers(self, call: Caller, tool_id: str) -> None:
        call("POST", "/v1/tools", TOOL)
        reply = call("DELETE", f"/v1/tools/{tool_id}", key="a key of bob")
        assert (reply.status, reply.code) == (404, "TOOL_NOT_FOUND")
        assert {"free", "my-tool"} <= {tool["toolId"] for tool in call("GET", "/v1/tools").json["tools"]}

    @pytest.mark.parametrize("amount", ["0.25", 0.25, 1, "1000000"])
    def test_a_rate_is_a_decimal_text_or_a_number(self, call: Caller, amount: Any) -> None:
        costing = {"rateSource": "machine", "rate": amount, "unit": "second"}
        tool = check(call("POST", "/v1/tools", {**TOOL, "costingModel": costing}), 201, answers.ToolAnswer)
        assert tool["costingModel"]["rate"] == str(amount)

    def test_what_a_run_costs_beside_its_rate_is_kept_as_it_was_sent(self, call: Caller) -> None:
        metadata = {
            "costTable": {"dall-e-3": {"1024x1024": {"standard": "0.04"}}},
            "tokenPrices": {"default": {"input": "0.0005", "output": "0.0015"}},
            "estimatedDurationSeconds": 20,
            "minDurationSeconds": 1.5,
            "estimatedTokens": 500,
            "model": "dall-e-3",
            "anything": {"else": [1, 0.1]},
        }
        tool = {**TOOL, "metadata": metadata}
        assert check(call("POST", "/v1/tools", tool), 201, answers.ToolAnswer) == tool
        assert json.loads(json.dumps(call("GET", "/v1/tools/my-tool").json["metadata"])) == metadata


SAMPLES = Path(__file__).parents[2] / "fixtures" / "imports"


def sample(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    return document


IMPORTS: dict[str, dict[str, Any]] = {
    "comfyui": {"kind": "comfyui", "workflow": sample("comfyui_two_pass_video")},
    "replicate": {"kind": "replicate", "model": "owner/model", "openapi": sample("replicate_image")},
    "fal": {"kind": "fal", "endpoint": "fal-ai/example-video/image-to-video", "openapi": sample("fal_video")},
}


class TestImports:
    @pytest.mark.parametrize("kind", IMPORTS)
    def test_a_tool_is_made_and_kept(self, call: Caller, kind: str) -> None:
        tool = check(call("POST", "/v1/tools/import", IMPORTS[kind]), 201, answers.ToolAnswer)
        assert tool["service"] == kind
        assert call("GET", f"/v1/tools/{tool['toolId']}").json == tool
        assert call("GET", f"/v1/tools/{tool['toolId']}", key="a key of bob").status == 404

    @pytest.mark.parametrize("kind", IMPORTS)
    def test_what_is_made_could_have_been_sent(self, call: Caller, kind: str) -> None:
        costing = {"rateSource": "static", "staticCost": {"amount": "0.04", "unit": "run"}}
        own = {"toolId": "mine", "displayName": "My own", "costingModel": costing}
        tool = call("POST", "/v1/tools/import", {**IMPORTS[kind], **own}).json
        assert ToolBody.model_validate(tool).document() == tool
        assert {key: tool[key] for key in own} == own

    def test_the_same_twice_is_a_conflict(self, call: Caller) -> None:
        call("POST", "/v1/tools/import", IMPORTS["fal"])
        reply = call("POST", "/v1/tools/import", IMPORTS["fal"])
        assert (reply.status, reply.code) == (409, "TOOL_EXISTS")


class TestSettings:
    def test_they_are_empty_at_first_and_replaced_as_a_whole(self, call: Caller) -> None:
        path = "/v1/accounts/me/settings"
        assert check(call("GET", path), 200, answers.SettingsAnswer) == {"tools": {}}
        budget = {"tools": {}, "dailyBudgetUsd": "12.5"}
        following: list[dict[str, Any]] = [SETTINGS, budget, {"tools": {"free": {}}}, {"tools": {}}]
        for settings in following:
            assert check(call("PUT", path, settings), 200, answers.SettingsAnswer) == settings
            assert check(call("GET", path), 200, answers.SettingsAnswer) == settings

    def test_others_have_their_own(self, call: Caller) -> None:
        call("PUT", "/v1/accounts/me/settings", SETTINGS)
        assert call("GET", "/v1/accounts/me/settings", key="a key of bob").json == {"tools": {}}


class TestLedger:
    PATH = "/v1/accounts/me/ledger"

    def cast(self, call: Caller, world: World, tool: str = "paid", key: str = KEY) -> str:
        """A cast of one step, run to its end a second later."""
        spell = {"name": "spell", "steps": [{"id": "n0", "toolIdentifier": tool}], "visibility": "public"}
        saved = call("POST", "/v1/spells", spell).json
        cast_id = str(call("POST", "/v1/casts", {"spell": saved["publicSlug"]}, key=key).json["castId"])
        world.clock.advance(1)
        cast = world.store.get_cast(cast_id)
        assert cast is not None
        world.execute(cast, token=cast_id)
        world.process(cast)
        world.settle(cast)
        return cast_id

    def test_it_is_empty_at_first(self, call: Caller) -> None:
        found = check(call("GET", self.PATH), 200, answers.LedgerAnswer)
        sums = {"spentUsd": "0", "pointsSpent": 0, "pointsRefunded": 0, "pointsEarned": 0}
        assert found == {"entries": [], "balances": sums}

    def test_what_casts_moved_comes_in_pages_with_the_balances_of_the_whole_period(
        self, call: Caller, world: World
    ) -> None:
        call("PUT", "/v1/accounts/me/settings", {"tools": {}, "dailyBudgetUsd": "0.03"})
        casts = [self.cast(call, world) for _ in range(3)]
        first = check(call("GET", self.PATH, query={"limit": "2"}), 200, answers.LedgerAnswer)
        second = check(
            call("GET", self.PATH, query={"limit": "2", "cursor": first["cursor"]}), 200, answers.LedgerAnswer
        )
        assert [entry["castId"] for entry in first["entries"] + second["entries"]] == [
            cast_id for cast_id in reversed(casts) for _ in ("reserve", "settle")
        ]
        assert first["balances"] == {
            "spentUsd": "0.03",
            "pointsSpent": 90,
            "pointsRefunded": 0,
            "pointsEarned": 0,
            "today": {"day": "2026-01-31", "budgetUsd": "0.03", "spentUsd": "0.03", "reservedUsd": "0"},
        }
        assert {"balances", "cursor"}.isdisjoint(second)
        assert first["entries"][1] == {
            "entryId": f"{casts[2]}.0.1#settle",
            "kind": "settle",
            "castId": casts[2],
            "generationId": f"{casts[2]}.0.1",
            "amountUsd": "0.01",
            "points": 30,
            "at": "2026-01-31T12:00:03.000Z",
            "day": "2026-01-31",
        }

    def test_a_period_has_its_own_balances(self, call: Caller, world: World) -> None:
        casts = [self.cast(call, world) for _ in range(3)]
        query = {"from": "2026-01-31T12:00:02Z", "to": "2026-01-31T12:00:03Z"}
        found = check(call("GET", self.PATH, query=query), 200, answers.LedgerAnswer)
        assert [entry["castId"] for entry in found["entries"]] == [casts[1]]
        assert (found["balances"]["spentUsd"], "today" in found["balances"]) == ("0.01", False)
        yesterday = call("GET", self.PATH, query={"from": "2026-01-30", "to": "2026-01-31"}).json
        assert (yesterday["entries"], yesterday["balances"]["spentUsd"]) == ([], "0")

    def test_what_runs_is_reserved(self, call: Caller, world: World) -> None:
        call("PUT", "/v1/accounts/me/settings", {"tools": {}, "dailyBudgetUsd": "1"})
        cast = world.cast("polled")
        world.execute(cast)
        found = check(call("GET", self.PATH), 200, answers.LedgerAnswer)
        assert (found["entries"], found["balances"]["spentUsd"]) == ([], "0")
        assert (found["balances"]["today"]["spentUsd"], found["balances"]["today"]["reservedUsd"]) == ("0", "0.02")

    def test_others_have_their_own(self, call: Caller, world: World) -> None:
        self.cast(call, world, key="a key of bob")
        assert call("GET", self.PATH).json["entries"] == []
        assert len(call("GET", self.PATH, key="a key of bob").json["entries"]) == 1


def test_a_ticket_opens_the_websocket_once(call: Caller, world: World) -> None:
    ticket = check(call("POST", "/v1/realtime/ticket"), 201, answers.TicketAnswer)
    assert ticket["url"] == f"wss://socket.example/live?ticket={ticket['ticket']}"
    assert ticket["expiresAt"] == "2026-01-31T12:01:00.000Z"
    assert world.store.take_ticket(ticket["ticket"], world.clock.now()) == ACCOUNT


def test_health_needs_no_credentials(call: Caller) -> None:
    assert check(call("GET", "/v1/health", key=None), 200, answers.HealthAnswer)["status"] == "ok"

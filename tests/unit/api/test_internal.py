"""The original's internal routes: who is let in, what they answer, and what they refuse to write."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from spellcast.api.answers import ErrorAnswer
from spellcast.domain.casts import Cast
from spellcast.domain.errors import ProviderRefused, ProviderUnavailable
from spellcast.domain.results import failed
from tests.fakes.world import ACCOUNT, INTERNAL_KEY, World, make_tool
from tests.unit.api.caller import KEY, Caller, Reply, openapi

DATA = "/internal/v1/data"
EVENT = {
    "masterAccountId": ACCOUNT,
    "eventType": "spell_step_triggered",
    "eventData": {"spellId": "s1"},
    "sourcePlatform": "web",
    "timestamp": "2026-01-31T13:00:00+01:00",
}
ROUTES = [
    ("POST", "/events"),
    ("GET", "/events/x"),
    ("GET", "/generations"),
    ("POST", "/generations"),
    ("GET", "/generations/last/x"),
    ("GET", "/generations/x"),
    ("PUT", "/generations/x"),
    ("POST", "/execute"),
    ("POST", "/spells/cast"),
    ("POST", "/spells/casts"),
    ("GET", "/spells/casts/x"),
    ("PUT", "/spells/casts/x"),
]

DONE = {"status": "completed", "responsePayload": [{"type": "text", "data": {"text": "a"}}], "costUsd": 0.0042}


def ask(call: Caller, method: str, path: str, body: Any = None, **more: Any) -> Reply:
    """With the internal key, and without a caster's."""
    headers = {"x-internal-client-key": INTERNAL_KEY, **more.pop("headers", {})}
    reply = call(method, DATA + path, body, headers=headers, key=None, **more)
    assert reply.headers["content-type"] == "application/json"
    if reply.status >= 400:
        ErrorAnswer.model_validate(reply.json)
    return reply


def run(world: World, *tools: str) -> Cast:
    """A cast to its end; its tools are immediate."""
    cast = world.cast(*tools)
    finish(world, cast)
    return cast


def finish(world: World, cast: Cast) -> None:
    for number in range(len(world.segments(cast))):
        world.execute(cast, number)
        if world.process(cast, number).is_terminal:
            return
    world.settle(cast)


def waiting(world: World) -> Cast:
    """A cast whose one step waits for a callback."""
    cast = world.cast("called")
    world.execute(cast)
    return cast


class TestKey:
    @pytest.mark.parametrize(("method", "path"), ROUTES)
    @pytest.mark.parametrize(
        ("headers", "status", "code"),
        [
            ({}, 401, "MISSING_AUTH_HEADER"),
            ({"x-internal-client-key": ""}, 401, "MISSING_AUTH_HEADER"),
            ({"x-api-key": KEY}, 401, "MISSING_AUTH_HEADER"),
            ({"authorization": f"Bearer {INTERNAL_KEY}"}, 401, "MISSING_AUTH_HEADER"),
            ({"x-internal-client-key": INTERNAL_KEY[:-1]}, 403, "INVALID_API_KEY"),
            ({"x-internal-client-key": INTERNAL_KEY + " "}, 403, "INVALID_API_KEY"),
            ({"x-internal-client-key": KEY, "x-api-key": KEY}, 403, "INVALID_API_KEY"),
            ({"x-internal-client-key": "clé \ud800"}, 403, "INVALID_API_KEY"),
        ],
        ids=str,
    )
    def test_without_the_key_nothing_is_answered(
        self, call: Caller, method: str, path: str, headers: dict[str, str], status: int, code: str
    ) -> None:
        for text in ("{", None):
            reply = call(method, DATA + path, text=text, headers=headers, key=None)
            assert (reply.status, reply.code) == (status, code)
        assert not call.has_written

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    def test_every_route_exists(self, call: Caller, method: str, path: str) -> None:
        reply = ask(call, method, path)
        assert reply.code != "NOT_FOUND"
        assert 400 <= reply.status < 500

    def test_the_internal_key_opens_nothing_else(self, call: Caller) -> None:
        for path in ("/v1/casts", "//internal/v1/data/generations", "/v1/../internal/v1/data/generations"):
            assert call("GET", path, headers={"x-internal-client-key": INTERNAL_KEY}, key=None).status == 401
        assert call("GET", "//internal/v1/data/generations").status == 404

    def test_the_public_description_does_not_name_them(self) -> None:
        assert not [path for path in openapi()["paths"] if path.startswith("/internal")]

    def test_there_is_no_other_internal_route(self, call: Caller) -> None:
        reply = ask(call, "GET", "/users")
        assert (reply.status, reply.code) == (404, "NOT_FOUND")


class TestEvents:
    def test_an_event_is_logged_and_found(self, call: Caller) -> None:
        reply = ask(call, "POST", "/events", EVENT)
        event = reply.json
        assert reply.status == 201
        assert re.fullmatch("[0-9a-f]{32}", event["_id"]) and event["_id"] == event["eventId"]
        expected = {**EVENT, "timestamp": "2026-01-31T12:00:00.000Z"}
        assert {key: event[key] for key in expected} == expected
        assert ask(call, "GET", f"/events/{event['_id']}").json == event
        assert ask(call, "GET", f"/events/{event['_id']}", query={"masterAccountId": ACCOUNT}).status == 200
        theirs = ask(call, "GET", f"/events/{event['_id']}", query={"masterAccountId": "bob"})
        assert (theirs.status, theirs.code) == (404, "EVENT_NOT_FOUND")

    def test_without_a_time_it_is_now(self, call: Caller) -> None:
        event = ask(call, "POST", "/events", {key: EVENT[key] for key in EVENT if key != "timestamp"}).json
        assert event["timestamp"] == "2026-01-31T12:00:00.000Z"

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"masterAccountId": ""}, "masterAccountId"),
            ({"eventType": "  "}, "eventType"),
            ({"eventData": "x"}, "eventData"),
            ({"sourcePlatform": None}, "sourcePlatform"),
            ({"timestamp": "soon"}, "timestamp"),
            ({"colour": "red"}, "colour"),
        ],
        ids=str,
    )
    def test_a_wrong_event_is_refused(self, call: Caller, changes: dict[str, Any], path: str) -> None:
        reply = ask(call, "POST", "/events", {**EVENT, **changes})
        assert (reply.status, list(reply.faults)) == (400, [path])


class TestGenerations:
    def test_records_have_the_originals_shape(self, call: Caller, world: World) -> None:
        cast = run(world, "free", "paid")
        ids = [f"{cast.cast_id}.{step}.1" for step in range(2)]
        found = ask(call, "GET", "/generations", query={"_id_in": ",".join(ids)}).json["generations"]
        assert [record["_id"] for record in found] == [record["generationId"] for record in found] == ids
        assert {record["masterAccountId"] for record in found} == {ACCOUNT}
        assert [record["costUsd"] for record in found] == ["0", "0.01"]

    def test_they_are_found_by_cast_and_by_account(self, call: Caller, world: World) -> None:
        first, second = run(world, "free"), run(world, "paid", "free")
        for query in ({"castId": second.cast_id}, {"metadata.castId": second.cast_id}):
            assert len(ask(call, "GET", "/generations", query=query).json["generations"]) == 2
        answer = ask(call, "GET", "/generations", query={"masterAccountId": ACCOUNT}).json
        assert {record["castId"] for record in answer["generations"]} == {first.cast_id, second.cast_id}
        assert "truncated" not in answer
        for query in ({"masterAccountId": "bob"}, {"masterAccountId": "bob", "castId": first.cast_id}):
            assert ask(call, "GET", "/generations", query=query).json == {"generations": []}

    def test_a_list_that_did_not_look_at_all_casts_says_so(
        self, call: Caller, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("spellcast.application.find_records.MAX_CASTS", 1)
        for _ in range(2):
            run(world, "free")
        answer = ask(call, "GET", "/generations", query={"masterAccountId": ACCOUNT}).json
        assert (len(answer["generations"]), answer["truncated"]) == (1, True)

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ({}, "query"),
            ({"status": "completed"}, "query"),
            ({"castId": "c", "metadata.collectionId": "x"}, "metadata.collectionId"),
            ({"castId": "c", "costUsd_gte": "1"}, "costUsd_gte"),
            ({"castId": "c", "requestTimestamp_gte": "soon"}, "requestTimestamp_gte"),
            ({"castId": "c", "limit": "-1"}, "limit"),
            ({"masterAccountId": "x" * 201}, "masterAccountId"),
            ({"castId": "c", "page": "0"}, "page"),
            ({"castId": "c", "sort": "prompt:desc"}, "sort"),
            ({"castId": "c", "metadata.castId": "d"}, "metadata.castId"),
            ({"_id_in": ",".join(map(str, range(201)))}, "_id_in"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_what_cannot_be_answered_is_refused(self, call: Caller, query: dict[str, str], path: str) -> None:
        reply = ask(call, "GET", "/generations", query=query)
        assert (reply.status, list(reply.faults)) == (400, [path])

    def test_one_record_has_its_whole_metadata(self, call: Caller, world: World) -> None:
        cast = run(world, "free")
        path = f"/generations/{cast.cast_id}.0.1"
        record = ask(call, "GET", path).json
        assert record["metadata"]["originalContext"]["masterAccountId"] == ACCOUNT
        assert record["metadata"]["spell"]["steps"]
        assert ask(call, "GET", "/generations/last/" + ACCOUNT).json == record
        assert ask(call, "GET", path, query={"masterAccountId": ACCOUNT}).json == record
        for missing in (ask(call, "GET", path, query={"masterAccountId": "bob"}), ask(call, "GET", "/generations/x")):
            assert (missing.status, missing.code) == (404, "GENERATION_NOT_FOUND")
        assert ask(call, "GET", "/generations/last/bob").status == 404
        assert ask(call, "GET", "/generations/last/" + "x" * 201).status == 400

    def test_the_last_is_the_latest_that_was_asked_for(self, call: Caller, world: World) -> None:
        older = world.cast("called", "free")
        world.clock.advance(1)
        run(world, "free")
        world.clock.advance(1)
        world.execute(older)
        assert ask(call, "GET", "/generations/last/" + ACCOUNT).json["castId"] == older.cast_id

    def test_none_is_made_by_hand(self, call: Caller) -> None:
        for path in ("/generations", "/spells/casts"):
            reply = ask(call, "POST", path, {"spellId": "s", "initiatorAccountId": ACCOUNT})
            assert (reply.status, reply.code) == (409, "MADE_BY_CASTS")
        assert not call.has_written


class TestOutcomes:
    def put(self, call: Caller, cast: Cast, body: Any, **more: Any) -> Reply:
        return ask(call, "PUT", f"/generations/{cast.cast_id}.0.1", body, **more)

    @pytest.mark.parametrize(
        "response",
        [
            None,
            {},
            "r",
            ["a", "b"],
            {"result": "r"},
            {"images": [{"url": "https://o/1.png"}]},
            {"9": {"images": [{"url": "https://o/1.png"}]}},
            [{"data": {"images": ["https://o/1.png"]}}, {"data": {"images": [{"url": "https://o/2.png"}]}}],
        ],
        ids=str,
    )
    def test_an_output_in_any_shape_is_taken_and_its_repeat_too(
        self, call: Caller, world: World, response: Any
    ) -> None:
        cast = waiting(world)
        for _ in range(2):
            assert self.put(call, cast, {"status": "completed", "responsePayload": response}).status == 200

    def test_a_result_continues_the_cast(self, call: Caller, world: World) -> None:
        cast = waiting(world)
        for _ in range(2):
            reply = self.put(call, cast, {**DONE, "masterAccountId": ACCOUNT})
            assert (reply.status, reply.json["outputs"]) == (200, {"text": "a"})
        world.process(cast)
        assert world.settle(cast).cost_usd == Decimal("0.0042")
        writes = len(world.store.writes)
        assert self.put(call, cast, DONE).json["status"] == "completed"
        assert len(world.store.writes) == writes

    def test_a_failure_is_a_result_too(self, call: Caller, world: World) -> None:
        cast = waiting(world)
        assert self.put(call, cast, {"status": "failed", "statusReason": "no paint"}).status == 200
        ended = world.process(cast)
        assert ended.failure is not None and ended.failure.message == "no paint"

    @pytest.mark.parametrize("is_terminal", [False, True])
    @pytest.mark.parametrize(
        "body", [{"status": "failed"}, {"status": "completed", "responsePayload": "other"}, {"status": "processing"}]
    )
    def test_what_contradicts_the_record_is_refused(
        self, call: Caller, world: World, body: dict[str, Any], is_terminal: bool
    ) -> None:
        cast = waiting(world)
        self.put(call, cast, DONE)
        if is_terminal:
            world.process(cast)
        before = world.generation(cast, 0)
        reply = self.put(call, cast, body)
        assert (reply.status, reply.code) == (409, "ILLEGAL_TRANSITION")
        assert world.generation(cast, 0) == before

    def test_of_two_results_at_once_the_later_is_told(self, call: Caller, world: World) -> None:
        cast = waiting(world)
        world.store.meanwhile.append(lambda: self.put(call, cast, DONE))
        assert self.put(call, cast, {"status": "failed"}).code == "ILLEGAL_TRANSITION"
        result = world.generation(cast, 0).result
        assert result is not None and result.status == "succeeded"

    @pytest.mark.parametrize(
        ("body", "paths"),
        [
            (None, ["body"]),
            ({}, ["body"]),
            ({"deliveryStatus": "sent"}, ["deliveryStatus", "status"]),
            ({"status": 7}, ["status"]),
            ({**DONE, "costUsd": "much"}, ["costUsd"]),
        ],
        ids=str,
    )
    def test_a_wrong_outcome_is_refused(self, call: Caller, world: World, body: Any, paths: list[str]) -> None:
        cast = waiting(world)
        before = world.generation(cast, 0)
        reply = self.put(call, cast, body)
        assert (reply.status, list(reply.faults)) == (400, paths)
        assert world.generation(cast, 0) == before

    def test_another_accounts_record_does_not_exist(self, call: Caller, world: World) -> None:
        cast = waiting(world)
        assert self.put(call, cast, {**DONE, "masterAccountId": "bob"}).status == 404
        assert self.put(call, cast, DONE, query={"masterAccountId": "bob"}).status == 404
        assert world.generation(cast, 0).result is None


class TestExecute:
    @pytest.fixture
    def world(self) -> World:
        return World(make_tool("needy", inputSchema={"prompt": {"type": "string"}}, commandName="/need"))

    def execute(self, call: Caller, tool: str = "free", inputs: Any = None, **more: Any) -> Reply:
        headers = more.pop("headers", {})
        body = {"toolId": tool, "inputs": inputs or {}, "user": {"masterAccountId": ACCOUNT, "platform": "web"}, **more}
        return ask(call, "POST", "/execute", body, headers=headers)

    def let_it_run(self, call: Caller) -> None:
        """Casts come to their end while their callers wait."""

        def run_all() -> None:
            for cast in call.world.store.list_casts(ACCOUNT, status="running", limit=9, cursor=None).items:
                finish(call.world, cast)

        call.meanwhile = run_all

    def test_an_immediate_tool_is_answered_with_its_result(self, call: Caller, world: World) -> None:
        self.let_it_run(call)
        reply = self.execute(call, "paid", {"prompt": "a cat"}, eventId="e1", metadata={"cookId": "c1"})
        (cast,) = world.store.list_casts(ACCOUNT, status=None, limit=9, cursor=None).items
        output = world.generation(cast, 0).result
        assert reply.status == 200 and output is not None
        assert reply.json == {
            "generationId": f"{cast.cast_id}.0.1",
            "status": "completed",
            "final": True,
            "outputs": {"type": "text", "data": output.payload[0]["data"]},
            "toolId": "paid",
            "service": "fake",
            "costUsd": "0.01",
            "response": output.payload[0]["data"]["text"],
        }
        assert world.generation(cast, 0).request_payload["prompt"] == "a cat"
        assert cast.metadata == {"platform": "web", "cookId": "c1", "eventId": "e1"}
        assert cast.spell_slug == "tool-paid"

    def test_one_tool_is_one_spell_however_often_it_runs(self, call: Caller, world: World) -> None:
        self.let_it_run(call)
        assert {self.execute(call, "free", {"prompt": text}).status for text in "ab"} == {200}
        (spell,) = world.store.list_spells(ACCOUNT, limit=9, cursor=None).items
        assert (spell.visibility, spell.version) == ("private", 1)
        assert len(world.store.list_casts(ACCOUNT, status=None, limit=9, cursor=None).items) == 2

    def test_a_job_is_answered_once_it_is_submitted(self, call: Caller, world: World) -> None:
        def submit() -> None:
            for cast in world.store.list_casts(ACCOUNT, status="running", limit=9, cursor=None).items:
                world.execute(cast)

        call.meanwhile = submit
        began = world.clock.now()
        reply = self.execute(call, "called")
        assert reply.status == 202
        assert (world.clock.now() - began).total_seconds() < 1
        answer = reply.json
        generation = world.store.get_generation(answer["generationId"])
        assert generation is not None
        assert (answer["status"], answer["runId"], answer["toolId"]) == ("processing", generation.run_id, "called")
        assert answer["service"] == "fake" and answer["queuedAt"] and answer["message"]

    def test_after_20_seconds_nobody_waits_any_more(self, call: Caller, world: World) -> None:
        began = world.clock.now()
        reply = self.execute(call)
        assert (reply.status, "runId" in reply.json) == (202, False)
        assert 20 <= (world.clock.now() - began).total_seconds() <= 21

    @pytest.mark.parametrize(
        ("tool", "error", "status", "code"),
        [
            ("needy", None, 400, "MISSING_INPUTS"),
            ("paid", ProviderUnavailable("It is busy."), 503, "PROVIDER_UNAVAILABLE"),
            # A status at which the original's client would not ask again.
            ("paid", ProviderRefused("It declined."), 500, "PROVIDER_REFUSED"),
        ],
    )
    def test_a_failure_is_answered_with_its_code(
        self, call: Caller, world: World, tool: str, error: Any, status: int, code: str
    ) -> None:
        self.let_it_run(call)
        if error:
            world.adapter.on_execute = lambda request: failed(error)
        reply = self.execute(call, tool)
        assert (reply.status, reply.code) == (status, code)
        assert error is None or reply.json["error"]["message"] == error.message

    def test_the_same_key_runs_it_once(self, call: Caller, world: World) -> None:
        self.let_it_run(call)
        headers = {"idempotency-key": "k"}
        first, second = (self.execute(call, "paid", headers=headers) for _ in range(2))
        assert first.json == second.json
        assert self.execute(call, "paid", {"prompt": "x"}, headers=headers).code == "IDEMPOTENCY_KEY_REUSED"

    def test_a_cast_id_in_the_metadata_is_no_key(self, call: Caller, world: World) -> None:
        """The original's steps name their cast there: each of them is a run of its own."""
        cast = run(world, "free")
        self.let_it_run(call)
        answers = [self.execute(call, "free", metadata={"castId": cast.cast_id}).json for _ in range(2)]
        assert len({answer["generationId"] for answer in answers} | {f"{cast.cast_id}.0.1"}) == 3

    @pytest.mark.parametrize("name", ["Needy", "needy", "/need", "NEED", "nEEdy"])
    def test_a_tool_is_found_as_chats_name_it(self, call: Caller, name: str) -> None:
        self.let_it_run(call)
        assert self.execute(call, name, {"prompt": "x"}).json["toolId"] == "needy"

    @pytest.mark.parametrize("name", ["none", "/", "/none"])
    def test_a_tool_that_is_none_is_not_found(self, call: Caller, name: str) -> None:
        reply = self.execute(call, name)
        assert (reply.status, reply.code) == (404, "TOOL_NOT_FOUND")
        assert not call.has_written

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"toolId": None}, "toolId"),
            ({"inputs": None}, "inputs"),
            ({"inputs": []}, "inputs"),
            ({"user": {}}, "user.masterAccountId"),
            ({"user": None}, "user"),
            ({"colour": 1}, "colour"),
        ],
        ids=str,
    )
    def test_a_wrong_run_is_refused(self, call: Caller, changes: dict[str, Any], path: str) -> None:
        body = {"toolId": "free", "inputs": {}, "user": {"masterAccountId": ACCOUNT}, **changes}
        reply = ask(call, "POST", "/execute", body)
        assert (reply.status, reply.code, list(reply.faults)) == (400, "INVALID_INPUT", [path])
        assert not call.has_written


class TestCasts:
    def cast(self, call: Caller, **context: Any) -> Reply:
        return ask(call, "POST", "/spells/cast", {"slug": "free", "context": {"masterAccountId": ACCOUNT, **context}})

    def test_a_spell_is_cast_by_its_slug(self, call: Caller, world: World) -> None:
        run(world, "free")
        reply = self.cast(call, parameterOverrides={"prompt": "hi"}, castId="mine")
        assert (reply.status, reply.json["status"]) == (200, "running")
        cast = ask(call, "GET", f"/spells/casts/{reply.json['castId']}").json
        assert (cast["_id"], cast["initiatorAccountId"]) == (reply.json["castId"], ACCOUNT)
        assert (cast["inputs"]["prompt"], cast["metadata"]) == ("hi", {"castId": "mine"})
        assert self.cast(call, parameterOverrides={"prompt": "hi"}, castId="mine").json == reply.json
        assert self.cast(call, castId=reply.json["castId"]).json == reply.json

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({}, 400, "INVALID_INPUT"),
            ({"slug": "free"}, 400, "BAD_REQUEST"),
            ({"slug": "free", "context": {}}, 400, "BAD_REQUEST"),
            ({"slug": "", "context": {"masterAccountId": ACCOUNT}}, 400, "BAD_REQUEST"),
            ({"slug": "x" * 201, "context": {"masterAccountId": ACCOUNT}}, 400, "BAD_REQUEST"),
            ({"slug": "free", "context": {"masterAccountId": "x" * 201}}, 400, "SPELL_CAST_FAILED"),
            ({"slug": "none", "context": {"masterAccountId": ACCOUNT}}, 404, "SPELL_CAST_FAILED"),
            ({"slug": "free", "context": {"masterAccountId": "bob"}}, 404, "SPELL_CAST_FAILED"),
            (
                {"slug": "free", "context": {"masterAccountId": ACCOUNT, "webhookUrl": "http://10.0.0.1/"}},
                400,
                "SPELL_CAST_FAILED",
            ),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_what_cannot_be_cast_says_why(self, call: Caller, world: World, body: Any, status: int, code: str) -> None:
        run(world, "free")
        writes = len(world.store.writes)
        reply = ask(call, "POST", "/spells/cast", body)
        assert (reply.status, reply.code) == (status, code)
        assert len(world.store.writes) == writes

    def put(self, call: Caller, cast: Cast, body: Any, **more: Any) -> Reply:
        return ask(call, "PUT", f"/spells/casts/{cast.cast_id}", body, **more)

    def test_a_running_cast_is_closed_with_its_reason(self, call: Caller, world: World) -> None:
        cast = waiting(world)
        for _ in range(2):
            reply = self.put(call, cast, {"status": "failed", "failureReason": "no paint", "failedAt": "now"})
            assert (reply.status, reply.json) == (200, {"ok": True})
        closed = world.cast_of(cast)
        assert closed.failure is not None
        assert (closed.status, closed.failure.message) == ("failed", "no paint")
        assert world.generation(cast, 0).status == "failed"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"status": "running"},
            {"costDeltaUsd": 0},
            {"costDeltaUsd": "0"},
            {"generationId": "{id}"},
            {"generationId": "{id}", "status": "running", "costDeltaUsd": None},
        ],
        ids=str,
    )
    def test_what_the_cast_knows_already_changes_nothing(self, call: Caller, world: World, body: Any) -> None:
        cast = waiting(world)
        writes = len(world.store.writes)
        body = {key: f"{cast.cast_id}.0.1" if value == "{id}" else value for key, value in body.items()}
        assert self.put(call, cast, body).json == {"ok": True}
        assert len(world.store.writes) == writes

    @pytest.mark.parametrize(
        "body",
        [
            {"status": "completed"},
            {"status": "paused"},
            {"costDeltaUsd": 0.005},
            {"costDeltaUsd": "0.012", "status": "failed"},
            {"generationId": "65f1", "status": "failed"},
        ],
        ids=str,
    )
    def test_what_contradicts_a_running_cast_is_refused(self, call: Caller, world: World, body: Any) -> None:
        cast = waiting(world)
        writes = len(world.store.writes)
        reply = self.put(call, cast, body)
        assert (reply.status, reply.code) == (409, "ILLEGAL_TRANSITION")
        assert len(world.store.writes) == writes

    def test_an_end_stays(self, call: Caller, world: World) -> None:
        cast = run(world, "free")
        assert self.put(call, cast, {"status": "completed"}).status == 200
        for status in ("failed", "running"):
            assert self.put(call, cast, {"status": status}).code == "ILLEGAL_TRANSITION"

    def test_a_cast_whose_steps_are_all_done_is_not_failed(self, call: Caller, world: World) -> None:
        cast = world.cast("free")
        world.execute(cast)
        world.process(cast)
        reply = self.put(call, cast, {"status": "failed"})
        assert (reply.status, reply.code) == (409, "ILLEGAL_TRANSITION")
        assert world.cast_of(cast).status == "completed"

    def test_another_accounts_cast_does_not_exist(self, call: Caller, world: World) -> None:
        cast = waiting(world)
        others = [
            self.put(call, cast, {"status": "failed", "masterAccountId": "bob"}),
            self.put(call, cast, {"status": "failed"}, query={"masterAccountId": "bob"}),
            ask(call, "GET", f"/spells/casts/{cast.cast_id}", query={"masterAccountId": "bob"}),
            ask(call, "GET", "/spells/casts/" + "x" * 3_000),
        ]
        assert {(reply.status, reply.code) for reply in others} == {(404, "CAST_NOT_FOUND")}
        assert not world.cast_of(cast).is_terminal

    @pytest.mark.parametrize("body", [{"costDeltaUsd": "much"}, {"costDeltaUsd": -1}, {"colour": 1}], ids=str)
    def test_a_wrong_update_is_refused(self, call: Caller, world: World, body: Any) -> None:
        reply = self.put(call, waiting(world), body)
        assert (reply.status, list(reply.faults)) == (400, list(body))

"""Which requests of the internal routes go to the original, and that its answer is passed back as it is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from spellcast.api.passing import pass_on
from spellcast.application.route_cast import RouteCast
from spellcast.domain.errors import FlagsUnreadable, OriginalUnanswered, OriginalUnavailable, SpellcastError
from spellcast.ports.original import PASSED_ON, OriginalAnswer
from tests.fakes.original import FakeFlags, FakeOriginal
from tests.fakes.world import ACCOUNT, INTERNAL_KEY
from tests.unit.api.caller import Caller, Reply

DATA = "/internal/v1/data"
THEIRS = "65f0a1b2c3d4e5f60718293a"
OURS = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def original() -> FakeOriginal:
    return FakeOriginal()


@pytest.fixture
def route_cast(original: FakeOriginal) -> RouteCast:
    return RouteCast(original, FakeFlags("moved"))


def event(method: str, path: str, body: Any = None, query: str = "") -> dict[str, Any]:
    return {
        "rawPath": DATA + path,
        "rawQueryString": query,
        "requestContext": {"http": {"method": method}},
        "body": None if body is None else json.dumps(body),
    }


def cast(account: Any, **context: Any) -> dict[str, Any]:
    return {"slug": "cats", "context": {"masterAccountId": account, **context}}


def run(account: Any, **metadata: Any) -> dict[str, Any]:
    return {"toolId": "t", "inputs": {}, "user": {"masterAccountId": account}, "metadata": metadata}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/spells/cast", cast("waiting")),
        ("POST", "/spells/cast", cast("moved", castId=THEIRS)),
        ("POST", "/execute", run("waiting")),
        ("POST", "/execute", run("moved", castId=THEIRS)),
        ("GET", f"/spells/casts/{THEIRS}", None),
        ("PUT", f"/spells/casts/{THEIRS}", {"status": "failed"}),
        ("GET", f"/generations/{THEIRS}", None),
        ("PUT", f"/generations/{THEIRS}", {"status": "completed"}),
        ("POST", "/spells/cast", cast({"$oid": THEIRS})),
        ("POST", "/Spells/cast/", cast("waiting")),
        ("POST", "/spells/casts", {"spellId": THEIRS, "initiatorAccountId": "waiting"}),
        ("POST", "/events", {"masterAccountId": "waiting"}),
        ("POST", "/generations", {"masterAccountId": "waiting"}),
        ("GET", f"/events/{THEIRS}", None),
        ("POST", f"/generations/{THEIRS}/", None),
        ("GET", "/generations/last/waiting", None),
        ("GET", "/users/moved", None),
        ("DELETE", f"/spells/{THEIRS}", {"masterAccountId": "moved"}),
    ],
)
def test_what_is_the_originals(
    route_cast: RouteCast, original: FakeOriginal, method: str, path: str, body: Any
) -> None:
    answer = pass_on(route_cast, event(method, path, body, "a=1"))
    assert answer == {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": '{"from":"the original"}',
    }
    (asked,) = original.asked
    sent = None if body is None else json.dumps(body).encode()
    assert (asked.method, asked.path, asked.query, asked.body) == (method, DATA + path, "a=1", sent)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/spells/cast", cast("moved")),
        ("POST", "/spells/cast", cast("moved", castId=None)),
        ("POST", "/spells/cast", cast("waiting", castId=OURS)),
        ("POST", "/spells/cast", cast(None)),
        ("POST", "/spells/cast", {"slug": "cats", "context": "none"}),
        ("POST", "/spells/cast", None),
        ("POST", "/execute", run("moved")),
        ("POST", "/execute", {"user": []}),
        ("GET", f"/spells/casts/{OURS}", None),
        ("PUT", f"/spells/casts/{OURS}", {"status": "failed"}),
        ("GET", f"/generations/{OURS}.0.1", None),
        ("PUT", f"/generations/{OURS}.0.1", {"status": "completed"}),
        ("POST", "/SPELLS/cast/", cast("moved")),
        ("POST", "/spells/casts/", {"initiatorAccountId": "moved"}),
        ("GET", "/generations/last/moved", None),
        ("GET", "/generations", None),
        ("GET", f"/events/{OURS}", None),
        ("POST", "/events", {"masterAccountId": "moved"}),
        ("GET", "/../v1/admin", None),
        ("GET", "/generations/last/..", None),
        ("GET", "base", None),
    ],
)
def test_what_is_ours(route_cast: RouteCast, original: FakeOriginal, method: str, path: str, body: Any) -> None:
    assert pass_on(route_cast, event(method, path, body)) is None
    assert original.asked == []


@pytest.mark.parametrize(("account", "asked"), [("waiting", 1), ("moved", 0)])
def test_a_list_is_that_of_the_side_on_which_its_account_casts(
    route_cast: RouteCast, original: FakeOriginal, account: str, asked: int
) -> None:
    pass_on(route_cast, event("GET", "/generations") | {"queryStringParameters": {"masterAccountId": account}})
    assert len(original.asked) == asked


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ({"_id_in": f"{THEIRS}, {THEIRS}"}, 1),
        ({"_id": THEIRS, "masterAccountId": "moved"}, 1),
        ({"metadata.castId": THEIRS}, 1),
        ({"castId": THEIRS, "masterAccountId": "moved"}, 1),
        ({"_id_in": f"{OURS}.0.1"}, 0),
        ({"castId": OURS, "masterAccountId": "waiting"}, 0),
        ({"_id_in": "", "masterAccountId": "moved"}, 0),
    ],
)
def test_a_list_of_records_is_that_of_the_side_that_began_them(
    route_cast: RouteCast, original: FakeOriginal, asked: dict[str, str], passed: int
) -> None:
    pass_on(route_cast, event("GET", "/generations") | {"queryStringParameters": asked})
    assert len(original.asked) == passed


def test_a_request_that_comes_back_says_so(route_cast: RouteCast, original: FakeOriginal) -> None:
    pass_on(route_cast, event("GET", "/users/a") | {"headers": {PASSED_ON: "1"}})
    assert original.asked[0].was_passed_on


def test_without_an_original_nothing_is_passed_on() -> None:
    original = FakeOriginal(configured=False)
    route_cast = RouteCast(original, FakeFlags())
    for method, path in (("POST", "/spells/cast"), ("GET", f"/generations/{THEIRS}"), ("GET", "/users/a")):
        assert pass_on(route_cast, event(method, path, cast("waiting"))) is None
    assert original.asked == []


def test_a_body_goes_on_as_it_came_whatever_its_transport(route_cast: RouteCast, original: FakeOriginal) -> None:
    raw = b'{"context" : {"masterAccountId": "waiting"}, "slug": "caf\xc3\xa9", "n": 1.50}'
    encoded = event("POST", "/spells/cast") | {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}
    pass_on(route_cast, encoded)
    assert original.asked[0].body == raw


def test_the_originals_refusal_is_passed_back_as_it_is(route_cast: RouteCast, original: FakeOriginal) -> None:
    original.answer = OriginalAnswer(403, "application/json; charset=utf-8", b'{"error":{"code":"SPELL_CAST_FAILED"}}')
    assert pass_on(route_cast, event("POST", "/spells/cast", cast("waiting"))) == {
        "statusCode": 403,
        "headers": {"content-type": "application/json; charset=utf-8"},
        "body": '{"error":{"code":"SPELL_CAST_FAILED"}}',
    }


def test_an_answer_that_was_lost_is_an_error_and_no_second_request(
    route_cast: RouteCast, original: FakeOriginal
) -> None:
    original.answer = OriginalUnanswered("lost")
    with pytest.raises(OriginalUnanswered):
        pass_on(route_cast, event("POST", "/spells/cast", cast("waiting")))
    assert len(original.asked) == 1


def ask(call: Caller, method: str, path: str, body: Any = None, key: str = INTERNAL_KEY) -> Reply:
    return call(method, DATA + path, body, headers={"x-internal-client-key": key}, key=None)


def test_through_the_api_a_request_is_passed_on_behind_its_key(call: Caller) -> None:
    call.original.configured = True
    assert ask(call, "POST", "/spells/cast", cast(ACCOUNT)).json == {"from": "the original"}
    assert ask(call, "GET", f"/generations/{THEIRS}").json == {"from": "the original"}
    assert len(call.original.asked) == 2
    assert not call.has_written


def test_nobody_reaches_the_original_without_the_key_or_with_a_body_that_is_none(call: Caller) -> None:
    call.original.configured = True
    assert ask(call, "GET", "/users/a", key="wrong").status == 403
    assert call("POST", f"{DATA}/spells/cast", text="{", headers={"x-internal-client-key": INTERNAL_KEY}).status == 400
    assert call("GET", "/v1/casts/" + THEIRS).status == 404
    assert call.original.asked == []


def test_an_account_that_moved_casts_here_with_its_spell(call: Caller) -> None:
    call.original.configured = True
    call.flags.here = {ACCOUNT}
    steps = [{"id": "n0", "toolIdentifier": "free"}]
    spell, *_ = call.world.create_spell(ACCOUNT, "Cats", "private", {"steps": steps})
    reply = ask(call, "POST", "/spells/cast", cast(ACCOUNT) | {"slug": spell.slug})
    assert reply.json["status"] == "running"
    assert ask(call, "GET", f"/spells/casts/{reply.json['castId']}").json["status"] == "running"
    assert call.original.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OriginalUnanswered("lost"), 500),  # the original's own client repeats after 502 to 504
        (OriginalUnavailable("nothing was sent"), 503),
        (FlagsUnreadable("nothing was read"), 503),
    ],
)
def test_what_could_not_be_passed_on_is_told_in_the_common_shape(
    call: Caller, error: SpellcastError, status: int
) -> None:
    call.original.configured = True
    call.original.answer = error
    reply = ask(call, "POST", "/spells/cast", cast(ACCOUNT))
    assert (reply.status, reply.code) == (status, error.code)
    assert not call.has_written

"""An account's API keys over HTTP."""

from __future__ import annotations

import pytest

from spellcast.domain.identifiers import fingerprint
from tests.unit.api.caller import KEY, OTHERS_KEY, Caller

KEYS = "/v1/accounts/me/keys"
OWN, THEIRS = fingerprint(KEY), fingerprint(OTHERS_KEY)


def test_the_own_keys_are_listed_without_what_they_are(call: Caller) -> None:
    reply = call("GET", KEYS)
    assert [key["keyId"] for key in reply.json["keys"]] == [OWN]
    assert set(reply.json["keys"][0]) == {"keyId", "createdAt"}
    assert KEY not in reply.text


def test_a_rotation_answers_the_new_key_once(call: Caller) -> None:
    reply = call("POST", f"{KEYS}/{OWN}/rotate", {"validForSeconds": 60})
    assert reply.status == 201
    new = reply.json["key"]
    assert reply.json["keyId"] == fingerprint(new)
    assert reply.json["replaced"]["keyId"] == OWN
    assert {key["keyId"] for key in call("GET", KEYS, key=new).json["keys"]} == {OWN, fingerprint(new)}
    assert new not in call("GET", KEYS).text
    call.world.clock.advance(60)
    assert call("GET", KEYS).status == 401
    assert call("GET", KEYS, key=new).status == 200


def test_a_rotation_without_a_body_leaves_a_day(call: Caller) -> None:
    assert call("POST", f"{KEYS}/{OWN}/rotate").status == 201
    call.world.clock.advance(86_000)
    assert call("GET", KEYS).status == 200
    call.world.clock.advance(400)
    assert call("GET", KEYS).status == 401


@pytest.mark.parametrize("seconds", [-1, 604_801, "60", 1.5, None, True])
def test_a_wrong_time_is_named_and_changes_nothing(call: Caller, seconds: object) -> None:
    reply = call("POST", f"{KEYS}/{OWN}/rotate", {"validForSeconds": seconds})
    assert (reply.status, list(reply.faults)) == (400, ["validForSeconds"])
    assert len(call.world.store.keys) == 2


def test_a_revoked_key_ends_with_its_own_request(call: Caller) -> None:
    assert call("DELETE", f"{KEYS}/{OWN}").status == 204
    assert call("DELETE", f"{KEYS}/{OWN}").status == 401
    assert call("GET", KEYS, key=OTHERS_KEY).status == 200


@pytest.mark.parametrize(("method", "path"), [("DELETE", f"{KEYS}/{THEIRS}"), ("POST", f"{KEYS}/{THEIRS}/rotate")])
def test_others_keys_do_not_exist(call: Caller, method: str, path: str) -> None:
    reply = call(method, path)
    unknown = call(method, path.replace(THEIRS, "0" * 64))
    assert (reply.status, reply.code) == (unknown.status, unknown.code) == (404, "API_KEY_NOT_FOUND")
    assert call("GET", KEYS, key=OTHERS_KEY).status == 200


@pytest.mark.parametrize("key_id", ["x", "0" * 63, "0" * 65, "G" * 64, "0" * 10_000])
def test_what_is_no_id_is_refused(call: Caller, key_id: str) -> None:
    assert call("DELETE", f"{KEYS}/{key_id}").status == 400

"""Every route of the OpenAPI document × {its owner, another account, nobody, an expired token} (contract I8)."""

from __future__ import annotations

import copy
import json
import re
import time
from typing import Any

from spellcast.api.bearer import JwtVerifier
from spellcast.application.notify import Notify
from spellcast.application.watch_casts import WatchCasts
from spellcast.domain.results import Failure
from tests.chaos.conftest import Defends
from tests.fakes.world import ACCOUNT, World
from tests.unit.api.caller import KEY, OPEN, OTHERS_KEY, Caller, Reply, documented_routes
from tests.unit.api.test_credentials import AUDIENCE, ISSUER, KeySet, bearer, published, token

Route = tuple[str, str]
COMPLETION = ("POST", "/v1/completions/{token}")
CLOSED = [
    route for route in documented_routes() if route not in (*OPEN, COMPLETION) and not route[1].startswith("/internal/")
]
NAMED = [route for route in CLOSED if "{" in route[1]]
UNNAMED = [route for route in CLOSED if "{" not in route[1]]
BODIES: dict[Route, Any] = {
    ("PUT", "/v1/spells/{}"): {"name": "changed", "steps": [{"toolIdentifier": "free"}]},
    ("POST", "/v1/spells/{}/quote"): {},
}


class Scene:
    """What alice owns, by the names that paths give to it."""

    def __init__(self) -> None:
        self.world = World()
        self.call = Caller(self.world, JwtVerifier(ISSUER, AUDIENCE, KeySet(published())))
        ended, failed, running = self.world.cast("free"), self.world.cast("paid"), self.world.cast("called")
        self.world.execute(ended)
        self.world.process(ended)
        self.world.settle(ended)
        self.world.settle(failed, Failure("JOB_FAILED", "The model gave up."))
        self.world.execute(running)
        self.call("POST", "/v1/tools", {"toolId": "mine", "service": "http", "displayName": "Mine"})
        keys = self.call("GET", "/v1/accounts/me/keys").json["keys"]
        # The first that fits: what is asked of it would be done for its owner.
        self.names = {
            "/v1/casts/{}/cancel": running.cast_id,
            "/v1/casts/{}/resume": failed.cast_id,
            "/v1/casts/{}": ended.cast_id,
            "/v1/generations/{}": f"{ended.cast_id}.0.1",
            "/v1/spells/{}": ended.spell_id,
            "/v1/tools/{}": "mine",
            "/keys/{}": keys[0]["keyId"],
            "/permissions/{}": "carol",
        }
        self.call("PUT", self._path("/v1/spells/{}/permissions/{}"))
        # Bob is somebody.
        self.call("POST", "/v1/spells", {"name": "His", "steps": [{"toolIdentifier": "free"}]}, key=OTHERS_KEY)

    def __call__(self, route: Route, **who: Any) -> Reply:
        method, path = route[0], re.sub(r"\{\w+\}", "{}", route[1])
        return self.call(method, self._path(path), BODIES.get((method, path)), **who)

    def stored(self) -> dict[str, Any]:
        """All that the store holds; its records never change."""
        return {name: copy.copy(held) for name, held in vars(self.world.store).items()}

    def _path(self, path: str) -> str:
        for form, name in self.names.items():
            path = path.replace(form, form.replace("{}", name))
        assert "{" not in path, f"what does {path} name?"
        return path


def test_another_account_is_told_that_it_does_not_exist(defends: Defends) -> None:
    for route in NAMED:
        owned = Scene()(route)
        assert owned.status < 300, (route, owned.text)
        scene = Scene()
        before = scene.stored()
        reply = scene(route, key=OTHERS_KEY)
        assert (reply.status, reply.code[-10:]) == (404, "_NOT_FOUND"), (route, reply.text)
        assert scene.stored() == before, route
        # To its owner it is what it was.
        assert scene(route).status == owned.status, route
    scene = Scene()
    reply = scene.call("POST", "/v1/casts", {"spell": scene.names["/v1/spells/{}"]}, key=OTHERS_KEY)
    assert (reply.status, reply.code) == (404, "SPELL_NOT_FOUND")
    defends(
        "I8", "another account's key", f"{len(NAMED)} routes that name something of somebody's, and a cast of a spell"
    )


def test_what_a_route_without_a_name_answers_is_the_callers_own(defends: Defends) -> None:
    for route in UNNAMED:
        scene = Scene()
        theirs = scene(route, key=OTHERS_KEY)
        assert theirs.status < 500, route
        assert not any(name in theirs.text for name in (*scene.names.values(), ACCOUNT)), (route, theirs.text)
    defends("I8", "another account's key", f"{len(UNNAMED)} routes that name nothing")


def test_without_good_credentials_nothing_is_answered(defends: Defends) -> None:
    strangers: dict[str, dict[str, Any]] = {
        "no key": {"key": None},
        "an unknown key": {"key": "x" + KEY},
        "an expired token": {"key": None, "headers": bearer(token(exp=int(time.time()) - 60))},
        "another issuer's token": {"key": None, "headers": bearer(token(iss="https://another.example"))},
    }
    scene = Scene()
    before = scene.stored()
    for route in CLOSED:
        for stranger, who in strangers.items():
            reply = scene(route, **who)
            assert (reply.status, reply.code) == (401, "UNAUTHORIZED"), (route, stranger)
    assert scene.stored() == before
    # The same token, in its time, is alice's.
    assert scene(("GET", "/v1/casts"), key=None, headers=bearer(token())).status == 200
    defends("I8", " · ".join(strangers), f"{len(CLOSED)} routes × {len(strangers)}")


def test_a_socket_is_told_of_its_own_casts_only(defends: Defends) -> None:
    scene = Scene()
    world = scene.world
    watch = WatchCasts(world.store, world.find_casts, world.announcer, world.clock)
    watch.connect("bob", "his")
    for form, cast_id in scene.names.items():
        if form.startswith("/v1/casts/"):
            watch.receive("bob", "his", json.dumps({"action": "subscribe", "castId": cast_id}))
            connection, message = world.announcer.sent.pop()
            assert (connection, message["type"], message["payload"]["code"]) == ("his", "error", "CAST_NOT_FOUND")
            watch.receive(ACCOUNT, "hers", json.dumps({"action": "subscribe", "castId": cast_id}))
            assert world.announcer.sent.pop()[1]["type"] == "castSnapshot"
    notify = Notify(world.announcer, world.links, world.clock)
    for written in world.store.writes:
        notify(written)
    assert {account for account, _ in world.announcer.pushed} == {ACCOUNT}
    defends("I8", "another account's WebSocket", f"3 subscriptions, {len(world.store.writes)} revisions")


def test_the_matrix_has_the_routes() -> None:
    """As many as there were when somebody counted them."""
    assert len(NAMED) >= 16
    assert len(UNNAMED) >= 12
    for new in ("/cancel", "/resume", "/retry", "/rotate", "/keys/{key_id}"):
        assert any(path.endswith(new) for _, path in NAMED), new
    assert ("GET", "/v1/accounts/me/ledger") in UNNAMED

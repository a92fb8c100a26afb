"""Every route of the OpenAPI document × {its owner, another account, nobody, an expired token} (contract I8)."""

from __future__ import annotations

import copy
import re
import time
from typing import Any

import pytest

from spellcast.api.bearer import JwtVerifier
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
        cast = self.world.cast("free")
        self.world.execute(cast)
        self.world.process(cast)
        self.world.settle(cast)
        self.call("POST", "/v1/tools", {"toolId": "mine", "service": "http", "displayName": "Mine"})
        self.names = {
            "/v1/spells/": cast.spell_id,
            "/v1/casts/": cast.cast_id,
            "/v1/generations/": f"{cast.cast_id}.0.1",
            "/v1/tools/": "mine",
            "/permissions/": "carol",
            "/keys/": self.call("GET", "/v1/accounts/me/keys").json["keys"][0]["keyId"],
        }
        self.call("PUT", self._path("/v1/spells/{}/permissions/{}"))

    def __call__(self, route: Route, **who: Any) -> Reply:
        method, path = route[0], re.sub(r"\{\w+\}", "{}", route[1])
        return self.call(method, self._path(path), BODIES.get((method, path)), **who)

    def stored(self) -> dict[str, Any]:
        """All that the store holds; its records never change."""
        return {name: copy.copy(held) for name, held in vars(self.world.store).items()}

    def _path(self, path: str) -> str:
        for before, name in self.names.items():
            path = path.replace(before + "{}", before + name)
        assert "{" not in path, f"what does {path} name?"
        return path


@pytest.fixture
def scene() -> Scene:
    return Scene()


def as_owned(route: Route) -> Reply:
    """The owner's answer, in a world of its own."""
    return Scene()(route)


@pytest.mark.parametrize("route", NAMED, ids=" ".join)
def test_another_account_is_told_that_it_does_not_exist(scene: Scene, route: Route) -> None:
    owned = as_owned(route)
    assert owned.status != 404, owned.text
    before = scene.stored()
    reply = scene(route, key=OTHERS_KEY)
    assert reply.status == 404, reply.text
    assert reply.code.endswith("_NOT_FOUND")
    assert scene.stored() == before
    # To its owner it is what it was.
    assert scene(route).status == owned.status


@pytest.mark.parametrize("route", UNNAMED, ids=" ".join)
def test_what_a_route_without_a_name_answers_is_the_callers_own(scene: Scene, route: Route) -> None:
    theirs = scene(route, key=OTHERS_KEY)
    assert theirs.status < 500
    assert not any(name in theirs.text for name in (*scene.names.values(), ACCOUNT))


@pytest.mark.parametrize("route", CLOSED, ids=" ".join)
@pytest.mark.parametrize(
    "who",
    [{"key": None}, {"key": "x" + KEY}, {"key": None, "headers": bearer(token(exp=int(time.time()) - 60))}],
    ids=["nobody", "an unknown key", "an expired token"],
)
def test_without_good_credentials_nothing_is_answered(scene: Scene, route: Route, who: dict[str, Any]) -> None:
    before = scene.stored()
    reply = scene(route, **who)
    assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
    assert scene.stored() == before


def test_the_matrix_has_the_routes() -> None:
    assert len(NAMED) >= 11
    assert len(UNNAMED) >= 8

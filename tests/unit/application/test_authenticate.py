from __future__ import annotations

import pytest

from spellcast.application.authenticate import Authenticate
from spellcast.domain.errors import Unauthorized
from spellcast.domain.identifiers import fingerprint
from spellcast.ports.store import ApiKey
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore


class FakeTokens:
    """Implements `application.authenticate.TokenVerifier`: `good` is bob's."""

    def subject(self, token: str) -> str:
        if token != "good":
            raise Unauthorized("The token is not valid.")
        return "bob"


def authenticate(api_key: str | None = None, authorization: str | None = None) -> str:
    store = FakeStore()
    clock = FakeClock()
    store.create_api_key(ApiKey(fingerprint("alice's key"), "alice", clock.now()))
    return Authenticate(store, FakeTokens(), clock)(api_key, authorization)


def test_a_key_is_its_accounts() -> None:
    assert authenticate("alice's key") == "alice"


@pytest.mark.parametrize("authorization", ["Bearer good", "bearer good", "BEARER  good "])
def test_a_token_is_its_subjects(authorization: str) -> None:
    assert authenticate(None, authorization) == "bob"
    assert authenticate("", authorization) == "bob"


@pytest.mark.parametrize("api_key", ["bob's key", "ALICE'S KEY", " alice's key", fingerprint("alice's key")])
def test_another_key_is_refused_though_the_token_is_good(api_key: str) -> None:
    with pytest.raises(Unauthorized):
        authenticate(api_key, "Bearer good")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer bad", "good", "Basic good", "Bearergood"]
)
def test_without_a_good_credential_nobody_is_let_in(authorization: str | None) -> None:
    with pytest.raises(Unauthorized):
        authenticate(None, authorization)


def test_the_refusal_does_not_repeat_the_key() -> None:
    with pytest.raises(Unauthorized) as caught:
        authenticate("bob's key")
    assert "bob's key" not in caught.value.message

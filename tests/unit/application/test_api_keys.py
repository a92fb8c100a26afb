"""An API key's life: issued, replaced, ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from spellcast.application.authenticate import Authenticate
from spellcast.application.find_api_keys import FindApiKeys
from spellcast.application.issue_api_key import IssueApiKey
from spellcast.application.revoke_api_key import RevokeApiKey
from spellcast.application.rotate_api_key import RotateApiKey
from spellcast.domain.errors import ApiKeyNotFound, Unauthorized
from spellcast.domain.identifiers import fingerprint
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore

DAY = timedelta(days=1)


class NoTokens:
    """Implements `ports.tokens.TokenVerifier`."""

    def subject(self, token: str) -> str:
        raise Unauthorized(token)


class Access:
    """One store, and who is let in."""

    def __init__(self) -> None:
        self.store, self.clock = FakeStore(), FakeClock()
        self.issue = IssueApiKey(self.store, self.clock)
        self.rotate = RotateApiKey(self.store, self.clock)
        self.revoke = RevokeApiKey(self.store)
        self.authenticate = Authenticate(self.store, NoTokens(), self.clock)

    def is_let_in(self, key: str) -> bool:
        try:
            return self.authenticate(key, None) == "alice"
        except Unauthorized:
            return False


@pytest.fixture
def access() -> Access:
    return Access()


def test_a_revoked_key_is_refused_at_the_next_request_and_the_others_are_not(access: Access) -> None:
    key, other = access.issue("alice"), access.issue("alice")
    assert access.is_let_in(key)
    access.revoke("alice", fingerprint(key))
    assert not access.is_let_in(key)
    assert access.is_let_in(other)
    with pytest.raises(ApiKeyNotFound):
        access.revoke("alice", fingerprint(key))


def test_a_replaced_key_stays_good_until_its_end(access: Access) -> None:
    key = access.issue("alice")
    issued, ended = access.rotate("alice", fingerprint(key), DAY)
    assert issued.secret != key and access.is_let_in(issued.secret)
    assert ended.expires_at is not None
    access.clock.moment = ended.expires_at - timedelta(milliseconds=1)
    assert access.is_let_in(key)
    access.clock.advance(0.001)
    assert not access.is_let_in(key)
    assert access.is_let_in(issued.secret)


def test_rotating_again_makes_another_key_and_does_not_put_off_the_end(access: Access) -> None:
    """As somebody does whose first answer was lost."""
    key = access.issue("alice")
    _, first = access.rotate("alice", fingerprint(key), DAY)
    access.clock.advance(3600)
    issued, second = access.rotate("alice", fingerprint(key), DAY)
    assert second.expires_at == first.expires_at
    assert access.is_let_in(issued.secret)
    _, third = access.rotate("alice", fingerprint(key), timedelta())
    assert third.version == 4
    assert not access.is_let_in(key)
    with pytest.raises(ApiKeyNotFound):
        access.rotate("alice", fingerprint(key), DAY)


def test_who_loses_a_race_reads_again(access: Access) -> None:
    key = access.issue("alice")
    access.store.meanwhile.append(lambda: access.rotate("alice", fingerprint(key), timedelta(hours=1)))
    _, ended = access.rotate("alice", fingerprint(key), DAY)
    assert ended.version == 3
    assert len(FindApiKeys(access.store).list("alice", limit=10, cursor=None).items) == 3


def test_a_key_that_is_revoked_meanwhile_is_not_replaced(access: Access) -> None:
    key = access.issue("alice")
    access.store.meanwhile.append(lambda: access.revoke("alice", fingerprint(key)))
    with pytest.raises(ApiKeyNotFound):
        access.rotate("alice", fingerprint(key), DAY)
    assert access.store.keys == {}


def test_others_keys_do_not_exist(access: Access) -> None:
    key = access.issue("alice")
    for act in (
        lambda: access.revoke("bob", fingerprint(key)),
        lambda: access.rotate("bob", fingerprint(key), DAY),
        lambda: access.rotate("bob", fingerprint("nothing"), DAY),
    ):
        with pytest.raises(ApiKeyNotFound):
            act()
    assert FindApiKeys(access.store).list("bob", limit=10, cursor=None).items == []
    assert access.is_let_in(key)


def test_nothing_that_is_kept_or_shown_as_text_holds_the_key(access: Access) -> None:
    key = access.issue("alice")
    issued, _ = access.rotate("alice", fingerprint(key), DAY)
    assert issued.secret not in repr(issued)
    assert key not in repr(access.store.keys) and issued.secret not in repr(access.store.keys)

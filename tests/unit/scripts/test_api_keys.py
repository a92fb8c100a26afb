"""What an operator does with an account's API keys."""

from __future__ import annotations

import pytest

from scripts.api_keys import parsed, run
from spellcast.domain.errors import ApiKeyNotFound
from spellcast.domain.identifiers import fingerprint
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore


def test_a_key_is_issued_listed_rotated_and_revoked() -> None:
    store, clock = FakeStore(), FakeClock()

    def do(*words: str) -> list[str]:
        return list(run(store, clock, parsed(["--stack", "s", "--account", "alice", *words])))

    [key] = do("issue")
    [line] = do("list")
    assert line.startswith(f"{fingerprint(key)} made ") and "until" not in line
    [new] = do("rotate", fingerprint(key), "--hours", "1")
    assert sum("until" in line for line in do("list")) == 1
    do("revoke", fingerprint(new))
    assert [line.split()[0] for line in do("list")] == [fingerprint(key)]
    with pytest.raises(ApiKeyNotFound):
        do("revoke", fingerprint(new))


def test_a_long_list_is_read_to_its_end() -> None:
    store, clock = FakeStore(), FakeClock()
    for _ in range(101):
        list(run(store, clock, parsed(["--stack", "s", "--account", "alice", "issue"])))
        clock.advance(1)
    assert len(list(run(store, clock, parsed(["--stack", "s", "--account", "alice", "list"])))) == 101

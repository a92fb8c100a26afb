"""What a handler's import makes: nothing, where Lambda does not start it."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from spellcast.starting import before_calls

KIND = "AWS_LAMBDA_INITIALIZATION_TYPE"


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is registered to be called after a restore."""
    registered: list[object] = []
    hooks = SimpleNamespace(register_after_restore=registered.append)
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", hooks)
    return registered


def test_elsewhere_nothing_is_made(monkeypatch: pytest.MonkeyPatch, restored: list[object]) -> None:
    monkeypatch.delenv(KIND, raising=False)
    made: list[str] = []
    before_calls(lambda: made.append("it"))
    assert (made, restored) == ([], [])


@pytest.mark.parametrize("kind", ["on-demand", "provisioned-concurrency"])
def test_lambda_makes_it_at_once(monkeypatch: pytest.MonkeyPatch, restored: list[object], kind: str) -> None:
    monkeypatch.setenv(KIND, kind)
    made: list[str] = []
    before_calls(lambda: made.append("first"), lambda: made.append("second"))
    assert (made, restored) == (["first", "second"], [])


def test_environments_of_one_snapshot_have_random_numbers_of_their_own(
    monkeypatch: pytest.MonkeyPatch, restored: list[object]
) -> None:
    monkeypatch.setenv(KIND, "snap-start")
    made: list[str] = []
    before_calls(lambda: made.append("it"))
    assert (made, restored) == (["it"], [random.seed])


def test_no_garbage_is_looked_for_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KIND, "on-demand")
    looked: list[bool] = []
    before_calls(lambda: looked.append(gc.isenabled()))
    assert looked == [False]
    assert gc.isenabled()


def test_what_cannot_be_made_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a version with wrong settings is not published by SnapStart, and is not reached."""
    monkeypatch.setenv(KIND, "snap-start")
    with pytest.raises(ZeroDivisionError):
        before_calls(lambda: 1 / 0)
    assert gc.isenabled()

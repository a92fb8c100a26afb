"""The benchmark of what adapters add to their providers' answers: it leaves none out, and asks what they ask."""

from __future__ import annotations

import pytest

from spellcast.adapters.registry import BUILT_IN, DELIVERY_MODES
from tests.bench.adapters import added


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], int]:
    return {(row.service, row.call): row.requests for row in added(rounds=1)}


def test_every_adapter_that_asks_a_provider_is_measured(rows: dict[tuple[str, str], int]) -> None:
    for service in DELIVERY_MODES.keys() - (BUILT_IN - {"http"}):
        measured = {call.partition(" ")[0] for name, call in rows if name == service}
        modes = DELIVERY_MODES[service]
        assert ("execute" in measured) is ("immediate" in modes)
        assert ({"start_job", "poll_job"} <= measured) is ("async" in modes)


def test_every_call_asks(rows: dict[tuple[str, str], int]) -> None:
    assert [call for call, requests in rows.items() if requests == 0] == []

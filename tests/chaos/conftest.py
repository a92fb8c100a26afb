"""Every test here notes which promise it defends, against which fault and how often: docs/reliability.md's table."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.chaos.sizes import LONG, SEED

RESULTS = Path(__file__).parents[2] / ".local" / "chaos" / ("long" if LONG else "short")
# Promise (`I1`, or `I1, I3`), fault, and what was really done, in words.
Defends = Callable[[str, str, str], None]

_failed = pytest.StashKey[bool]()


def pytest_report_header() -> str:
    return f"chaos: {'long' if LONG else 'short'} form, seed {SEED}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    if report.failed:
        form = "SPELLCAST_CHAOS=long " if LONG else ""
        report.sections.append(("replay", f"{form}SPELLCAST_SEED={SEED} pytest {item.nodeid}"))
    return report


@pytest.fixture
def defends(request: pytest.FixtureRequest) -> Iterator[Defends]:
    """Notes a row of the table; at its end, whether the promise held."""
    rows: list[dict[str, str]] = []
    yield lambda promise, fault, size: rows.append({"promise": promise, "fault": fault, "size": size})
    test: str = request.node.nodeid
    verdict = "broken" if request.node.stash.get(_failed, False) else "held"
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / ("".join(letter if letter.isalnum() else "-" for letter in test) + ".json")
    file.write_text(json.dumps({"test": test, "verdict": verdict, "seed": SEED, "rows": rows}, indent=2))

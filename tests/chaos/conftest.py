"""Every test here notes which promise it defends, against which fault and how often: docs/reliability.md's table."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from local.demo_provider import WEBHOOK_SECRET
from tests.chaos.provider import Line, failing
from tests.chaos.sizes import LONG, SEED
from tests.cloud import Cloud, started
from tests.ports import free_port

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


@pytest.fixture(scope="session")
def port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def line(port: int) -> Iterator[Line]:
    """The way to the providers, on which nothing fails until a test says so."""
    with failing(Line(SEED), port + 1) as line:
        yield line


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, port: int, line: Line) -> Iterator[Cloud]:
    """An embedded cloud for these tests, without faults until a test sets them."""
    settings = {
        "SPELLCAST_FAULTS": "on",
        # All that are ever started stay: to begin anew costs more than what one of them does.
        "SPELLCAST_WORKERS": "4",
        "SPELLCAST_WORKERS_EXECUTE_STEP": "16",
        "SPELLCAST_WORKERS_TOTAL": "60",
        "SPELLCAST_DEMO_JOB_SECONDS": "0.3",
        "SPELLCAST_COMFYUI_URL": f"{line.url}/comfyui",
        "SPELLCAST_COMFYUI_KEY": "demo-key",
        "SPELLCAST_REPLICATE_URL": f"{line.url}/replicate",
        "SPELLCAST_REPLICATE_KEY": "demo-key",
        "SPELLCAST_REPLICATE_WEBHOOK_SECRET": WEBHOOK_SECRET,
    }
    with started(tmp_path_factory.mktemp("cloud"), settings, port) as cloud:
        yield cloud

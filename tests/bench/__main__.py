"""`make bench`: the counts of a cast and their list price, the times as ratios of one run, what adapters add."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bench import adapters, times
from tests.bench.copying import copied
from tests.bench.counts import count, shapes
from tests.bench.memory import megabytes
from tests.cloud import Cloud, called, started

# As in the budgets: two workers a function, and jobs that take no longer than they must.
_SETTINGS = {"SPELLCAST_WORKERS": "2", "SPELLCAST_DEMO_JOB_SECONDS": "0.3"}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), _SETTINGS) as cloud:
        _show_counts(cloud)
        _show_times(cloud)
        _show_adapters()
    return 0


def _show_counts(cloud: Cloud) -> None:
    _say("Counts of one cast, and the list price of 1,000 (60 ms a call, without logs)\n")
    _say(
        f"{'steps':<14}{'S':>3}{'transitions':>13}{'(polling)':>11}{'calls':>7}{'write units':>13}{'events':>8}{'$':>9}"
    )
    for name, (steps, segments) in shapes().items():
        found = count(cloud, name, steps, segments)
        _say(
            f"{name:<14}{segments:>3}{found.transitions:>13}{found.poll_transitions:>11}{found.invocations:>7}"
            f"{found.write_units:>13.0f}{found.events:>8}{found.usd_per_thousand:>9.3f}"
        )


def _show_times(cloud: Cloud) -> None:
    bare = times.warm_lambda_state(cloud, "bare")
    state = times.warm_lambda_state(cloud, "reads and writes")
    submit = times.completion_to_submit(cloud)
    step = times.immediate_step(cloud)
    rate = times.casts_per_second(cloud)
    spell = cloud.spell(called("[seconds:5]"))
    for _ in range(20):
        cloud.cast(spell)
    memory = megabytes(cloud.process)
    _say("\nTimes on this machine, and the budget of each\n")
    _say(f"{'one warm Lambda state that does nothing':<44}{bare:8.1f} ms")
    _say(f"{'one that reads and writes a row':<44}{state:8.1f} ms")
    _say(f"{'completion → next submit':<44}{submit:8.1f} ms")
    _say(f"{'the same, in states that read and write':<44}{submit / state:8.2f}      ≤ 3")
    _say(f"{'an immediate step of ten':<44}{step:8.1f} ms   ≤ 5")
    _say(f"{'casts a second, three immediate steps':<44}{rate:8.1f}      ≥ 10")
    _say(f"{'memory with 20 casts in flight':<44}{memory:8.0f} MB   ≤ 900")
    found = copied(100)
    _say(f"{'an output of 100 MB: memory that copying takes':<44}{found.grown:8.0f} MB   ≤ 64")
    _say(f"{'the same, in seconds':<44}{found.seconds:8.2f}")
    _say(f"{'a picture of 300 KB, copied':<44}{found.picture_ms:8.1f} ms")


def _show_adapters() -> None:
    _say("\nA call of an adapter against httpx with the same requests, medians in ms (≤ 3 more)\n")
    _say(f"{'service':<12}{'call':<32}{'requests':>8}{'adapter':>9}{'httpx':>8}{'more':>8}{'ratio':>8}")
    for row in adapters.added():
        _say(
            f"{row.service:<12}{row.call:<32}{row.requests:>8}{row.adapter_ms:>9.2f}{row.httpx_ms:>8.2f}"
            f"{row.difference_ms:>8.2f}{row.ratio:>8.2f}"
        )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

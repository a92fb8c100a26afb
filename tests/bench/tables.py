"""The tables of docs/performance.md, made of the figures of docs/performance.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench import growth
from tests.bench.budgets import Facts, outcomes
from tests.bench.counts import Counted
from tests.bench.job_times import JobTime, designs
from tests.bench.marked import table

_JOB_SECONDS = (1, 30, 300)


def counted(facts: Facts) -> dict[str, Counted]:
    """By the names of the spells."""
    return {row["name"]: Counted(**row) for row in facts["counts"]}


def job_times(facts: Facts) -> list[JobTime]:
    """In the order of the run."""
    return [JobTime(**row) for row in facts["job_times"]]


def contents(facts: Facts) -> dict[str, str]:
    """What stands at each place of the page."""
    counts = counted(facts)
    return {
        "run": _run(facts["machine"]),
        "budgets": _budgets(facts, counts),
        "counts": _counts(counts),
        "growth": _growth(counts),
        "job times": _job_times(job_times(facts)),
        "designs": _designs(counts, job_times(facts)),
        "times": _times(facts["times"], facts["machine"]["cores"]),
        "profile": _profile(facts["profile"]),
        "capacity": _capacity(facts["capacity"]),
        "copying": _copying(facts["copying"]),
        "adapters": _adapters(facts["adapters"]),
        "peers": _peers(facts["peers"]),
    }


def _run(machine: Mapping[str, Any]) -> str:
    return (
        f"The run of {machine['date']}: {machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}; a load of {machine['load']} in the minute before."
    )


def _budgets(facts: Facts, counts: Mapping[str, Counted]) -> str:
    rows = [[row.what, row.measured, "yes" if row.is_met else "**no**"] for row in outcomes(facts, counts)]
    cold = ["cold init, ≤ 1.3 × the floor of its run", "[Cold start](#cold-start)", "see there"]
    return table([["budget", "measured", "met"], *rows, cold])


def _counts(counts: Mapping[str, Counted]) -> str:
    head = ["spell", "S", "transitions", "of these polling", "Lambdas", "writes", "write units", "read units"]
    head += ["events", "payload", "$ per 1,000"]
    rows = [
        [
            found.name,
            *(
                f"{number:,g}"
                for number in (
                    found.segments,
                    found.transitions,
                    found.poll_transitions,
                    found.invocations,
                    found.generation_writes + found.cast_writes,
                    found.write_units,
                    round(found.read_units, 1),
                    found.events,
                    found.largest_payload,
                )
            ),
            f"{found.usd_per_thousand:.3f}",
        ]
        for found in counts.values()
    ]
    return table([head, *rows], numbers=True)


def _growth(counts: Mapping[str, Counted]) -> str:
    found = {(line.quantity, line.delivery): line for line in growth.lines(counts)}
    deliveries = list(dict.fromkeys(delivery for _, delivery in found))
    rows = [["count = fixed + each step (± at most)", *deliveries]]
    for quantity in growth.QUANTITIES:
        cells = [found[quantity, delivery] for delivery in deliveries]
        rows.append([quantity, *(f"{line.fixed:,.3g} + {line.per_step:,.3g} (± {line.off:,.2g})" for line in cells)])
    return table(rows, numbers=True)


def _job_times(rows: Sequence[JobTime]) -> str:
    head = ["one job", "seconds", "polls", "transitions", "Lambdas", "write units", "$ per 1,000"]
    body = [
        [
            row.delivery,
            *(f"{number:,g}" for number in (row.seconds, row.polls, row.transitions, row.invocations, row.write_units)),
            f"{row.usd_per_thousand:.3f}",
        ]
        for row in rows
    ]
    return table([head, *body], numbers=True)


def _designs(counts: Mapping[str, Counted], rows: Sequence[JobTime]) -> str:
    head = ["$ per 1,000 casts of three jobs", *(f"of {seconds} s" for seconds in _JOB_SECONDS)]
    body = [[name, *(f"{usd(seconds):.3f}" for seconds in _JOB_SECONDS)] for name, usd in designs(counts, rows).items()]
    return table([head, *body], numbers=True)


def _times(times: Mapping[str, float], cores: int) -> str:
    state = times["state_ms"]
    named = {
        "a warm Lambda state that does nothing": "bare_state_ms",
        "**a warm Lambda state that reads and writes a row**": "state_ms",
        "completion → next step's submit, p50": "submit_ms",
        "the same, p95": "submit_p95_ms",
        "the same, p50, with no WebSocket open": "submit_unheard_ms",
        "of fifty steps, the first ten, p50": "submit_first_ten_ms",
        "of fifty steps, the last ten, p50": "submit_last_ten_ms",
        "an immediate step of three, p50": "step_of_three_ms",
        "an immediate step of ten, p50": "step_ms",
        "the same, with no WebSocket open": "step_unheard_ms",
        "an immediate step of fifty, p50": "step_of_fifty_ms",
    }
    rows = [[name, f"{times[key]:.1f}", f"{times[key] / state:.2f}"] for name, key in named.items()]
    cloud, functions = times["cast_cloud_ms"], times["cast_functions_ms"]
    rates = (
        f"Casts of three immediate steps, eight callers: {times['casts_per_second']:.1f} a second end, and "
        f"{times['announced_per_second']:.1f} a second are announced. Each takes {cloud:.0f} ms of a core in the "
        f"cloud's own process and {functions:.0f} ms in its functions, so that {cores} cores have room for "
        f"{cores * 1000 / (cloud + functions):.0f} a second. With 20 casts that wait for their jobs the cloud takes "
        f"{times['memory_mb']:.0f} MB."
    )
    return table([["", "ms", "× that state"], *rows], numbers=True) + "\n\n" + rates


def _profile(profile: Mapping[str, Any]) -> str:
    if reason := profile.get("reason"):
        return f"Not looked at in this run: {reason}"
    kinds = {"waiting": "waits for an answer", "boto3": "boto3", "fetching": "httpx", "own": "this project"}
    head = ["ms a call", "calls a step", *kinds.values(), "Python's own", "in all"]
    rows = []
    for name, parts in profile["functions"].items():
        spent = [parts.get(kind, 0.0) for kind in (*kinds, "other")]
        rows.append([f"`{name}`", f"{parts['calls']:.1f}", *(f"{ms:.1f}" for ms in (*spent, sum(spent)))])
    busy = sum(profile["cloud"].values())
    by_size = sorted(profile["cloud"].items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name} {part / busy:.0%}".replace("%", " %") for name, part in by_size if part / busy >= 0.01)
    said = (
        f"A read of a row takes {profile['request_ms']:.1f} ms from outside. "
        f"The cloud's own process runs Python for {busy:.0%}".replace("%", " %")
        + f" of that time: {shares}."
    )
    return table([head, *rows], numbers=True) + "\n\n" + said


def _capacity(rows: Sequence[Mapping[str, float]]) -> str:
    head = ["in flight", "casts a second", "a cast takes, ms", "its end is told after, ms", "memory, MB"]
    body = [
        [
            f"{row['in_flight']:g}",
            f"{row['casts_per_second']:.1f}",
            *(f"{row[key]:,.0f}" for key in ("cast_ms", "message_ms", "megabytes")),
        ]
        for row in rows
    ]
    return table([head, *body], numbers=True)


def _copying(copying: Mapping[str, float]) -> str:
    return (
        f"An output of {copying['megabytes']:g} MB is copied in {copying['seconds']:.2f} s with "
        f"{copying['grown']:.0f} MB of memory; a picture of 300 KB in {copying['picture_ms']:.1f} ms."
    )


def _adapters(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [
        [
            row["service"],
            row["call"],
            str(row["requests"]),
            f"{row['adapter_ms']:.2f}",
            f"{row['adapter_ms'] - row['httpx_ms']:.2f}",
            f"{row['adapter_ms'] / row['httpx_ms']:.2f}",
        ]
        for row in rows
    ]
    return table([["service", "call", "requests", "ms", "more than httpx", "ratio"], *body], numbers=True)


def _peers(peers: Mapping[str, Any]) -> str:
    if not peers:
        return "Not run yet: `make bench PEERS=1`."
    head = ["", "a step, p50 (p95) ms", "casts a second", "completion → next submit, p50 ms", "× the floor's step"]
    floor = next(row for row in peers["rows"] if row["name"].startswith("floor"))
    body, missing = [], []
    for row in peers["rows"]:
        if reason := row.get("reason"):
            missing.append(f"{row['name']} was not run: {reason}")
            continue
        submit = row["submit_ms"]
        body.append(
            [
                row["name"],
                f"{row['step_ms']:.1f} ({row['step_p95_ms']:.1f})",
                f"{row['casts_per_second']:.1f}",
                "–" if submit is None else f"{submit:.1f}",
                f"{row['step_ms'] / floor['step_ms']:.1f}",
            ]
        )
    run = _run(peers["machine"])
    return "\n\n".join([run, table([head, *body], numbers=True), *missing])

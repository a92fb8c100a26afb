from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.generations import Generation
from spellcast.domain.graphs import CASTER, Edge, Node, cast_graph, cast_timeline, spell_graph
from spellcast.domain.spells import SpellVersion
from tests.fakes.clock import START
from tests.fakes.records import a_cast, a_generation, in_seconds

NAMES = {"words": "Words", "draw": "Draw"}


def a_version(*steps: Document, exposed: list[Document] | None = None) -> SpellVersion:
    content = {"steps": list(steps), "exposedInputs": exposed or []}
    return SpellVersion(spell_id="s1", version=1, name="A cat", content=content, created_at=START)


def step(node: str, tool: str, **wires: tuple[str, str]) -> Document:
    mappings = {
        name: {"type": "nodeOutput", "nodeId": source, "outputKey": key} for name, (source, key) in wires.items()
    }
    return {"id": node, "toolIdentifier": tool, "parameterMappings": mappings}


def ended(position: int, begin: float, end: float, **changes: Any) -> Generation:
    values: dict[str, Any] = {
        "step_index": position,
        "step_id": f"n{position}",
        "status": "completed",
        "request_timestamp": in_seconds(begin),
        "response_timestamp": in_seconds(end),
        "duration_ms": round((end - begin) * 1000),
        "cost_usd": Decimal("0.0010"),
        **changes,
    }
    return a_generation(**values)


def phases(cast: Cast, *generations: Generation, now: float = 99) -> list[list[list[tuple[str, float, float]]]]:
    drawn = cast_timeline(cast, generations, in_seconds(now))
    return [
        [
            [(name, (begin - START).total_seconds(), (end - START).total_seconds()) for name, begin, end in bar.phases]
            for bar in bars
        ]
        for bars in drawn.attempts
    ]


class TestSpells:
    def test_steps_are_nodes_and_wires_are_labelled(self) -> None:
        version = a_version(step("a", "words"), step("b", "draw", prompt=("a", "text")))
        graph = spell_graph(version, NAMES)
        assert graph.title == "A cat"
        assert graph.nodes == [Node("Words", "a"), Node("Draw", "b")]
        assert graph.edges == [Edge(0, 1, "text → prompt")]

    def test_what_only_comes_next_has_no_label_and_what_passes_a_step_by_has_one(self) -> None:
        version = a_version(step("a", "words"), step("b", "draw"), step("c", "gone", text=("a", "text")))
        graph = spell_graph(version, NAMES)
        assert [node.title for node in graph.nodes] == ["Words", "Draw", "gone"]
        assert graph.edges == [Edge(0, 1), Edge(0, 2, "text → text"), Edge(1, 2)]

    def test_the_caster_stands_first_where_it_may_set_anything(self) -> None:
        exposed = [
            {"nodeId": "b", "paramKey": "prompt"},
            {"nodeId": "b", "paramKey": "seed"},
            {"nodeId": "x", "paramKey": "y"},
        ]
        graph = spell_graph(a_version(step("a", "words"), step("b", "draw"), exposed=exposed), NAMES)
        assert graph.nodes[0] == Node(CASTER, "")
        assert graph.edges == [Edge(0, 2, "prompt, seed"), Edge(1, 2)]

    def test_wires_between_the_same_two_are_one_edge(self) -> None:
        wires = {name: ("a", name) for name in "pqrst"}
        graph = spell_graph(a_version(step("a", "words"), step("b", "draw", **wires)), NAMES)
        assert graph.edges == [Edge(0, 1, "p → p, q → q, r → r and 2 more")]

    @pytest.mark.parametrize("source", ["b", "c", "nobody"])
    def test_a_wire_that_leads_from_no_earlier_step_is_none(self, source: str) -> None:
        version = a_version(step("a", "words"), step("b", "draw", text=(source, "text")), step("c", "draw"))
        assert spell_graph(version, NAMES).edges == [Edge(0, 1), Edge(1, 2)]

    def test_wires_of_overrides_count_and_values_do_not(self) -> None:
        wire = {"type": "nodeOutput", "nodeId": "1", "outputKey": "text"}
        second = {"toolIdentifier": "draw", "parameterOverrides": {"p": wire, "q": {"type": "x"}, "r": "text"}}
        graph = spell_graph(a_version({"toolIdentifier": "words"}, second), NAMES)
        assert graph.edges == [Edge(0, 1, "text → p")]


class TestCasts:
    def test_each_step_tells_what_became_of_it(self) -> None:
        version = a_version(step("n0", "words"), step("n1", "draw"), step("n2", "draw"))
        running = ended(
            1, 2, 3, status="processing", duration_ms=None, cost_usd=Decimal(0), tool_display_name="Fallback"
        )
        graph = cast_graph(a_cast(step_count=3), version, [ended(0, 0, 1.25), running], NAMES)
        assert graph.title == "A spell"
        assert graph.nodes == [
            Node("Tool", "n0", "completed", "1.2 s · $0.001"),
            Node("Fallback", "n1", "processing", "$0"),
            Node("Draw", "n2", "open"),
        ]

    def test_the_attempt_that_counts_is_shown(self) -> None:
        cast = a_cast(attempt=2, first_step=1, step_count=2)
        old, new = ended(1, 2, 3, status="failed"), ended(1, 5, 6, attempt=2)
        version = a_version(step("n0", "words"), step("n1", "draw"))
        assert [node.status for node in cast_graph(cast, version, [old], NAMES).nodes] == ["open", "open"]
        assert [node.status for node in cast_graph(cast, version, [old, new], NAMES).nodes] == ["open", "completed"]

    def test_without_its_version_it_is_what_its_records_say(self) -> None:
        graph = cast_graph(a_cast(step_count=2), None, [ended(0, 0, 1)], {})
        assert [(node.title, node.status) for node in graph.nodes] == [("Tool", "completed"), ("Step 2", "open")]
        assert graph.edges == [Edge(0, 1)]


class TestTimelines:
    def test_a_step_waits_runs_and_is_processed(self) -> None:
        cast = a_cast(status="completed", completed_at=in_seconds(10))
        [[first, second]] = phases(cast, ended(1, 4, 9), ended(0, 1, 3, duration_ms=1500))
        assert first == [("waiting", 0, 1.5), ("running", 1.5, 3), ("processing", 3, 4)]
        assert second == [("running", 4, 9), ("processing", 9, 10)]

    def test_a_provider_whose_clock_runs_faster_never_ran_before_it_was_asked(self) -> None:
        [[bar]] = phases(a_cast(), ended(0, 0, 1, duration_ms=5000), now=1)
        assert bar == [("running", 0, 1)]

    def test_what_is_not_over_lasts_until_now(self) -> None:
        running = ended(0, 1, 0, status="processing", response_timestamp=None, duration_ms=None)
        assert phases(a_cast(), running, now=5) == [[[("waiting", 0, 1), ("running", 1, 5)]]]

    def test_a_job_that_was_not_accepted_yet_waits_and_a_step_in_place_runs(self) -> None:
        pending = ended(0, 1, 0, status="pending", response_timestamp=None, duration_ms=None)
        assert phases(a_cast(), pending, now=5) == [[[("waiting", 0, 5)]]]
        in_place = ended(
            0, 1, 0, status="pending", response_timestamp=None, duration_ms=None, delivery_mode="immediate"
        )
        assert phases(a_cast(), in_place, now=5) == [[[("waiting", 0, 1), ("running", 1, 5)]]]

    def test_a_result_that_waits_to_be_processed_runs_no_more(self) -> None:
        received = ended(
            0, 0, 0, status="processing", response_timestamp=None, received_at=in_seconds(2), duration_ms=None
        )
        assert phases(a_cast(), received, now=5) == [[[("running", 0, 2), ("processing", 2, 5)]]]

    def test_clocks_that_differ_make_no_bar_of_a_negative_length(self) -> None:
        early = ended(0, -1, 0, status="processing", response_timestamp=None, duration_ms=None)
        assert phases(a_cast(), early, now=-2) == [[[]]]
        assert phases(a_cast(), early, now=3) == [[[("running", -1, 3)]]]

    def test_what_was_run_again_is_a_list_of_its_own(self) -> None:
        cast = a_cast(attempt=2, status="failed", failed_at=in_seconds(70))
        drawn = phases(cast, ended(0, 0, 1), ended(1, 2, 3, status="failed"), ended(1, 60, 69, attempt=2))
        assert drawn == [
            [[("running", 0, 1), ("processing", 1, 2)], [("running", 2, 3)]],
            [[("running", 60, 69), ("processing", 69, 70)]],
        ]

    def test_a_bar_knows_what_it_is_and_how_long_it_is(self) -> None:
        [[bar]] = cast_timeline(a_cast(), [ended(0, 1, 3)], in_seconds(4)).attempts
        assert (bar.generation_id, bar.step_index, bar.title, bar.status) == ("c1.0.1", 0, "1 Tool", "completed")
        assert timedelta(seconds=bar.seconds) == timedelta(seconds=4)
        [[empty]] = cast_timeline(a_cast(), [ended(0, 0, 0)], in_seconds(0)).attempts
        assert empty.seconds == 0

    def test_a_cast_that_has_not_begun_has_none(self) -> None:
        drawn = cast_timeline(a_cast(), [], START)
        assert (drawn.title, drawn.attempts) == ("A spell", [])

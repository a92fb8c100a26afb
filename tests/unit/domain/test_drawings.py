from __future__ import annotations

import re
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.drawings import graph_to_mermaid, graph_to_svg, timeline_to_mermaid, timeline_to_svg
from spellcast.domain.graphs import CASTER, Bar, Edge, Graph, Node, Timeline
from tests.fakes.clock import START

SVG = "{http://www.w3.org/2000/svg}"
GRAPH = Graph(
    "A cat",
    [Node(CASTER, ""), Node("Words", "a", "completed", "$0"), Node("Draw", "b", "failed"), Node("Big", "c", "open")],
    [Edge(0, 1, "text"), Edge(1, 2), Edge(1, 3, "text → prompt")],
)
HOSTILE = [
    "</svg><script>alert(1)</script>",
    '"];click n0 "javascript:alert(1)"',
    "a\nend\n%%{init: {}}%%",
    "x:done, 1, 2ms",
    "&lt;b&gt; &amp; 'quoted'",
    "#35;#quot;;",
    "\u202eevil\x00\x1b[0m\ud800",
    "漢字" * 300,
    "🐈 ]]>",
]


def at(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def bar(title: str = "1 Draw", status: str = "completed", length: float = 2) -> Bar:
    phases = [("waiting", START, START + at(0.5)), ("running", START + at(0.5), START + at(length))]
    return Bar("c1.0.1", 0, title, status, phases)  # type: ignore[arg-type]


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def tags(svg: str) -> set[str]:
    return {node.tag.removeprefix(SVG) for node in ElementTree.fromstring(svg).iter()}


class TestGraphs:
    def test_as_mermaid(self) -> None:
        assert graph_to_mermaid(GRAPH).splitlines() == [
            "flowchart TB",
            '    n0(["The caster"])',
            '    n1["Words<br/>a<br/>completed, #36;0"]:::completed',
            '    n2["Draw<br/>b<br/>failed"]:::failed',
            '    n3["Big<br/>c<br/>open"]:::open',
            '    n0 -- "text" --> n1',
            "    n1 -.-> n2",
            '    n1 -- "text #8594; prompt" --> n3',
            "    classDef completed stroke:#1a7f4b,stroke-width:2px",
            "    classDef failed stroke:#c0293b,stroke-width:2px",
        ]

    def test_as_svg(self) -> None:
        drawn = graph_to_svg(GRAPH)
        shown = texts(drawn)
        assert [text for text in shown if text in ("The caster", "Words", "Draw", "Big")] == [
            "The caster",
            "Words",
            "Draw",
            "Big",
        ]
        assert {"text", "text → prompt", "a · completed, $0", "b · failed", "c · open"} <= set(shown)
        root = ElementTree.fromstring(drawn)
        assert root.get("viewBox") == "0 0 600 422"
        assert root.get("aria-label") == "A cat"
        assert [node.get("rx") for node in root.iter(f"{SVG}rect")] == ["31", "10", "10", "10"]
        lines = [path for path in root.iter(f"{SVG}path") if path.get("class") != "head"]
        assert [path.get("class") for path in lines] == ["edge", "edge next", "edge"]

    def test_a_spell_without_a_caster_and_with_one_step(self) -> None:
        drawn = graph_to_svg(Graph("x", [Node("Words", "a")], []))
        assert texts(drawn) == ["Words", "a"]
        assert ElementTree.fromstring(drawn).get("viewBox") == "0 0 400 110"
        assert graph_to_mermaid(Graph("x", [Node("Words", "a")], [])) == 'flowchart TB\n    n0["Words<br/>a"]\n'

    def test_a_cast_of_nothing_is_an_empty_picture(self) -> None:
        assert texts(graph_to_svg(Graph("x", [], []))) == []


class TestTimelines:
    def test_as_mermaid(self) -> None:
        begin = round(START.timestamp() * 1000)
        drawn = timeline_to_mermaid(
            Timeline("A cat: 1", [[bar()], [bar(status="failed"), bar(status="odd", length=0.5001)]])
        )
        assert drawn.splitlines() == [
            "gantt",
            "    title A cat#58; 1",
            "    dateFormat x",
            "    axisFormat %H:%M:%S",
            "    section Attempt 1",
            f"    1 Draw, waiting :{begin}, 500ms",
            f"    1 Draw, running :done, {begin + 500}, 1500ms",
            "    section Attempt 2",
            f"    1 Draw, waiting :{begin}, 500ms",
            f"    1 Draw, running :crit, {begin + 500}, 1500ms",
            f"    1 Draw, waiting :{begin}, 500ms",
            f"    1 Draw, running :{begin + 500}, 1ms",
        ]

    def test_as_svg(self) -> None:
        drawn = timeline_to_svg(Timeline("A cat", [[bar(), bar("2 Big", "failed", 10)]]))
        assert texts(drawn) == ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s", "1 Draw", "2.00 s", "2 Big", "10.00 s"]
        root = ElementTree.fromstring(drawn)
        bars = [(node.get("class"), node.get("x"), node.get("width")) for node in root.iter(f"{SVG}rect")]
        assert bars == [
            ("phase-waiting", "210.0", "31.0"),
            ("phase-running", "241.0", "93.0"),
            ("phase-waiting", "210.0", "31.0"),
            ("phase-running", "241.0", "589.0"),
        ]
        titles = [node.text for node in root.iter(f"{SVG}title")]
        assert titles[1] == "2 Big: failed, waiting 0.50 s running 9.50 s"
        assert [node.get("class") for node in root.iter(f"{SVG}g")] == [None, "bad"]

    def test_attempts_are_named_where_there_are_several(self) -> None:
        assert "Attempt 2" in texts(timeline_to_svg(Timeline("A cat", [[bar()], [bar()]])))
        assert "Attempt 1" not in texts(timeline_to_svg(Timeline("A cat", [[bar()]])))

    def test_a_bar_that_can_hardly_be_seen_can_be_seen(self) -> None:
        drawn = timeline_to_svg(Timeline("A cat", [[bar(length=0.5001), bar(length=3600)]]))
        widths = [float(str(node.get("width"))) for node in ElementTree.fromstring(drawn).iter(f"{SVG}rect")]
        assert min(widths) == 1.5
        assert "60 min 0 s" in texts(drawn)

    @pytest.mark.parametrize("attempts", [[], [[]], [[Bar("c1.0.1", 0, "1 Draw", "pending", [])]]])
    def test_what_has_not_begun_is_an_empty_picture(self, attempts: list[list[Bar]]) -> None:
        assert "0 s" in texts(timeline_to_svg(Timeline("A cat", attempts)))
        assert "gantt" in timeline_to_mermaid(Timeline("A cat", attempts))


class TestNamesOfUsers:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_are_no_markup_in_svg(self, name: str) -> None:
        graph = graph_to_svg(Graph(name, [Node(name, name, "failed", name), Node(name, name)], [Edge(0, 1, name)]))
        gantt = timeline_to_svg(Timeline(name, [[bar(name)]]))
        assert tags(graph) <= {"svg", "style", "g", "title", "rect", "text", "path"}
        assert tags(gantt) <= {"svg", "style", "g", "title", "rect", "text", "path"}
        assert len(graph) < 10_000
        (graph + gantt).encode()

    @pytest.mark.parametrize("name", HOSTILE)
    def test_are_no_syntax_in_mermaid(self, name: str) -> None:
        lines = graph_to_mermaid(Graph(name, [Node(name, ""), Node("B", "b")], [Edge(0, 1, name)])).splitlines()
        assert len(lines) == 4
        safe = r"(?:[^\W_]|[ .,-]|#\d+;)*"
        assert re.fullmatch(rf'    n0\["{safe}"\]', lines[1])
        assert re.fullmatch(rf'    n0 -- "{safe}" --> n1', lines[3])
        gantt = timeline_to_mermaid(Timeline(name, [[bar(name)]])).splitlines()
        assert len(gantt) == 7
        assert re.fullmatch(rf"    title {safe}", gantt[1])
        assert re.fullmatch(rf"    {safe}, waiting :\d+, \d+ms", gantt[5])

    @given(st.text())
    def test_whatever_they_are_the_picture_is_xml(self, name: str) -> None:
        ElementTree.fromstring(graph_to_svg(Graph(name, [Node(name, name)], [])).encode())
        graph_to_mermaid(Graph(name, [Node(name, name)], [])).encode()

    def test_are_cropped_to_the_box_and_whole_in_its_title(self) -> None:
        drawn = graph_to_svg(Graph("x", [Node("w" * 60, "漢" * 30)], []))
        assert texts(drawn) == ["w" * 33 + "…", "漢" * 17 + "…"]
        assert f"<title>{'w' * 60} {'漢' * 30}</title>" in drawn

"""What is written in Mermaid is Mermaid: its own library draws every diagram of the documents and of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.fakes.world import World, make_tool
from tests.unit.api.caller import Caller

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DIAGRAMS = [
    pytest.param(diagram, id=f"{path.name}-{number}")
    for path in DOCUMENTS
    for number, diagram in enumerate(re.findall(r"^```mermaid\n(.*?)^```", path.read_text("utf-8"), re.M | re.S), 1)
]
# Each is a step's id, and names the spell, its tool and a parameter.
NAMES = [
    'Tom\'s "cat"',
    "a[0] (b) {c}",
    "a; b",
    "🐈 draws",
    "end",
    "a\nend\nb",
    "graph TB --> n0",
    "x:done, 1, 2ms",
    "%%{init: {}}%%",
    "#35;#quot;",
    "<b>bold</b>",
    "`**text**`",
    "section 1",
    "漢字 και äöü",
    "1. a list",
    "- a list",
]

Draw = Callable[[str], str]


@pytest.fixture(scope="module")
def draw(browser: Browser) -> Iterator[Draw]:
    """The texts of a drawing; a fault in it is raised."""
    page = browser.new_page()
    page.add_script_tag(path=LIBRARY)
    page.evaluate("mermaid.initialize({startOnLoad: false, securityLevel: 'strict'})")

    def drawn(diagram: str) -> str:
        shown: str = page.evaluate(
            """async diagram => {
                const {svg} = await mermaid.render('drawing', diagram);
                document.body.innerHTML = svg;
                document.body.querySelectorAll('style').forEach(each => each.remove());
                return document.body.textContent;
            }""",
            diagram,
        )
        return shown

    yield drawn
    page.close()


def test_the_documents_have_diagrams() -> None:
    assert len(DIAGRAMS) > 1


@pytest.mark.parametrize("diagram", DIAGRAMS)
def test_every_diagram_of_the_documents_is_drawn(draw: Draw, diagram: str) -> None:
    assert draw(diagram)


def test_a_fault_is_seen(draw: Draw) -> None:
    with pytest.raises(Exception, match="Parse error"):
        draw("stateDiagram-v2\n    a --> : b\n")


@pytest.mark.parametrize("name", NAMES)
def test_the_api_draws_whatever_names_there_are(draw: Draw, name: str) -> None:
    world = World(replace(make_tool("odd", amount="0.01"), display_name=name))
    call = Caller(world)
    step = {"id": name, "toolIdentifier": "odd", "parameterMappings": {"text": {"type": "static", "value": "a"}}}
    exposed = [{"nodeId": name, "paramKey": "text"}]
    spell = call("POST", "/v1/spells", {"name": name, "steps": [step], "exposedInputs": exposed}).json["spellId"]
    cast = world.store.get_cast(call("POST", "/v1/casts", {"spell": spell}).json["castId"])
    assert cast is not None
    before = draw(_picture(call, f"casts/{cast.cast_id}", view="gantt"))
    world.clock.advance(1)
    world.execute(cast)
    world.process(cast)
    shown = " ".join(name.split())
    assert before.count(shown) == 1
    assert draw(_picture(call, f"spells/{spell}")).count(shown) == 2
    assert f"{shown}{shown}completed" in draw(_picture(call, f"casts/{cast.cast_id}"))
    assert f"1 {shown}, waiting" in draw(_picture(call, f"casts/{cast.cast_id}", view="gantt"))


def _picture(call: Caller, thing: str, **query: str) -> str:
    return call("GET", f"/v1/{thing}/graph", query={"format": "mermaid", **query}).text

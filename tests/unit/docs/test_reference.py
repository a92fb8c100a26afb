"""docs/reference is what its script writes, nothing in it goes without a word, and what it shows works."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from local.environment import OF_SERVICES, VARIABLES
from scripts.generate_reference import FOLDER, written
from scripts.reference_pages.records import annotated
from scripts.reference_pages.texts import anchor
from spellcast.adapters.registry import DELIVERY_MODES
from spellcast.application.notify import Following
from spellcast.application.send_webhook import WebhookBody, signed_request
from spellcast.catalog import built_in_tools
from spellcast.domain.casts import CastFailure
from spellcast.domain.completions import JobCompleted, parse_completion
from spellcast.domain.errors import SpellcastError
from spellcast.domain.messages import KINDS
from spellcast.domain.tools import DeliveryMode
from spellcast.settings import Settings
from tests.fakes.clock import START
from tests.fakes.records import a_cast
from tests.fakes.world import World
from tests.unit.api.caller import Caller, codes_of, openapi
from tests.unit.domain.test_errors import CLOSED_LIST

ROOT = Path(__file__).parents[3]
PAGES = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
SHAPES: dict[str, Any] = openapi()["components"]["schemas"]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in openapi()["paths"].items()
    for method, operation in item.items()
}
RECORDS = [kind.payload for kind in KINDS if kind.payload] + [WebhookBody, Following, JobCompleted]
# Those of a service, and of a function, are on the page as patterns.
SERVICES = "|".join(service.upper() for service in (*DELIVERY_MODES, "original"))
PATTERNS = re.compile(rf"SPELLCAST_(({SERVICES})_({'|'.join(OF_SERVICES)})|WORKERS_[A-Z_]+)")


class TestPages:
    @pytest.mark.parametrize("path", written(), ids=lambda path: path.name)
    def test_each_is_what_the_code_says(self, path: Path) -> None:
        assert PAGES[path.name] == written()[path], "make generated writes it anew"

    def test_there_are_no_others(self) -> None:
        assert PAGES.keys() == {path.name for path in written()}

    @pytest.mark.parametrize("page", PAGES)
    def test_every_place_that_it_names_is_there(self, page: str) -> None:
        places = {
            name: {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
            for name, text in PAGES.items()
        }
        links = re.findall(r"\]\(([a-z]+\.md)?#([^)]+)\)", PAGES[page])
        assert links
        assert [link for link in links if link[1] not in places[link[0] or page]] == []


class TestNothingGoesWithoutAWord:
    def test_every_route_and_every_parameter_says_what_it_is(self) -> None:
        for name, operation in OPERATIONS.items():
            assert f"\n### `{name}`\n" in PAGES["api.md"]
            assert operation["summary"], name
            assert all(parameter["description"] for parameter in operation.get("parameters", ())), name

    def test_every_key_of_every_body_and_answer(self) -> None:
        assert len(SHAPES) > 40
        for name, shape in SHAPES.items():
            assert shape["description"], name
            assert [key for key, field in shape["properties"].items() if not field.get("description")] == [], name

    @pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
    def test_every_key_of_messages_webhooks_and_events(self, record: type) -> None:
        for hint in get_type_hints(record, include_extras=True).values():
            assert annotated(hint)[1]

    def test_every_setting(self) -> None:
        said = get_type_hints(Settings, include_extras=True)
        assert all(annotated(said[field.name])[1] for field in fields(Settings))

    def test_every_input_of_the_built_in_tools(self) -> None:
        for tool in built_in_tools().values():
            assert f"\n### `{tool.tool_id}`\n" in PAGES["tools.md"]
            assert all(field["description"] for field in tool.document["inputSchema"].values()), tool.tool_id

    @pytest.mark.parametrize("kind", CLOSED_LIST)
    def test_every_code_that_a_caller_can_see_has_a_remedy(self, kind: type[SpellcastError]) -> None:
        row = rf"^\| `{kind.code}` .*\| [^|]+ \|$"
        is_seen = kind.code not in ("STEP_ENDED_IN_FAILURE", "WRITE_CONFLICT", "WEBHOOK_NOT_DELIVERED")
        assert bool(kind.remedy) == is_seen
        assert bool(re.search(row, PAGES["api.md"], re.MULTILINE)) == is_seen

    def test_every_code_of_every_route_is_one_of_the_closed_list(self) -> None:
        known = {kind.code for kind in CLOSED_LIST}
        assert set(chain.from_iterable(map(codes_of, OPERATIONS.values()))) <= known


class TestVariables:
    def test_every_one_that_the_code_spells_is_on_the_page_and_no_other(self) -> None:
        shown = set(re.findall(r"^\| `(_?SPELLCAST_[A-Z_]+)`", PAGES["settings.md"], re.MULTILINE))
        spelled: set[str] = set()
        for name in _sources():
            text = (ROOT / name).read_text("utf-8")
            spelled |= set(re.findall(r"(?<![A-Z])_?SPELLCAST_[A-Z_]*[A-Z]\b(?!\{|_)", text))
        settings = {f"SPELLCAST_{field.name.upper()}" for field in fields(Settings)}
        assert [name for name in spelled - shown if not PATTERNS.fullmatch(name)] == []
        assert shown - spelled - settings == set()

    def test_the_template_sets_each_that_a_function_reads(self) -> None:
        text = (ROOT / "template.yaml").read_text("utf-8")
        read = {f"SPELLCAST_{field.name.upper()}" for field in fields(Settings)}
        assert set(re.findall(r"^        (SPELLCAST_[A-Z_]+):", text, re.MULTILINE)) == read

    def test_each_is_the_attribute_of_its_name(self) -> None:
        given = {f"SPELLCAST_{field.name.upper()}": "" for field in fields(Settings)}
        plain = [field.name for field in fields(Settings) if field.type.startswith("Annotated[str,")]
        for name in plain:
            settings = Settings.read({**given, f"SPELLCAST_{name.upper()}": "x"})
            assert [other for other in plain if getattr(settings, other)] == [name]

    def test_an_empty_variable_of_the_cloud_is_its_default(self) -> None:
        for variable in VARIABLES:
            assert variable.of({}) == variable.of({variable.name: ""}) == variable.default
            assert variable.of({variable.name: "x"}) == "x"


class TestWhatItShowsWorks:
    @pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if "examples" in shape])
    def test_examples_are_taken(self, name: str) -> None:
        call = Caller(World(*built_in_tools().values()))
        (example,) = SHAPES[name]["examples"]
        assert _block(example) in re.sub(r"\s", "", PAGES["tools.md" if name == "ToolBody" else "api.md"])
        match name:
            case "SpellBody":
                assert call("POST", "/v1/spells", example).json["warnings"] == []
            case "CastBody":
                spell = {"name": example["spell"], "steps": [{"id": "a", "toolIdentifier": "free"}]}
                call("POST", "/v1/spells", spell)
                assert call("POST", "/v1/casts", example).status == 202
            case "RetryBody":
                tool = built_in_tools()["comfyui-text-to-image"]
                assert example["inputs"].keys() <= tool.inputs.keys()
            case "ToolBody":
                assert call("POST", "/v1/tools", example).status == 201
            case "SettingsBody":
                assert call("PUT", "/v1/accounts/me/settings", example).status == 200
            case other:
                raise AssertionError(f"the example of {other} is not tried")

    def test_a_job_may_be_completed_by_the_keys_that_are_named(self) -> None:
        asked: set[str] = set()

        class Detail(dict[str, Any]):
            def get(self, key: str, default: Any = None) -> Any:
                asked.add(key)
                return super().get(key, default)

        for status in ("succeeded", "failed"):
            parse_completion(Detail(generationId="c1.0.1", status=status))
        assert asked == get_type_hints(JobCompleted).keys()

    def test_the_webhooks_keys_and_headers_are_those_that_are_named(self) -> None:
        done: dict[str, Any] = {"status": "completed", "completed_at": START, "outputs": {"text": "x" * 10**6}}
        failure = CastFailure("JOB_FAILED", "No cats.", 0, "n0", "c1.0.1")
        sent: set[str] = set()
        for values in (done, {**done, "outputs": {}}, {"status": "failed", "failure": failure}):
            body, headers = signed_request(a_cast(**values, webhook_secret="s"), START)
            sent |= json.loads(body).keys()
        assert sent == get_type_hints(WebhookBody).keys()
        named = re.findall(
            r"^\| `([a-z-]+)` \| (?:the original's|that of|what is told|when it)", PAGES["messages.md"], re.M
        )
        assert {*named, "content-type", "user-agent"} == headers.keys()

    def test_every_way_of_delivery_is_told_of_each_service(self) -> None:
        rows = re.findall(r"^\| `([a-z]+)` \| ([a-z, ]+) \| (?:yes|no) \|$", PAGES["tools.md"], re.MULTILINE)
        modes = set(DeliveryMode.__args__)  # type: ignore[attr-defined]
        assert len(rows) == 10
        assert set(chain.from_iterable(row[1].split(", ") for row in rows)) == modes


def _block(example: dict[str, Any]) -> str:
    """Without blanks, and by one of its values: keys stand in another order."""
    return re.sub(r"\s", "", json.dumps(next(iter(example.values())), ensure_ascii=False))


def _sources() -> list[str]:
    """What is committed and runs."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    ends = (".py", ".yaml", ".yml", ".toml", ".json", ".js", ".sh", "Makefile", "run")
    return [name for name in listed.stdout.split() if name.endswith(ends) and not name.startswith("tests/unit/docs/")]

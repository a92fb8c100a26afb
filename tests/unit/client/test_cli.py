"""The command line on the API: what people and programs are answered, and how each failure ends."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from spellcast.domain.casts import Cast
from spellcast.domain.results import Failure
from spellcast_client import Client
from spellcast_client.cli.main import cli as spellcast
from spellcast_client.cli.session import MEANINGS, Exit, Session
from tests.fakes.world import World
from tests.unit.api.caller import KEY, Caller
from tests.unit.client.api import DROP, Live, transport
from tests.unit.client.conftest import ADDRESS

ROOT = Path(__file__).parents[3]
HERE = {"SPELLCAST_URL": ADDRESS, "SPELLCAST_API_KEY": KEY}
SPELL = "name: A cat\nsteps:\n  - {id: n0, toolIdentifier: free}\n"
WRONG = """\
name: A cat
colour: red
steps:
  - id: n0
    toolIdentifier: gone
  - id: n1
    toolIdentifier: free
    parameterMappings:
      text: {type: nodeOutput, nodeId: n7, outputKey: text}
"""


class Cli:
    """Commands in an empty folder, of a user whose configuration is his own."""

    def __init__(self, behind: httpx.MockTransport, folder: Path) -> None:
        self.transport = behind
        self.folder = folder
        self.environment = dict(HERE)

    def __call__(self, *arguments: str, code: int = 0, given: str | bytes | None = None) -> Result:
        session = Session(transport=self.transport, environment=self.environment)
        result = CliRunner(mix_stderr=False).invoke(spellcast, arguments, obj=session, input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.stdout + result.stderr
        return result

    def json(self, *arguments: str, code: int = 0, **options: Any) -> Any:
        """The one document that is answered."""
        return json.loads(self(*arguments, "--json", code=code, **options).stdout)

    def error(self, *arguments: str, code: int) -> Any:
        """The document of a refusal; nothing else is answered."""
        result = self(*arguments, "--json", code=code)
        assert result.stdout == ""
        return json.loads(result.stderr)["error"]

    def file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return name


@pytest.fixture
def cli(call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.chdir(tmp_path)
    return Cli(transport(call), tmp_path)


@pytest.fixture
def spell(cli: Cli) -> str:
    cli("spells", "push", cli.file("cat.yaml", SPELL))
    return "A cat"


def ended(world: World, *tools: str, failure: Failure | None = None) -> Cast:
    cast = world.cast(*tools)
    if failure is None:
        world.execute(cast)
        world.clock.advance(2)
        world.process(cast)
    return world.settle(cast, failure)


def commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield (*names, name), command


ALL = dict(commands(spellcast))


class TestAllCommands:
    @pytest.mark.parametrize("names", ALL, ids=" ".join)
    def test_it_has_help_and_answers_programs(self, cli: Cli, names: tuple[str, ...]) -> None:
        said = cli(*names, "--help").stdout
        assert ALL[names].get_short_help_str(80).endswith("."), "a sentence"
        assert "--json" in said

    def test_help_loads_nothing_that_is_large(self) -> None:
        """Its time is that of its imports."""
        probe = "import sys; from spellcast_client.cli.main import cli; cli(['--help'], standalone_mode=False); "
        probe += "print(len(sys.modules), *sys.modules)"
        done = subprocess.run(
            [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, 'client'); {probe}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        number, *modules = done.stdout.splitlines()[-1].split()
        large = {"httpx", "rich", "yaml", "pydantic", "websockets", "asyncio", "subprocess", "ssl", "email", "http"}
        assert large.isdisjoint(modules)
        assert int(number) < 160

    def test_its_version_is_the_projects(self, cli: Cli) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        assert cli("--version").stdout == f"spellcast, version {project['version']}\n"

    def test_every_exit_code_is_explained(self) -> None:
        assert MEANINGS.keys() == set(Exit)


class TestFailures:
    @pytest.mark.parametrize(
        ("arguments", "code", "kind"),
        [
            (["show", "gone"], Exit.NOT_FOUND, "CAST_NOT_FOUND"),
            (["show", "gone", "--watch"], Exit.NOT_FOUND, "CAST_NOT_FOUND"),
            (["cast", "gone"], Exit.NOT_FOUND, "SPELL_NOT_FOUND"),
            (["tools", "show", "gone"], Exit.NOT_FOUND, "TOOL_NOT_FOUND"),
            (["ledger", "--from", "2026-02-31"], Exit.BAD_INPUT, "INVALID_INPUT"),
            (["config", "use", "gone"], Exit.NOT_FOUND, "NOT_FOUND"),
            (["--profile", "gone", "casts"], Exit.NO_ACCESS, "NO_ACCESS"),
            (["cast", "x", "--input", "a prompt"], Exit.BAD_INPUT, "BAD_INPUT"),
            (["cast", "x", "--input", "seed:=NaN"], Exit.BAD_INPUT, "BAD_INPUT"),
            (["cast", "x", "--inputs", "a.json"], Exit.BAD_INPUT, "BAD_INPUT"),
            (["spells", "push", "gone.yaml"], Exit.BAD_INPUT, "BAD_INPUT"),
            (["spells", "push", "torn.yaml"], Exit.BAD_INPUT, "INVALID_INPUT"),
            (["cast", "x" * 201], Exit.BAD_INPUT, "INVALID_INPUT"),
            (["cast", "x", "--idempotency-key", "ké"], Exit.BAD_INPUT, "INVALID_INPUT"),
            (["cast", "x\udcff"], Exit.BAD_INPUT, "INVALID_INPUT"),
            (["tools", "show", "x\udcff"], Exit.BAD_INPUT, "BAD_INPUT"),
            (["cast", "A cat", "-i", "a=\udcff"], Exit.BAD_INPUT, "BAD_INPUT"),
            (["spells", "pull", "A cat", "-o", "gone/a.yaml"], Exit.BAD_INPUT, "BAD_INPUT"),
        ],
    )
    def test_each_kind_has_its_code(self, cli: Cli, spell: str, arguments: list[str], code: Exit, kind: str) -> None:
        cli.file("a.json", '{"a": 1,}')
        cli.file("torn.yaml", "!!set {name}")
        assert cli.error(*arguments, code=code)["code"] == kind
        assert cli(*arguments, code=code).stderr.startswith("Error: ")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["cast"],
            ["casts", "--limit", "0"],
            ["cast", "x", "--budget", "much"],
            ["gone"],
            ["casts", "--status", "odd"],
        ],
    )
    def test_a_command_that_is_wrong_ends_with_2(self, cli: Cli, arguments: list[str]) -> None:
        cli(*arguments, code=Exit.BAD_INPUT)
        said = cli.error(*arguments, code=Exit.BAD_INPUT)
        assert said["code"] == "BAD_INPUT"
        assert said["message"] in cli(*arguments, code=Exit.BAD_INPUT).stderr

    @pytest.mark.parametrize(
        ("arguments", "code", "meant"),
        [
            (["spels", "list"], Exit.BAD_INPUT, "'spells'"),
            (["spells", "lnt"], Exit.BAD_INPUT, "'lint'"),
            (["cast", "A cta"], Exit.NOT_FOUND, "'A cat'"),
            (["casts", "--spell", "A cta"], Exit.NOT_FOUND, "'A cat'"),
            (["spells", "show", "a-catt"], Exit.NOT_FOUND, "'a-cat"),
            (["tools", "show", "payd"], Exit.NOT_FOUND, "'paid'"),
        ],
    )
    def test_a_name_that_is_nearly_right(
        self, cli: Cli, spell: str, arguments: list[str], code: Exit, meant: str
    ) -> None:
        assert f"Did you mean {meant}" in cli(*arguments, code=code).stderr

    @pytest.mark.parametrize("arguments", [["--json", "casts"], ["spells", "--json", "list"]])
    def test_json_stands_after_the_command(self, cli: Cli, arguments: list[str]) -> None:
        said = json.loads(cli(*arguments, code=Exit.BAD_INPUT).stderr)["error"]["message"]
        assert said == "--json stands after the command that is to answer with it."

    def test_who_leaves_a_question_has_interrupted(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        def leave(*_: Any) -> Any:
            raise click.Abort

        monkeypatch.setattr("spellcast_client.cli.account._key", leave)
        cli("login", "--url", ADDRESS, code=Exit.INTERRUPTED)

    def test_a_name_that_is_like_no_other(self, cli: Cli, spell: str) -> None:
        assert "Did you mean" not in cli("cast", "quite different", code=Exit.NOT_FOUND).stderr
        assert "Did you mean" not in cli("quite-different", code=Exit.BAD_INPUT).stderr

    def test_what_nobody_foresaw_is_a_sentence(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        def break_down(*_: Any, **__: Any) -> Any:
            raise KeyError("a secret")

        monkeypatch.setattr(Client, "list_casts", break_down)
        said = cli("casts", code=Exit.UNFORESEEN).stderr
        assert "KeyError in test_cli.py:" in said
        assert "Report it" in said
        assert "a secret" not in said
        assert cli.error("casts", code=Exit.UNFORESEEN)["code"] == "UNFORESEEN"
        cli.environment["SPELLCAST_TRACEBACK"] = "1"
        with pytest.raises(KeyError):
            cli("casts")

    def test_a_file_system_that_refuses_is_a_sentence(self, cli: Cli) -> None:
        (cli.folder / "configuration").write_text("")
        assert "configuration" in cli("login", "--url", ADDRESS, given=KEY, code=Exit.BAD_INPUT).stderr

    def test_a_conflict(self, cli: Cli, world: World) -> None:
        cast = world.cast("polled")
        assert cli.error("resume", cast.cast_id, code=Exit.CONFLICT)["code"] == "CAST_RUNNING"

    def test_a_key_that_is_not_good(self, cli: Cli) -> None:
        cli.environment["SPELLCAST_API_KEY"] = "not-good"
        assert "spellcast login" in cli("casts", code=Exit.NO_ACCESS).stderr

    def test_nothing_is_known(self, cli: Cli) -> None:
        cli.environment.clear()
        assert "spellcast login" in cli("casts", code=Exit.NO_ACCESS).stderr

    def test_an_api_that_is_not_there(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no")

        monkeypatch.setattr("spellcast_client.calls._FIRST_PAUSE", 0.0)
        cli.transport = httpx.MockTransport(refuse)
        assert cli.error("casts", code=Exit.UNREACHABLE)["code"] == "UNREACHABLE"
        assert "spellcast doctor" in cli("casts", code=Exit.UNREACHABLE).stderr

    @pytest.mark.parametrize("url", ["api.example", "http://[::1", "https://"])
    def test_an_address_that_is_none(self, cli: Cli, url: str) -> None:
        cli.environment["SPELLCAST_URL"] = url
        assert "begins with https" in cli("casts", code=Exit.UNREACHABLE).stderr
        found = {check["check"]: check["said"] for check in cli.json("doctor", code=Exit.CAST_FAILED)["checks"]}
        assert "begins with https" in found["reachability"]

    @pytest.mark.parametrize("key", ["kéy", "k\ney"])
    def test_a_key_that_cannot_be_sent(self, cli: Cli, key: str) -> None:
        cli.environment["SPELLCAST_API_KEY"] = key
        result = cli("casts", code=Exit.NO_ACCESS)
        assert "no key has" in result.stderr
        assert "no key has" in cli("doctor", code=Exit.CAST_FAILED).stdout
        assert key not in result.stderr

    @pytest.mark.parametrize("host", ["127.0.0.1:4599", "localhost"])
    def test_on_this_machine_it_is_started(self, cli: Cli, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no")

        cli.environment["SPELLCAST_URL"] = f"http://{host}"
        cli.environment["SPELLCAST_API_KEY"] = "not-good"
        assert "spellcast local up" in cli("casts", code=Exit.NO_ACCESS).stderr
        assert "spellcast local up" in cli("doctor", code=Exit.CAST_FAILED).stdout
        monkeypatch.setattr("spellcast_client.calls._FIRST_PAUSE", 0.0)
        cli.transport = httpx.MockTransport(refuse)
        assert "spellcast local up" in cli("casts", code=Exit.UNREACHABLE).stderr
        assert "spellcast local up" in cli("doctor", code=Exit.CAST_FAILED).stdout
        cli.environment["SPELLCAST_URL"] = ADDRESS
        assert "local up" not in cli("casts", code=Exit.UNREACHABLE).stderr
        assert "local up" not in cli("doctor", code=Exit.CAST_FAILED).stdout

    def test_an_address_of_something_else(self, cli: Cli) -> None:
        cli.transport = httpx.MockTransport(lambda asked: httpx.Response(404, text="<html>"))
        assert "Is it the address" in cli("show", "x", code=Exit.SERVER_FAULT).stderr

    def test_a_server_that_fails(self, cli: Cli) -> None:
        answer = {"error": {"code": "INTERNAL_ERROR", "message": "Something is wrong."}}
        cli.transport = httpx.MockTransport(
            lambda asked: httpx.Response(500, json=answer, headers={"apigw-requestid": "r-1"})
        )
        assert "request id, r-1" in cli("casts", code=Exit.SERVER_FAULT).stderr


class TestProfiles:
    @pytest.fixture(autouse=True)
    def _nothing_in_the_environment(self, cli: Cli) -> None:
        cli.environment.clear()

    def test_who_is_logged_in_can_ask(self, cli: Cli) -> None:
        assert "is the current one" in cli("login", "--url", f"{ADDRESS}/", given=f"{KEY}\n").stdout
        assert cli.json("casts") == {"casts": []}
        assert cli("config", "list").stdout.count(ADDRESS) == 1

    def test_profiles_are_used_and_removed(self, cli: Cli) -> None:
        for name in ("one", "two"):
            cli("--profile", name, "login", "--url", ADDRESS, given=KEY)
        assert [item["current"] for item in cli.json("config", "list")["profiles"]] == [False, True]
        cli("config", "use", "one")
        cli("config", "remove", "two")
        known = cli.json("config", "list")
        assert known["profiles"] == [{"profile": "one", "url": ADDRESS, "current": True}]
        assert known["asked"] == "profile 'one'"

    @pytest.mark.parametrize(
        ("url", "key", "code"),
        [
            (ADDRESS, "not-good", Exit.NO_ACCESS),
            (ADDRESS, "", Exit.BAD_INPUT),
            (ADDRESS, "kéy", Exit.BAD_INPUT),
            ("api.example", KEY, Exit.BAD_INPUT),
            ("http://[::1", KEY, Exit.BAD_INPUT),
            ("https://a-word@api.example", KEY, Exit.BAD_INPUT),
        ],
    )
    def test_what_is_not_good_is_not_kept(self, cli: Cli, url: str, key: str, code: Exit) -> None:
        result = cli("login", "--url", url, code=code, given=key)
        assert not key or key not in result.stderr
        assert "a-word" not in result.stderr
        assert cli.json("config", "list")["profiles"] == []

    def test_no_answer_has_the_key(self, cli: Cli) -> None:
        cli("login", "--url", ADDRESS, given=KEY)
        for arguments in (["config", "list"], ["doctor"], ["config", "use", "default"], ["show", "gone"]):
            for way in ([], ["--json"]):
                result = CliRunner(mix_stderr=False).invoke(
                    spellcast, [*arguments, *way], obj=Session(transport=cli.transport, environment={})
                )
                assert KEY not in result.stdout + result.stderr

    def test_a_file_that_is_none_is_said_to_be_none(self, cli: Cli) -> None:
        cli("login", "--url", ADDRESS, given=KEY)
        path = Path(cli.json("config", "list")["path"])
        path.write_text("{")
        assert "Remove it" in cli("casts", code=Exit.BAD_INPUT).stderr


class TestSpells:
    def test_it_is_pushed_as_versions(self, cli: Cli) -> None:
        cli.file("cat.yaml", SPELL)
        assert cli("spells", "push", "cat.yaml").stdout.endswith("version 1: created\n")
        assert cli.json("spells", "push", "cat.yaml")["spells"][0]["change"] == "unchanged"
        cli.file("cat.yaml", SPELL.replace("free", "paid"))
        assert cli("spells", "push", "cat.yaml").stdout.endswith("version 2: updated\n")
        cli.file("cat.yaml", SPELL.replace("A cat", "A dog"))
        assert "A dog" in cli("spells", "push", "cat.yaml", "--spell", "A cat").stdout
        assert [item["name"] for item in cli.json("spells", "list")["spells"]] == ["A dog"]

    def test_json_is_pushed_too(self, cli: Cli) -> None:
        body = {"$schema": "./spell.schema.json", "name": "A cat", "steps": [{"id": "a", "toolIdentifier": "free"}]}
        cli("spells", "push", cli.file("cat.json", json.dumps(body)))
        cli("spells", "push", "-", given=json.dumps({**body, "tags": ["a"]}))
        assert cli.json("spells", "show", "A cat")["tags"] == ["a"]

    def test_every_fault_is_said_with_its_place(self, cli: Cli) -> None:
        cli.file("bad.yaml", WRONG)
        expected = [
            ("bad.yaml:2:1: colour: is not known here"),
            ("bad.yaml:5:5: steps[0].toolIdentifier: there is no tool 'gone'"),
            ("bad.yaml:9:32: steps[1].parameterMappings.text.nodeId: no step has the id 'n7'"),
        ]
        assert cli("spells", "lint", "bad.yaml", code=Exit.BAD_INPUT).stdout.splitlines() == expected
        found = cli.json("spells", "lint", "bad.yaml", code=Exit.BAD_INPUT)
        assert (found["faults"], len(found["files"][0]["findings"])) == (3, 3)
        assert found["files"][0]["findings"][1] == {
            "path": "steps[0].toolIdentifier",
            "message": "there is no tool 'gone'",
            "line": 5,
            "column": 5,
            "severity": "error",
        }

    def test_warnings_are_no_faults(self, cli: Cli) -> None:
        cli.file("odd.yaml", SPELL.replace("free}", "free, parameterOverrides: {odd: 1}}"))
        warning = "odd.yaml:3:5: warning: steps[0]: Free has no input 'odd'"
        assert cli("spells", "lint", "odd.yaml").stdout.splitlines() == [warning]
        assert cli("spells", "push", "odd.yaml").stdout.splitlines()[0] == warning

    def test_without_an_api_the_shape_is_looked_at(self, cli: Cli) -> None:
        cli.file("bad.yaml", WRONG)
        cli.environment.clear()
        result = cli("spells", "lint", "bad.yaml", code=Exit.BAD_INPUT)
        assert result.stdout.splitlines() == ["bad.yaml:2:1: colour: is not known here"]
        assert "Tools and wires were not looked at" in result.stderr
        assert cli("spells", "lint", "bad.yaml", "--offline", code=Exit.BAD_INPUT).stderr == ""

    def test_nothing_is_saved_where_one_is_wrong(self, cli: Cli) -> None:
        files = cli.file("cat.yaml", SPELL), cli.file("bad.yaml", WRONG), cli.file("torn.yaml", "name: [")
        for wrong in files[1:]:
            result = cli("spells", "push", files[0], wrong, code=Exit.BAD_INPUT)
            assert f"{wrong}:" in result.stderr
            assert cli.error("spells", "push", files[0], wrong, code=Exit.BAD_INPUT)["files"]
        assert cli.json("spells", "list")["spells"] == []

    @pytest.mark.parametrize("name", ["a.yaml", "a.json"])
    def test_what_is_pulled_can_be_pushed(self, cli: Cli, spell: str, name: str) -> None:
        cli("spells", "pull", spell, "--output", name)
        assert cli.json("spells", "push", name)["spells"][0]["change"] == "unchanged"
        assert "--force" in cli("spells", "pull", spell, "-o", name, code=Exit.BAD_INPUT).stderr
        cli("spells", "pull", spell, "-o", name, "--force")

    def test_it_is_pulled_to_standard_output(self, cli: Cli, spell: str) -> None:
        assert cli("spells", "pull", spell).stdout.startswith("name: A cat\n")
        assert cli.json("spells", "pull", spell)["name"] == "A cat"

    def test_two_of_one_name_are_not_mixed_up(self, cli: Cli, client: Client, spell: str) -> None:
        client.create_spell({"name": spell, "steps": [{"id": "a", "toolIdentifier": "paid"}]})
        assert "--spell" in cli("spells", "push", "cat.yaml", code=Exit.CONFLICT).stderr

    def test_it_is_shown(self, cli: Cli, spell: str) -> None:
        cli.file("cat.yaml", SPELL.replace("free}", "free, parameterOverrides: {text: '[b]x[/b]'}}"))
        cli("spells", "push", "cat.yaml")
        said = cli("spells", "show", spell).stdout
        assert "text = [b]x[/b]" in said, "what came from elsewhere is no markup"
        assert "version 1" not in cli("spells", "show", spell, "--version", "1").stdout

    def test_the_schema_is_printed(self, cli: Cli) -> None:
        assert "toolIdentifier" in json.loads(cli("spells", "schema").stdout)["$defs"]["StepBody"]["properties"]


class TestCasts:
    def test_it_is_cast_with_inputs(self, cli: Cli, spell: str, world: World) -> None:
        cli.file("inputs.json", '{"prompt": "a dog", "seed": 1, "more": [1.5]}')
        arguments = ["--inputs", "inputs.json", "-i", "prompt=a = b", "-i", "seed:=7"]
        cast = cli.json("cast", spell, *arguments, "--budget", "0.50")
        assert cast["inputs"].items() >= {"prompt": "a = b", "seed": 7, "more": [1.5]}.items()
        assert cast["budgetUsd"] == "0.5"
        assert "Watch it: spellcast show" in cli("cast", spell).stdout

    def test_inputs_come_from_standard_input(self, cli: Cli, spell: str) -> None:
        assert cli.json("cast", spell, "--inputs", "-", given='{"prompt": "x"}')["inputs"]["prompt"] == "x"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"a": 1,\n "b": NaN}', "<stdin>:2:7: NaN is no number in JSON"),
            ('{"a": ' + "7" * 5000 + "}", "<stdin>:1:7: a number has less than 1,000 digits"),
            ('{"a": 1\n "b"}', "<stdin>:2:2: is not JSON: a comma"),
            (b'{"a": "\xff"}', "<stdin>:1:8: this byte is no UTF-8"),
            ('{"a": ' + "[" * 100_000, "nested"),
            ("[NaN]", "no JSON object"),
            ("", "no JSON object"),
        ],
    )
    def test_inputs_that_are_no_json_are_said_with_their_place(self, cli: Cli, text: str | bytes, said: str) -> None:
        assert said in cli("cast", "x", "--inputs", "-", given=text, code=Exit.BAD_INPUT).stderr

    def test_the_same_key_is_the_same_cast(self, cli: Cli, spell: str) -> None:
        ids = {cli.json("cast", spell, "--idempotency-key", "k")["castId"] for _ in range(2)}
        assert len(ids) == 1

    def test_warnings_stand_beside_the_answer(self, cli: Cli, spell: str) -> None:
        result = cli("cast", spell, "--input", "unheard=of")
        assert result.stderr.startswith("Warning: ")

    def test_they_are_listed_in_parts(self, cli: Cli, world: World) -> None:
        for _ in range(3):
            ended(world, "free")
        world.cast("polled")
        first = cli.json("casts", "--limit", "2", "--status", "completed")
        rest = cli.json("casts", "--limit", "2", "--status", "completed", "--cursor", first["cursor"])
        assert (len(first["casts"]), len(rest["casts"])) == (2, 1)
        assert len(cli.json("casts", "--all")["casts"]) == 4
        assert f"--cursor {first['cursor']}" in cli("casts", "--limit", "2", "--status", "completed").stdout

    def test_a_failed_one_says_why_and_what_to_do(self, cli: Cli, world: World) -> None:
        cast = ended(world, "paid", failure=Failure("STEP_FAILED", "It broke.", False))
        said = cli("show", cast.cast_id).stdout
        assert "It broke. [STEP_FAILED]" in said
        assert f"spellcast resume {cast.cast_id} --watch" in said

    def test_one_that_ended_is_watched_to_its_end(self, cli: Cli, world: World) -> None:
        good, bad = ended(world, "paid"), ended(world, "free", failure=Failure("STEP_FAILED", "It broke.", False))
        assert "completed" in cli("show", good.cast_id, "--watch").stdout
        cli("show", bad.cast_id, "--watch", code=Exit.CAST_FAILED)
        [line] = cli("show", bad.cast_id, "--watch", "--json", code=Exit.CAST_FAILED).stdout.splitlines()
        assert json.loads(line)["payload"]["status"] == "failed"

    @pytest.mark.parametrize("way", [[], ["--json"]])
    def test_to_leave_it_does_not_stop_it(
        self, cli: Cli, spell: str, way: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(Client, "watch", interrupted)
        noted = cli("cast", spell, "--watch", *way, code=Exit.INTERRUPTED).stderr
        [cast] = cli.json("casts")["casts"]
        assert f"spellcast show {cast['castId']} --watch" in noted
        assert cast["status"] == "running"

    def test_it_is_cancelled_resumed_and_retried(self, cli: Cli, world: World) -> None:
        cast = ended(world, "paid")
        assert cli.error("cancel", cast.cast_id, code=Exit.CONFLICT)["code"] == "CAST_ENDED"
        retried = cli.json("retry", f"{cast.cast_id}.0.1", "-i", "prompt=new")
        assert (retried["status"], retried["stepOverrides"]) == ("running", {"n0": {"prompt": "new"}})
        assert "is being cancelled" in cli("cancel", cast.cast_id).stdout
        world.finalize_cost(cast.cast_id)
        assert cli.json("resume", cast.cast_id, "--budget", "1")["budgetUsd"] == "1"

    def test_it_is_quoted(self, cli: Cli, spell: str) -> None:
        cli.file("cat.yaml", SPELL.replace("free", "paid"))
        cli("spells", "push", "cat.yaml")
        assert cli.json("quote", spell, "-i", "prompt=x")["totalCostUsd"] == "0.01"
        assert "$0.01" in cli("quote", spell).stdout

    def test_the_ledger_adds_up(self, cli: Cli, world: World) -> None:
        ended(world, "paid")
        assert cli.json("ledger")["balances"]["spentUsd"] == "0.01"
        assert "$0.01" in cli("ledger").stdout

    def test_how_long_one_took_ends_with_its_end(self, cli: Cli, world: World) -> None:
        cast = world.cast("paid")
        world.execute(cast)
        world.clock.advance(2)
        world.process(cast)
        world.settle(cast)
        kept = world.store.get_cast(cast.cast_id)
        assert kept and kept.completed_at
        took = (kept.completed_at - kept.started_at).total_seconds()
        later = replace(kept, revision=kept.revision + 1, updated_at=kept.updated_at + timedelta(hours=1))
        world.store.save_cast(later, kept)
        assert f"{took:.2f} s" in cli("casts").stdout

    def test_what_an_input_may_be_is_shown(self, cli: Cli, client: Client) -> None:
        own = {"toolId": "mine", "service": "http", "displayName": "Mine", "apiPath": "https://x.example/run"}
        client.create_tool({**own, "inputSchema": {"size": {"type": "enum", "enum": ["small", "large"]}}})
        assert "small | large" in cli("tools", "show", "mine").stdout

    def test_tools_are_shown(self, cli: Cli) -> None:
        assert "paid" in cli("tools", "list", "--service", "fake").stdout
        said = cli("tools", "show", "paid").stdout
        assert "prompt" in said
        assert "$0.01 a run" in said
        assert cli.json("tools", "show", "paid")["toolId"] == "paid"


class TestDoctor:
    def test_all_is_well(self, cli: Cli) -> None:
        assert cli.json("doctor")["ok"]
        assert cli("doctor").stdout.count("ok") >= 5

    def found(self, cli: Cli) -> dict[str, bool | None]:
        return {check["check"]: check["ok"] for check in cli.json("doctor", code=Exit.CAST_FAILED)["checks"]}

    def test_nothing_is_known(self, cli: Cli) -> None:
        cli.environment.clear()
        assert self.found(cli)["configuration"] is False

    def test_a_key_that_is_not_good(self, cli: Cli) -> None:
        cli.environment["SPELLCAST_API_KEY"] = "not-good"
        found = self.found(cli)
        assert (found["reachability"], found["key"], found["WebSocket"]) == (True, False, None)

    def test_an_api_that_is_not_there(self, cli: Cli) -> None:
        cli.transport = httpx.MockTransport(lambda asked: httpx.Response(404, text="else"))
        found = self.found(cli)
        assert (found["reachability"], found["clocks"], found["key"], found["WebSocket"]) == (False, None, None, None)

    def test_a_clock_that_is_wrong(self, cli: Cli) -> None:
        inner = cli.transport.handler

        def late(asked: httpx.Request) -> httpx.Response:
            answer = inner(asked)
            assert isinstance(answer, httpx.Response)
            answer.headers["date"] = "Sat, 31 Jan 2026 12:00:00 GMT"
            return answer

        cli.transport = httpx.MockTransport(late)
        assert self.found(cli)["clocks"] is False

    def test_a_websocket_that_does_not_open(self, cli: Cli, socket: Any) -> None:
        socket.refuses = True
        result = cli("doctor", "--json", code=Exit.CAST_FAILED)
        assert "ticket=" not in result.stdout
        assert self.found(cli)["WebSocket"] is False

    def test_a_file_that_others_can_read(self, cli: Cli) -> None:
        cli("login", "--url", ADDRESS, given=KEY)
        Path(cli.json("config", "list")["path"]).chmod(0o644)
        assert self.found(cli)["configuration"] is False


class TestTail:
    def test_messages_are_told_until_it_is_left(self, cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        from spellcast_client.live import Message

        cast = ended(world, "paid")

        def listen(client: Client, **_: Any) -> Iterator[Message]:
            yield Message.of("castUpdate", client.get_cast(cast.cast_id))
            raise KeyboardInterrupt

        monkeypatch.setattr(Client, "listen", listen)
        assert f"{cast.cast_id}  the cast is completed" in cli("tail", code=Exit.INTERRUPTED).stdout
        [line] = cli("tail", "--json", code=Exit.INTERRUPTED).stdout.splitlines()
        assert json.loads(line)["payload"]["castId"] == cast.cast_id

    def test_a_connection_that_is_lost_is_said(self, cli: Cli, world: World, socket: Live) -> None:
        cast = world.cast("paid")
        inner = cli.transport.handler
        asked = 0

        def count(request: httpx.Request) -> httpx.Response:
            nonlocal asked
            if request.url.path.endswith("/casts/" + cast.cast_id):
                asked += 1
                if asked == 1:
                    socket.tell(DROP)
                if asked == 2:
                    world.execute(cast)
                    world.process(cast)
                    world.settle(cast)
            answer = inner(request)
            assert isinstance(answer, httpx.Response)
            return answer

        cli.transport = httpx.MockTransport(count)
        assert cli("show", cast.cast_id, "--watch").stderr.splitlines() == [
            "The connection was lost; trying again…",
            "The connection is back; what was missed follows.",
        ]


class TestLocal:
    MAKEFILE = """\
up:
\t@mkdir -p .local && echo '{"httpUrl": "http://127.0.0.1:4599", "apiKey": "k"}' > .local/outputs.json
down:
\t@rm .local/outputs.json
"""

    @pytest.fixture
    def project(self, cli: Cli) -> Path:
        folder = cli.folder / "clone"
        (folder / "local").mkdir(parents=True)
        (folder / "local" / "__main__.py").touch()
        (folder / "Makefile").write_text(self.MAKEFILE)
        return folder

    def test_it_is_started_and_its_key_is_kept(self, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(project / "local")
        assert cli.json("local", "up") == {"profile": "local", "url": "http://127.0.0.1:4599"}
        cli.environment.clear()
        assert cli.json("config", "list")["asked"] == "profile 'local'"
        cli("local", "down")
        assert not (project / ".local" / "outputs.json").exists()
        assert "make down" in cli("local", "down", code=Exit.BAD_INPUT).stderr

    def test_a_clone_is_named(self, cli: Cli, project: Path) -> None:
        cli.environment["SPELLCAST_PROJECT"] = str(project)
        assert "SPELLCAST_URL is set" in cli("local", "up").stderr
        cli.environment["SPELLCAST_PROJECT"] = str(project.parent)
        assert "SPELLCAST_PROJECT" in cli("local", "up", code=Exit.BAD_INPUT).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(cli: Cli, shell: str) -> None:
    script = cli("completion", shell).stdout
    assert "_SPELLCAST_COMPLETE" in script
    assert cli.json("completion", shell) == {"shell": shell, "script": script.removesuffix("\n")}

"""Every command of the pages, run page by page as a reader would, on one embedded cloud.

A page is followed in one shell, whose folder looks like a fresh clone, with a home, a port and a folder for its cloud
of its own: the `make up`, `spellcast local up` and `make down` of the pages are really run there. What a reader has on
AWS, or has to put in, is put in by `adapted`; a page begins as `begin` says. Who shows an output (a text block that
follows the commands) must show the truth: line by line, in order, whatever the numbers and ids are. What cannot be run
stands in NOT_RUN, with the reason, and what can be said of such a command is checked all the same.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import stack
from tests.documents import ROOT, Block, blocks, pages
from tests.integration import aws
from tests.ports import free_port

PATIENCE = 120.0  # seconds, for one command
ACCOUNT = "local"
HELLO = {"name": "Hello", "steps": [{"toolIdentifier": "expression", "parameterOverrides": {"expression": "'hello'"}}]}
HELLO_CAST = f"echo {shlex.quote(json.dumps(HELLO))} | spellcast spells push - && spellcast cast Hello --watch"
IMPORTS = ROOT / "tests" / "fixtures" / "imports"
# Of adapters.md every other line is run by tests/unit/docs/test_adapters.py, in a copy that has its provider; cli.md is
# written by a script, and tests/unit/docs/test_cli.py asks for its commands.
ELSEWHERE = {"adapters.md", "cli.md"}
NOT_RUN = {
    r"git clone ": "the address is the reader's",
    r"git (pull|checkout) ": "it would change the files that are tested",
    r"make (test|chaos|check|audit|coverage|mutants|bench)\b": "a suite of its own, of minutes or an hour",
    r"aws s3 rm ": "it would empty the bucket; it is no operation of a service, but a command of the CLI's own",
    r"aws sqs start-message-move-task ": "the embedded cloud does not know it",
    r"make deploy\b": "needs an account of AWS",
    r"make sam-local\b": "needs a container engine, and takes ten minutes",
    r"aws lambda delete-function ": "the embedded cloud has no versions, and would delete the function",
    r"(\.venv/bin/)?sam (build|deploy|delete|local|logs)\b": "needs an account of AWS",
}
# The tutorial comes first: its readers have an empty cloud.
PAGES = sorted((page for page in pages() if page.name not in ELSEWHERE), key=lambda page: page.name != "tutorial.md")
EVERY = [(block, command) for page in PAGES for block in blocks(page) for command in block.commands]


def reason(command: str) -> str | None:
    """Why it is not run."""
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, command)), None)


class Reader:
    """A shell in a folder that looks like a clone, and the cloud that is started from there."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.clone, self.cloud = folder / "spellcast", folder / "spellcast" / ".local"
        self._make_clone()
        (folder / "home").mkdir()
        self._folder, self._count = folder, 0
        self._environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "SPELLCAST_PORT": str(self.port),
            "SPELLCAST_LOCAL_DIR": str(self.cloud),
            "SPELLCAST_DEMO_JOB_SECONDS": "0.3",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "SAM_CLI_TELEMETRY": "0",
        }
        self._shell: subprocess.Popen[str] | None = None

    def _make_clone(self) -> None:
        """What git keeps, and the environments that `make` finds made already."""
        names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in {line.partition("/")[0] for line in names.splitlines()}:
            self.clone.mkdir(exist_ok=True)
            (self.clone / name).symlink_to(ROOT / name)
        self.cloud.mkdir()
        (self.cloud / "venv").symlink_to(ROOT / ".local" / "venv")
        made = self.clone / ".venv"
        (made / "bin").mkdir(parents=True)
        shutil.copyfile(ROOT / "requirements-dev.txt", made / "lock")
        _script(made / "bin" / "python", f'exec {sys.executable} "$@"')
        command = f'PYTHONPATH={ROOT / "client"} exec {sys.executable} -m spellcast_client.cli.main "$@"'
        _script(made / "bin" / "spellcast", command)
        (made / "bin" / "activate").write_text(f"PATH={made / 'bin'}:$PATH\n")
        (self.clone.parent / "bin").mkdir()
        _script(self.clone.parent / "bin" / "aws", f'exec {sys.executable} {ROOT / "tests/integration/aws.py"} "$@"')
        self._make_curl(self.clone.parent / "bin" / "curl")

    def _make_curl(self, path: Path) -> None:
        """curl, which does not ask providers: it has what they would answer."""
        schema = json.loads((IMPORTS / "replicate_image.json").read_text("utf-8"))
        model = {"owner": "owner", "name": "name", "latest_version": {"id": "5c7d5dc6" * 8, "openapi_schema": schema}}
        (path.parent / "model.json").write_text(json.dumps(model))
        cases = f"*api.replicate.com*) cat {path.parent}/model.json;; *fal.ai/*) cat {IMPORTS}/fal_video.json;;"
        _script(path, f'case "$*" in {cases} *) exec {shutil.which("curl")} "$@";; esac')

    def begin(self, page: Path) -> None:
        """A new shell. The tutorial's readers have just cloned; those of other pages are in the clone, have started the
        cloud, have cast something, and know its address and their key, as docs/using.md says."""
        self.end()
        is_first = page.name == "tutorial.md"
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=self._folder if is_first else self.clone,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if not is_first:
            code, said = self.run(f"PATH=$PWD/.venv/bin:$PATH; spellcast local up && {HELLO_CAST}")
            assert code == 0, said
            self.run(f"URL={self.outputs['httpUrl']} KEY={self.outputs['apiKey']}")
        for name, content in _files(page).items():
            (self.clone / name).write_text(content)

    def end(self) -> None:
        """The shell, not the cloud."""
        if self._shell:
            with self._shell as shell:
                shell.kill()

    def stop(self) -> None:
        """All of it."""
        self.end()
        stack.stop(self.port, self.cloud)

    @property
    def outputs(self) -> dict[str, str]:
        """The addresses and keys of the cloud."""
        found: dict[str, str] = json.loads((self.cloud / "outputs.json").read_text())
        return found

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and output. The command has the shell's variables, and may set them."""
        assert self._shell and self._shell.stdin and self._shell.stdout
        self._count += 1
        script, said = (self._folder / f"{self._count}.{end}" for end in ("sh", "out"))
        script.write_text(f"{command}\n")
        self._shell.stdin.write(f". {script} </dev/null >{said} 2>&1; echo $?\n")
        self._shell.stdin.flush()
        # A command that hangs goes with its shell; the cloud has a session of its own.
        watch = threading.Timer(PATIENCE, os.killpg, (self._shell.pid, signal.SIGKILL))
        watch.start()
        code = self._shell.stdout.readline()
        watch.cancel()
        assert code, f"the shell is gone, or waited {PATIENCE} s, after: {command}\n{said.read_text()}"
        if "deploy_flags" in command:  # Containers would follow within 30 seconds.
            httpx.post(f"{self.outputs['endpointUrl']}/_spellcast/renew").raise_for_status()
        return int(code), said.read_text()

    def adapted(self, command: str) -> str:
        """With this cloud's names in the place of those on AWS, and the latest cast where the reader puts one in."""
        for theirs, ours in (("spellcast-dev", "spellcast-local"), ("spellcast/dev", "spellcast/local")):
            command = command.replace(theirs, ours)
        command = command.replace("127.0.0.1:4599", f"127.0.0.1:{self.port}")
        command = command.replace("<account>", ACCOUNT)
        if "<castId>" in command:
            must_have_ended = re.search(r"\b(retry|resume)\b", command) is not None
            command = command.replace("<castId>", self._latest_cast(must_have_ended))
        return command

    def _latest_cast(self, must_have_ended: bool) -> str:
        """Its id, once it is where a reader finds it, who is slower than a test: ended, or waiting for its job."""
        outputs, deadline = self.outputs, time.monotonic() + PATIENCE
        with httpx.Client(base_url=outputs["httpUrl"], headers={"X-API-Key": outputs["apiKey"]}) as api:
            cast_id = str(api.get("/v1/casts", params={"limit": 1}).json()["casts"][0]["castId"])
            while time.monotonic() < deadline:
                cast = api.get(f"/v1/casts/{cast_id}").json()
                waits = any(item["status"] == "processing" for item in cast["generations"])
                if cast["status"] != "running" or (waits and not cast.get("cancelRequestedAt") and not must_have_ended):
                    return cast_id
                time.sleep(0.05)
        raise AssertionError(f"the cast {cast_id} still runs")


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _files(page: Path) -> dict[str, str]:
    """What a page's reader brings."""
    if page.name != "migrating.md":
        return {}
    export: dict[str, Any] = json.loads((ROOT / "tests/fixtures/original_export.json").read_text("utf-8"))
    [flags] = re.findall(r"```json\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    flags = flags.replace("65f0a1b2c3d4e5f600000001", ACCOUNT)
    return {f"{name}.json": json.dumps(rows) for name, rows in export.items()} | {"flags.json": flags}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("reader"))
    try:
        yield reader
    finally:
        reader.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_does_what_it_says(page: Path, reader: Reader) -> None:
    found = [block for block in blocks(page) if any(reason(command) is None for command in block.commands)]
    if not found:
        return
    reader.begin(page)
    for block in found:
        follow(reader, block)


def follow(reader: Reader, block: Block) -> None:
    """Runs what can be run of a block, and compares what it shows."""
    said = ""
    for command in block.commands:
        if reason(command):
            continue
        code, answer = reader.run(reader.adapted(command))
        where = f"{block.page}:{block.line}: {command}\n{answer}"
        assert code == (block.ends_with if command is block.commands[-1] else 0), f"ended with {code}: {where}"
        assert not answer.startswith('{"error":'), where
        said += answer + "\n"
    missing = _first_missing(block.shown, said)
    assert missing is None, f"{block.page}:{block.line}: is not said: {missing}\n{said}"


def _first_missing(shown: tuple[str, ...], said: str) -> str | None:
    """The first line shown that the output does not have after those before it; `…` stands for anything."""
    lines = iter([_plain(line) for line in said.splitlines()])
    for line in shown:
        pattern = re.compile(".*".join(re.escape(part) for part in _plain(line).split("…")))
        if not any(pattern.fullmatch(candidate) for candidate in lines):
            return line
    return None


def _plain(line: str) -> str:
    """Without what differs each time (ids, keys, ports, times, costs that hang on time), and a table's width."""
    line = re.sub(r"\b[0-9a-f]{32}\b|\bsk_[\w-]+", "#", line)
    line = re.sub(r"(127\.0\.0\.1:|on port )\d+", r"\1#", line)
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d+\.\d+|\d+(?= points| +#)", "0", line)
    return " ".join(re.sub(r"[░█▒]+", " ", line).split())


@pytest.mark.parametrize(
    ("block", "command"),
    [pytest.param(block, command, id=f"{block.page}:{block.line}") for block, command in EVERY if reason(command)],
)
def test_what_is_not_run_exists(block: Block, command: str) -> None:
    for part in re.split(r" && |\n", re.sub(r"\\\n\s*", "", command)):
        words = shlex.split(part, comments=True)
        match words[0].removeprefix(".venv/bin/"):
            case "make":
                done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
            case "sam":
                names = [word for word in words[1:3] if not word.startswith("-")]
                wanted = {word.partition("=")[0] for word in words if word.startswith("--")}
                assert wanted <= _sam_options(*(names if names[0] == "local" else names[:1]))
            case "aws" if words[1] != "s3":
                assert aws.main([*words[1:], "--only-check"]) == 0
            case program:
                assert program in ("git", "aws")


@cache
def _sam_options(*names: str) -> set[str]:
    sam = Path(sys.executable).parent / "sam"
    done = subprocess.run([sam, *names, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--[a-z][a-z-]+", done.stdout))


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_said_not_to_run_is_in_a_page(pattern: str) -> None:
    assert any(re.match(pattern, command) for _, command in EVERY)

"""The command line as people use it, on an embedded cloud."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import Cloud

ROOT = Path(__file__).parents[2]
PATIENCE = 60
SPELL = """\
name: A cat of the command line
steps:
  - id: words
    toolIdentifier: string-primitive
    parameterMappings:
      operation: {type: static, value: concat}
      appendText: {type: static, value: ", oil on canvas"}
  - id: draw
    toolIdentifier: comfyui-text-to-image
    parameterMappings:
      input_prompt: {type: nodeOutput, nodeId: words, outputKey: text}
exposedInputs:
  - {nodeId: words, paramKey: inputText}
"""

Started = subprocess.Popen[str]
Start = Callable[..., Started]


@pytest.fixture
def start(cloud: Cloud, tmp_path: Path) -> Iterator[Start]:
    """Starts a command in an empty folder, of a user without a configuration."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT / "client"),
        "SPELLCAST_URL": cloud.outputs["httpUrl"],
        "SPELLCAST_API_KEY": cloud.outputs["apiKey"],
    }

    begun: list[Started] = []

    def started(*arguments: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-m", "spellcast_client.cli.main", *arguments],
            cwd=tmp_path,
            env=environment,
            # A suite in the background has it ignored, which is inherited.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield started
    for process in begun:
        with process:
            process.kill()


class Cli:
    """Commands that are waited for."""

    def __init__(self, start: Start) -> None:
        self.start = start

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What it says. Fails where it does not end with the code."""
        process = self.start(*arguments)
        said, noted = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, said + noted
        assert "Traceback" not in noted
        return said

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The one document that it answers."""
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def cli(start: Start) -> Cli:
    return Cli(start)


def test_a_spell_is_pushed_cast_watched_and_shown(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cat.yaml").write_text(SPELL)
    assert "No fault" in cli("spells", "lint", "cat.yaml")
    assert "version 1: created" in cli("spells", "push", "cat.yaml")
    said = cli("cast", "A cat of the command line", "--input", "inputText=a cat", "--watch")
    assert "step 2  comfyui-text-to-image  completed" in said
    assert "the cast is completed" in said
    assert "a cat, oil on canvas" in said
    [cast] = cli.json("casts", "--limit", "1")["casts"]
    shown = cli("show", cast["castId"])
    assert "█" in shown
    assert f"${cast['costUsd']}" in shown
    assert "/media/" in shown
    assert cli.json("show", cast["castId"])["generations"][1]["status"] == "completed"
    assert f"${cast['costUsd']}" in cli("ledger") + shown
    assert cast["castId"] in cli("ledger")


def test_watching_with_json_is_a_message_a_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cat.yaml").write_text(SPELL)
    cli("spells", "push", "cat.yaml")
    lines = cli("cast", "A cat of the command line", "-i", "inputText=x", "--watch", "--json").splitlines()
    messages = [json.loads(line) for line in lines]
    assert {message["type"] for message in messages} >= {"castSnapshot", "generationUpdate", "castUpdate"}
    assert (messages[0]["type"], messages[-1]["type"]) == ("castSnapshot", "castSnapshot")
    assert messages[-1]["payload"]["status"] == "completed"


def test_a_cast_is_left_cancelled_and_resumed(cli: Cli, start: Start, tmp_path: Path, cloud: Cloud) -> None:
    (tmp_path / "cat.yaml").write_text(SPELL)
    cli("spells", "push", "cat.yaml")
    stalled = "inputText=[fault:stall] a cat"
    watching = start("cast", "A cat of the command line", "--input", stalled, "--watch")
    assert watching.stdout
    while "comfyui-text-to-image" not in watching.stdout.readline():
        continue
    watching.send_signal(signal.SIGINT)
    _, noted = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 130
    [cast] = cli.json("casts", "--status", "running", "--limit", "1")["casts"]
    assert f"spellcast show {cast['castId']} --watch" in noted
    assert "Traceback" not in noted

    assert "cancelled" in cli("cancel", cast["castId"])
    ended = cli("show", cast["castId"], "--watch", code=1)
    assert f"spellcast resume {cast['castId']}" in ended
    assert cli.json("resume", cast["castId"], "--budget", "5")["status"] == "running"
    cli("cancel", cast["castId"])
    cloud.await_cast(cast)
    step = cli.json("show", cast["castId"])["generations"][0]["generationId"]
    assert "the cast is completed" in cli("retry", step, "--input", "inputText=another cat", "--watch")


def test_a_cast_that_fails_says_why(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cat.yaml").write_text(SPELL)
    cli("spells", "push", "cat.yaml")
    said = cli("cast", "A cat of the command line", "-i", "inputText=[fault:fail] a cat", "--watch", code=1)
    assert "It failed in step 2 (draw)" in said
    assert "spellcast resume" in said


def test_messages_are_told_as_they_come(cli: Cli, start: Start, tmp_path: Path) -> None:
    (tmp_path / "cat.yaml").write_text(SPELL)
    cli("spells", "push", "cat.yaml")
    tail, told = start("tail", "--json"), queue.Queue[dict[str, Any]]()
    assert tail.stdout
    lines = tail.stdout

    def listen() -> None:
        for line in lines:
            told.put(json.loads(line))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        # Until it is connected it is told of nothing; that it is, is seen by what it says.
        while told.empty():
            cli("cast", "A cat of the command line", "-i", "inputText=x", "--watch")
        kinds = {told.get(timeout=PATIENCE)["type"]}
        while "castUpdate" not in kinds or "generationUpdate" not in kinds:
            kinds.add(told.get(timeout=PATIENCE)["type"])
    finally:
        tail.send_signal(signal.SIGINT)
        tail.wait(PATIENCE)
        listener.join()
        tail.communicate()
    assert tail.returncode == 130


def test_the_doctor_finds_all_well(cli: Cli) -> None:
    found = cli.json("doctor")
    assert [check["check"] for check in found["checks"]] == [
        "configuration",
        "reachability",
        "clocks",
        "key",
        "WebSocket",
    ]
    assert found["ok"], found

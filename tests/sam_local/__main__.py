"""`make sam-local`: see docs/sam-local.md, into which a run that succeeds writes what it said."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from local import stack
from local.environment import BRIDGE, JOB_SECONDS
from tests.cloud import Cloud, started
from tests.sam_local import FOLDER, ROOT, Missing, engine, events, machine, sam, servers, standin, template
from tests.sam_local.records import resting_machines

PAGE = ROOT / "docs" / "sam-local.md"
_SHOWN = re.compile(r"(?<=<!-- last run -->\n).*?(?=<!-- /last run -->)", re.DOTALL)
# Faults of this machine or of what is asked on it are told in a line; others are defects, with their traceback.
_TOLD = (Missing, stack.Refused, AssertionError)


class Report:
    """What is said, as it is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # `finally` must run; a job in the background has SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    FOLDER.mkdir(parents=True, exist_ok=True)
    say, only = Report(), os.environ.get("ONLY", "")
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            differences = list(run(say, only))
        except BlockingIOError:
            sys.stderr.write("Another run is at it in this clone.\n")
            return 1
        except _TOLD as told:
            sys.stderr.write(f"{told}\n")
            return 1
        except KeyboardInterrupt:
            return 130
    for difference in differences:
        sys.stderr.write(f"{difference}\n")
    if not differences and not only:
        text = "```text\n" + "".join(f"{line}\n" for line in say.lines) + "```\n"
        PAGE.write_text(_SHOWN.sub(lambda _: text, PAGE.read_text()))
    return 1 if differences else 0


def run(say: Report, only: str) -> Iterator[str]:
    """Differences between containers and the embedded cloud. Raises Missing."""
    begun = time.monotonic()
    python = machine.interpreter(os.environ)
    is_theirs = machine.found().takes_theirs()
    with ExitStack() as running:
        started_engine = engine.theirs(sam.BUILD) if is_theirs else engine.ours(FOLDER, sam.BUILD)
        containers = running.enter_context(started_engine)
        image = None if is_theirs else standin.ensure(containers, python, FOLDER)
        whose = "the one that is there" if is_theirs else "one of its own"
        say(f"{sam.version()}, docker {containers.version} ({whose}), Python {machine.VERSION}")
        say(f"Image: {f'{image}, not Amazon Linux' if image else 'the one that sam chooses'}")
        document = template.fitted()
        sam.build(document, python)
        say("sam build: done")
        _forget_clouds(FOLDER / "cloud")
        settings = {BRIDGE.name: containers.bridge, JOB_SECONDS.name: "0.3"}
        cloud = running.enter_context(started(FOLDER / "cloud", settings))
        names = template.functions(document)
        sam.VARIABLES.write_text(json.dumps(_variables(cloud, names, containers.bridge)))
        invoked = sam.Sam(containers, cloud.outputs["endpointUrl"], image)
        say("sam local invoke, each event in a container of its own; the answers and what they leave in the table")
        chosen = events.files(only)
        with resting_machines(cloud):
            yield from events.compare(cloud, invoked, names, chosen, say)
        say(f"{len(chosen)} events; left out: {events.LEFT_OUT}.*")
        with invoked.serving("start-api") as (address, _):
            yield from servers.compare_api(cloud, address, say)
        with invoked.serving("start-lambda") as (address, log):
            yield from servers.cast_through_containers(cloud, address, names, say)
            yield from servers.count_calls(log, say)
    say(f"All of it in {time.monotonic() - begun:.0f} s")


def _forget_clouds(folder: Path) -> None:
    """Those of earlier runs; that of a run which was killed still runs."""
    for place in folder.glob("[0-9]*"):
        stack.stop(int(place.name), folder)
    shutil.rmtree(folder, ignore_errors=True)


def _variables(cloud: Cloud, names: dict[str, str], bridge: str) -> dict[str, dict[str, str]]:
    """Those of the embedded cloud's functions, by logical id, and where containers find the cloud."""
    client, port = cloud.aws("lambda"), cloud.outputs["endpointUrl"].rpartition(":")[2]
    found = {}
    for function, name in names.items():
        known = client.get_function_configuration(FunctionName=f"spellcast-local-{function}")
        found[name] = {**known["Environment"]["Variables"], "AWS_ENDPOINT_URL": f"http://{bridge}:{port}"}
    return found


if __name__ == "__main__":
    sys.exit(main())

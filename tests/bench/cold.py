"""`make bench-cold`: how long every function takes to start under Lambda's runtime client, and what takes the time.

It writes docs/cold_start.json, and the table of docs/performance.md from that.
"""

from __future__ import annotations

import compileall
import json
import os
import platform
import py_compile
import re
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.memory import family, kilobytes
from tests.cloud import Cloud, started
from tests.runtime.emulator import LAYER, ROOT, Function

PAGE = ROOT / "docs" / "performance.md"
FIGURES = ROOT / "docs" / "cold_start.json"
RUNS = 7
LATER = 5
DEAREST = 5
BUDGET = 1.3  # times the floor
# What every function needs that logs and asks the table.
FLOOR = """
import os
import boto3
from aws_lambda_powertools import Logger

logger = Logger(service="floor")
client = boto3.session.Session().client("dynamodb")

def lambda_handler(event, context):
    logger.info("called")
    key = {"pk": {"S": "BENCH"}, "sk": {"S": "BENCH"}}
    client.get_item(TableName=os.environ["SPELLCAST_TABLE"], Key=key)
"""
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


@dataclass(frozen=True)
class Start:
    """Milliseconds of the import, of the first call and of a later one; megabytes of the runtime's process.

    `processor` are the milliseconds that it ran from its beginning to the answer of its first call.
    """

    init: float
    first: float
    processor: float
    later: float
    megabytes: float


class Bench:
    """The functions as `sam build` packs them, with bytecode, before an embedded cloud."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._cloud, self._folder = cloud, folder
        self._layer = folder / "layer"
        shutil.copytree(LAYER / "spellcast", self._layer / "spellcast", ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(self._layer, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        (folder / "floor").mkdir()
        (folder / "floor" / "app.py").write_text(FLOOR)
        names = {file.parent.name for file in (ROOT / "functions").glob("*/app.py")} - {"check_deployment"}
        self._names = ["floor", *sorted(names)]  # nobody waits for the check, and the embedded cloud does not have it

    def starts(self) -> dict[str, Start]:
        """The least by function, the floor first: what else the machine does only adds, and meets all by turns."""
        runs = [{name: self._start(name) for name in self._names} for _ in range(RUNS)]
        return {name: _least([run[name] for run in runs]) for name in self._names}

    def imports(self, name: str) -> dict[str, float]:
        """Milliseconds of a function's imports until its first call is answered, by package, the dearest first."""
        runs = [self._imports(name) for _ in range(3)]
        least = {package: min(run.get(package, 0.0) for run in runs) for package in runs[0]}
        return dict(sorted(least.items(), key=lambda item: -item[1])[:DEAREST])

    def _imports(self, name: str) -> dict[str, float]:
        with self._function(name, "-X", "importtime") as function:
            function.call(self._event(name))
            found: defaultdict[str, float] = defaultdict(float)
            for microseconds, module in _IMPORT.findall(function.log()):
                found[module.partition(".")[0]] += int(microseconds) / 1000
            return found

    def _start(self, name: str) -> Start:
        with self._function(name) as function:
            function.call(self._event(name))
            (runtime,) = family({function.process}) - {function.process}
            ran = int(Path(f"/proc/{runtime}/schedstat").read_text().split()[0]) / 1e6
            for _ in range(LATER):
                function.call(self._event(name))
            first, *later = function.call_ms
            return Start(function.init_ms, first, ran, statistics.median(later), kilobytes(runtime) / 1024)

    def _function(self, name: str, *options: str) -> Function:
        environment = {"AWS_ENDPOINT_URL": self._cloud.outputs["endpointUrl"]}
        source = self._folder / name
        if name != "floor":
            source = ROOT / "functions" / name
            known = self._cloud.aws("lambda").get_function_configuration(FunctionName=f"spellcast-local-{name}")
            environment |= known["Environment"]["Variables"]
        else:
            environment["SPELLCAST_TABLE"] = self._cloud.outputs["tableName"]
        log = self._folder / f"{name}.log"
        return Function(source, environment, log, layer=self._layer, options=options)

    def _event(self, name: str) -> Any:
        """The first of the function's events; that it speaks of nothing that this cloud knows is for all the same."""
        if name == "floor":
            return {}
        if name != "cast_api":
            return json.loads(min((ROOT / "events").glob(f"{name}.*.json")).read_text("utf-8"))
        event = json.loads((ROOT / "events" / "cast_api.create_cast.json").read_text("utf-8"))
        event["headers"]["x-api-key"] = self._cloud.outputs["apiKey"]  # without one, its body would not be read
        return event


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with started(folder / "cloud") as cloud:
            bench = Bench(cloud, folder)
            starts = bench.starts()
            imports = {name: bench.imports(name) for name in starts}
    found = figures(starts, imports)
    FIGURES.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    PAGE.write_text(written(PAGE.read_text("utf-8"), found), "utf-8")
    sys.stdout.write(table(found) + "\n")
    return 0


def figures(starts: Mapping[str, Start], imports: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """What docs/cold_start.json holds; times are in milliseconds."""
    floor = starts["floor"].init + starts["floor"].first
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "runs": RUNS,
        "budget": BUDGET,
        "functions": {
            name: {
                "initMs": round(start.init, 1),
                "firstCallMs": round(start.first, 1),
                "timesTheFloor": round((start.init + start.first) / floor, 3),
                "processorMs": round(start.processor, 1),
                "laterCallMs": round(start.later, 1),
                "megabytes": round(start.megabytes, 1),
                "importsMs": {package: round(spent, 1) for package, spent in imports[name].items()},
            }
            for name, start in starts.items()
        },
    }


def table(found: Mapping[str, Any]) -> str:
    """The figures as they stand in docs/performance.md."""
    lines = [
        "| function | import, ms | first call, ms | both, × the floor | budget | processor, ms | later call, ms | MB "
        "| dearest imports, ms |",
        "|---|---:|---:|---:|---|---:|---:|---:|---|",
    ]
    for name, start in found["functions"].items():
        dearest = ", ".join(f"{package} {spent:.0f}" for package, spent in start["importsMs"].items())
        budget = "met" if start["timesTheFloor"] <= found["budget"] else "**not met**"
        lines.append(
            f"| {name} | {start['initMs']:.0f} | {start['firstCallMs']:.0f} | {start['timesTheFloor']:.2f} "
            f"| {budget} | {start['processorMs']:.0f} | {start['laterCallMs']:.1f} | {start['megabytes']:.0f} "
            f"| {dearest} |"
        )
    lines += ["", f"Python {found['python']}, {found['cores']} cores, the least of {found['runs']} runs."]
    return "\n".join(lines)


def written(page: str, found: Mapping[str, Any]) -> str:
    """The page with the table as it is to be."""
    page, count = re.subn(
        r"(<!-- cold -->\n).*?(<!-- end -->)", lambda held: f"{held[1]}{table(found)}\n{held[2]}", page, flags=re.DOTALL
    )
    assert count == 1
    return page


def _least(runs: list[Start]) -> Start:
    by_sum = min(runs, key=lambda run: run.init + run.first)
    processor, later = min(run.processor for run in runs), min(run.later for run in runs)
    return Start(by_sum.init, by_sum.first, processor, later, by_sum.megabytes)


if __name__ == "__main__":
    sys.exit(main())

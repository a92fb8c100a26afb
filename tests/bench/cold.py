"""`make bench-cold`: how long every function takes to start under Lambda's runtime client, and what takes the time."""

from __future__ import annotations

import compileall
import json
import py_compile
import re
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.bench.memory import family, kilobytes
from tests.cloud import Cloud, started
from tests.runtime.emulator import LAYER, ROOT, Function

RUNS = 5
LATER = 5
# What every function needs that logs and asks the table; the budget is 1.3 times as much.
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
    """Milliseconds of the import, of the first call and of a later one; megabytes of the runtime's process."""

    init: float
    first: float
    later: float
    megabytes: float

    @property
    def cold(self) -> float:
        """What a caller waits for: the import and the first call."""
        return self.init + self.first


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
        """Medians by function, the floor first. They take turns, so what else the machine does meets all alike."""
        runs = [{name: self._start(name) for name in self._names} for _ in range(RUNS)]
        return {name: _median([run[name] for run in runs]) for name in self._names}

    def imports(self, name: str) -> dict[str, float]:
        """Milliseconds of a function's imports until its first call is answered, by package, the costliest first."""
        with self._function(name, "-X", "importtime") as function:
            function.call(_event(name))
            found: defaultdict[str, float] = defaultdict(float)
            for microseconds, module in _IMPORT.findall(function.log()):
                found[module.partition(".")[0]] += int(microseconds) / 1000
            return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _start(self, name: str) -> Start:
        with self._function(name) as function:
            for _ in range(1 + LATER):
                function.call(_event(name))
            (runtime,) = family({function.process}) - {function.process}
            first, *later = function.call_ms
            return Start(function.init_ms, first, statistics.median(later), kilobytes(runtime) / 1024)

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


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with started(folder / "cloud") as cloud:
            bench = Bench(cloud, folder)
            starts = bench.starts()
            imports = {name: bench.imports(name) for name in starts}
    _say("| function | import, ms | first call, ms | both, × the floor | later call, ms | MB | dearest imports, ms |")
    _say("|---|---:|---:|---:|---:|---:|---|")
    for name, start in starts.items():
        dearest = ", ".join(f"{package} {spent:.0f}" for package, spent in list(imports[name].items())[:6])
        _say(
            f"| {name} | {start.init:.0f} | {start.first:.0f} | {start.cold / starts['floor'].cold:.2f} "
            f"| {start.later:.1f} | {start.megabytes:.0f} | {dearest} |"
        )
    return 0


def _event(name: str) -> object:
    """The first of the function's events; that it speaks of nothing that this cloud knows is for all the same."""
    if name == "floor":
        return {}
    return json.loads(min((ROOT / "events").glob(f"{name}.*.json")).read_text())


def _median(runs: list[Start]) -> Start:
    return Start(*(statistics.median(getattr(run, field) for run in runs) for field in Start.__dataclass_fields__))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())

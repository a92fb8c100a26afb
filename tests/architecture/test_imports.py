"""Imports run one way, and importing does nothing: no environment is read, no client built, no provider loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "spellcast"
CLIENT = ROOT / "client"
SOURCES = [LAYER / "spellcast", CLIENT / "spellcast_client", ROOT / "functions", ROOT / "local"]
APPS = sorted((ROOT / "functions").glob("*/app.py"))
MAX_APP_LINES = 50
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "service"}
# Beside the adapters of the providers.
NO_PROVIDERS = {
    "__init__",
    "registry",
    "billing",
    "capabilities",
    "exchange",
    "input_media",
    "jwks",
    "media",
    "workflows",
}
PROVIDERS = sorted(
    f"spellcast.adapters.{path.stem}"
    for path in (LAYER / "spellcast" / "adapters").glob("*.py")
    if path.stem not in NO_PROVIDERS
)

# Run in a fresh interpreter; the answer is what importing each group of modules did.
PROBE = """
import importlib, json, os, sys

import botocore.session

own, reads, clients = tuple(json.loads(sys.argv[1])), [], []
standard = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")

class Watched(type(os.environ)):
    def __getitem__(self, key):
        frame = sys._getframe(1)
        while frame.f_code.co_filename.endswith(standard):
            frame = frame.f_back
        reader = frame.f_code.co_filename
        if key.startswith("SPELLCAST_") or reader.startswith(own):
            reads.append(f"{key} in {reader}")
        return super().__getitem__(key)

os.environ.__class__ = Watched
botocore.session.Session.create_client = lambda self, name, *a, **k: clients.append(name)

answer = {"imports": {}}
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)
    answer["imports"].setdefault(name, sorted(sys.modules))
answer["reads"], answer["clients"] = reads, clients
print(json.dumps(answer))
"""


def python_files() -> list[Path]:
    return [path for source in SOURCES for path in source.rglob("*.py") if "__pycache__" not in path.parts]


def module_name(path: Path) -> str:
    base = next(base for base in (LAYER, CLIENT, ROOT) if path.is_relative_to(base))
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that finds the package and the functions, and has no AWS to talk to."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SPELLCAST_"))}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, LAYER, CLIENT)))}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def probe(modules: list[str]) -> dict[str, Any]:
    """What importing these modules did, one after the other."""
    done = run("-c", PROBE, json.dumps([str(source) for source in SOURCES]), json.dumps(modules))
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@cache
def every_module() -> dict[str, Any]:
    """The registry first, then the functions, then everything else."""
    functions = [module_name(path) for path in APPS]
    package = sorted(module_name(path) for path in python_files() if path.is_relative_to(LAYER))
    return probe(["spellcast.adapters.registry", *functions, *package])


def test_imports_run_one_way() -> None:
    done = run("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 kept, 0 broken" in done.stdout


def test_importing_reads_no_environment_but_whether_lambda_does_it() -> None:
    reads = {f"AWS_LAMBDA_INITIALIZATION_TYPE in {LAYER / 'spellcast' / 'starting.py'}"}
    assert set(every_module()["reads"]) == reads


def test_importing_builds_no_client() -> None:
    assert every_module()["clients"] == []


def test_the_registry_imports_no_provider() -> None:
    imported = set(every_module()["imports"]["spellcast.adapters.registry"])
    assert len(PROVIDERS) >= 5
    assert imported.isdisjoint({*PROVIDERS, "httpx", "jsonata"})


@pytest.mark.parametrize("app", [module_name(path) for path in APPS])
def test_a_function_imports_no_provider_before_it_is_called(app: str) -> None:
    imported = set(every_module()["imports"][app])
    assert imported.isdisjoint({*PROVIDERS, "httpx", "jsonata", "jwt"})


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.parent.name)
def test_a_function_is_thin(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_APP_LINES
    beside = ["page"] if path.parent.name == "console" else []
    assert sorted(item.name for item in path.parent.iterdir() if item.name != "__pycache__") == ["app.py", *beside]


def test_every_name_says_what_it_is_for() -> None:
    parts = {part for path in python_files() for part in module_name(path).split(".")}
    assert parts & FORBIDDEN_NAMES == set()
    assert {part for part in parts if part.endswith(("_utils", "_helpers", "_manager", "_service"))} == set()


def test_an_adapter_is_a_provider_and_nothing_else() -> None:
    """What stands behind the ports of AWS lies in aws/ (contract §1)."""
    misnamed = [path for path in python_files() if "adapter" in path.stem and path.parent.name not in ("ports",)]
    assert misnamed == []
    for name in PROVIDERS:
        assert "def build(" in (LAYER / Path(*name.split("."))).with_suffix(".py").read_text("utf-8")

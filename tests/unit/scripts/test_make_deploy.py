"""`make deploy` refuses what nobody meant, before it sets up or builds anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SAM = """#!/bin/sh
echo "$@" >> deployed
"""
BUILT = ["build --config-env {0}", "deploy --config-env {0} --parameter-overrides {1} Shift=guarded Revision=*"]
GIVEN = {"dev": "Stage=dev", "staging": "Stage=staging Tracing=Active", "prod": "Stage=prod Tracing=Active"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clean repository whose environment is set up, and whose sam writes down what it was asked."""
    for name in ("Makefile", "samconfig.toml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "requirements-dev.txt").write_text("")
    (tmp_path / ".gitignore").write_text(".venv\ndeployed\n")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / ".venv" / "lock").write_text("")
    (programs / "sam").write_text(SAM)
    (programs / "sam").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "--message", "x")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def deploy(folder: Path, *arguments: str) -> tuple[int, str, list[str]]:
    done = subprocess.run(["make", "deploy", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    deployed = folder / "deployed"
    said = deployed.read_text() if deployed.exists() else ""
    revision = re.search(r"Revision=(\S+)", said)
    if revision:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        assert re.fullmatch(r"[0-9a-f]{10,64}", revision[1])
        assert revision[1][:10].isdigit() and head.stdout.startswith(revision[1][10:])
    return done.returncode, done.stderr, re.sub(r"Revision=\S+", "Revision=*", said).splitlines()


@pytest.mark.parametrize("stage", ["dev", "staging", "prod"])
def test_a_stage_is_built_and_deployed_with_its_own_settings(project: Path, stage: str) -> None:
    code, _, asked = deploy(project, f"STAGE={stage}")
    assert (code, asked) == (0, [line.format(stage, GIVEN[stage]) for line in BUILT])


def test_a_deployment_asks_the_alarms_unless_it_is_told_otherwise(project: Path) -> None:
    code, _, asked = deploy(project, "STAGE=prod", "SHIFT=at-once")
    assert (code, asked[-1]) == (0, BUILT[-1].format("prod", GIVEN["prod"]).replace("guarded", "at-once"))


def test_another_shift_is_refused(project: Path) -> None:
    code, said, asked = deploy(project, "STAGE=prod", "SHIFT=now")
    assert (code, asked) == (2, [])
    assert "usage: make deploy STAGE=prod SHIFT=at-once" in said


@pytest.mark.parametrize("stage", ["", "local", "production", "prod dev", "default"])
def test_another_stage_is_refused(project: Path, stage: str) -> None:
    code, said, asked = deploy(project, f"STAGE={stage}")
    assert (code, asked) == (2, [])
    assert "usage: make deploy STAGE=dev, staging or prod" in said


@pytest.mark.parametrize("change", ["Makefile", "new.txt"])
@pytest.mark.parametrize(("stage", "expected"), [("prod", []), ("dev", BUILT)])
def test_prod_is_deployed_from_what_is_committed(project: Path, change: str, stage: str, expected: list[str]) -> None:
    with (project / change).open("a") as file:
        file.write("# changed\n")
    code, said, asked = deploy(project, f"STAGE={stage}")
    assert asked == [line.format(stage, GIVEN[stage]) for line in expected]
    assert (code != 0) is (not expected) is ("git status" in said)

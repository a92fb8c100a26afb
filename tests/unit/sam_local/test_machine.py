"""Whose container engine is taken, and what is said where there is none."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sam_local import FOLDER, Missing, __main__, machine
from tests.sam_local.machine import OF_AN_ENGINE, Machine, interpreter, read_release

DEBIAN = Machine("it does not answer", "debian", True, frozenset(OF_AN_ENGINE))


@pytest.mark.parametrize(
    ("found", "is_theirs"),
    [
        (DEBIAN, False),
        (replace(DEBIAN, engine=""), True),
        (Machine("", "fedora", False, frozenset()), True),
    ],
)
def test_the_engine_that_answers_is_taken_before_one_of_our_own(found: Machine, is_theirs: bool) -> None:
    assert found.takes_theirs() is is_theirs


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(DEBIAN, system="fedora"), "(it does not answer). Start one, or run this as root on Debian"),
        (replace(DEBIAN, is_root=False), "(it does not answer). Start one, or run this as root on Debian"),
        (
            replace(DEBIAN, programs=frozenset({"docker", "ip"})),
            "(it does not answer). One of its own needs debootstrap, dockerd: apt-get install debootstrap docker.io",
        ),
        (
            replace(DEBIAN, programs=DEBIAN.programs - {"ip"}),
            "(it does not answer). One of its own needs ip: apt-get install iproute2",
        ),
    ],
)
def test_what_is_missing_is_said(found: Machine, said: str) -> None:
    with pytest.raises(Missing) as missing:
        found.takes_theirs()
    assert str(missing.value).startswith(f"No container engine answers {said}")


def test_it_ends_with_1_and_the_reason_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "FOLDER", tmp_path)
    monkeypatch.setattr(machine, "interpreter", lambda _: Path("/python"))
    monkeypatch.setattr(machine, "found", lambda: replace(DEBIAN, is_root=False))
    assert __main__.main() == 1
    assert capsys.readouterr() == ("", f"{_refusal(replace(DEBIAN, is_root=False))}\n")
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


def _refusal(found: Machine) -> str:
    with pytest.raises(Missing) as missing:
        found.takes_theirs()
    return str(missing.value)


def test_two_runs_in_one_clone_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "FOLDER", tmp_path)

    def within(_: object) -> Path:
        """Where the first run is, a second is begun."""
        second.append(__main__.main())
        raise Missing("enough")

    second: list[int] = []
    monkeypatch.setattr(machine, "interpreter", within)
    assert __main__.main() == 1
    assert second == [1]
    assert capsys.readouterr().err == "Another run is at it in this clone.\nenough\n"


def test_all_of_it_lies_in_one_folder_that_git_ignores() -> None:
    assert FOLDER.parent.name == ".local"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('NAME="Debian GNU/Linux"\nID=debian\n\n# no field\n', {"NAME": "Debian GNU/Linux", "ID": "debian"}),
        ("", {}),
    ],
)
def test_the_system_is_read(text: str, fields: dict[str, str]) -> None:
    assert read_release(text) == fields


def program(folder: Path, name: str, script: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return str(folder / name)


def test_the_interpreter_is_the_one_given_or_one_on_the_path_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version manager's shim is on the path, and does not run."""
    monkeypatch.setattr(sys, "executable", "/nowhere")
    shims, good = tmp_path / "shims", tmp_path / "good"
    program(shims, "python3.13", "exit 127")
    right = program(good, "python3.13", 'case "$2" in *_base_executable*) echo "$0";; esac')
    path = {"PATH": f"{shims}:/bin"}
    assert interpreter({"PATH": f"{good}:{shims}:/bin"}) == Path(right)
    assert interpreter({**path, "PYTHON": right}) == Path(right)
    for given in ({}, {"PYTHON": str(shims / "python3.13")}):
        with pytest.raises(Missing, match=r"make PYTHON=/path/to/python3\.13 sam-local"):
            interpreter({"PATH": str(shims), **given})

"""What keeps a commit from being released, but for the builds, which `make release-check` compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_release import digest, faults, licence, may_ship

CHANGELOG = "# Changelog\n\n## 1.2.0 (2026-11-23)\n"


@pytest.mark.parametrize(
    ("version", "changelog", "uncommitted", "found"),
    [
        ("1.2.0", CHANGELOG, "", []),
        ("1.2.1", CHANGELOG, "", ["CHANGELOG.md has no heading `## 1.2.1 (<year>-<month>-<day>)`"]),
        ("1x2", CHANGELOG, "", ["CHANGELOG.md has no heading `## 1x2 (<year>-<month>-<day>)`"]),
        ("1.2", CHANGELOG, "", ["CHANGELOG.md has no heading `## 1.2 (<year>-<month>-<day>)`"]),
        ("1.2.0", CHANGELOG, " M a.py\n?? b c.py\n", ["not committed: a.py, b c.py"]),
    ],
)
def test_what_is_missing_is_said(version: str, changelog: str, uncommitted: str, found: list[str]) -> None:
    assert list(faults(version, changelog, uncommitted)) == found


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: what?\n", "MIT OR Apache-2.0"),
        ("Classifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: Games\nLicense: x\n", "MIT"),
        ("License: Apache License, Version 2.0\n", "Apache-2.0"),
        ("", "unknown"),
    ],
)
def test_a_package_says_its_licence(fields: str, said: str) -> None:
    assert licence(f"Metadata-Version: 2.4\nName: a-name\nVersion: 1.0\n{fields}\nText.") == ("a-name", "1.0", said)


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND BSD-3-Clause OR GPL-3.0-only", True),
        ("MPL-2.0 AND (MIT OR Apache-2.0)", True),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", False),
        ("GPL-3.0-only AND (MIT OR ISC)", False),
        ("unknown", False),
    ],
)
def test_a_licence_lets_us_ship_it_or_not(expression: str, allowed: bool) -> None:
    assert may_ship(expression) is allowed


def test_a_build_is_known_by_the_names_and_the_contents_of_its_files(tmp_path: Path) -> None:
    found = set()
    for number, (name, text) in enumerate([("a", "1"), ("b", "1"), ("a", "2"), ("c/a", "1")]):
        file = tmp_path / str(number) / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
        found.add(digest(tmp_path / str(number)))
    assert len(found) == 4
    again = tmp_path / "again"
    again.mkdir()
    (again / "a").write_text("1")
    assert digest(again) in found

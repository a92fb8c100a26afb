"""`make release-check`: what is committed can be released. Says what is missing and ends with 1 where it cannot.

The changelog tells of the version; two builds in different folders are the same, byte for byte; and every package of
the layer has a licence that lets us ship it. What was built is described in .local/release.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import subprocess  # nosec B404
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / ".local" / "release"
# Those that ask for their text and their authors' names to be kept, which the wheels do; MPL also for changed files.
SHIPPED = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"}
# What packages say that name no SPDX expression.
_NAMES = {
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
_CLASSIFIER = "License :: OSI Approved :: "


def faults(version: str, changelog: str, uncommitted: str) -> Iterator[str]:
    """Why this must not be released, before anything is built."""
    if uncommitted:
        yield f"not committed: {', '.join(line[3:] for line in uncommitted.splitlines())}"
    if not re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no heading `## {version} (<year>-<month>-<day>)`"


def licence(metadata: str) -> tuple[str, str, str]:
    """A package's name, version and SPDX expression, of its METADATA (https://packaging.python.org/specifications)."""
    headers = HeaderParser().parsestr(metadata)
    said = headers.get("License-Expression") or ""
    if not said:
        classifiers = [
            name.removeprefix(_CLASSIFIER) for name in headers.get_all("Classifier", []) if _CLASSIFIER in name
        ]
        named = classifiers or [headers.get("License") or "unknown"]
        said = " AND ".join(_NAMES.get(name, name) for name in named)
    return headers["Name"], headers["Version"], said


def may_ship(expression: str) -> bool:
    """Whether one of the alternatives of an SPDX expression consists of licences that are known to allow it.

    Where there are parentheses, all licences have to: more is not read.
    """
    names = expression.replace("(", " ").replace(")", " ")
    if names != expression:
        names = names.replace(" OR ", " AND ")
    return any(
        all(name.strip() in SHIPPED for name in alternative.split(" AND ")) for alternative in names.split(" OR ")
    )


def digest(folder: Path) -> str:
    """SHA-256 of all files and their names."""
    found = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{file.relative_to(folder)}\0".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def build(folder: Path) -> Path:
    """What `sam build` makes of the last commit, in this folder."""
    archive = _run(ROOT, "git", "archive", "HEAD").stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    done = _run(folder, str(Path(sys.executable).parent / "sam"), "build")
    if done.returncode:
        sys.exit(f"sam build has failed (python3.13 must be on the PATH):\n{done.stderr.decode()}")
    return folder / ".aws-sam" / "build"


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[bytes]:
    # The commands are those above; nothing of a caller's is in them.
    return subprocess.run(command, cwd=folder, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, capture_output=True)  # nosec


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    uncommitted = _run(ROOT, "git", "status", "--porcelain").stdout.decode()
    found = list(faults(version, (ROOT / "CHANGELOG.md").read_text(), uncommitted))
    RELEASE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        built = build(Path(first))
        hashes = [digest(built), digest(build(Path(second)))]
        if len(set(hashes)) > 1:
            found.append(f"two builds differ: {' and '.join(hashes)}")
        packages = sorted(licence(file.read_text()) for file in built.rglob("*.dist-info/METADATA"))
    lines = [f"{name} {number}: {said}" for name, number, said in packages]
    found += [
        f"no licence that is known to allow it: {line}" for line in lines if not may_ship(line.partition(": ")[2])
    ]
    (RELEASE / "licences.txt").write_text("\n".join(lines) + "\n")
    (RELEASE / "build.sha256").write_text(f"{hashes[0]}\n")
    print(
        f"Spellcast {version}, build {hashes[0]}, {len(packages)} packages ({RELEASE.relative_to(ROOT)}/licences.txt)"
    )
    for fault in found:
        print(f"Not to be released: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

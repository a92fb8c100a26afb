"""A stand-in for Lambda's image: Debian with this machine's CPython and Lambda's runtime client.

It is not Amazon Linux: its libraries are Debian's, and its interpreter is compiled as this machine's is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.sam_local import ROOT, Missing
from tests.sam_local.engine import Engine
from tests.sam_local.machine import VERSION, read_release

IMAGE = f"spellcast/debian-stand-in-for-lambda:python{VERSION}"
PINNED = ROOT / "tests" / "runtime" / "requirements.txt"
# As on Lambda: the interpreter in /var/lang, boto3 and the runtime's client in /var/runtime, which a layer goes before.
_ENVIRONMENT = {
    "PATH": "/var/lang/bin:/usr/bin:/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib",
    "PYTHONPATH": "/opt/python:/var/runtime",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}
_BOOTSTRAP = f'#!/bin/sh\nexec /var/lang/bin/python{VERSION} -m awslambdaric "$_HANDLER"\n'
_LIBRARY = "import sysconfig; print(sysconfig.get_path('stdlib'))"
_UNNEEDED = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "dist-packages", "config-*")


def ensure(engine: Engine, python: Path, folder: Path) -> str:
    """The image's name; it is made anew when the recipe or the interpreter is another. Raises Missing."""
    recipe = hashlib.sha256(Path(__file__).read_bytes() + PINNED.read_bytes() + str(python).encode()).hexdigest()
    label = '{{index .Config.Labels "spellcast.recipe"}}'
    try:
        if engine.docker("image", "inspect", "--format", label, IMAGE) == recipe:
            return IMAGE
    except Missing:
        pass  # there is none yet
    sys.stdout.write(f"Making {IMAGE}, which takes a minute or two ...\n")
    sys.stdout.flush()
    files = folder / "image"
    _remove(files)
    try:
        _fill(files, python)
        changes = [f"ENV {name}={value}" for name, value in _ENVIRONMENT.items()]
        changes += ["WORKDIR /var/task", f"LABEL spellcast.recipe={recipe}"]
        options = [word for change in changes for word in ("--change", change)]
        with subprocess.Popen(["tar", "-C", str(files), "-c", "."], stdout=subprocess.PIPE) as packed:
            assert packed.stdout
            engine.docker("import", *options, "-", IMAGE, stdin=packed.stdout.fileno())
    finally:
        _remove(files)
    return IMAGE


def _remove(files: Path) -> None:
    for name in ("proc", "sys"):  # debootstrap mounts them meanwhile, and was ended, perhaps
        subprocess.run(["umount", "--quiet", "--lazy", str(files / name)], capture_output=True, check=False)
    shutil.rmtree(files, ignore_errors=True)


def _fill(files: Path, python: Path) -> None:
    # This machine's own release, so that what its interpreter is linked with fits the C library.
    release = read_release(Path("/etc/os-release").read_text())["VERSION_CODENAME"]
    _run("debootstrap", "--variant=minbase", release, str(files))
    lang = files / "var" / "lang"
    (lang / "bin").mkdir(parents=True)
    shutil.copyfile(python, lang / "bin" / f"python{VERSION}")
    (lang / "bin" / f"python{VERSION}").chmod(0o755)
    library = Path(_run(str(python), "-c", _LIBRARY).strip())
    ignored = shutil.ignore_patterns("__pycache__", *_UNNEEDED)
    shutil.copytree(library, lang / "lib" / f"python{VERSION}", ignore=ignored)
    for file in linked([python, *(library / "lib-dynload").glob("*.so")]):
        if not (files / file.relative_to("/")).exists():
            shutil.copyfile(file, lang / "lib" / file.name)
    runtime = files / "var" / "runtime"
    target = ["--target", str(runtime), "--constraint", str(PINNED), "awslambdaric", "boto3"]
    _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *target)
    (runtime / "bootstrap").write_text(_BOOTSTRAP)
    (runtime / "bootstrap").chmod(0o755)
    for name in ("var/task", "var/rapid", "opt"):
        (files / name).mkdir(exist_ok=True)


def linked(programs: list[Path]) -> list[Path]:
    """The shared libraries that they need, found as the loader finds them."""
    needed = [path for path in programs if "_tkinter" not in path.name]
    return sorted({Path(path) for path in read_ldd(_run("ldd", *map(str, needed)))})


def read_ldd(text: str) -> list[str]:
    """The files that ldd has found."""
    return re.findall(r"=> (/\S+) \(0x", text)


def _run(*command: str) -> str:
    with subprocess.Popen(
        command,
        env={**os.environ, "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, complaint = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            raise
    if process.returncode != 0:
        last = " ".join((complaint or said).strip().splitlines()[-3:])
        raise Missing(f"The stand-in image cannot be made: {' '.join(command[:2])} … has failed: {last}")
    return said

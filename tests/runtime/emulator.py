"""A function as Lambda runs it: Lambda's runtime client for Python, behind its Runtime Interface Emulator.

Both are AWS's own: https://github.com/aws/aws-lambda-python-runtime-interface-client, and the emulator that comes with
aws-sam-cli. The emulator breaks where two call it at once; whoever calls it takes turns.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "layers" / "spellcast"
PYTHON = ROOT / ".local" / "runtime" / "venv" / "bin" / "python"
_MACHINE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
EMULATOR = Path(sysconfig.get_path("purelib")) / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{_MACHINE}"
_PATIENCE = 20.0
_INIT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")
_INVOKE = re.compile(r"INVOKE RTDONE\(.* duration: ([\d.]+)ms\)")


class Function:
    """One function in a sandbox of its own, from its first call to the end of the block."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        *,
        layer: Path = LAYER,
        timeout_seconds: int = 900,
        options: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        self._folder, self._log = folder, log
        self._runtime = [str(PYTHON), *options, "-m", "awslambdaric", "app.lambda_handler"]
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{folder}:{layer}",
            "AWS_LAMBDA_FUNCTION_NAME": folder.name,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_seconds),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",  # Lambda says so, its emulator does not
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            **environment,
        }

    def __enter__(self) -> Function:
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{self.port}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{self.port + 1}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [EMULATOR, *addresses, "--log-level", "info", *self._runtime],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                return self
        self._kill()
        raise AssertionError(f"the emulator does not listen: {self.log()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # the emulator leaves its runtime behind
        self._process.wait()

    def call(self, event: Any) -> Any:
        """What the function answers, or `{errorType, errorMessage, …}`."""
        return httpx.post(self.url, json=event, timeout=_PATIENCE * 3).json()

    @property
    def process(self) -> int:
        """The emulator's; the runtime is its child."""
        return self._process.pid

    def log(self) -> str:
        """What emulator and function have written."""
        return self._log.read_text()

    @property
    def init_ms(self) -> float:
        """How long importing the module took, in milliseconds; known from the first call on."""
        return float(_INIT.findall(self.log())[-1])

    @property
    def call_ms(self) -> list[float]:
        """How long every call took, in milliseconds."""
        return [float(found) for found in _INVOKE.findall(self.log())]

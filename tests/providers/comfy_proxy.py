"""comfy-api-proxy, the Comfy API v2 as its makers wrote it, in front of a ComfyUI."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.ports import free_port


@contextmanager
def proxying(python: str, comfyui: str, token: str | None = None) -> Iterator[str]:
    """Its address; `python` is of the environment in which it is installed. Without a token it lets everybody in."""
    port = free_port()
    command = [python, "-m", "comfy_api_proxy.cli", "run", "--comfyui", comfyui, "--port", str(port)]
    command += ["--token", token] if token is not None else []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _await_health(url)
            yield url
        finally:
            process.terminate()


def _await_health(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/api/v2/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the proxy did not start")

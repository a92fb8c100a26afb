"""`python -m local up|down|run|clean`: the embedded cloud on this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036, it is what says so
        print(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.13 …")
        return 1
    commands = {"up": up, "down": down, "run": run, "clean": clean}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(f"usage: python -m local {'|'.join(commands)}")
        return 2
    from local import stack

    try:
        return commands[arguments[0]]()
    except stack.Refused as refused:
        print(refused)
        return 1
    except KeyboardInterrupt:
        return 130


def up() -> int:
    from local import stack

    port, directory = stack.chosen(os.environ)
    already = stack.running(port, directory)
    outputs = stack.start(port, directory)
    if already:
        print(f"The cloud already runs (process {already}) at {outputs['httpUrl']}; the deployment is up to date.")
        print(f"Console: {console(outputs)}")
        return 0
    print(f"The cloud runs at {outputs['httpUrl']}, its API is described at {outputs['httpUrl']}/docs.")
    print(f"Console: {console(outputs)}")
    print(f"Addresses and keys: {directory / 'outputs.json'}   Log: {directory / str(port) / 'cloud.log'}")
    print(f"Try: curl -H 'X-API-Key: {outputs['apiKey']}' {outputs['httpUrl']}/v1/tools")
    print("Stop it: make down (spells and casts are kept; casts that run go on at the next make up)")
    return 0


def console(outputs: Mapping[str, str]) -> str:
    """Signs in with the local account's key, which stands where a browser sends nothing of it."""
    return f"{outputs['httpUrl']}/console#key={outputs['apiKey']}"


def down() -> int:
    from local import stack

    port, directory = stack.chosen(os.environ)
    stopped = stack.stop(port, directory)
    print(f"The cloud on port {port} has stopped." if stopped else f"No cloud runs on port {port}.")
    return 0


def clean() -> int:
    from local import stack

    port, directory = stack.chosen(os.environ)
    stack.stop(port, directory)
    stack.forget(port, directory)
    print(f"Nothing is left of the cloud on port {port}.")
    return 0


def run() -> int:
    from local import stack
    from local.demo import run as demo

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `finally` must run then, too
    port, directory = stack.chosen(os.environ)
    already = stack.running(port, directory)
    try:
        return demo(stack.start(port, directory), directory / "demo")
    finally:
        if not already:
            stack.stop(port, directory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

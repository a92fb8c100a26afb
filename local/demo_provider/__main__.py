"""`python -m local.demo_provider --port N`: ComfyUI under /comfyui, Replicate under /replicate."""

from __future__ import annotations

import argparse
import asyncio
import os

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local import environment
from local.demo_provider import WEBHOOK_SECRET
from local.demo_provider.app import build_app


def main() -> None:
    """Serves until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.demo_provider")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    app = build_app(
        job_seconds=float(environment.JOB_SECONDS.of(os.environ)),
        webhook_secret=environment.WEBHOOK_SECRET.of(os.environ) or WEBHOOK_SECRET,
    )
    config = Config()
    config.bind = [f"{host}:{port}" for host in ("127.0.0.1", environment.BRIDGE.of(os.environ)) if host]
    config.graceful_timeout = 0.5
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()

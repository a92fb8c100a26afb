"""The embedded cloud: MiniStack with its mends, on loopback, with plain paths for the deployed APIs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.environment import BRIDGE, FAULTS, MENDS, WORKERS
from local.journal import Journal

if TYPE_CHECKING:
    from local.asgi import Application, Receive, Scope, Send
    from local.faults import Faults

HTTP_API = "5be11ca5"  # the ids that template.yaml gives its APIs by the tag ms-custom-id
WEBSOCKET_API = "5be11ca6"
REGION = "us-east-1"
HTTP_PREFIX = f"/_aws/execute-api/{HTTP_API}/$default"
WEBSOCKET_PREFIX = f"/_aws/execute-api/{WEBSOCKET_API}/live"
PLAIN_PATHS = ("/v1", "/internal", "/docs", "/openapi.json", "/console")
AUTOSAVE_SECONDS = 5
REMEMBERED = 200  # invocations of each function whose log is kept, events of the bus, histories
STREAM_SECONDS = 600  # after which a change is forgotten by the table's stream


def configure(port: int, directory: Path) -> None:
    """Give this process an environment of its own: the host's would reach MiniStack and every Lambda."""
    scratch = directory / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)  # left behind where the last run was killed
    scratch.mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if name.startswith(WORKERS.name)}
    kept |= {name: os.environ[name] for name in ("PATH", BRIDGE.name, MENDS.name, FAULTS.name) if name in os.environ}
    os.environ.clear()
    os.environ.update(
        kept,
        LANG="C.UTF-8",
        TMPDIR=str(scratch),
        GATEWAY_PORT=str(port),
        MINISTACK_HOST="localhost",
        MINISTACK_REGION=REGION,
        PERSIST_STATE="1",
        STATE_DIR=str(directory / "state"),
        S3_PERSIST="1",
        S3_DATA_DIR=str(directory / "state" / "s3"),
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        DOCKER_HOST=f"unix://{scratch}/no-docker",  # it would otherwise look for containers to remove
        LOG_LEVEL="WARNING",
    )


def gateway(cloud: Application, counts: Any, saved: Saved, faults: Faults | None) -> Application:
    """Lead the plain paths to the deployed APIs and answer for the counters; the rest is MiniStack's."""
    cloud = cloud if faults is None else faults.before(cloud)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http":
            if path.startswith("/_spellcast/counts"):
                if path.endswith("/reset") and scope["method"] == "POST":
                    counts.reset()
                return await answer(send, counts.report())
            if path == "/_spellcast/faults" and faults is not None:
                if scope["method"] == "POST":
                    faults.set(**json.loads((await receive())["body"]))
                return await answer(send, faults.report())
            if path == "/_spellcast/renew" and scope["method"] == "POST":
                from local import mends

                mends.renew_workers()
                return await answer(send, {})
            if path == "/_spellcast/save" and scope["method"] == "POST":
                await saved.everything()
                return await answer(send, {})
            if path == "/" and any(name == b"accept" and b"text/html" in value for name, value in scope["headers"]):
                return await lead_to(send, "/console")  # a browser; an SDK that lists buckets asks for no page
            if any(path == plain or path.startswith(f"{plain}/") for plain in PLAIN_PATHS):
                raw = HTTP_PREFIX.encode() + scope["raw_path"]
                scope = {**scope, "path": HTTP_PREFIX + path, "raw_path": raw}
        elif scope["type"] == "websocket" and path == "/realtime":
            scope = {**scope, "path": WEBSOCKET_PREFIX, "raw_path": WEBSOCKET_PREFIX.encode()}
        await cloud(scope, receive, send)

    return application


async def lead_to(send: Send, path: str) -> None:
    await send({"type": "http.response.start", "status": 302, "headers": [(b"location", path.encode())]})
    await send({"type": "http.response.body", "body": b""})


async def answer(send: Send, content: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


def forget(kept: Path | None) -> None:
    """MiniStack keeps every log, event, history and change of a row in memory; `kept` is a file for the logs."""
    from ministack.services import cloudwatch_logs, dynamodb, eventbridge, stepfunctions

    dynamodb._STREAM_RETENTION_SECONDS = STREAM_SECONDS
    for group in list(cloudwatch_logs._log_groups._data.values()):
        forgotten = [group["streams"].pop(stream) for stream in list(group["streams"])[:-REMEMBERED]]
        if kept is not None:
            with kept.open("a") as file:
                file.writelines(f"{event['message']}\n" for stream in forgotten for event in stream["events"])
    for events in list(eventbridge._events_log._data.values()):
        del events[:-REMEMBERED]
    for execution in list(stepfunctions._executions._data.values())[:-REMEMBERED]:
        if execution["status"] != "RUNNING":
            execution["events"] = []  # its name stays taken, its end stays known


class Saved:
    """The cloud's state on disk: rows in the journal at once, messages every few seconds, the rest when asked for."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._one = asyncio.Lock()  # MiniStack writes a file under one other name, whoever saves
        self._size = journal.size

    async def everything(self) -> None:
        """After a deployment, so that what a kill can take is executions alone; and before a stop."""
        from ministack import app

        async with self._one:
            self._journal.begin()
            app.save_all(app._build_persistence_save_dict())
            self._journal.forget()

    async def changes(self) -> None:
        """Messages; where the journal is long, tables, and with them executions: a sweep begins again what a kill took.

        States are copied on the loop, where the writes happen: each is consistent. What tells how far the stream was
        read is copied before messages and on disk after them: what they were made of is delivered again, if need be.
        """
        from ministack.core.persistence import save_state
        from ministack.services import dynamodb, lambda_svc, sqs, stepfunctions

        async with self._one:
            if self._journal.size == self._size:
                return
            self._size = self._journal.size
            read = list(lambda_svc._dynamodb_stream_positions._data.items())
            rows = None
            if self._journal.is_long:
                rows = dynamodb.get_state()
                self._journal.begin()
            await asyncio.to_thread(save_state, "sqs", sqs.get_state())
            if rows is None:
                self._journal.mark(read)
            else:
                await asyncio.to_thread(save_state, "dynamodb", rows)
                self._journal.forget()
                await asyncio.to_thread(save_state, "stepfunctions", stepfunctions.get_state())


async def autosave(saved: Saved, kept: Path | None, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AUTOSAVE_SECONDS)
        forget(kept)
        await saved.changes()


async def serve(port: int, directory: Path) -> None:
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config
    from ministack import app

    from local import counts as counting
    from local import mends
    from local.faults import Faults

    counts = counting.Counts()
    mends.apply(*counting.state_hooks(counts))
    journal = Journal(directory / "state" / "journal")
    journal.install()
    counting.install(counts)
    config = Config()
    config.bind = [f"{host}:{port}" for host in ("127.0.0.1", BRIDGE.of(os.environ)) if host]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.loglevel = "WARNING"
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    faults = Faults() if FAULTS.name in os.environ else None
    saved = Saved(journal)
    saving = asyncio.create_task(autosave(saved, directory / "forgotten.log" if faults else None, stop))

    async def stopping() -> None:
        await stop.wait()
        await saved.everything()
        mends.close_workers()  # a function that still runs would wait for a gateway that answers no more

    try:
        await hypercorn(gateway(app.app, counts, saved, faults), config, shutdown_trigger=stopping)
    finally:
        stop.set()
        await saving


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True, help="state and scratch files of this cloud")
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    configure(arguments.port, directory)
    asyncio.run(serve(arguments.port, directory))


if __name__ == "__main__":
    main()

"""What copying an output takes: in a process of its own, from a server and to a bucket that keep nothing themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
MEGABYTE = 1024 * 1024
PICTURE_BYTES = 300_000
_PICTURES = 30


@dataclass(frozen=True)
class Copied:
    """`grown` is the highest resident size while the large one was copied, over the size before it."""

    megabytes: int
    seconds: float
    resident: float
    grown: float
    picture_ms: float
    received: int
    requests: int


def copied(megabytes: int) -> Copied:
    """Copies one large output and some pictures."""
    with _servers() as (url, sink):
        command = [sys.executable, "-m", "tests.bench.copying", url, str(megabytes)]
        environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'spellcast'}"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return Copied(megabytes=megabytes, received=sink.received, requests=sink.requests, **json.loads(done.stdout))


class _Server(ThreadingHTTPServer):
    received = 0
    requests = 0


class _Handler(BaseHTTPRequestHandler):
    """`GET /<bytes>` answers so many; everything else is S3 to the extent that uploading needs it."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        left = int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(left))
        self.end_headers()
        while left:
            self.wfile.write(bytes(min(left, 65_536)))
            left -= min(left, 65_536)

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        self.server.requests += 1
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        while left:
            chunk = self.rfile.read(min(left, 65_536))
            self.server.received += len(chunk)
            left -= len(chunk)
        self._answer(b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests += 1
        name = "InitiateMultipartUploadResult" if self.path.endswith("?uploads") else "CompleteMultipartUploadResult"
        self._answer(f"<{name}><UploadId>u</UploadId><ETag>e</ETag></{name}>".encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


@contextmanager
def _servers() -> Iterator[tuple[str, _Server]]:
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _copy(url: str, megabytes: int) -> dict[str, float]:
    import boto3
    from botocore.config import Config

    from spellcast.aws.media_store import S3MediaStore
    from spellcast.outbound.downloads import HttpMediaSource
    from spellcast.outbound.guard import guarded_client

    session = boto3.session.Session("x", "x", region_name="us-east-1")
    client = session.client("s3", endpoint_url=url, config=Config(signature_version="s3v4"))
    store = S3MediaStore(lambda: client, "bucket")
    guarded = guarded_client(True)
    source = HttpMediaSource(lambda: guarded, lambda: guarded)

    def copy(size: int) -> float:
        began = time.perf_counter()
        with source.open(f"{url}/{size}", lambda _: None, max_bytes=size, seconds=120) as chunks:
            assert store.write("media/c/c.0.1/0.bin", chain([next(chunks)], chunks), "image/png") == size
        return time.perf_counter() - began

    pictures = [copy(PICTURE_BYTES) for _ in range(_PICTURES)]
    resident = _memory("VmRSS")
    seconds = copy(megabytes * MEGABYTE)
    return {
        "seconds": seconds,
        "resident": resident,
        # Not getrusage's figure, which is at least that of the process that started this one.
        "grown": _memory("VmHWM") - resident,
        "picture_ms": median(pictures) * 1000,
    }


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


if __name__ == "__main__":
    print(json.dumps(_copy(sys.argv[1], int(sys.argv[2]))))  # noqa: T201

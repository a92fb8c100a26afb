"""A caster's own server, which is told how casts end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.cloud import PATIENCE


@dataclass
class Receiver:
    """A caster's server; `refusals` of its first answers are 500, and none is given while it is held up."""

    refusals: int = 0
    url: str = ""
    calls: queue.Queue[tuple[dict[str, str], bytes]] = field(default_factory=queue.Queue)
    free: threading.Event = field(default_factory=threading.Event)

    def next(self) -> tuple[dict[str, str], bytes]:
        return self.calls.get(timeout=PATIENCE)


@contextmanager
def receiving(refusals: int = 0) -> Iterator[Receiver]:
    receiver = Receiver(refusals)
    receiver.free.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.calls.put(({name.lower(): value for name, value in self.headers.items()}, body))
            receiver.refusals -= 1
            status, text = (500, b"err") if receiver.refusals >= 0 else (200, b"")
            receiver.free.wait(PATIENCE)
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()

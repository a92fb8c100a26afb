"""What moto cannot play: Step Functions, the bus, the WebSocket's connections, providers and casters' receivers;
and the queue, of which only what it is told matters.

One small server on loopback, which remembers what it was asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NO_EXECUTION = (400, {"__type": "ExecutionDoesNotExist", "message": "there is none"})


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


ALWAYS: dict[str, Any] = {
    "ChangeMessageVisibility": {},
    "SendMessage": {"MessageId": "m"},
    "ListExecutions": {"executions": []},
    "StopExecution": {"stopDate": 0},
}


@dataclass
class Neighbours:
    """`answers` are statuses and JSON by path; Step Functions, bus, queue, connections and CodeDeploy answer."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    executions: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def reset(self) -> None:
        self.asked.clear()
        self.answers.clear()
        self.started.clear()
        self.answered.clear()
        self.executions.clear()

    def told(self, action: str) -> list[Any]:
        """What Step Functions, the bus and the queue were told by this action."""
        return [item.json for item in self.asked if item.headers.get("x-amz-target", "").endswith(f".{action}")]

    def posts(self, connection_id: str) -> list[Any]:
        """The messages of a connection."""
        return [item.json for item in self.asked if item.path == f"/live/@connections/{connection_id}"]

    def lines(self, *prefixes: str) -> list[str]:
        """Method and path of what was asked below these paths."""
        return [f"{item.method} {item.path}" for item in self.asked if item.path.startswith(prefixes)]

    def answer(self, asked: Asked) -> tuple[int, Any]:
        self.asked.append(asked)
        if asked.path in self.answers:
            return self.answers[asked.path]
        match asked.headers.get("x-amz-target", "").rpartition(".")[2]:
            case "StartExecution":
                if asked.json["name"] in self.started:
                    return 400, {"__type": "ExecutionAlreadyExists", "message": "it exists"}
                self.started.add(asked.json["name"])
                return 200, {"executionArn": "arn:aws:states:us-east-1:123456789012:execution:x:y", "startDate": 0}
            case "PutEvents":
                entries = [{"EventId": str(number)} for number, _ in enumerate(asked.json["Entries"])]
                return 200, {"FailedEntryCount": 0, "Entries": entries}
            case "SendTaskSuccess" | "SendTaskFailure":
                if asked.json["taskToken"] in self.answered:
                    return 400, {"__type": "TaskTimedOut", "message": "it was answered"}
                self.answered.add(asked.json["taskToken"])
                return 200, {}
            case "PutLifecycleEventHookExecutionStatus":
                if asked.json["lifecycleEventHookExecutionId"] in self.answered:
                    return 400, {"__type": "LifecycleEventAlreadyCompletedException", "message": "it was reported"}
                self.answered.add(asked.json["lifecycleEventHookExecutionId"])
                return 200, {"lifecycleEventHookExecutionId": asked.json["lifecycleEventHookExecutionId"]}
            case "DescribeExecution":
                return self.executions.get(asked.json["executionArn"].rpartition(":")[2], NO_EXECUTION)
            case action if action in ALWAYS:
                return 200, ALWAYS[action]
        return (200, {}) if asked.path.startswith("/live/") else (404, {"detail": "not found"})


@contextmanager
def neighbourhood() -> Iterator[Neighbours]:
    """The server, until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, document = neighbours.answer(Asked(self.command, self.path, headers, body))
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            if status == 410:
                self.send_header("x-amzn-errortype", "GoneException")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_DELETE = do_POST

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    neighbours = Neighbours(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield neighbours
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

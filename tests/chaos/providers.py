"""Three providers and a caster on the other side of every wire: their jobs go on, whoever dies on ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from spellcast.domain import standard_webhooks
from tests.fakes.clock import FakeClock
from tests.fakes.media import PNG

WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a secret of the crashes").decode()
SERVICES = ("openai", "replicate", "comfyui")
# Loopback, where nobody listens: what gets past the choke point fails.
ADDRESSES = {service: f"http://127.0.0.1:{port}" for port, service in enumerate((*SERVICES, "caster"), 11)}
# Seconds from a job's acceptance to its end; more than one poll.
JOB_SECONDS = 12.0
PREDICT_SECONDS = 1.25

CallBack = Callable[[str, dict[str, str], bytes], None]


@dataclass(frozen=True, slots=True)
class AcceptedJob:
    """One job of a service; a webhook's address where it is to be called."""

    service: str
    done_at: datetime
    webhook: str | None = None


class Providers:
    """OpenAI's pictures, Replicate's predictions and ComfyUI's queue, as far as a cast asks for them.

    `asked` has the service of every request that may cost money, in order; `told` what the caster's receiver got, as
    message id and body. Predictions in `failing` fail, and cost nothing. `later` is called with what is to be done
    after some seconds.
    """

    def __init__(
        self, clock: FakeClock, later: Callable[[float, Callable[[], None]], None], call_back: CallBack
    ) -> None:
        self.asked: list[str] = []
        self.jobs: dict[str, AcceptedJob] = {}
        self.cancelled: list[str] = []
        self.told: list[tuple[str, Any]] = []
        self.failing: set[str] = set()
        self._clock = clock
        self._later = later
        self._call_back = call_back

    def answer(self, method: str, url: str, headers: httpx.Headers, body: bytes) -> httpx.Response:
        """What the one at this address answers."""
        parts = urlsplit(url)
        service = next(name for name, address in ADDRESSES.items() if url.startswith(address + "/"))
        if service == "caster":
            self.told.append((headers["webhook-id"], json.loads(body)))
            return httpx.Response(204)
        if parts.path.startswith(("/files/", "/view")):
            return httpx.Response(200, content=PNG)
        match service, method, parts.path.strip("/").split("/"):
            case "openai", "POST", ["images", "generations"]:
                self.asked.append(service)
                usage = {"input_tokens": 1_000, "output_tokens": 2_000}
                return _json({"data": [{"b64_json": base64.b64encode(PNG).decode()}], "usage": usage})
            case "replicate", "POST", [*_, "predictions"]:
                return self._predict(json.loads(body))
            case "replicate", "GET", [*_, run_id]:
                return _json(self._prediction(run_id)) if run_id in self.jobs else _json({}, 404)
            case "replicate" | "comfyui", "POST", [*_, run_id, "cancel"]:
                self.cancelled.append(run_id)
                return _json({})
            case "comfyui", "POST", ["prompt"]:
                self.asked.append(service)
                run_id = json.loads(body)["prompt_id"]
                self.jobs[run_id] = AcceptedJob(service, self._in(JOB_SECONDS))
                return _json({"prompt_id": run_id, "number": 1, "node_errors": {}})
            case "comfyui", "GET", ["history", run_id]:
                return _json({run_id: _FINISHED} if self._is_done(run_id) else {})
            case "comfyui", "GET", ["queue"]:
                running = [[1, run_id] for run_id in self.jobs if not self._is_done(run_id)]
                return _json({"queue_running": running, "queue_pending": []})
        raise AssertionError(f"{service} is asked {method} {parts.path} {parse_qs(parts.query)}")

    def _predict(self, body: Any) -> httpx.Response:
        self.asked.append("replicate")
        run_id = f"prediction-{len(self.jobs)}"
        self.jobs[run_id] = AcceptedJob("replicate", self._in(JOB_SECONDS), body.get("webhook"))
        if "webhook" in body:
            # Twice: a sender that is not sure sends again.
            for seconds in (JOB_SECONDS, JOB_SECONDS + 1):
                self._later(seconds, lambda: self._tell(run_id, body["webhook"]))
        return _json({"id": run_id, "status": "starting"}, 201)

    def _tell(self, run_id: str, address: str) -> None:
        body = json.dumps(self._prediction(run_id)).encode()
        headers = standard_webhooks.sign(WEBHOOK_SECRET, f"msg_{run_id}", self._clock.now(), body)
        self._call_back(address.rpartition("/")[2], headers, body)

    def _prediction(self, run_id: str) -> Any:
        if not self._is_done(run_id):
            return {"id": run_id, "status": "processing"}
        if run_id in self.failing:
            return {"id": run_id, "status": "failed", "error": "No."}
        output = [f"{ADDRESSES['replicate']}/files/{run_id}.png"]
        return {"id": run_id, "status": "succeeded", "output": output, "metrics": {"predict_time": PREDICT_SECONDS}}

    def _is_done(self, run_id: str) -> bool:
        return run_id in self.jobs and self._clock.now() >= self.jobs[run_id].done_at

    def _in(self, seconds: float) -> datetime:
        clock = FakeClock(self._clock.now())
        clock.advance(seconds)
        return clock.now()


_FINISHED = {
    "status": {
        "status_str": "success",
        "completed": True,
        "messages": [["execution_start", {"timestamp": 1_000}], ["execution_success", {"timestamp": 3_500}]],
    },
    "outputs": {"9": {"images": [{"filename": "fox.png", "subfolder": "", "type": "output"}]}},
}


def _json(document: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=document)

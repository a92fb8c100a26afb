"""What Replicate's own client accepts, the demo provider really speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import replicate
from replicate.exceptions import ModelError, ReplicateError
from replicate.prediction import Prediction
from replicate.webhook import InvalidSignatureError, InvalidTimestampError, Webhooks
from starlette.applications import Starlette
from starlette.routing import Mount

from local.demo_provider import WEBHOOK_SECRET
from local.demo_provider.replicate import Replicate
from local.demo_provider.switches import Switches
from tests.providers.comfydeploy import PNG
from tests.providers.serving import serving
from tests.receiver import receiving

MODEL = "black-forest-labs/flux-schnell"
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
ASKED = {"prompt": "a fox"}


@pytest.fixture
def switches() -> Switches:
    return Switches(0.05)


@pytest.fixture
def url(switches: Switches) -> Iterator[str]:
    fake = Replicate(switches, WEBHOOK_SECRET, lambda *asked: PNG, lambda picture, factor: picture * 2)
    app = Starlette(routes=[Mount("/replicate", routes=fake.routes())], lifespan=fake.lifespan)
    with serving(app) as address:
        yield f"{address}/replicate"


@contextmanager
def client_at(url: str, token: str = "r8_token") -> Iterator[Any]:
    made = replicate.Client(api_token=token, base_url=url)
    made.poll_interval = 0.01
    yield made
    made._client.close()


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with client_at(url) as made:
        yield made


@pytest.mark.parametrize(
    ("target", "model", "version"),
    [
        ({"version": VERSION}, "demo/model", VERSION),
        ({"model": MODEL}, MODEL, "hidden"),
        ({"deployment": "me/mine"}, "me/mine", "hidden"),
    ],
    ids=["version", "model", "deployment"],
)
def test_a_prediction_is_created_polled_and_read(
    client: Any, switches: Switches, target: dict[str, str], model: str, version: str
) -> None:
    created = client.predictions.create(**target, input=ASKED)
    assert (created.status, created.output, created.input) == ("starting", None, ASKED)
    assert (created.model, created.version) == (model, version)
    created.wait()
    assert created.status == "succeeded" and created.metrics["predict_time"] > 0
    assert created.created_at <= created.started_at <= created.completed_at
    assert client.predictions.get(created.id).output == created.output
    assert httpx.get(created.output[0]).content == PNG
    assert switches.counts["submits"] == 1


def test_an_answer_that_waits_for_the_output(client: Any, switches: Switches) -> None:
    done = client.predictions.create(version=VERSION, input=ASKED, wait=True)
    assert (done.status, len(done.output)) == ("succeeded", 1)
    assert client.predictions.create(version=VERSION, input={"prompt": "[fault:stall]"}, wait=1).status == "processing"
    (picture,) = client.run(MODEL, input=ASKED)
    larger = client.run(MODEL, input={"image": str(picture), "scale_factor": 2})
    assert httpx.get(larger[0]).content == PNG * 2
    assert switches.counts["submits"] == 4 and switches.counts["polls"] == 0


def test_progress_is_in_the_logs(client: Any) -> None:
    prediction = client.models.predictions.create(MODEL, input={"prompt": "[seconds:1]"})
    while prediction.progress is None or prediction.progress.current == 0:
        prediction.reload()
    assert prediction.status == "processing"
    assert (prediction.progress.percentage, prediction.progress.total) == (prediction.progress.current / 4, 4)


def test_a_prediction_that_fails(client: Any) -> None:
    prediction = client.models.predictions.create(MODEL, input={"prompt": "[fault:fail]"})
    prediction.wait()
    assert (prediction.status, prediction.error, prediction.output) == ("failed", "CUDA out of memory", None)
    with pytest.raises(ModelError, match="CUDA out of memory"):
        client.run(MODEL, input={"prompt": "[fault:fail]"})


def test_a_cancelled_prediction(client: Any) -> None:
    prediction = client.models.predictions.create(MODEL, input={"prompt": "[fault:stall]"})
    prediction.cancel()
    assert prediction.status == "canceled"
    assert client.predictions.cancel(prediction.id).status == "canceled", "twice is as good as once"
    assert client.predictions.get(prediction.id).completed_at is not None


def test_webhooks_are_valid_to_the_client(client: Any) -> None:
    secret = client.webhooks.default.secret()
    assert secret.key == WEBHOOK_SECRET
    with receiving(refusals=1) as receiver:
        created = client.models.predictions.create(
            MODEL, input=ASKED, webhook=f"{receiver.url}?token=a.b", webhook_events_filter=["completed"]
        )
        refused, (headers, body) = receiver.next(), receiver.next()
    assert refused[0]["webhook-id"] == headers["webhook-id"], "what was not taken comes again"
    Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)
    told = Prediction.parse_raw(body)
    assert (told.id, told.status, len(told.output)) == (created.id, "succeeded", 1)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=headers, body=body.decode() + " ", secret=secret)
    with pytest.raises(InvalidTimestampError):
        stale = headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)}
        Webhooks.validate(headers=stale, body=body.decode(), secret=secret, tolerance=300)


def test_a_forged_webhook_is_not(client: Any) -> None:
    with receiving() as receiver:
        client.models.predictions.create(MODEL, input={"prompt": "[fault:forge]"}, webhook=receiver.url)
        headers, body = receiver.next()
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=headers, body=body.decode(), secret=client.webhooks.default.secret())


@pytest.mark.parametrize(
    ("mark", "status", "detail"),
    [
        ("refuse", 422, "- input: prompt or image is required"),
        ("throttle", 429, "Request was throttled. Your rate limit resets in ~30s."),
        ("broken", 502, None),
    ],
)
def test_refusals_are_problems(client: Any, switches: Switches, mark: str, status: int, detail: str | None) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.models.predictions.create(MODEL, input={"prompt": f"[fault:{mark}]"})
    assert (caught.value.status, caught.value.detail) == (status, detail)
    assert switches.counts["submits"] == 1, "this client repeats no POST either"


def test_answers_that_are_lost(client: Any, switches: Switches) -> None:
    with pytest.raises(ValueError, match="Unterminated string"):
        client.models.predictions.create(MODEL, input={"prompt": "[fault:garbage]"})
    # A submit of this client's that does not ask to wait has no time-out at all.
    with pytest.raises(httpx.ReadTimeout):
        client.predictions.create(VERSION, {"prompt": "[fault:hang]"}, wait=1)
    assert switches.counts["submits"] == 2


def test_a_question_that_is_not_answered(client: Any) -> None:
    prediction = client.models.predictions.create(MODEL, input={"prompt": "[fault:hiccup]"})
    with pytest.raises(ReplicateError) as caught:
        prediction.reload()
    assert caught.value.status == 500
    prediction.wait()
    assert prediction.status == "succeeded"


@pytest.mark.parametrize(("token", "status"), [("r8_token", 404), ("", 401)])
def test_no_token_and_an_unknown_prediction(url: str, monkeypatch: pytest.MonkeyPatch, token: str, status: int) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    with client_at(url, token) as client:
        for ask in (client.predictions.get, client.predictions.cancel):
            with pytest.raises(ReplicateError) as caught:
                ask("unknown")
            assert caught.value.status == status

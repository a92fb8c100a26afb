"""A deployment on moto and loopback in which a handler runs as it does on AWS."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from spellcast import bootstrap
from spellcast.domain.identifiers import fingerprint
from spellcast.observability import logger
from spellcast.ports.store import ApiKey
from tests.contract.deployment import BUCKET, REGION, TABLE, deployed, session
from tests.functions import permissions
from tests.functions.neighbours import Neighbours, neighbourhood
from tests.functions.scene import (
    ACCOUNT,
    API_KEY,
    INTERNAL_KEY,
    PROVIDER_KEY,
    PROVIDER_WEBHOOK_SECRET,
    SECRETS,
    SIGNING_KEY,
    WEBHOOK_QUEUE,
    Scene,
    now,
    secrets_manager,
)

BUS = "spellcast-test"


@pytest.fixture(scope="session")
def loopback() -> Iterator[Neighbours]:
    with neighbourhood() as neighbours:
        yield neighbours


@pytest.fixture
def scene(loopback: Neighbours, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    loopback.reset()
    environment = {
        "SPELLCAST_TABLE": TABLE,
        "SPELLCAST_BUCKET": BUCKET,
        "SPELLCAST_BUS": BUS,
        "SPELLCAST_HTTP_URL": "https://api.example",
        "SPELLCAST_WEBSOCKET_URL": "wss://socket.example/live",
        "SPELLCAST_WEBSOCKET_ENDPOINT": f"{loopback.url}/live",
        "SPELLCAST_CAST_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:spellcast-cast-test:live",
        "SPELLCAST_POLL_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:spellcast-poll-test:live",
        "SPELLCAST_SECRETS": "spellcast/test/",
        "SPELLCAST_JWT_ISSUER": "",
        "SPELLCAST_JWT_AUDIENCE": "",
        "SPELLCAST_ALLOW_LOOPBACK": "true",
        "SPELLCAST_WEBHOOK_QUEUE": WEBHOOK_QUEUE,
        "SPELLCAST_WEBHOOK_BACKOFF_SECONDS": "5,30",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_SFN": loopback.url,
        "AWS_ENDPOINT_URL_EVENTBRIDGE": loopback.url,
        "AWS_ENDPOINT_URL_SQS": loopback.url,
        "AWS_ENDPOINT_URL_CODEDEPLOY": loopback.url,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forbidden = _watch_calls(monkeypatch)
    # The service models are read once; the clients are the function's own.
    shared = session()
    monkeypatch.setattr(boto3.session, "Session", lambda: shared)
    log, everything = io.StringIO(), io.StringIO()
    listener = logging.StreamHandler(everything)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [*root.handlers, listener])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    with deployed() as (dynamodb, s3):
        restart = _restarter(log)
        restart()
        scene = Scene(dynamodb, s3, loopback, log, restart)
        scene.access.create_api_key(ApiKey(fingerprint(API_KEY), ACCOUNT, now()))
        _create_secrets(loopback.url)
        yield scene
        restart()
    assert forbidden == []
    printed = capsys.readouterr()
    for secret in SECRETS:
        logged = log.getvalue() + everything.getvalue() + printed.out + printed.err
        assert secret not in logged, "a secret or a prompt reached the log"


def _watch_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills with the calls of handlers that their roles do not allow."""
    forbidden: list[str] = []
    connect = bootstrap.Parts._client

    def watched(self: bootstrap.Parts, service: str, **options: Any) -> Any:
        client = connect(self, service, **options)
        kind = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(
            "before-parameter-build.*.*",
            lambda params, model, **_: note(kind, model.name, params),
        )
        return client

    def note(kind: str, operation: str, params: dict[str, Any]) -> None:
        if function := permissions.caller():
            forbidden.extend(permissions.refusals(function, kind, operation, params))

    monkeypatch.setattr(bootstrap.Parts, "_client", watched)
    return forbidden


def _restarter(log: io.StringIO) -> Callable[[], None]:
    """Makes the next invocation a cold one."""

    def restart() -> None:
        for member in vars(bootstrap).values():
            if hasattr(member, "cache_clear"):
                member.cache_clear()
        logger().remove_keys(["castId", "generationId"])
        for handler in logging.getLogger("spellcast").handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(log)

    return restart


def _create_secrets(provider_url: str) -> None:
    provider = json.dumps({"url": provider_url, "key": PROVIDER_KEY, "webhookSecret": PROVIDER_WEBHOOK_SECRET})
    keys = {"callback-signing": SIGNING_KEY, "internal-key": INTERNAL_KEY}
    for name, value in {**keys, "comfyui": provider, "replicate": provider}.items():
        secrets_manager().create_secret(Name=f"spellcast/test/{name}", SecretString=value)

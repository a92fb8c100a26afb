"""The records that the events speak of, and what must never reach a log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Any

from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.cast_store import DynamoCastStore
from spellcast.aws.documents import DocumentStore
from spellcast.aws.spell_store import DynamoSpellStore
from spellcast.aws.table import Table
from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from spellcast.domain.spells import Spell, SpellVersion
from tests.contract.deployment import BUCKET, ROOT, TABLE, properties, session
from tests.functions.neighbours import Neighbours

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient

ACCOUNT = "acct-5f21"
CAST = "0d9c1c5c6b7f4e7f9d1a2b3c4d5e6f70"
SPELL = "9a1e4d7c2b3f4a5d8e6f7a8b9c0d1e2f"
CONNECTION = "L0SM9cOFvHcCIhw="
PROMPT = "a red fox in deep snow"

API_KEY = "sk-of-the-events-6f1d"
TICKET = "N3cQ0bJ5-ticket-of-the-events-x8Zt"
TASK_TOKEN = "AQCEAAAAKgAAAAMAAAAA-task-token-of-the-events"
INTERNAL_KEY = "internal-key-of-the-events"
SIGNING_KEY = "callback-signing-key-of-the-events"
PROVIDER_KEY = "r8-provider-key-of-the-events"
# base64 of "webhook secret of the events"
PROVIDER_WEBHOOK_SECRET = "whsec_d2ViaG9vayBzZWNyZXQgb2YgdGhlIGV2ZW50cw=="
WEBHOOK_SECRET = "casters-webhook-secret-of-the-events"
WEBHOOK_TOKEN = "token-in-the-casters-url"
WEBHOOK_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/spellcast-dev-webhooks"
SECRETS = (
    PROMPT,
    API_KEY,
    TICKET,
    TASK_TOKEN,
    INTERNAL_KEY,
    SIGNING_KEY,
    PROVIDER_KEY,
    PROVIDER_WEBHOOK_SECRET.removeprefix("whsec_"),
    WEBHOOK_SECRET,
    WEBHOOK_TOKEN,
)

STEPS: list[dict[str, Any]] = [
    {
        "id": "n0",
        "toolIdentifier": "string-primitive",
        "parameterMappings": {"appendText": {"type": "static", "value": ", oil on canvas"}},
        "outputMappings": {"text": "input_prompt"},
    },
    {"id": "n1", "toolIdentifier": "comfyui-text-to-image"},
    {"id": "n2", "toolIdentifier": "replicate-flux-schnell"},
]
SEGMENTS = [[0, 1, 1, 975], [2, 2, 1, 915]]


def load_event(name: str) -> dict[str, Any]:
    """`events/<name>.json`."""
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text("utf-8"))
    return event


@cache
def secrets_manager() -> SecretsManagerClient:
    """moto's, or that of nobody outside of a scene."""
    return session().client("secretsmanager")


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """EventBridge's and Lambda's rule for patterns of plain values, and of beginnings that a text must not have."""
    return all(
        isinstance(event.get(key), dict) and matches(wanted, event[key])
        if isinstance(wanted, dict)
        else any(
            not str(event.get(key)).startswith(value["anything-but"]["prefix"])
            if isinstance(value, dict) and "anything-but" in value
            else event.get(key) == value
            for value in wanted
        )
        for key, wanted in pattern.items()
    )


def now() -> datetime:
    """To the millisecond, as records keep it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass
class Scene:
    """A deployment of one account with one spell, whose functions run in this process."""

    dynamodb: DynamoDBClient
    s3: S3Client
    neighbours: Neighbours
    log: StringIO
    restart: Callable[[], None]
    table_name: str = TABLE
    bucket: str = BUCKET

    def __post_init__(self) -> None:
        table = Table(self.dynamodb, self.table_name)
        documents = DocumentStore(lambda: self.s3, self.bucket)
        self.table = table
        self.casts = DynamoCastStore(table, documents)
        self.spells = DynamoSpellStore(table, documents)
        self.access = DynamoAccessStore(table)

    def add_spell(self, steps: list[dict[str, Any]] | None = None) -> None:
        """The events' spell."""
        spell = Spell(
            spell_id=SPELL,
            account_id=ACCOUNT,
            slug="fox",
            name="Fox",
            visibility="private",
            version=1,
            created_at=now(),
            updated_at=now(),
        )
        content = {"steps": STEPS if steps is None else steps}
        version = SpellVersion(spell_id=SPELL, version=1, name="Fox", content=content, created_at=now())
        self.spells.create_spell(spell, version)

    def add_cast(self, **changes: Any) -> Cast:
        """The events' cast, running."""
        fields: dict[str, Any] = {
            "cast_id": CAST,
            "account_id": ACCOUNT,
            "spell_id": SPELL,
            "spell_slug": "fox",
            "spell_name": "Fox",
            "version": 1,
            "inputs": {"prompt": PROMPT, "input_prompt": PROMPT},
            "step_count": 3,
            "started_at": now(),
            "deadline_at": now() + timedelta(minutes=40),
            "updated_at": now(),
            "request_fingerprint": "f",
        }
        cast = Cast(**{**fields, **changes})
        self.casts.create_cast(cast)
        return cast

    def add_generation(self, step_index: int, **changes: Any) -> Generation:
        """A generation of the events' cast, waiting for its job."""
        tools = [
            ("string-primitive", "String", "string", "immediate"),
            ("comfyui-text-to-image", "ComfyUI Text to Image", "comfyui", "async"),
            ("replicate-flux-schnell", "FLUX Schnell", "replicate", "webhook"),
        ]
        tool_id, display_name, service, mode = tools[step_index]
        fields: dict[str, Any] = {
            "cast_id": CAST,
            "account_id": ACCOUNT,
            "spell_id": SPELL,
            "step_index": step_index,
            "step_id": f"n{step_index}",
            "attempt": 1,
            "tool_id": tool_id,
            "tool_display_name": display_name,
            "service_name": service,
            "delivery_mode": mode,
            "status": "processing",
            "revision": 2,
            "request_payload": {"prompt": PROMPT},
            "request_timestamp": now(),
            "deadline_at": now() + timedelta(minutes=15),
            "task_token": TASK_TOKEN,
            "run_id": f"job-of-step-{step_index}",
        }
        generation = Generation(**{**fields, **changes})
        self.casts.save_generation(generation, None)
        return generation

    def cast(self) -> Cast:
        found = self.casts.get_cast(CAST)
        assert found is not None
        return found

    def generation(self, step_index: int) -> Generation:
        found = self.casts.get_generation(f"{CAST}.{step_index}.1")
        assert found is not None
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Everything stored, to compare before and after."""
        items = self.dynamodb.scan(TableName=self.table_name)["Items"]
        return sorted((dict(item) for item in items), key=str)

    def published(self, rule: str | None = None) -> list[Any]:
        """The events that were put on the bus, or those of them that a rule of the template matches."""
        entries = [entry for put in self.neighbours.told("PutEvents") for entry in put["Entries"]]
        events = [
            {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
            for entry in entries
            if entry["EventBusName"] == "spellcast-test"
        ]
        return [event for event in events if rule is None or matches(properties(rule)["EventPattern"], event)]

    def entries(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

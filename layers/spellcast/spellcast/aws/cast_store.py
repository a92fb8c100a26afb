"""Casts and generations: one partition a cast, so that one query reads all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Row, Table
from spellcast.domain import times
from spellcast.domain.budgets import DailyBudget, Reservation
from spellcast.domain.casts import Cast, CastFailure, CastStatus, Closing, Delivery, OpenCast
from spellcast.domain.documents import Unread
from spellcast.domain.generations import Generation
from spellcast.domain.identifiers import generation_id, parse_generation_id, shard_of
from spellcast.domain.results import Failure, ToolResult, Usage
from spellcast.ports.store import Page

CAST = "CAST"
GENERATION = "GENERATION"
# Partitions of the index of open casts: one takes 1,000 writes a second.
OPEN_SHARDS = 8
# What can be large; the other documents of a row are small, and stay in it while one of these is larger.
_LARGE = ("inputs", "metadata", "settings", "overrides", "outputs", "requestPayload", "responsePayload", "collection")


@dataclass(frozen=True, slots=True)
class DynamoCastStore:
    """Implements `ports.store.CastStore`."""

    table: Table
    documents: DocumentStore

    def create_cast(self, cast: Cast) -> None:
        """Raises WriteConflict where the cast exists."""
        self.table.create(self._cast_row(cast))

    def get_cast(self, cast_id: str) -> Cast | None:
        """The cast alone."""
        row = self.table.get(_pk(cast_id), CAST)
        return self.to_cast(row) if row else None

    def load_cast(self, cast_id: str, *, whole: bool = True) -> tuple[Cast, list[Generation]] | None:
        """One query, and nothing besides where they need not be whole; the cast's sort key comes first."""
        rows = list(self.table.query(_pk(cast_id)))
        if not rows or rows[0]["entity"] != CAST:
            return None
        return self.to_cast(rows[0], whole=whole), [self.to_generation(row, whole=whole) for row in rows[1:]]

    def list_casts(
        self,
        account_id: str,
        *,
        status: CastStatus | None,
        limit: int,
        cursor: str | None,
        spell_id: str | None = None,
    ) -> Page[Cast]:
        """The account's casts, latest first, without what is not in their rows.

        Raises InvalidInput for a cursor that is none.
        """
        partition = f"ACCOUNT#{account_id}#CASTS"
        rows, following = self.table.list_index(
            partition, status=status, limit=limit, cursor=cursor, key="CAST#{id}/CAST", spell_id=spell_id
        )
        return Page([self.to_cast(row, whole=False) for row in rows], following)

    def list_open_casts(self, before: datetime) -> Iterator[OpenCast]:
        """From the index alone, shard by shard."""
        for shard in range(OPEN_SHARDS):
            for row in self.table.query_open(f"OPEN#{shard}", times.to_text(before)):
                yield OpenCast(
                    row["pk"].removeprefix("CAST#"),
                    row["execution"],
                    times.from_text(row["deadlineAt"]),
                    _time(row.get("completedAt") or row.get("failedAt")),
                )

    def save_cast(self, cast: Cast, previous: Cast) -> None:
        """Raises WriteConflict where the row is not `previous` any more."""
        self.table.replace(self._cast_row(cast), previous.revision)

    def erase_cast(self, cast_id: str) -> None:
        """What of it lies in the bucket stays there."""
        self.table.erase(_pk(cast_id))

    def get_generation(self, generation_id: str) -> Generation | None:
        """By its id alone: the id is the key."""
        key = parse_generation_id(generation_id)
        row = self.table.get(_pk(key.cast_id), _sk(key.step_index, key.attempt)) if key else None
        return self.to_generation(row) if row else None

    def save_generation(self, generation: Generation, previous: Generation | None) -> None:
        """Raises WriteConflict where the row is not `previous` any more."""
        row = self._generation_row(generation)
        if previous is None:
            self.table.create(row)
        else:
            self.table.replace(row, previous.revision)

    def to_cast(self, row: Row, *, whole: bool = True) -> Cast:
        """A cast's row, from the table or from its stream; not whole where only what is in the row is wanted."""
        unread = {} if whole else self.documents.apart(row, _LARGE)
        failure = self.documents.unpack(row, "failure")
        return Cast(
            cast_id=row["castId"],
            account_id=row["accountId"],
            spell_id=row["spellId"],
            spell_slug=row["spellSlug"],
            spell_name=row["spellName"],
            version=row["version"],
            inputs=self.documents.unpack(row, "inputs", unread) or {},
            step_count=row["stepCount"],
            started_at=times.from_text(row["startedAt"]),
            deadline_at=times.from_text(row["deadlineAt"]),
            updated_at=times.from_text(row["updatedAt"]),
            request_fingerprint=row["requestFingerprint"],
            status=row["status"],
            revision=row["revision"],
            execution=row.get("execution", 1),
            attempt=row.get("attempt", 1),
            first_step=row.get("firstStep", 0),
            resumed_at=_time(row.get("resumedAt")),
            resumed_by=row.get("resumedBy"),
            overrides=self.documents.unpack(row, "overrides", unread) or {},
            metadata=self.documents.unpack(row, "metadata", unread) or {},
            settings=self.documents.unpack(row, "settings", unread) or {},
            budget_usd=_decimal(row.get("budgetUsd")),
            webhook_url=row.get("webhookUrl"),
            webhook_secret=row.get("webhookSecret"),
            cost_usd=Decimal(row["costUsd"]),
            points_spent=row["pointsSpent"],
            outputs=self.documents.unpack(row, "outputs", unread),
            step_generation_ids=tuple(
                named if isinstance(named, str) else generation_id(row["castId"], *named)
                for named in self.documents.unpack(row, "stepGenerationIds") or ()
            ),
            completed_at=_time(row.get("completedAt")),
            failed_at=_time(row.get("failedAt")),
            cancel_requested_at=_time(row.get("cancelRequestedAt")),
            cancelled_at=_time(row.get("cancelledAt")),
            failure=CastFailure(**failure) if failure else None,
            delivery=_to_delivery(row),
            daily_budget=DailyBudget(row["budgetDay"], Decimal(row["dailyBudgetUsd"])) if "budgetDay" in row else None,
            creator_id=row.get("creatorId"),
            closings=tuple(
                Closing(execution, tuple(billed)) for execution, billed in self.documents.unpack(row, "closings") or ()
            ),
            unread=unread,
        )

    def to_generation(self, row: Row, *, whole: bool = True) -> Generation:
        """A generation's row, from the table or from its stream; not whole where only what is in the row is wanted."""
        unread = {} if whole else self.documents.apart(row, _LARGE)
        failure = self.documents.unpack(row, "failure")
        return Generation(
            cast_id=row["castId"],
            account_id=row["accountId"],
            spell_id=row["spellId"],
            step_index=row["stepIndex"],
            step_id=row["stepId"],
            attempt=row["attempt"],
            tool_id=row["toolId"],
            tool_display_name=row["toolDisplayName"],
            service_name=row["serviceName"],
            delivery_mode=row["deliveryMode"],
            status=row["status"],
            revision=row["revision"],
            request_payload=self.documents.unpack(row, "requestPayload", unread) or {},
            request_timestamp=times.from_text(row["requestTimestamp"]),
            deadline_at=times.from_text(row["deadlineAt"]),
            task_token=row.get("taskToken"),
            run_id=row.get("runId"),
            result=self._to_result(row, unread),
            received_at=_time(row.get("receivedAt")),
            cost_usd=Decimal(row["costUsd"]),
            points_spent=row["pointsSpent"],
            failure=Failure(**failure) if failure else None,
            response_timestamp=_time(row.get("responseTimestamp")),
            duration_ms=row.get("durationMs"),
            billed_late=row.get("billedLate", False),
            collection=self.documents.unpack(row, "collection", unread) or {},
            slots=tuple(self.documents.unpack(row, "slots") or ()),
            fallback_from=self.documents.unpack(row, "fallbackFrom") or {},
            execution=row.get("execution", 1),
            reservation=Reservation(row["reservedOn"], Decimal(row["reservedUsd"])) if "reservedOn" in row else None,
            billed_at=_time(row.get("billedAt")),
            unread=unread,
        )

    def _to_result(self, row: Row, unread: Unread) -> ToolResult | None:
        if "resultStatus" not in row:
            return None
        failure = self.documents.unpack(row, "resultFailure")
        return ToolResult(
            status=row["resultStatus"],
            payload=tuple(self.documents.unpack(row, "responsePayload", unread) or ()),
            cost_usd=_decimal(row.get("resultCostUsd")),
            duration_ms=row.get("resultDurationMs"),
            failure=Failure(**failure) if failure else None,
            usage=Usage(row["inputTokens"], row["outputTokens"]) if "inputTokens" in row else None,
        )

    def _cast_row(self, cast: Cast) -> Row:
        delivery = cast.delivery
        listed = f"{times.to_text(cast.started_at)}#{cast.cast_id}"
        return {
            "pk": _pk(cast.cast_id),
            "sk": CAST,
            "gsi1pk": f"ACCOUNT#{cast.account_id}#CASTS",
            "gsi1sk": listed,
            "gsi2pk": f"OPEN#{shard_of(cast.cast_id, OPEN_SHARDS)}" if cast.is_open else None,
            "gsi2sk": listed if cast.is_open else None,
            "entity": CAST,
            "castId": cast.cast_id,
            "accountId": cast.account_id,
            "spellId": cast.spell_id,
            "spellSlug": cast.spell_slug,
            "spellName": cast.spell_name,
            "version": cast.version,
            "stepCount": cast.step_count,
            "startedAt": times.to_text(cast.started_at),
            "deadlineAt": times.to_text(cast.deadline_at),
            "updatedAt": times.to_text(cast.updated_at),
            "requestFingerprint": cast.request_fingerprint,
            "status": cast.status,
            "revision": cast.revision,
            "execution": cast.execution,
            "attempt": cast.attempt,
            "firstStep": cast.first_step,
            "resumedAt": _text(cast.resumed_at),
            "resumedBy": cast.resumed_by,
            "budgetUsd": cast.budget_usd,
            "budgetDay": cast.daily_budget.day if cast.daily_budget else None,
            "dailyBudgetUsd": cast.daily_budget.most_usd if cast.daily_budget else None,
            "creatorId": cast.creator_id,
            "webhookUrl": cast.webhook_url,
            "webhookSecret": cast.webhook_secret,
            "costUsd": cast.cost_usd,
            "pointsSpent": cast.points_spent,
            "completedAt": _text(cast.completed_at),
            "failedAt": _text(cast.failed_at),
            "cancelRequestedAt": _text(cast.cancel_requested_at),
            "cancelledAt": _text(cast.cancelled_at),
            "deliveryStatus": delivery.status if delivery else None,
            "deliveryAttempts": delivery.attempts if delivery else None,
            "deliveryError": delivery.error if delivery else None,
            "deliveryTimestamp": _text(delivery.at) if delivery else None,
            **self.documents.pack(
                cast.cast_id,
                {
                    "inputs": cast.inputs or None,
                    "metadata": cast.metadata or None,
                    "settings": cast.settings or None,
                    "overrides": cast.overrides or None,
                    "outputs": cast.outputs,
                    # Ten whole ids would make it a row of two write units.
                    "stepGenerationIds": [_named(id, cast.cast_id) for id in cast.step_generation_ids] or None,
                    "failure": asdict(cast.failure) if cast.failure else None,
                    "closings": [[closing.execution, list(closing.billed)] for closing in cast.closings] or None,
                },
                cast.unread,
            ),
        }

    def _generation_row(self, generation: Generation) -> Row:
        result = generation.result
        return {
            "pk": _pk(generation.cast_id),
            "sk": _sk(generation.step_index, generation.attempt),
            "entity": GENERATION,
            "castId": generation.cast_id,
            "accountId": generation.account_id,
            "spellId": generation.spell_id,
            "stepIndex": generation.step_index,
            "stepId": generation.step_id,
            "attempt": generation.attempt,
            "toolId": generation.tool_id,
            "toolDisplayName": generation.tool_display_name,
            "serviceName": generation.service_name,
            "deliveryMode": generation.delivery_mode,
            "status": generation.status,
            "revision": generation.revision,
            "requestTimestamp": times.to_text(generation.request_timestamp),
            "deadlineAt": times.to_text(generation.deadline_at),
            "taskToken": generation.task_token,
            "runId": generation.run_id,
            "receivedAt": _text(generation.received_at),
            "costUsd": generation.cost_usd,
            "pointsSpent": generation.points_spent,
            "responseTimestamp": _text(generation.response_timestamp),
            "durationMs": generation.duration_ms,
            "billedLate": generation.billed_late or None,
            "billedAt": _text(generation.billed_at),
            "execution": generation.execution if generation.execution > 1 else None,
            "reservedOn": generation.reservation.day if generation.reservation else None,
            "reservedUsd": generation.reservation.amount_usd if generation.reservation else None,
            "resultStatus": result.status if result else None,
            "resultCostUsd": result.cost_usd if result else None,
            "resultDurationMs": result.duration_ms if result else None,
            "inputTokens": result.usage.input_tokens if result and result.usage else None,
            "outputTokens": result.usage.output_tokens if result and result.usage else None,
            **self.documents.pack(
                f"{generation.cast_id}/{generation.generation_id}",
                {
                    "requestPayload": generation.request_payload or None,
                    "responsePayload": list(result.payload) if result and result.payload else None,
                    "resultFailure": asdict(result.failure) if result and result.failure else None,
                    "failure": asdict(generation.failure) if generation.failure else None,
                    "collection": generation.collection or None,
                    "slots": list(generation.slots) or None,
                    "fallbackFrom": generation.fallback_from or None,
                },
                generation.unread,
            ),
        }


def _to_delivery(row: Row) -> Delivery | None:
    if "deliveryStatus" not in row:
        return None
    at = times.from_text(row["deliveryTimestamp"])
    return Delivery(row["deliveryStatus"], row["deliveryAttempts"], at, row.get("deliveryError"))


def _named(generation_id: str, cast_id: str) -> str | tuple[int, int]:
    """The cast's own generations by step and attempt, others by their ids."""
    key = parse_generation_id(generation_id)
    return (key.step_index, key.attempt) if key and key.cast_id == cast_id else generation_id


def _pk(cast_id: str) -> str:
    return f"CAST#{cast_id}"


def _sk(step_index: int, attempt: int) -> str:
    return f"{GENERATION}#{step_index:04d}#{attempt:04d}"


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _time(text: str | None) -> datetime | None:
    return None if text is None else times.from_text(text)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else times.to_text(moment)

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from spellcast.domain import documents
from spellcast.domain.casts import Cast, CastFailure, Delivery
from spellcast.domain.pipeline import assembled_metadata
from spellcast.domain.resources import (
    cast_record,
    cast_resource,
    generation_record,
    generation_resource,
    permission_resource,
    spell_resource,
    within,
)
from spellcast.domain.results import Failure
from spellcast.domain.spells import Permission, Spell, SpellVersion
from tests.fakes.clock import START
from tests.fakes.records import a_cast, a_generation, in_seconds, text_result

# Contract §4; `revision` stands beside them as in every message (contract §5).
CAST = {
    *("castId", "spellId", "spellSlug", "spellName", "version", "status", "inputs", "stepCount", "stepGenerationIds"),
    *("costUsd", "pointsSpent", "startedAt", "updatedAt", "metadata", "revision", "outputs"),
}
GENERATION = {
    *("generationId", "castId", "spellId", "stepIndex", "stepId", "attempt", "toolId", "toolDisplayName"),
    *("serviceName", "status", "requestPayload", "responsePayload", "outputs", "costUsd", "pointsSpent"),
    *("requestTimestamp", "deliveryStrategy", "deliveryStatus", "metadata", "revision", "durationMs"),
}
FAILURE = CastFailure("JOB_FAILED", "No cats.", 1, "n1", "c1.1.1")
VERSION = SpellVersion(
    spell_id="s1",
    version=2,
    name="A spell",
    content={"description": "", "steps": [{"id": "n1", "toolIdentifier": "tool"}], "tags": ["t"]},
    created_at=START,
)


def a_spell(**changes: Any) -> Spell:
    values: dict[str, Any] = {
        "spell_id": "s1",
        "account_id": "alice",
        "slug": "a-spell",
        "name": "A spell",
        "visibility": "private",
        "version": 2,
        "created_at": START,
        "updated_at": in_seconds(1),
        **changes,
    }
    return Spell(**values)


def test_a_running_casts_keys() -> None:
    assert set(cast_resource(a_cast())) == CAST


def test_what_is_not_optional_is_always_there() -> None:
    assert cast_resource(a_cast())["outputs"] == {}
    assert generation_resource(a_generation())["durationMs"] is None


def test_a_completed_cast() -> None:
    cast = a_cast(
        status="completed",
        revision=2,
        cost_usd=Decimal("4E-7"),
        points_spent=3,
        step_generation_ids=("c1.0.1",),
        outputs={"text": "t"},
        completed_at=in_seconds(7),
        updated_at=in_seconds(7),
        budget_usd=Decimal("1.50"),
        metadata={"cookId": "k"},
    )
    assert cast_resource(cast) == {
        "castId": "c1",
        "spellId": "s1",
        "spellSlug": "a-spell",
        "spellName": "A spell",
        "version": 1,
        "status": "completed",
        "revision": 2,
        "inputs": {"prompt": "a cat"},
        "stepCount": 1,
        "stepGenerationIds": ["c1.0.1"],
        "costUsd": "0.0000004",
        "pointsSpent": 3,
        "outputs": {"text": "t"},
        "startedAt": "2026-01-31T12:00:00.000Z",
        "updatedAt": "2026-01-31T12:00:07.000Z",
        "completedAt": "2026-01-31T12:00:07.000Z",
        "delivery": {"deliveryStatus": "pending"},
        "budgetUsd": "1.5",
        "metadata": {"cookId": "k"},
    }


@pytest.mark.parametrize(
    ("delivery", "shown"),
    [
        (None, {"deliveryStatus": "pending"}),
        (
            Delivery("sent", 2, in_seconds(12)),
            {"deliveryStatus": "sent", "deliveryAttempts": 2, "deliveryTimestamp": "2026-01-31T12:00:12.000Z"},
        ),
        (
            Delivery("failed", 3, in_seconds(50), "Webhook returned 500: err"),
            {
                "deliveryStatus": "failed",
                "deliveryAttempts": 3,
                "deliveryError": "Webhook returned 500: err",
                "deliveryTimestamp": "2026-01-31T12:00:50.000Z",
            },
        ),
    ],
)
@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_cast_with_a_webhook_says_whether_its_caster_was_told(
    status: str, delivery: Delivery | None, shown: dict[str, Any]
) -> None:
    assert cast_resource(a_cast(status=status, delivery=delivery))["delivery"] == shown


@pytest.mark.parametrize("cast", [a_cast(), a_cast(status="cancelled"), a_cast(status="completed", webhook_url=None)])
def test_where_nobody_is_to_be_told_there_is_no_delivery(cast: Cast) -> None:
    assert "delivery" not in cast_resource(cast)


def test_a_failed_cast_says_which_step_and_why() -> None:
    resource = cast_resource(a_cast(status="failed", failure=FAILURE, failed_at=in_seconds(7)))
    assert set(resource) == CAST | {"failedAt", "failureReason", "failure", "delivery"}
    assert resource["failureReason"] == "No cats."
    assert resource["failure"] == {
        "stepIndex": 1,
        "stepId": "n1",
        "generationId": "c1.1.1",
        "code": "JOB_FAILED",
        "message": "No cats.",
    }


def test_a_cast_that_failed_outside_of_a_step_names_none() -> None:
    resource = cast_resource(a_cast(status="failed", failure=CastFailure("CAST_INTERRUPTED", "Stopped.")))
    assert resource["failure"] == {"code": "CAST_INTERRUPTED", "message": "Stopped."}


def test_one_cast_comes_with_its_generations_and_names_those_that_are_completed_so_far() -> None:
    generations = [a_generation(status="completed", result=text_result()), a_generation(step_index=1)]
    resource = cast_resource(a_cast(), iter(generations))
    assert set(resource) == CAST | {"generations"}
    assert resource["stepGenerationIds"] == ["c1.0.1"]
    assert [item["generationId"] for item in resource["generations"]] == ["c1.0.1", "c1.1.1"]


def test_a_cast_without_generations_has_an_empty_list_where_they_were_asked_for() -> None:
    assert cast_resource(a_cast(), [])["generations"] == []


def test_a_waiting_generations_keys() -> None:
    resource = generation_resource(a_generation())
    assert set(resource) == GENERATION
    assert set(resource["metadata"]) == {"isSpell", "castId", "stepIndex", "submission"}
    assert (resource["deliveryStatus"], resource["responsePayload"], resource["outputs"]) == ("pending", [], {})


def test_a_completed_generation_has_the_payload_and_what_is_made_of_it() -> None:
    resource = generation_resource(a_generation(status="completed", result=text_result("t")))
    assert resource["responsePayload"] == [{"type": "text", "data": {"text": "t"}}]
    assert resource["outputs"] == {"text": "t"}


def test_a_fallbacks_record_says_what_it_stands_in_for() -> None:
    why = {"toolId": "first", "code": "LIMIT_REACHED", "message": "Full."}
    assert generation_resource(a_generation(fallback_from=why))["metadata"]["fallbackFrom"] == why


def test_a_failed_generation() -> None:
    generation = a_generation(
        status="failed",
        run_id="r1",
        failure=Failure("TIMED_OUT", "Too late.", True),
        response_timestamp=in_seconds(5),
        duration_ms=5000,
        cost_usd=Decimal("0.010"),
        revision=4,
    )
    assert generation_resource(generation) == {
        "generationId": "c1.0.1",
        "castId": "c1",
        "spellId": "s1",
        "stepIndex": 0,
        "stepId": "n1",
        "attempt": 1,
        "toolId": "tool",
        "toolDisplayName": "Tool",
        "serviceName": "fake",
        "status": "failed",
        "revision": 4,
        "requestPayload": {"prompt": "a cat"},
        "responsePayload": [],
        "outputs": {},
        "costUsd": "0.01",
        "pointsSpent": 0,
        "durationMs": 5000,
        "requestTimestamp": "2026-01-31T12:00:00.000Z",
        "responseTimestamp": "2026-01-31T12:00:05.000Z",
        "deliveryStrategy": "spell_step",
        "deliveryStatus": "sent",
        "error": {"code": "TIMED_OUT", "message": "Too late.", "retryable": True},
        "metadata": {"isSpell": True, "castId": "c1", "stepIndex": 0, "run_id": "r1", "submission": "submitted"},
    }


def test_a_record_read_alone_has_the_originals_metadata() -> None:
    first = a_generation(status="completed", result=text_result("one"))
    second = a_generation(step_index=1, step_id="n2")
    assembled = assembled_metadata(second, a_cast(metadata={"cookId": "k"}), VERSION, [first, second])
    metadata = generation_resource(second, assembled)["metadata"]
    assert metadata == {
        "isSpell": True,
        "castId": "c1",
        "stepIndex": 1,
        "submission": "submitting",
        "spell": {"spellId": "s1", "slug": "a-spell", "name": "A spell", **VERSION.content},
        "pipelineContext": {"prompt": "a cat", "n1_text": "one", "text": "one"},
        "originalContext": {
            "masterAccountId": "alice",
            "castId": "c1",
            "parameterOverrides": {"prompt": "a cat"},
            "webhookUrl": "https://me.example/hook",
            "cookId": "k",
        },
    }


def test_no_resource_holds_a_secret() -> None:
    cast = a_cast(status="failed", failure=FAILURE)
    generation = a_generation(task_token="t0ken", status="processing", result=text_result())
    assembled = assembled_metadata(generation, cast, VERSION, [generation])
    text = documents.to_text([cast_resource(cast, [generation]), generation_resource(generation, assembled)])
    for secret in ("s3cr3t", "webhookSecret", "t0ken", "taskToken"):
        assert secret not in text


def test_a_spell_in_a_list_and_with_its_version() -> None:
    head = {
        "spellId": "s1",
        "slug": "a-spell",
        "name": "A spell",
        "version": 2,
        "visibility": "private",
        "ownedBy": "alice",
        "usageCount": 0,
        "createdAt": "2026-01-31T12:00:00.000Z",
        "updatedAt": "2026-01-31T12:00:01.000Z",
    }
    assert spell_resource(a_spell()) == head
    assert spell_resource(a_spell(), VERSION) == {**head, **VERSION.content}


def test_an_older_version_goes_by_the_name_that_it_had() -> None:
    resource = spell_resource(a_spell(name="Renamed", version=3), VERSION)
    assert (resource["name"], resource["version"]) == ("A spell", 2)


@pytest.mark.parametrize(
    ("visibility", "public_slug"), [("private", None), ("listed", "a-spell"), ("public", "a-spell")]
)
def test_only_a_shared_spell_has_a_public_slug(visibility: str, public_slug: str | None) -> None:
    assert spell_resource(a_spell(visibility=visibility)).get("publicSlug") == public_slug


SIZES = [documents.size, documents.size_in_text]


@pytest.mark.parametrize("size_of", SIZES)
def test_a_resource_is_whole_up_to_its_limit_in_bytes_and_leaves_documents_out_beyond(
    size_of: Callable[[object], int],
) -> None:
    cast = cast_resource(a_cast(inputs={"prompt": 'é"\\' * 50}), [a_generation()])
    limit = size_of(cast)
    assert within(cast, limit, size_of) == cast
    # The documents of its generations leave first: each of them is a record that can be asked for.
    smaller = within(cast, limit - 1, size_of)
    assert {**smaller, "generations": cast["generations"]} == cast
    [generation] = smaller["generations"]
    assert set(cast["generations"][0]) - set(generation) == {"requestPayload", "responsePayload", "outputs", "metadata"}
    assert (generation["generationId"], generation["truncated"]) == ("c1.0.1", True)
    limit = size_of(smaller)
    assert within(cast, limit, size_of) == smaller
    smallest = within(cast, limit - 1, size_of)
    assert set(cast) - set(smallest) == {"inputs", "outputs", "metadata"}
    assert (smallest["truncated"], smallest["generations"]) == (True, [generation])


def test_a_cast_says_when_it_was_resumed_and_cancelled_and_with_which_inputs() -> None:
    moments = {"resumed_at": in_seconds(2), "cancel_requested_at": in_seconds(3), "cancelled_at": in_seconds(4)}
    cast = cast_resource(a_cast(status="cancelled", overrides={"n1": {"width": 1}}, **moments))
    assert cast == cast_resource(a_cast(status="cancelled")) | {
        "stepOverrides": {"n1": {"width": 1}},
        "resumedAt": "2026-01-31T12:00:02.000Z",
        "cancelRequestedAt": "2026-01-31T12:00:03.000Z",
        "cancelledAt": "2026-01-31T12:00:04.000Z",
    }


def test_what_was_not_read_is_not_shown_as_empty() -> None:
    unread = {"inputs": "s3:documents/a", "outputs": "s3:documents/b", "settings": "s3:documents/c"}
    cast = cast_resource(a_cast(unread=unread))
    assert not {"inputs", "outputs"} & cast.keys()
    assert cast["truncated"] is True
    # The caster's settings are shown nowhere, so that nothing is missing without them.
    assert "truncated" not in cast_resource(a_cast(unread={"settings": "s3:documents/c"}))
    retried = cast_resource(a_cast(overrides={}, unread={"overrides": "s3:documents/d"}))
    assert ("stepOverrides" in retried, retried["truncated"]) == (False, True)
    generation = generation_resource(a_generation(unread={"responsePayload": "s3:documents/d"}))
    assert not {"responsePayload", "outputs"} & generation.keys()
    assert generation["requestPayload"]
    assert generation["truncated"] is True


def test_a_record_is_the_resource_with_its_id_and_its_account() -> None:
    cast, generation = cast_resource(a_cast()), generation_resource(a_generation())
    assert cast_record(cast, "alice") == {"_id": "c1", "initiatorAccountId": "alice", **cast}
    assert generation_record(generation, "alice") == {"_id": "c1.0.1", "masterAccountId": "alice", **generation}


def test_a_permission_says_to_whom_by_whom_and_since_when() -> None:
    permission = Permission(spell_id="s1", account_id="bob", granted_by="alice", granted_at=START)
    assert permission_resource(permission) == {
        "accountId": "bob",
        "grantedBy": "alice",
        "grantedAt": "2026-01-31T12:00:00.000Z",
    }

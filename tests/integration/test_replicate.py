"""Spells with Replicate's tools: told of by its webhook, by the poll that stands in for one that is lost, or polled."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest

from tests.cloud import Cloud, called, wire

NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def nothing_counted(cloud: Cloud) -> None:
    cloud.provider.post("/control", json={"reset": True}).raise_for_status()


def counts(cloud: Cloud) -> dict[str, int]:
    found: dict[str, int] = cloud.provider.get("/control/counts").json()["replicate"]
    return found


def variant(cloud: Cloud, **changes: Any) -> str:
    """FLUX with another definition."""
    tool_id = f"replicate-variant-{next(NUMBERS)}"
    definition = cloud.api.get("/v1/tools/replicate-flux-schnell").json()
    cloud.tool(definition | {"toolId": tool_id, "displayName": tool_id, **changes})
    return tool_id


def test_a_picture_is_drawn_and_enlarged_by_webhook(cloud: Cloud) -> None:
    enlarged = {
        "id": "enlarge",
        "toolIdentifier": "replicate-clarity-upscaler",
        "parameterMappings": {"image": wire("flux", "images")},
    }
    ended = cloud.run(cloud.spell(called("a fox"), enlarged))
    assert ended["status"] == "completed", ended
    drawn, larger = ended["generations"]
    assert drawn["costUsd"] == "0.003" and Decimal(larger["costUsd"]) > 0
    assert [item["outputs"]["images"][0]["mediaType"] for item in (drawn, larger)] == ["image/png"] * 2
    asked = counts(cloud)
    # Of each job its start and its end are told, and nobody asks.
    assert (asked["submits"], asked["webhooks"], asked.get("polls", 0)) == (2, 4, 0)


def test_a_poll_stands_in_for_a_webhook_that_is_lost_or_refused_and_finds_what_never_ends(cloud: Cloud) -> None:
    hasty = variant(cloud, deadlineSeconds=2)
    faults = ("drop", "forge", "stall")
    casts = {fault: cloud.cast(cloud.spell(called(f"a fox [fault:{fault}]", tool=hasty))) for fault in faults}
    ended = {fault: cloud.await_cast(cast) for fault, cast in casts.items()}
    assert {fault: (cast["status"], cast["costUsd"]) for fault, cast in ended.items()} == {
        "drop": ("completed", "0.003"),
        "forge": ("completed", "0.003"),
        "stall": ("failed", "0"),
    }
    assert ended["stall"]["failure"]["code"] == "TIMED_OUT"
    asked = counts(cloud)
    # One poll each, and one more after the cancel, which may tell what was billed.
    assert (asked["submits"], asked["polls"], asked["cancels"]) == (3, 4, 1)


def test_a_tool_that_is_polled_is_not_called_about(cloud: Cloud) -> None:
    ended = cloud.run(cloud.spell(called("a fox [fault:hiccup]", tool=variant(cloud, deliveryMode="async"))))
    assert (ended["status"], ended["costUsd"]) == ("completed", "0.003")
    asked = counts(cloud)
    assert asked["submits"] == 1 and asked["polls"] >= 2 and "webhooks" not in asked


@pytest.mark.parametrize("fault", ["broken", "garbage", "duplicate"])
def test_an_odd_answer_or_callback_leads_to_one_job_and_one_result(cloud: Cloud, fault: str) -> None:
    ended = cloud.run(cloud.spell(called(f"a fox [fault:{fault}]"), called(node="next")))
    assert (ended["status"], ended["costUsd"]) == ("completed", "0.006"), ended
    assert counts(cloud)["submits"] == len(ended["generations"]) == 2


@pytest.mark.parametrize(
    ("mode", "fault", "code", "reason"),
    [
        ("webhook", "refuse", "PROVIDER_REFUSED", "Replicate refused (422): - input: prompt or image is required"),
        ("webhook", "fail", "JOB_FAILED", "Replicate: CUDA out of memory"),
        ("async", "lose", "JOB_LOST", "Replicate does not know the prediction any more"),
        ("async", "broken", "OUTCOME_UNKNOWN", "Replicate answered 502 and may have started the job"),
    ],
)
def test_a_failure_of_replicates_is_the_casts(cloud: Cloud, mode: str, fault: str, code: str, reason: str) -> None:
    ended = cloud.run(cloud.spell(called(f"a fox [fault:{fault}]", tool=variant(cloud, deliveryMode=mode))))
    assert (ended["status"], ended["failure"]["code"], ended["failureReason"]) == ("failed", code, reason)
    assert counts(cloud)["submits"] == 1

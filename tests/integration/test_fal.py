"""Spells with fal's tools: told of by its webhook, and by the poll that stands in for one that is lost."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from tests.cloud import Cloud, Document, called, wire
from tests.providers.fal import Fal

NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def nothing_counted(fal: Fal) -> None:
    fal.switches.reset()
    fal.submits.clear()
    fal.callback_answers.clear()


def flux(prompt: str, tool: str = "fal-flux-dev") -> Document:
    return called(prompt, node="flux", tool=tool)


def hasty(cloud: Cloud) -> str:
    """FLUX, whose callback is waited for only so long."""
    tool_id = f"fal-hasty-{next(NUMBERS)}"
    definition = cloud.api.get("/v1/tools/fal-flux-dev").json()
    cloud.tool(definition | {"toolId": tool_id, "displayName": tool_id, "deadlineSeconds": 2})
    return tool_id


def test_a_picture_is_drawn_and_enlarged_by_webhook(cloud: Cloud, fal: Fal) -> None:
    enlarged = {
        "id": "enlarge",
        "toolIdentifier": "fal-esrgan",
        "parameterMappings": {"image_url": wire("flux", "images")},
    }
    ended = cloud.run(cloud.spell(flux("a fox"), enlarged))
    assert ended["status"] == "completed", ended
    drawn, larger = ended["generations"]
    assert drawn["costUsd"] == "0.025"
    assert drawn["outputs"]["images"][0]["mediaType"] == "image/png"
    # Both are links to the copy in the bucket, signed at different times.
    given, shown = fal.submits[1][2]["image_url"], drawn["outputs"]["images"][0]["url"]
    assert given.partition("?")[0] == shown.partition("?")[0]
    assert given.partition("?")[0].endswith(f"/media/{ended['castId']}/{drawn['generationId']}/0.png")
    assert [headers["x-fal-no-retry"] for _, headers, _ in fal.submits] == ["1", "1"]
    job = fal.jobs[larger["metadata"]["run_id"].rpartition("/")[2]]
    assert Decimal(larger["costUsd"]) == Decimal("0.00111") * Decimal(str(job.inference_time))
    # The callback of what is paid by the second does not say how long it took.
    assert (fal.counts["submits"], fal.counts["polls"], fal.counts["results"]) == (2, 1, 0)
    assert fal.callback_answers == [200, 200]


def test_a_film(cloud: Cloud) -> None:
    ended = cloud.run(cloud.spell(called("a fox", node="film", tool="fal-ltx-video")))
    (film,) = ended["generations"]
    assert film["responsePayload"][0]["type"] == "video"
    assert film["outputs"]["files"][0]["mediaType"] == "video/mp4"
    assert ended["costUsd"] == "0.02"


def test_a_poll_stands_in_for_a_webhook_that_is_lost_or_refused_and_finds_what_never_ends(
    cloud: Cloud, fal: Fal
) -> None:
    tool = hasty(cloud)
    faults = ("drop", "forge", "stale", "stall")
    casts = {fault: cloud.cast(cloud.spell(flux(f"a fox [fault:{fault}]", tool=tool))) for fault in faults}
    ended = {fault: cloud.await_cast(cast) for fault, cast in casts.items()}
    assert {fault: cast["status"] for fault, cast in ended.items()} == dict.fromkeys(faults, "completed") | {
        "stall": "failed"
    }
    assert ended["stall"]["failure"]["code"] == "TIMED_OUT"
    assert {fault: cast["costUsd"] for fault, cast in ended.items()} == dict.fromkeys(faults, "0.025") | {"stall": "0"}
    # One poll each, and one more after the cancel, which may tell what was billed.
    assert (fal.counts["submits"], fal.counts["polls"], fal.counts["cancels"]) == (4, 5, 1)
    assert {401} <= set(fal.callback_answers) <= {200, 401}, "the job that was cancelled may have been told of"


@pytest.mark.parametrize("fault", ["broken", "garbage", "noise", "early", "duplicate", "bulky"])
def test_an_odd_answer_or_callback_leads_to_one_job_and_one_result(cloud: Cloud, fal: Fal, fault: str) -> None:
    ended = cloud.run(cloud.spell(flux(f"a fox [fault:{fault}]"), called(node="next", tool="fal-flux-dev")))
    assert ended["status"] == "completed", ended
    assert fal.counts["submits"] == len(ended["generations"]) == 2
    assert ended["costUsd"] == "0.05"


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        ("refuse", "PROVIDER_REFUSED", "fal refused (400): Invalid webhook URL"),
        ("throttle", "PROVIDER_UNAVAILABLE", "fal takes no more jobs at the moment (429)"),
        ("invalid", "JOB_FAILED", "fal: prompt: Field required (422)"),
        ("crash", "JOB_FAILED", "fal: Runner disconnected (runner_disconnected)"),
        ("late", "TIMED_OUT", "fal: Request timed out (request_timeout)"),
    ],
)
def test_a_failure_of_fals_is_the_casts(cloud: Cloud, fal: Fal, fault: str, code: str, reason: str) -> None:
    ended = cloud.run(cloud.spell(flux(f"a fox [fault:{fault}]")))
    assert (ended["status"], ended["costUsd"]) == ("failed", "0")
    assert (ended["failure"]["code"], ended["failureReason"]) == (code, reason)
    # What is certain not to have begun is asked for again, a few times.
    assert fal.counts["submits"] == (4 if fault == "throttle" else 1)


def test_the_log_has_no_secret_of_fals(cloud: Cloud, fal: Fal) -> None:
    prompt = "a fox that nobody may know of"
    cloud.run(cloud.spell(flux(prompt)))
    token = next(reversed(fal.jobs.values())).webhook.rpartition("/")[2]
    logs = cloud.aws("logs")
    lines: list[str] = []
    for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/spellcast-local-")["logGroups"]:
        lines += [event["message"] for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]]
    everything = "\n".join(lines)
    assert everything
    for secret in (prompt, token, "a-secret-of-fal"):
        assert secret not in everything

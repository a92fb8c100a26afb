"""Every function has events and tests, and every event is one that the deployment would send."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from spellcast import bootstrap
from spellcast.domain.casts import Cast
from spellcast.domain.generations import Generation
from tests.contract.deployment import ROOT, properties, stored_rows, template
from tests.functions.scene import Scene, load_event, matches

FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
EVENTS = sorted(path.stem for path in (ROOT / "events").iterdir())
TASKS = {
    "Execute the step": "execute_step",
    "Process the output": "process_output",
    "Finalize the cost": "finalize_cost",
    "Settle the failed cast": "finalize_cost",
}


def of(*functions: str) -> list[str]:
    """The events of these functions."""
    return [name for name in EVENTS if name.partition(".")[0] in functions]


def routes(protocol: str) -> set[str]:
    """The route keys of the template's HTTP or WebSocket API."""
    return {
        resource["Properties"]["RouteKey"]
        for resource in template()["Resources"].values()
        if resource["Type"] == "AWS::ApiGatewayV2::Route" and resource["Properties"]["ApiId"] == {"Ref": protocol}
    }


def route_of(method: str, path: str, keys: set[str]) -> str:
    """The route that API Gateway takes: each of ours that matches is more specific than `$default`."""
    named = {key: key.partition(" ") for key in keys - {"$default"}}
    patterns = {key: re.sub(r"\\{\w+\\\+\\}", ".+", re.escape(form)) for key, (_, _, form) in named.items()}
    patterns = {key: re.sub(r"\\{\w+\\}", "[^/]+", form) for key, form in patterns.items()}
    found = [key for key, form in patterns.items() if named[key][0] in (method, "ANY") and re.fullmatch(form, path)]
    return found[0] if found else "$default"


def test_functions_events_and_tests_correspond() -> None:
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} - {"events", "roles"}
    assert len(FUNCTIONS) == 13
    assert tests == set(FUNCTIONS)
    assert {name.partition(".")[0] for name in EVENTS} == set(FUNCTIONS)
    assert all(path.suffix == ".json" for path in (ROOT / "events").iterdir())


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_used_by_its_functions_tests(name: str) -> None:
    source = Path(__file__).with_name(f"test_{name.partition('.')[0]}.py").read_text("utf-8")
    assert f'"{name}"' in source


@pytest.mark.parametrize("name", of("cast_api", "complete_job", "console"))
def test_http_events_come_by_a_route_of_the_template(name: str) -> None:
    event = load_event(name)
    if "detail-type" in event:
        return
    assert event["version"] == properties("CastApiIntegration")["PayloadFormatVersion"] == "2.0"
    assert event["routeKey"] in routes("HttpApi")
    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    assert event["routeKey"] == event["requestContext"]["routeKey"] == route_of(method, path, routes("HttpApi"))
    assert all(header == header.lower() for header in event["headers"])


@pytest.mark.parametrize("name", of("websocket", "authorize"))
def test_websocket_events_come_by_a_route_of_the_template(name: str) -> None:
    assert load_event(name)["requestContext"]["routeKey"] in routes("WebSocketApi")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("complete_job.job_completed", "JobCompletedRule"),
        ("finalize_cost.execution_aborted", "CastStoppedRule"),
        ("finalize_cost.cast_cancelled", "CastCancelledRule"),
    ],
)
def test_bus_events_match_the_templates_rules(name: str, rule: str) -> None:
    event, pattern = load_event(name), json.loads(json.dumps(properties(rule)["EventPattern"]))
    if "stateMachineArn" in pattern.get("detail", {}):
        pattern["detail"]["stateMachineArn"] = [event["detail"]["stateMachineArn"]]
    assert matches(pattern, event)
    assert not matches(pattern, {**event, "detail-type": "Another"})


@pytest.mark.parametrize("name", of("sweep"))
def test_a_sweep_is_asked_for_by_the_schedule_or_in_its_words(name: str) -> None:
    event = load_event(name)
    assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")
    assert properties("SweepRule")["ScheduleExpression"]
    assert name == "sweep.restarted" or event["detail"] == {}


@pytest.mark.parametrize("name", of("send_webhook"))
def test_queued_events_match_the_rule_that_queues_them(name: str) -> None:
    for record in load_event(name)["Records"]:
        assert matches(properties("WebhookRule")["EventPattern"], json.loads(record["body"]))


@pytest.mark.parametrize("name", of("notify"))
def test_stream_records_pass_the_templates_filter_and_are_what_the_store_writes(scene: Scene, name: str) -> None:
    (stream_filter,) = properties("NotifyStream")["FilterCriteria"]["Filters"]
    pattern = json.loads(stream_filter["Pattern"])
    for record in load_event(name)["Records"]:
        assert matches(pattern, record)
        assert not matches(pattern, {**record, "eventName": "REMOVE"})
        image = record["dynamodb"]["NewImage"]
        written = bootstrap.parts().written(image)
        if isinstance(written, Cast):
            scene.casts.create_cast(written)
        elif isinstance(written, Generation):
            scene.casts.save_generation(written, None)
        else:
            scene.access.put_connection(written)
        # Every conditional write has a mark of its own.
        stored = [{name: value for name, value in row.items() if name != "mark"} for row in stored_rows(scene.dynamodb)]
        assert image in stored


@pytest.mark.parametrize("name", of("execute_step", "process_output", "finalize_cost"))
def test_the_machine_sends_what_its_events_hold(name: str) -> None:
    machine = json.loads((ROOT / "statemachine" / "cast_spell.asl.json").read_text("utf-8"))
    event = load_event(name)
    if "detail-type" in event:
        return
    payloads = [
        set(machine["States"][task]["Arguments"]["Payload"])
        for task, function in TASKS.items()
        if name.startswith(function)
    ]
    if name.startswith("finalize_cost"):
        caught = machine["States"]["Execute the step"]["Catch"][0]["Output"]
        assert "error" not in event or set(event["error"]) == set(caught["error"])
    assert set(event) in payloads

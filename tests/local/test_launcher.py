"""The launcher: addresses, events, counters, what survives a stop and a kill, and how it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from local import deploy, stack
from local.cloud import AUTOSAVE_SECONDS
from local.journal import Journal
from tests.local.conftest import Cloud, until
from tests.ports import free_port


def get(cloud: Cloud, path: str, **headers: str) -> Any:
    with urlopen(Request(f"{cloud.url}{path}", headers=headers), timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("path", ["/v1/casts", "/docs", "/openapi.json", "/internal/v1/data/events"])
def test_plain_paths_reach_the_http_api(cloud: Cloud, path: str) -> None:
    assert get(cloud, f"{path}?limit=1")["rawPath"] == path


def test_a_bearer_token_is_not_taken_for_an_aws_signature(cloud: Cloud) -> None:
    assert get(cloud, "/v1/casts", authorization="Bearer x.y.z")["headers"]["authorization"] == "Bearer x.y.z"


def test_the_websocket_is_at_its_plain_path_and_asks_the_authorizer(cloud: Cloud) -> None:
    with connect(f"{cloud.outputs['webSocketUrl']}?ticket=good") as line:
        line.send('{"action": "ping"}')
        assert json.loads(line.recv(timeout=5)) == {"account": "local", "echo": '{"action": "ping"}'}
    with pytest.raises(InvalidStatus, match="403"), connect(f"{cloud.outputs['webSocketUrl']}?ticket=bad"):
        pass


def test_it_listens_on_loopback_only(cloud: Cloud) -> None:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{cloud.port:04X}")}
    assert listening == {f"0100007F:{cloud.port:04X}"}


def test_it_listens_on_the_containers_bridge_too_where_it_is_told_to(tmp_path: Path) -> None:
    cloud = Cloud(free_port(), tmp_path)
    try:
        cloud.start(SPELLCAST_BRIDGE="127.0.0.2")
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{cloud.port:04X}")}
        assert listening == {f"0100007F:{cloud.port:04X}", f"0200007F:{cloud.port:04X}"}
    finally:
        cloud.stop()


@pytest.mark.parametrize("bridge", ["0.0.0.0", "::", "localhost", "172.17.0.1,10.0.0.1"])
def test_it_is_never_bound_to_everything(tmp_path: Path, bridge: str) -> None:
    with pytest.raises(stack.Refused, match=r"SPELLCAST_BRIDGE is .*; name one IPv4 address of this machine"):
        Cloud(free_port(), tmp_path).start(SPELLCAST_BRIDGE=bridge)
    assert list(tmp_path.iterdir()) == []


def test_the_api_key_is_known_by_its_hash(cloud: Cloud) -> None:
    digest = hashlib.sha256(cloud.outputs["apiKey"].encode()).hexdigest()
    [row] = cloud.rows(f"KEY#{digest}")
    assert (row["sk"], row["entity"], row["accountId"]) == ("KEY", "KEY", "local")
    assert cloud.outputs["apiKey"] not in str(row)


def test_providers_come_from_the_environment_or_are_the_demo(cloud: Cloud) -> None:
    secret = cloud.client("secretsmanager").get_secret_value(SecretId="spellcast/local/comfyui")
    assert json.loads(secret["SecretString"])["url"] == f"http://127.0.0.1:{cloud.port + 1}/comfyui"


def test_the_templates_time_to_live_is_applied(cloud: Cloud) -> None:
    found = cloud.client("dynamodb").describe_time_to_live(TableName=cloud.outputs["tableName"])
    assert found["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt"}


def test_a_change_of_a_row_reaches_the_stream_at_once(cloud: Cloud) -> None:
    cloud.put(pk="LIVE", sk="warm", entity="CAST", body="warm")
    until(lambda: any(row.get("body") == "warm" for row in cloud.rows("SEEN")))
    time.sleep(0.3)
    begun = time.time()
    cloud.put(pk="LIVE", sk="1", entity="CAST", body="live")
    cloud.put(pk="LIVE", sk="2", entity="OTHER", body="filtered")
    seen = until(lambda: [row for row in cloud.rows("SEEN") if row.get("body") == "live"])
    assert float(seen[0]["at"]) - begun < 0.15
    assert not any(row.get("body") == "filtered" for row in cloud.rows("SEEN"))


def test_an_event_passes_rule_queue_and_function_and_a_bad_one_ends_in_the_dead_letters(cloud: Cloud) -> None:
    events, queues = cloud.client("events"), cloud.client("sqs")
    for status in ("completed", "running", "failed"):
        detail = json.dumps({"status": status, "note": "poison" if status == "failed" else "fine"})
        events.put_events(
            Entries=[{"Source": "toys", "DetailType": "Cast Updated", "Detail": detail, "EventBusName": "toys"}]
        )
    bodies = until(lambda: [row["body"] for row in cloud.rows("SEEN") if '"fine"' in row.get("body", "")])
    assert len(bodies) == 1
    assert json.loads(bodies[0])["detail"]["status"] == "completed"
    dead = until(lambda: queues.receive_message(QueueUrl=cloud.url_of("DeadLettersUrl")).get("Messages"), 6)
    assert json.loads(dead[0]["Body"])["detail"]["status"] == "failed"


@pytest.mark.parametrize("end", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_the_end_of_an_execution_is_announced_on_the_default_bus(cloud: Cloud, end: str) -> None:
    states, machine = cloud.client("stepfunctions"), cloud.outputs["castStateMachineArn"]
    definition = json.loads(states.describe_state_machine(stateMachineArn=machine)["definition"])
    if end == "TIMED_OUT":
        shorter = json.dumps(definition | {"TimeoutSeconds": 0.2})
        states.update_state_machine(stateMachineArn=machine, definition=shorter)
    arn = cloud.begin(machine, run=end)
    if end == "FAILED":
        token = until(lambda: [row["token"] for row in cloud.rows("TOKEN") if row["run"] == end])[0]
        states.send_task_success(taskToken=token, output='{"caught": "fail"}')
    elif end == "ABORTED":
        states.stop_execution(executionArn=arn)

    def announced() -> list[str]:
        seen = [json.loads(row["event"])["detail"] for row in cloud.rows("SEEN") if "event" in row]
        return [detail["status"] for detail in seen if detail["executionArn"] == arn]

    assert until(announced) == [end]
    states.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))


def test_counters_price_a_write_as_aws_does(cloud: Cloud) -> None:
    rows, table = cloud.client("dynamodb"), cloud.outputs["tableName"]
    time.sleep(0.2)  # what earlier tests set off
    cloud.reset_counts()
    key = {"pk": {"S": "COUNT"}, "sk": {"S": "1"}, "entity": {"S": "PLAIN"}}
    indexed = {**key, "pk": {"S": "INDEX"}, "entity": {"S": "INDEXED"}, "gsi1pk": {"S": "a"}, "gsi1sk": {"S": "b"}}
    rows.put_item(TableName=table, Item={**key, "body": {"S": "x" * 1500}})
    rows.put_item(TableName=table, Item=key)  # the larger of before and after counts
    rows.put_item(TableName=table, Item=indexed)
    rows.put_item(TableName=table, Item={**indexed, "body": {"S": "not projected"}})
    with pytest.raises(rows.exceptions.ConditionalCheckFailedException):
        rows.put_item(TableName=table, Item=key, ConditionExpression="attribute_not_exists(pk)")
    rows.transact_write_items(
        TransactItems=[{"Put": {"TableName": table, "Item": {**key, "entity": {"S": "TRANSACTION"}, "sk": {"S": "2"}}}}]
    )
    rows.get_item(TableName=table, Key={"pk": {"S": "COUNT"}, "sk": {"S": "1"}}, ConsistentRead=True)
    found = cloud.counts()
    assert found["writesByEntity"] == {
        "PLAIN": {"requests": 3, "units": 5},
        "INDEXED": {"requests": 2, "units": 3},
        "TRANSACTION": {"requests": 1, "units": 2},
    }
    assert (found["readUnits"], found["readRequests"]) == (1, 1)


def test_counters_know_states_payloads_invocations_and_callers(cloud: Cloud) -> None:
    cloud.reset_counts()
    cloud.run("arn:aws:states:us-east-1:000000000000:stateMachine:call", note="counted")
    get(cloud, "/v1/health")
    found = cloud.counts()
    assert found["statesEntered"] == {"call": 2}
    assert found["payloadBytes"]["call.Call the toy"]["input"] == len('{"note":"counted"}')
    assert found["invocations"]["toy"] == {"machine": 1, "http": 1}


def test_rows_and_keys_survive_a_stop_and_a_kill(tmp_path: Path) -> None:
    cloud = Cloud(free_port(), tmp_path)
    try:
        before = cloud.start()
        cloud.put(pk="KEPT", sk="stop", entity="CAST", body="x")
        cloud.invoke()
        pid = stack.running(cloud.port, cloud.directory)
        assert pid
        assert cloud.stop()
        assert not _group(pid), "a worker outlived its cloud"
        assert not cloud.stop()
        assert cloud.start() == before
        assert [row["sk"] for row in cloud.rows("KEPT")] == ["stop"]
        assert cloud.invoke()["pid"]

        cloud.put(pk="KEPT", sk="changed", entity="CAST", body="x")
        cloud.put(pk="KEPT", sk="changed", entity="CAST", body="y")
        cloud.put(pk="KEPT", sk="deleted", entity="CAST", body="x")
        cloud.client("dynamodb").delete_item(
            TableName=cloud.outputs["tableName"], Key={"pk": {"S": "KEPT"}, "sk": {"S": "deleted"}}
        )
        late = {f"late {number}" for number in range(30)}
        for body in sorted(late):
            cloud.put(pk="LATE", sk=body, entity="CAST", body=body)
        pid = stack.running(cloud.port, cloud.directory)
        assert pid
        os.kill(pid, signal.SIGKILL)
        # One that was at work tries to reach the cloud until boto3 gives up: ten tries, 50 s at the longest.
        assert until(lambda: not _group(pid), 90), "a worker outlived its cloud"
        assert cloud.start() == before
        assert [(row["sk"], row["body"]) for row in cloud.rows("KEPT")] == [("changed", "y"), ("stop", "x")]
        assert until(lambda: late <= {row.get("body") for row in cloud.rows("SEEN")}), "the stream lost a change"
        files = tmp_path / str(cloud.port) / "state" / "journal"
        assert len(list(files.iterdir())) == 1, "what was saved is not kept in the journal, too"
    finally:
        cloud.stop()
    assert not (tmp_path / "outputs.json").exists()
    stack.forget(cloud.port, cloud.directory)
    assert list(tmp_path.iterdir()) == []


def journal(cloud: Cloud) -> list[str]:
    files = sorted((cloud.directory / str(cloud.port) / "state" / "journal").iterdir())
    return [line for file in files for line in file.read_text().splitlines()]


def kill(cloud: Cloud) -> None:
    pid = stack.running(cloud.port, cloud.directory)
    assert pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: stack.running(cloud.port, cloud.directory) is None)


def test_after_a_kill_the_stream_goes_on_from_where_it_was_read(tmp_path: Path) -> None:
    cloud = Cloud(free_port(), tmp_path)
    try:
        cloud.start()
        cloud.put(pk="READ", sk="1", entity="CAST", body="before")
        until(lambda: [row for row in cloud.rows("SEEN") if row.get("body") == "before"])
        assert until(lambda: any(line.startswith('{"read"') for line in journal(cloud)), 15)
        cloud.put(pk="READ", sk="2", entity="CAST", body="after")
        kill(cloud)
        cloud.start()
        cloud.put(pk="READ", sk="3", entity="CAST", body="later")
        assert until(lambda: {"after", "later"} <= {row.get("body") for row in cloud.rows("SEEN")})
        assert [row.get("body") for row in cloud.rows("SEEN")].count("before") == 1
    finally:
        cloud.stop()


def test_what_a_kill_has_torn_was_not_answered(tmp_path: Path) -> None:
    cloud = Cloud(free_port(), tmp_path)
    try:
        cloud.start()
        cloud.put(pk="KEPT", sk="1", entity="CAST", body="whole")
        kill(cloud)
        [file] = (tmp_path / str(cloud.port) / "state" / "journal").iterdir()
        with file.open("a") as torn:
            torn.write('["table","INSERT",null,{"pk":{"S":"KE')
        cloud.start()
        assert [row["body"] for row in cloud.rows("KEPT")] == ["whole"]
    finally:
        cloud.stop()


def test_a_save_that_failed_forgets_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for is_saved, expected in [(False, 2), (True, 1)]:
        journal.begin()
        if is_saved:
            (tmp_path / "dynamodb.json").write_text("{}")
        journal.forget()
        assert len(list((tmp_path / "journal").iterdir())) == expected


def test_tables_are_saved_when_the_journal_has_outgrown_them(tmp_path: Path) -> None:
    cloud = Cloud(free_port(), tmp_path)
    try:
        cloud.start()
        for number in range(20):
            cloud.put(pk="LARGE", sk=str(number), entity="OTHER", body="x" * 390_000)
        time.sleep(AUTOSAVE_SECONDS + 1)
        assert len(journal(cloud)) >= 20, "it was saved for eight megabytes"
        for number in range(20, 45):
            cloud.put(pk="LARGE", sk=str(number), entity="OTHER", body="x" * 390_000)
        assert until(lambda: not any('"LARGE"' in line for line in journal(cloud)), 15)
        cloud.put(pk="LARGE", sk="last", entity="OTHER")
        kill(cloud)
        cloud.start()
        pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=cloud.outputs["tableName"])
        names = {item["sk"]["S"] for page in pages for item in page["Items"]}
        assert {str(number) for number in range(45)} | {"last"} <= names
    finally:
        cloud.stop()


def test_a_stop_does_not_wait_for_functions_that_wait_for_the_cloud(tmp_path: Path) -> None:
    cloud = Cloud(free_port(), tmp_path)
    try:
        cloud.start()
        with connect(f"{cloud.outputs['webSocketUrl']}?ticket=good"):
            begun = time.monotonic()
            assert cloud.stop()  # closes the connection, for which $disconnect writes a row
            assert time.monotonic() - begun < 10
    finally:
        cloud.stop()


def _group(leader: int) -> list[int]:
    """What is alive of a process group."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if folder.name.isdigit() and int(group) == leader and state != "Z":
            found.append(int(folder.name))
    return found


def test_a_second_start_finds_the_first_and_deploys_nothing(cloud: Cloud) -> None:
    pid = stack.running(cloud.port, cloud.directory)
    updated = cloud.client("cloudformation").describe_stacks()["Stacks"][0].get("LastUpdatedTime")
    assert cloud.start(SPELLCAST_WORKERS="2") == cloud.outputs
    assert stack.running(cloud.port, cloud.directory) == pid
    assert cloud.client("cloudformation").describe_stacks()["Stacks"][0].get("LastUpdatedTime") == updated


def test_another_programs_process_is_never_taken_for_the_cloud(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "30"])
    try:
        (tmp_path / "5000").mkdir()
        (tmp_path / "5000" / "cloud.pid").write_text(str(other.pid))
        assert stack.running(5000, tmp_path) is None
        assert not stack.stop(5000, tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def run(command: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(stack.PYTHON), "-m", "local", command],
        cwd=stack.ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.usefixtures("clouds")
def test_the_command_line_refuses_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, said = run("up", SPELLCAST_PORT=port, SPELLCAST_LOCAL_DIR=str(tmp_path))
    assert code == 1
    assert said == f"Port {port} is in use by another program; choose others with SPELLCAST_PORT.\n"
    assert run("down", SPELLCAST_PORT=port, SPELLCAST_LOCAL_DIR=str(tmp_path)) == (
        0,
        f"No cloud runs on port {port}.\n",
    )
    code, said = run("up", SPELLCAST_PORT="http")
    assert (code, said.count("\n")) == (1, 1)


def test_versions_aliases_and_deployments_are_taken_out_and_nothing_else() -> None:
    whole = deploy.load_template(deploy.ROOT / "template.yaml")
    found = deploy.without_deployments(whole)
    gone = whole["Resources"].keys() - found["Resources"].keys()
    assert gone == {
        *(f"{machine}Machine{part}" for machine in ("Cast", "Poll") for part in ("Version", "Alias")),
        "CheckDeploymentFunction",
        "CheckDeploymentLogGroup",
        "FunctionsFailingAlarm",
        "TableThrottledAlarm",
    }
    text = json.dumps(found)
    for word in (".Alias", ".Version", "AutoPublish", "DeploymentPreference", "${Stage}:live", *gone):
        assert word in json.dumps(whole), word
        assert word not in text, word
    assert found["Resources"]["CastApiPermission"]["Properties"]["FunctionName"] == {
        "Fn::GetAtt": ["CastApiFunction", "Arn"]
    }
    variables = found["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["SPELLCAST_CAST_MACHINE"]["Fn::Sub"].endswith(":stateMachine:spellcast-cast-${Stage}")


def test_limits_that_are_no_json_are_refused_by_their_name() -> None:
    assert deploy.read_limits("SPELLCAST_FAL_LIMITS", '{"jobsInFlight": 2}') == {"jobsInFlight": 2}
    with pytest.raises(deploy.DeployError, match=r"^SPELLCAST_FAL_LIMITS is not JSON"):
        deploy.read_limits("SPELLCAST_FAL_LIMITS", "jobsInFlight=2")

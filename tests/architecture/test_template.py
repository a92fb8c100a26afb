"""The project's rules for its infrastructure, asserted on the transformed template."""

import ast
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from functions.sweep.app import RESERVE_MS
from spellcast.adapters.registry import BUILT_IN, DELIVERY_MODES
from spellcast.application.check_deployment import PATIENCE, PREFIX
from spellcast.aws.breaker import PARTITION
from spellcast.aws.clock import SystemClock
from spellcast.bootstrap import Parts
from spellcast.domain.documents import MAX_ROW_BYTES
from spellcast.settings import Settings
from tests.policies import (
    BASIC_EXECUTION,
    Properties,
    Resources,
    allowed,
    as_list,
    functions,
    grants,
    machines,
    of_type,
    referred,
)

ROOT = Path(__file__).parents[2]
HANDLERS = sorted((ROOT / "functions").glob("*/app.py"))
LOG_DELIVERY = {  # the only actions on every resource: AWS offers no narrower one for them
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}
DEPLOYER = "CodeDeployServiceRole"
CHECK = "CheckDeploymentFunction"
HOLDERS = {  # who alone may do what has effects outside the table
    "states:StartExecution": {"CastApiFunction", "ExecuteStepFunction", "SweepFunction", CHECK},
    "states:ListExecutions": {"SweepFunction"},
    "states:DescribeExecution": {"SweepFunction", CHECK},
    "states:StopExecution": {"FinalizeCostFunction", "SweepFunction"},
    "states:SendTaskSuccess": {
        "CastApiFunction",
        "ExecuteStepFunction",
        "PollJobFunction",
        "CompleteJobFunction",
        "SweepFunction",
    },
    "states:SendTaskFailure": {"ExecuteStepFunction"},
    "events:PutEvents": {"NotifyFunction"},
    "execute-api:ManageConnections": {"NotifyFunction", "PollJobFunction", "CompleteJobFunction", "WebSocketFunction"},
    "sqs:ReceiveMessage": {"SendWebhookFunction"},
    "sqs:ChangeMessageVisibility": {"SendWebhookFunction"},
    "appconfig:GetLatestConfiguration": {"CastApiFunction"},
    "lambda:InvokeFunction": {"CastMachine", "PollMachine"},
    "s3:AbortMultipartUpload": {"ExecuteStepFunction", "ProcessOutputFunction"},  # who copies outputs
    "codedeploy:PutLifecycleEventHookExecutionStatus": {CHECK},
    "dynamodb:BatchWriteItem": {"FinalizeCostFunction"},  # the history of runs has one writer
}
RUNNERS = {  # who reads and writes records whole
    "CastApiFunction",
    "ExecuteStepFunction",
    "PollJobFunction",
    "CompleteJobFunction",
    "ProcessOutputFunction",
    "FinalizeCostFunction",
    "SweepFunction",
    "SendWebhookFunction",
}
PROVIDER_CALLERS = {
    "ExecuteStepFunction",
    "PollJobFunction",
    "CompleteJobFunction",
    "ProcessOutputFunction",
    "FinalizeCostFunction",
    "SweepFunction",
}
SECRET_READERS: dict[str, set[str]] = {
    "callback-signing": {"ExecuteStepFunction", "CompleteJobFunction"},
    "internal-key": {"CastApiFunction"},
    "original": {"CastApiFunction"},
    **dict.fromkeys(DELIVERY_MODES.keys() - BUILT_IN, PROVIDER_CALLERS),
}
LOGGABLE = {  # what an access log may say; neither path nor query string, which hold tokens and tickets
    "requestId",
    "requestTimeEpoch",
    "identity.sourceIp",
    "routeKey",
    "eventType",
    "connectionId",
    "status",
    "responseLength",
    "responseLatency",
    "integrationErrorMessage",
    "error.message",
}
CHECKER = "CodeDeployHook_spellcast-prod-check_deployment"
GATEWAY_LIMIT = 29  # seconds that API Gateway waits for a function
HANDLER_LINES = 50


def holders(resources: Resources, action: str) -> set[str]:
    return {
        name
        for name, statements in grants(resources).items()
        if any(action in as_list(statement["Action"]) for statement in statements)
    }


# Parameters


def test_every_parameter_has_a_description_and_a_default(template: Properties) -> None:
    for name, spec in template["Parameters"].items():
        assert spec.get("Description"), name
        # Whoever deploys without saying which deployment it is would publish no versions.
        assert ("Default" in spec) is (name != "Revision"), name


# Permissions


def test_every_function_and_machine_has_a_role_of_its_own(prod: Resources) -> None:
    roles = [referred(spec["Role"]) for spec in functions(prod).values()]
    roles += [referred(spec["RoleArn"]) for spec in machines(prod).values()]
    assert len(roles) == 15
    assert sorted(set(roles)) == sorted(roles)
    assert set(roles) == set(of_type(prod, "AWS::IAM::Role")) - {DEPLOYER}


def test_a_role_is_assumed_by_one_service(prod: Resources) -> None:
    for name, spec in of_type(prod, "AWS::IAM::Role").items():
        [statement] = spec["AssumeRolePolicyDocument"]["Statement"]
        service = "codedeploy" if name == DEPLOYER else "states" if "Machine" in name else "lambda"
        assert statement["Principal"] == {"Service": [f"{service}.amazonaws.com"]}, name


def test_policies_of_aws_are_the_basic_one_only(prod: Resources) -> None:
    for name, spec in of_type(prod, "AWS::IAM::Role").items():
        for arn in spec.get("ManagedPolicyArns", []):
            if name == DEPLOYER:  # it moves aliases, reads alarms, and invokes functions named CodeDeployHook_*
                assert arn.endswith("service-role/AWSCodeDeployRoleForLambda")
                continue
            assert arn == BASIC_EXECUTION or referred(arn) in of_type(prod, "AWS::IAM::ManagedPolicy"), name


def test_no_permission_is_for_a_pattern_of_actions(prod: Resources) -> None:
    for statement in allowed(prod):
        assert not {"NotAction", "NotResource"} & set(statement), statement
        assert not [action for action in as_list(statement["Action"]) if "*" in action], statement


def test_only_log_delivery_is_for_every_resource(prod: Resources) -> None:
    wide = [statement for statement in allowed(prod) if "*" in as_list(statement["Resource"])]
    assert len(wide) == 2
    for statement in wide:
        assert set(statement["Action"]) <= LOG_DELIVERY


def test_every_wide_resource_is_followed_by_its_reason() -> None:
    wide = re.findall(r"^ *(?:- )?Resource: '\*'(.*)$", (ROOT / "template.yaml").read_text(), re.MULTILINE)
    assert len(wide) == 2
    assert all(re.fullmatch(r"  # .{20,}", reason) for reason in wide)


@pytest.mark.parametrize("action", HOLDERS)
def test_who_may_act_outside_the_table(prod: Resources, action: str) -> None:
    assert holders(prod, action) == HOLDERS[action]


def test_who_may_read_which_secret(prod: Resources) -> None:
    secrets = of_type(prod, "AWS::SecretsManager::Secret")
    readers: dict[str, set[str]] = {
        secret["Name"].removeprefix("spellcast/prod/"): set() for secret in secrets.values()
    }
    for name, statements in grants(prod).items():
        for statement in statements:
            if "secretsmanager:GetSecretValue" in as_list(statement["Action"]):
                for secret in as_list(statement["Resource"]):
                    readers[secrets[referred(secret)]["Name"].removeprefix("spellcast/prod/")].add(name)
    assert readers == SECRET_READERS


def partitions(resources: Resources, function: str, action: str) -> set[str] | None:
    """The partitions of the table that a function may do this to; None: all of them."""
    found: set[str] = set()
    for statement in grants(resources)[function]:
        if action in as_list(statement["Action"]) and statement["Resource"] == {"Fn::GetAtt": ["Table", "Arn"]}:
            if "Condition" not in statement:
                return None
            [rule] = statement["Condition"].values()
            found |= set(rule["dynamodb:LeadingKeys"])
    return found


def test_authorize_may_only_spend_tickets(prod: Resources) -> None:
    [statement] = grants(prod)["AuthorizeFunction"]
    assert as_list(statement["Action"]) == ["dynamodb:DeleteItem"]
    assert partitions(prod, "AuthorizeFunction", "dynamodb:DeleteItem") == {"TICKET#*"}


@pytest.mark.parametrize("action", ["GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"])
def test_keys_and_grants_are_out_of_reach_of_what_talks_with_the_world(prod: Resources, action: str) -> None:
    for function in functions(prod).keys() - {"CastApiFunction", "AuthorizeFunction", CHECK}:
        reached = partitions(prod, function, f"dynamodb:{action}")
        assert reached is not None, function
        own = {"CAST#*", "LIMIT#*", "BREAKER", "HISTORY#*", "ACCOUNT#*", "DAY#*", "LEDGER#*"}
        assert reached <= (own | {"SPELL#*"} if action in ("GetItem", "Query") else own), function


@pytest.mark.parametrize("action", ["GetItem", "Query", "PutItem", "DeleteItem"])
def test_the_check_of_a_deployment_reaches_its_own_records_only(prod: Resources, action: str) -> None:
    reached = partitions(prod, CHECK, f"dynamodb:{action}")
    assert reached == {f"{kind}#{PREFIX}*" for kind in ("CAST", "SPELL", "SLUG")}
    assert not [statement for statement in grants(prod)[CHECK] if "s3" in str(statement["Action"])]


def test_rows_are_replaced_but_for_a_spells_head_a_circuit_and_an_accounts_day(prod: Resources) -> None:
    closers = {"ExecuteStepFunction", "PollJobFunction", "CompleteJobFunction", "FinalizeCostFunction", "SweepFunction"}
    assert holders(prod, "dynamodb:UpdateItem") == {"CastApiFunction", "ProcessOutputFunction", *closers}
    booking = {name for name in functions(prod) if "LEDGER#*" in (partitions(prod, name, "dynamodb:PutItem") or ())}
    assert booking == closers


def test_no_provider_can_be_made_to_change_an_accounts_settings_or_its_tools(prod: Resources) -> None:
    """An account's connections are rows beside these: they are kept by who talks with clients."""
    for action in ("PutItem", "UpdateItem", "BatchWriteItem"):
        for name in functions(prod).keys() - {"CastApiFunction", "WebSocketFunction"}:
            assert "ACCOUNT#*" not in (partitions(prod, name, f"dynamodb:{action}") or ()), (name, action)


KEEPERS = {"documents/": RUNNERS, "media/": RUNNERS, "answers/": {"CastApiFunction"}}
SHOWING = {
    "documents/": RUNNERS | {"WebSocketFunction"},
    "media/": RUNNERS | {"NotifyFunction", "WebSocketFunction"},
    "answers/": {"CastApiFunction"},
}


@pytest.mark.parametrize(("action", "expected"), [("s3:PutObject", KEEPERS), ("s3:GetObject", SHOWING)])
def test_who_may_keep_and_show_which_objects(prod: Resources, action: str, expected: dict[str, set[str]]) -> None:
    """By the first part of their keys; nobody may have the whole bucket."""
    found: dict[str, set[str]] = {}
    for name, statements in grants(prod).items():
        for statement in statements:
            if action in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    [prefix] = re.findall(r"^\$\{Bucket\.Arn\}/(.*)\*$", resource["Fn::Sub"])
                    found.setdefault(prefix, set()).add(name)
    assert found == expected


def test_ledgers_are_only_ever_added_to(prod: Resources) -> None:
    for action in ("UpdateItem", "DeleteItem", "BatchWriteItem"):
        for name in functions(prod).keys() - {"CastApiFunction"}:
            assert "LEDGER#*" not in (partitions(prod, name, f"dynamodb:{action}") or ()), name


def test_what_runs_casts_updates_circuits_and_days_only(prod: Resources) -> None:
    days = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["DAY#*"]}}
    circuits = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [PARTITION]}}
    for name in holders(prod, "dynamodb:UpdateItem") - {"CastApiFunction"}:
        found = [item for item in grants(prod)[name] if "dynamodb:UpdateItem" in str(item["Action"])]
        assert {item["Action"] for item in found} == {"dynamodb:UpdateItem"}, name
        expected = [days, circuits] if name == "ExecuteStepFunction" else [days]
        assert sorted((item["Condition"] for item in found), key=str) == sorted(expected, key=str), name


def test_every_service_that_invokes_a_function_does_so_for_one_source(prod: Resources) -> None:
    for name, spec in of_type(prod, "AWS::Lambda::Permission").items():
        assert spec["Action"] == "lambda:InvokeFunction", name
        assert spec.get("SourceArn"), name


# Names that are built in two places


def test_machines_are_where_the_functions_look_for_them(prod: Resources) -> None:
    names = {name: spec["StateMachineName"] for name, spec in machines(prod).items()}
    for spec in functions(prod).values():
        variables = spec["Environment"]["Variables"]
        if spec["FunctionName"] != CHECKER:  # which starts the version that is not let in yet
            assert variables["SPELLCAST_CAST_MACHINE"]["Fn::Sub"].endswith(f":{names['CastMachine']}:live")
        assert variables["SPELLCAST_POLL_MACHINE"]["Fn::Sub"].endswith(f":{names['PollMachine']}:live")
    mentioned = re.findall(r":stateMachine:([\w-]+)", str(list(allowed(prod))))
    assert set(mentioned) == set(names.values())


def test_secrets_are_below_the_prefix_that_functions_know(prod: Resources) -> None:
    [prefix] = {spec["Environment"]["Variables"]["SPELLCAST_SECRETS"] for spec in functions(prod).values()}
    for name, spec in of_type(prod, "AWS::SecretsManager::Secret").items():
        assert spec["Name"].startswith(prefix), name


# Functions


def test_folders_functions_and_handlers_correspond(template: Properties, prod: Resources) -> None:
    folders = {app.parent.name for app in HANDLERS}
    declared = {
        name: resource["Properties"]["CodeUri"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    assert sorted(declared.values()) == sorted(f"functions/{folder}" for folder in folders)
    for name, uri in declared.items():
        folder = uri.removeprefix("functions/")
        assert name.lower() == f"{folder.replace('_', '')}function"
        hook = "CodeDeployHook_" if name == CHECK else ""  # CodeDeploy's role may invoke no others
        assert prod[name]["Properties"]["FunctionName"] == f"{hook}spellcast-prod-{folder}"
        assert prod[name]["Properties"]["Handler"] == "app.lambda_handler"


@pytest.mark.parametrize("app", HANDLERS, ids=lambda app: app.parent.name)
def test_a_handler_is_thin(app: Path) -> None:
    source = app.read_text()
    assert len(source.splitlines()) <= HANDLER_LINES
    [handler] = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "lambda_handler"
    ]
    # No exception's text leaves it.
    assert [ast.unparse(decorator) for decorator in handler.decorator_list] == ["observed"]


def test_functions_behind_an_api_end_before_the_gateway_gives_up(prod: Resources) -> None:
    for name in {*route_targets(prod).values(), "AuthorizeFunction"}:
        assert prod[name]["Properties"]["Timeout"] <= GATEWAY_LIMIT, name


# Logs


def test_every_log_group_is_kept_for_a_limited_time(resources: Callable[..., Resources]) -> None:
    groups = of_type(resources("dev", LogRetentionDays="3", WebSocketAccessLogs="true"), "AWS::Logs::LogGroup")
    assert len(groups) == 17
    assert {str(spec.get("RetentionInDays")) for spec in groups.values()} == {"3"}


def test_logs_are_encrypted_with_the_operators_key_where_there_is_one(resources: Callable[..., Resources]) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    groups = of_type(resources("prod", LogKeyArn=key, WebSocketAccessLogs="true"), "AWS::Logs::LogGroup")
    assert [spec["KmsKeyId"] for spec in groups.values()] == [key] * 17
    assert not [spec for spec in of_type(resources("prod"), "AWS::Logs::LogGroup").values() if "KmsKeyId" in spec]


def test_every_function_has_a_log_group_of_its_own(prod: Resources) -> None:
    for name, spec in functions(prod).items():
        group = referred(spec["LoggingConfig"]["LogGroup"])
        assert prod[group]["Properties"]["LogGroupName"] == f"/aws/lambda/{spec['FunctionName']}", name


def test_machines_log_every_state_without_its_data(prod: Resources) -> None:
    assert len(machines(prod)) == 2
    for name, spec in machines(prod).items():
        logging = spec["LoggingConfiguration"]
        assert logging["Level"] == "ALL", name
        assert logging["IncludeExecutionData"] is False, name
        [destination] = logging["Destinations"]
        group = referred(destination["CloudWatchLogsLogGroup"]["LogGroupArn"])
        assert prod[group]["Type"] == "AWS::Logs::LogGroup"


def test_machines_are_durable(prod: Resources) -> None:
    assert {spec["StateMachineType"] for spec in machines(prod).values()} == {"STANDARD"}


def test_access_logs_hold_neither_path_nor_query(prod: Resources) -> None:
    stages = of_type(prod, "AWS::ApiGatewayV2::Stage")
    assert len(stages) == 2
    for name, spec in stages.items():
        form = spec["AccessLogSettings"]["Format"]
        variables = re.findall(r"\$([\w.]+)", form)
        assert {"context.routeKey", "context.requestId"} <= set(variables), name
        assert {variable.removeprefix("context.") for variable in variables} <= LOGGABLE, name
        assert form.count("$") == len(variables), name
        assert "\n" not in form, name
        assert not spec.get("DefaultRouteSettings", {}).get("DataTraceEnabled"), name


def test_websocket_access_logs_are_optional(resources: Callable[..., Resources]) -> None:
    dev = resources("dev")
    assert "AccessLogSettings" in dev["HttpStage"]["Properties"]
    assert "AccessLogSettings" not in dev["WebSocketStage"]["Properties"]
    assert "WebSocketAccessLogGroup" not in dev


# Routes


def invoked_by(uri: Any) -> str:
    """The function whose alias an API names."""
    match uri:
        case {"Fn::Sub": [str(text), {"Function": alias}]}:
            assert text.endswith("/functions/${Function}/invocations")
        case alias:
            pass
    assert alias["Ref"].endswith("Aliaslive")
    return referred(alias)


def route_targets(resources: Resources) -> dict[tuple[str, str], str]:
    """The function behind each route: (protocol, route key) → logical name."""
    found = {}
    for spec in of_type(resources, "AWS::ApiGatewayV2::Route").values():
        integration = re.fullmatch(r"integrations/\$\{(\w+)\}", spec["Target"]["Fn::Sub"])
        assert integration
        behind = resources[integration[1]]["Properties"]
        assert behind["ApiId"] == spec["ApiId"], "an integration of the other API"
        function = invoked_by(behind["IntegrationUri"])
        protocol = resources[referred(spec["ApiId"])]["Properties"]["ProtocolType"]
        found[protocol, spec["RouteKey"]] = function
    return found


def test_only_completions_and_the_console_bypass_cast_api(prod: Resources) -> None:
    assert route_targets(prod) == {
        ("HTTP", "$default"): "CastApiFunction",
        ("HTTP", "POST /v1/casts"): "CastApiFunction",
        ("HTTP", "POST /v1/casts/{castId}/resume"): "CastApiFunction",
        ("HTTP", "POST /v1/generations/{generationId}/retry"): "CastApiFunction",
        ("HTTP", "POST /v1/realtime/ticket"): "CastApiFunction",
        ("HTTP", "ANY /internal/{proxy+}"): "CastApiFunction",
        ("HTTP", "GET /docs"): "CastApiFunction",
        ("HTTP", "GET /openapi.json"): "CastApiFunction",
        ("HTTP", "POST /v1/completions/{token}"): "CompleteJobFunction",
        ("HTTP", "GET /console"): "ConsoleFunction",
        ("HTTP", "GET /console/{file+}"): "ConsoleFunction",
        ("WEBSOCKET", "$connect"): "WebSocketFunction",
        ("WEBSOCKET", "$disconnect"): "WebSocketFunction",
        ("WEBSOCKET", "$default"): "WebSocketFunction",
    }


def test_a_websocket_opens_with_a_ticket_only(prod: Resources) -> None:
    routes = of_type(prod, "AWS::ApiGatewayV2::Route").values()
    [connect] = [spec for spec in routes if spec["RouteKey"] == "$connect"]
    assert connect["AuthorizationType"] == "CUSTOM"
    authorizer = prod[referred(connect["AuthorizerId"])]["Properties"]
    assert authorizer["AuthorizerType"] == "REQUEST"
    assert authorizer["IdentitySource"] == ["route.request.querystring.ticket"]
    assert invoked_by(authorizer["AuthorizerUri"]) == "AuthorizeFunction"


def test_both_apis_are_throttled_and_deployed(prod: Resources) -> None:
    for name, spec in of_type(prod, "AWS::ApiGatewayV2::Stage").items():
        assert spec["AutoDeploy"] is True, name
        assert spec["DefaultRouteSettings"]["ThrottlingRateLimit"] > 0, name
        assert spec["DefaultRouteSettings"]["ThrottlingBurstLimit"] > 0, name


def test_route_groups_have_limits_of_their_own(prod: Resources) -> None:
    """A stage's settings may name routes that exist only, also while it is being deployed."""
    settings = {"HttpStage": "HTTP", "WebSocketStage": "WEBSOCKET"}
    for stage, protocol in settings.items():
        limits = prod[stage]["Properties"]["RouteSettings"]
        keys = {key for kind, key in route_targets(prod) if kind == protocol}
        assert set(limits) == keys - {"$default", "$disconnect"}
        assert all(0 < limit["ThrottlingRateLimit"] <= limit["ThrottlingBurstLimit"] for limit in limits.values())
        first = {prod[name]["Properties"]["RouteKey"] for name in as_list(prod[stage]["DependsOn"])}
        assert first == set(limits)


# Alarms


QUEUES_OF_WORK = {"WebhookQueue"}
API = {"ApiId": {"Ref": "HttpApi"}}
CASTS = {"StateMachineArn": {"Ref": "CastMachine"}}
OWN = {"service": "spellcast-prod"}
TABLE = {"TableName": {"Ref": "Table"}}
ALARMED: dict[str, tuple[str, str, Properties]] = {
    "CastsFailedAlarm": ("AWS/States", "ExecutionsFailed", CASTS),
    "CastsTimedOutAlarm": ("AWS/States", "ExecutionsTimedOut", CASTS),
    "PollingFailedAlarm": ("AWS/States", "ExecutionsFailed", {"StateMachineArn": {"Ref": "PollMachine"}}),
    "CastsOverdueAlarm": ("Spellcast", "SweepOverdue", OWN),
    "ApiFailingAlarm": ("AWS/ApiGateway", "5xx", API),
    "ApiSlowAlarm": ("AWS/ApiGateway", "Latency", API),
    "SpendingAlarm": ("Spellcast", "CastCostUsd", OWN),
    "ConnectionsGoneAlarm": ("Spellcast", "ConnectionsGone", OWN),
    "LambdaThrottledAlarm": ("AWS/Lambda", "Throttles", {}),  # the account's: it is its concurrency that runs out
}
# They raise in their ordinary course (a step that failed, a completion that is refused), or hold nothing of a cast.
NOT_ALARMED = {
    "ProcessOutputFunction",
    "CompleteJobFunction",
    "SendWebhookFunction",
    "ConsoleFunction",
    CHECK,
}


def alarms_of(resources: Resources) -> dict[str, Properties]:
    return of_type(resources, "AWS::CloudWatch::Alarm")


def dimensions(spec: Properties) -> Properties:
    return {item["Name"]: item["Value"] for item in spec.get("Dimensions", [])}


def summed(spec: Properties) -> list[tuple[str, Properties]]:
    """What an alarm on a sum adds up: every one of its metrics."""
    *parts, total = spec["Metrics"]
    assert re.fullmatch(r"SUM\(\[(.+)\]\)", total["Expression"])[1].split(", ") == [part["Id"] for part in parts]  # type: ignore[index]
    assert not any(part["ReturnData"] for part in parts)
    assert len(parts) <= 10, "CloudWatch takes no more in an alarm"
    found = [part["MetricStat"]["Metric"] for part in parts]
    return [(metric["MetricName"], dimensions(metric)) for metric in found]


def test_every_dead_letter_queue_has_an_alarm(prod: Resources) -> None:
    of_queues = {name: spec for name, spec in alarms_of(prod).items() if spec.get("Namespace") == "AWS/SQS"}
    watched = {referred(spec["Dimensions"][0]["Value"]) for spec in of_queues.values()}
    assert watched == set(of_type(prod, "AWS::SQS::Queue")) - QUEUES_OF_WORK
    for spec in of_queues.values():
        assert spec["MetricName"] == "ApproximateNumberOfMessagesVisible"
        assert (spec["Threshold"], spec["Statistic"]) == (1, "Maximum")


def test_the_other_alarms_watch_what_callers_feel_and_pay(prod: Resources) -> None:
    others = {name: spec for name, spec in alarms_of(prod).items() if spec.get("Namespace") != "AWS/SQS"}
    sums = {name for name, spec in others.items() if "Metrics" in spec}
    assert sums == {"FunctionsFailingAlarm", "TableThrottledAlarm"}
    assert {
        name: (spec["Namespace"], spec["MetricName"], dimensions(spec))
        for name, spec in others.items()
        if name not in sums
    } == ALARMED


def test_errors_of_every_function_that_has_none_in_its_ordinary_course_are_summed(prod: Resources) -> None:
    found = summed(alarms_of(prod)["FunctionsFailingAlarm"])
    assert {name for name, _ in found} == {"Errors"}
    assert {referred(by["FunctionName"]) for _, by in found} == set(functions(prod)) - NOT_ALARMED


def test_throttles_of_the_table_and_of_each_index_are_summed(prod: Resources) -> None:
    found = summed(alarms_of(prod)["TableThrottledAlarm"])
    indexes = [index["IndexName"] for index in prod["Table"]["Properties"]["GlobalSecondaryIndexes"]]
    assert found[:2] == [("ReadThrottleEvents", TABLE), ("WriteThrottleEvents", TABLE)]
    assert found[2:] == [("WriteThrottleEvents", TABLE | {"GlobalSecondaryIndexName": name}) for name in indexes]


def test_an_alarm_says_what_it_means_and_is_silent_where_nothing_happens(prod: Resources) -> None:
    assert len(alarms_of(prod)) == 14
    for name, spec in alarms_of(prod).items():
        assert spec["ComparisonOperator"] == "GreaterThanOrEqualToThreshold", name
        assert spec["TreatMissingData"] == "notBreaching", name
        assert len(spec["AlarmDescription"]) > 30, name
        assert "AlarmActions" not in spec, name


def test_alarms_tell_the_topic_that_an_operator_names(resources: Callable[..., Resources]) -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:alarms"
    assert [spec["AlarmActions"] for spec in alarms_of(resources("prod", AlarmTopicArn=topic)).values()] == [
        [topic]
    ] * 14


@pytest.mark.parametrize("metric", ["CastCostUsd", "ConnectionsGone", "SweepOverdue"])
def test_every_metric_of_ours_is_written_by_the_code_and_under_the_stages_name(prod: Resources, metric: str) -> None:
    written = "".join(path.read_text() for path in (ROOT / "layers" / "spellcast").rglob("*.py"))
    name = metric.removeprefix("Sweep").lower() if metric.startswith("Sweep") else metric
    assert f'"{name}"' in written
    for spec in functions(prod).values():
        assert spec["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == OWN["service"]


# The dashboard


def test_the_dashboard_shows_every_alarmed_metric_in_a_grid_without_holes(prod: Resources) -> None:
    body = json.loads(prod["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    cells: set[tuple[int, int]] = set()
    for widget in body["widgets"]:
        across = range(widget["x"], widget["x"] + widget["width"])
        taken = {(x, y) for x in across for y in range(widget["y"], widget["y"] + widget["height"])}
        assert not cells & taken, widget["properties"]["title"]
        cells |= taken
    assert cells == {(x, y) for x in range(24) for y in range(24)}
    shown = {metric[1] for widget in body["widgets"] for metric in widget["properties"]["metrics"]}
    alarmed = {spec["MetricName"] for spec in alarms_of(prod).values() if "MetricName" in spec}
    assert alarmed <= shown
    named = set(re.findall(r"\$\{(\w+)", json.dumps(body))) - {"AWS", "Stage"}
    assert named <= set(prod)


# Stages


STAGES = ("local", "dev", "staging", "prod")


def test_the_stages_are_those_of_the_configuration(template: Properties) -> None:
    assert tuple(template["Parameters"]["Stage"]["AllowedValues"]) == STAGES == tuple(template["Mappings"]["Stages"])
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert set(configuration) == {"version", "default", "dev", "staging", "prod"}
    for name, settings in configuration.items():
        if name != "version":
            stage = "dev" if name == "default" else name
            deploy = settings["deploy"]["parameters"]
            assert f"Stage={stage}" in deploy["parameter_overrides"]
            assert deploy["stack_name"] == deploy["s3_prefix"] == f"spellcast-{stage}"
            assert deploy["tags"] == ["project=spellcast", f"stage={stage}"]
            assert deploy["confirm_changeset"] is (stage == "prod")
            given = {item.partition("=")[0] for item in deploy["parameter_overrides"]}
            assert given <= set(template["Parameters"])
            assert ("Tracing=Active" in deploy["parameter_overrides"]) is (stage in ("staging", "prod"))


@pytest.mark.parametrize(
    ("stage", "level", "days", "casts"),
    [("local", "INFO", 7, 50), ("dev", "DEBUG", 7, 10), ("staging", "INFO", 30, 50), ("prod", "INFO", 180, 50)],
)
def test_stages_differ_in_what_they_log_and_let_through(
    resources: Callable[..., Resources], stage: str, level: str, days: int, casts: int
) -> None:
    found = resources(stage)
    logged = {spec["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] for spec in functions(found).values()}
    kept = {spec["RetentionInDays"] for spec in of_type(found, "AWS::Logs::LogGroup").values()}
    limits = found["HttpStage"]["Properties"]["RouteSettings"]["POST /v1/casts"]
    assert (logged, kept, limits["ThrottlingRateLimit"]) == ({level}, {days}, casts)


def test_an_operator_may_log_other_than_the_stage_does(resources: Callable[..., Resources]) -> None:
    found = resources("prod", LogLevel="DEBUG", LogRetentionDays="3")
    logged = {spec["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] for spec in functions(found).values()}
    kept = {spec["RetentionInDays"] for spec in of_type(found, "AWS::Logs::LogGroup").values()}
    assert (logged, kept) == ({"DEBUG"}, {"3"})


# Versions, aliases and deployments


ROLLING_BACK = [
    "FunctionsFailingAlarm",
    "ApiFailingAlarm",
    "CastsFailedAlarm",
    "CastsTimedOutAlarm",
    "PollingFailedAlarm",
]
PINNED = {"ExecuteStepFunction", "ProcessOutputFunction", "PollJobFunction"}  # invoked by machines only, by version
CANARY = {"Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": "Canary10Percent5Minutes"}]}
AT_ONCE = {"Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": "AllAtOnce"}]}


def test_whoever_invokes_a_function_names_its_alias(prod: Resources) -> None:
    invoked = [spec["FunctionName"] for spec in of_type(prod, "AWS::Lambda::Permission").values()]
    invoked += [spec["FunctionName"] for spec in of_type(prod, "AWS::Lambda::EventSourceMapping").values()]
    rules = of_type(prod, "AWS::Events::Rule").values()
    invoked += [target["Arn"] for spec in rules for target in spec["Targets"] if target["Id"] != "WebhookQueue"]
    assert [value for value in invoked if not value.get("Ref", "").endswith("FunctionAliaslive")] == []
    assert {spec["Qualifier"] for spec in of_type(prod, "AWS::Lambda::EventInvokeConfig").values()} == {"live"}


def test_a_machine_names_versions_and_may_go_on_with_older_ones(prod: Resources) -> None:
    """A cast that waits for days is answered by the functions that it was begun with."""
    for name, spec in machines(prod).items():
        named = {key: value["Ref"] for key, value in spec["DefinitionSubstitutions"].items()}
        for key, version in named.items():
            assert re.fullmatch(rf"{key.removesuffix('Arn')}Version[0-9a-f]{{10}}", version), name
            assert prod[version]["DeletionPolicy"] == "Retain"
        places = [
            place["Fn::Sub"]
            for statement in grants(prod)[name]
            if statement["Action"] == "lambda:InvokeFunction"
            for place in as_list(statement["Resource"])
        ]
        assert sorted(places) == sorted(f"${{{key.removesuffix('Arn')}.Arn}}:*" for key in named)


def test_every_deployment_publishes_a_version_of_every_function(resources: Callable[..., Resources]) -> None:
    """Also where only the layer or a parameter is another: SAM and Lambda would publish nothing then."""
    stacks = [resources("prod", Revision=text) for text in ("a" * 10, "b" * 10)]
    first, second = (set(of_type(stack, "AWS::Lambda::Version")) for stack in stacks)
    assert len(first) == len(second) == 13
    assert not first & second
    for spec in functions(resources("prod", Revision="c" * 10)).values():
        assert spec["Environment"]["Variables"]["REVISION"] == "c" * 10


@pytest.mark.parametrize(("stage", "expected"), [("dev", AT_ONCE), ("staging", CANARY), ("prod", CANARY)])
def test_functions_are_deployed_behind_the_check_and_back_by_alarms(
    resources: Callable[..., Resources], stage: str, expected: Properties
) -> None:
    found = resources(stage)
    groups = of_type(found, "AWS::CodeDeploy::DeploymentGroup")
    assert {name.removesuffix("DeploymentGroup") for name in groups} == set(functions(found)) - PINNED - {CHECK}
    for name, spec in groups.items():
        assert spec["DeploymentConfigName"] == expected, name
        assert [referred(alarm["Name"]) for alarm in spec["AlarmConfiguration"]["Alarms"]] == ROLLING_BACK, name
        assert "DEPLOYMENT_STOP_ON_ALARM" in spec["AutoRollbackConfiguration"]["Events"], name
        policy = found[f"{name.removesuffix('DeploymentGroup')}Aliaslive"]["UpdatePolicy"]
        assert policy["CodeDeployLambdaAliasUpdate"]["BeforeAllowTrafficHook"] == {"Ref": CHECK}, name


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("dev", {"Type": "ALL_AT_ONCE"}),
        ("staging", {"Type": "CANARY", "Percentage": 10, "Interval": 5}),
        ("prod", {"Type": "CANARY", "Percentage": 10, "Interval": 5}),
    ],
)
@pytest.mark.parametrize("machine", ["CastMachine", "PollMachine"])
def test_machines_follow_the_functions_that_were_checked(
    resources: Callable[..., Resources], machine: str, stage: str, expected: Properties
) -> None:
    found = resources(stage)
    version, alias = found[f"{machine}Version"], found[f"{machine}Alias"]
    assert version["DeletionPolicy"] == version["UpdateReplacePolicy"] == "Retain"
    assert version["Properties"]["StateMachineRevisionId"] == {"Fn::GetAtt": [machine, "StateMachineRevisionId"]}
    assert alias["DependsOn"] == "CastApiFunctionAliaslive"
    assert alias["Properties"]["Name"] == "live"
    preference = dict(alias["Properties"]["DeploymentPreference"])
    assert preference.pop("StateMachineVersionArn") == {"Ref": f"{machine}Version"}
    assert [referred(alarm) for alarm in preference.pop("Alarms")] == ROLLING_BACK  # by name: an ARN would do nothing
    assert preference == expected


def test_a_deployment_at_once_asks_no_alarm_but_is_checked(resources: Callable[..., Resources]) -> None:
    found = resources("prod", Shift="at-once")
    groups = of_type(found, "AWS::CodeDeploy::DeploymentGroup")
    for name, spec in groups.items():
        assert (spec["DeploymentConfigName"], spec["AlarmConfiguration"]) == (AT_ONCE, {}), name
        policy = found[f"{name.removesuffix('DeploymentGroup')}Aliaslive"]["UpdatePolicy"]
        assert policy["CodeDeployLambdaAliasUpdate"]["BeforeAllowTrafficHook"] == {"Ref": CHECK}, name
    for machine in ("CastMachine", "PollMachine"):
        preference = found[f"{machine}Alias"]["Properties"]["DeploymentPreference"]
        assert preference == {"StateMachineVersionArn": {"Ref": f"{machine}Version"}, "Type": "ALL_AT_ONCE"}
    assert groups


def test_the_check_casts_by_the_version_that_nobody_else_reaches(prod: Resources) -> None:
    variables = prod[CHECK]["Properties"]["Environment"]["Variables"]
    assert variables["SPELLCAST_CAST_MACHINE"] == {"Ref": "CastMachineVersion"}
    assert prod[CHECK]["Properties"]["Timeout"] > PATIENCE.total_seconds()


def test_the_end_of_an_execution_is_heard_of_by_whatever_name_it_was_started(prod: Resources) -> None:
    detail = prod["CastStoppedRule"]["Properties"]["EventPattern"]["detail"]
    assert detail["stateMachineArn"] == [{"Ref": "CastMachine"}, {"prefix": {"Fn::Sub": "${CastMachine}:"}}]
    assert detail["name"] == [{"anything-but": {"prefix": PREFIX}}]  # its cast is gone by then: a dead letter each time


# Traces


def test_without_traces_no_role_may_write_any(resources: Callable[..., Resources]) -> None:
    assert "Xray" not in str(of_type(resources("prod"), "AWS::IAM::Role"))
    assert not [name for name, spec in functions(resources("prod")).items() if "TracingConfig" in spec]
    assert {str(spec["TracingConfiguration"]) for spec in machines(resources("prod")).values()} == {
        "{'Enabled': False}"
    }


def test_with_traces_every_function_and_machine_sends_them_by_the_policy_of_aws(
    resources: Callable[..., Resources],
) -> None:
    """Its actions know no narrower resource than all: X-Ray has none to name."""
    traced = resources("prod", Tracing="Active")
    assert {spec["TracingConfig"]["Mode"] for spec in functions(traced).values()} == {"Active"}
    assert {str(spec["TracingConfiguration"]) for spec in machines(traced).values()} == {"{'Enabled': True}"}
    for name, spec in of_type(traced, "AWS::IAM::Role").items():
        assert name == DEPLOYER or "AWSXrayWriteOnlyAccess" in str(spec["ManagedPolicyArns"]), name
    assert list(allowed(traced)) == list(allowed(resources("prod")))


# Events, queues and their dead letters


def sources_allowed_to_send(resources: Resources, queue: str) -> set[str]:
    """The rules that may send to a queue: each queue has one policy of one statement."""
    policies = of_type(resources, "AWS::SQS::QueuePolicy").values()
    [policy] = [spec for spec in policies if spec["Queues"] == [{"Ref": queue}]]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "sqs:SendMessage"
    assert referred(statement["Resource"]) == queue
    return set(map(referred, as_list(statement["Condition"]["ArnEquals"]["aws:SourceArn"])))


def test_every_rule_keeps_what_its_target_did_not_take(prod: Resources) -> None:
    rules = of_type(prod, "AWS::Events::Rule")
    assert len(rules) == 5
    for name, spec in rules.items():
        for target in spec["Targets"]:
            assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0, name
            assert name in sources_allowed_to_send(prod, referred(target["DeadLetterConfig"]["Arn"]))


def test_every_target_of_a_rule_admits_it(prod: Resources) -> None:
    permissions = of_type(prod, "AWS::Lambda::Permission").values()
    for name, spec in of_type(prod, "AWS::Events::Rule").items():
        for target in map(referred, (target["Arn"] for target in spec["Targets"])):
            if prod[target]["Type"] == "AWS::SQS::Queue":
                assert name in sources_allowed_to_send(prod, target)
            else:
                invoker = {"FunctionName": {"Ref": f"{target}Aliaslive"}, "SourceArn": {"Fn::GetAtt": [name, "Arn"]}}
                assert any(invoker.items() <= spec.items() for spec in permissions), name


def test_every_function_that_a_rule_invokes_keeps_what_it_failed_on(prod: Resources) -> None:
    rules = of_type(prod, "AWS::Events::Rule").values()
    targets = {referred(target["Arn"]) for spec in rules for target in spec["Targets"]}
    invoked = of_type(prod, "AWS::Lambda::EventInvokeConfig").values()
    configured = {referred(spec["FunctionName"]): spec for spec in invoked}
    assert set(configured) == targets & set(functions(prod))
    # A sweep is followed by the next, which finds what it left.
    retries = {"CompleteJobFunction": 2, "FinalizeCostFunction": 2, "SweepFunction": 0}
    assert {name: spec["MaximumRetryAttempts"] for name, spec in configured.items()} == retries
    for name, spec in configured.items():
        assert_may_send(prod, name, spec["DestinationConfig"]["OnFailure"]["Destination"])


def assert_may_send(resources: Resources, function: str, queue_arn: Any) -> None:
    assert resources[referred(queue_arn)]["Type"] == "AWS::SQS::Queue"
    assert any(
        "sqs:SendMessage" in as_list(statement["Action"]) and queue_arn in as_list(statement["Resource"])
        for statement in grants(resources)[function]
    ), f"{function} may not send to its dead letter queue"


def test_a_sweep_comes_every_minute_and_begins_nothing_that_it_could_not_end(prod: Resources) -> None:
    assert prod["SweepRule"]["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    assert prod["SweepFunction"]["Properties"]["Timeout"] * 1_000 > RESERVE_MS


def test_the_streams_consumer_gives_up_in_the_end_and_loses_nothing(prod: Resources) -> None:
    spec = prod["NotifyStream"]["Properties"]
    assert referred(spec["FunctionName"]) == "NotifyFunction"
    assert spec["EventSourceArn"] == {"Fn::GetAtt": ["Table", "StreamArn"]}
    assert spec["StartingPosition"] == "TRIM_HORIZON"
    assert spec["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert spec["BisectBatchOnFunctionError"] is True
    assert 0 < spec["MaximumRetryAttempts"] <= 100
    assert spec["ParallelizationFactor"] == 10
    assert_may_send(prod, "NotifyFunction", spec["DestinationConfig"]["OnFailure"]["Destination"])


def test_the_webhook_queue_redrives_to_a_queue_that_keeps_longer(prod: Resources) -> None:
    spec = prod["SendWebhookQueue"]["Properties"]
    queue = prod[referred(spec["EventSourceArn"])]["Properties"]
    dead = prod[referred(queue["RedrivePolicy"]["deadLetterTargetArn"])]["Properties"]
    function = prod[referred(spec["FunctionName"])]["Properties"]
    assert spec["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert dead["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_a_webhook_has_an_attempt_more_than_there_are_waits(template: Properties, prod: Resources) -> None:
    mapping = prod["SendWebhookQueue"]["Properties"]
    variables = prod[referred(mapping["FunctionName"])]["Properties"]["Environment"]["Variables"]
    assert referred(variables["SPELLCAST_WEBHOOK_QUEUE"]) == referred(mapping["EventSourceArn"])
    queue = prod[referred(mapping["EventSourceArn"])]["Properties"]
    waits = [int(wait) for wait in variables["SPELLCAST_WEBHOOK_BACKOFF_SECONDS"].split(",")]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == len(waits) + 1 == 3
    assert max(waits) < queue["VisibilityTimeout"]
    pattern = re.compile(template["Parameters"]["WebhookBackoffSeconds"]["AllowedPattern"])
    assert [bool(pattern.match(text)) for text in ("5,30", "1,1", "5", "5,30,60", "5, 30", ",")] == [True] * 2 + [
        False
    ] * 4


def test_every_mapping_is_one_of_those_above(prod: Resources) -> None:
    assert set(of_type(prod, "AWS::Lambda::EventSourceMapping")) == {"NotifyStream", "SendWebhookQueue"}


def test_no_secret_is_in_an_environment_or_an_output(template: Properties, prod: Resources) -> None:
    """Names and addresses only: secrets are read from Secrets Manager when they are used, and kept for minutes."""
    secrets = set(of_type(prod, "AWS::SecretsManager::Secret"))
    places = [spec.get("Environment", {}) for spec in functions(prod).values()] + [template["Outputs"]]
    for place in places:
        text = str(place)
        assert not [name for name in secrets if re.search(rf"\b{name}\b", text)]
        assert "resolve:secretsmanager" not in text
    for name, spec in template["Parameters"].items():
        assert not re.search(r"(?i)secret|password|token|apikey", name), name
        assert not spec.get("NoEcho"), f"{name}: what must not be shown belongs into Secrets Manager"


def test_every_queue_is_encrypted(prod: Resources) -> None:
    for name, spec in of_type(prod, "AWS::SQS::Queue").items():
        assert spec["SqsManagedSseEnabled"] is True, name


# The store


def test_the_table_streams_expires_and_encrypts(prod: Resources) -> None:
    [table] = of_type(prod, "AWS::DynamoDB::Table").values()
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}


@pytest.mark.parametrize(("stage", "protected"), [("prod", True), ("staging", True), ("dev", False), ("local", False)])
def test_the_table_of_staging_and_prod_is_protected(
    resources: Callable[..., Resources], stage: str, protected: bool
) -> None:
    table = resources(stage)["Table"]["Properties"]
    assert table["DeletionProtectionEnabled"] is protected
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": protected}


def test_a_record_of_the_stream_fits_into_an_invocation(prod: Resources) -> None:
    """Lambda makes batches of at most 6 MB by itself; a record that did not fit would be lost."""
    spec = prod["NotifyStream"]["Properties"]
    largest = {"pk": "CAST#c", "inputs": '"' * MAX_ROW_BYTES, "taskToken": "x" * 2_048, "webhookUrl": "x" * 2_048}
    image = {"dynamodb": {"NewImage": {name: {"S": value} for name, value in largest.items()}}}
    assert len(json.dumps({"Records": [image]}).encode()) < 6 * 1024 * 1024
    assert spec["BatchSize"] * MAX_ROW_BYTES < 6 * 1024 * 1024
    assert "MaximumBatchingWindowInSeconds" not in spec  # nobody waits for others to be told


@pytest.mark.parametrize("stage", ["dev", "staging", "prod"])
def test_a_snapshot_is_paid_for_only_where_an_operator_says_so(resources: Callable[..., Resources], stage: str) -> None:
    """Every version that is kept would cost, and all are kept."""
    taken = [spec.get("SnapStart", {}).get("ApplyOn", "None") for spec in functions(resources(stage)).values()]
    assert set(taken) == {"None"}


def test_snapshots_are_of_functions_that_a_person_waits_for(resources: Callable[..., Resources]) -> None:
    with_them = functions(resources("prod", SnapStart="PublishedVersions"))
    taken = {name: spec for name, spec in with_them.items() if "SnapStart" in spec}
    assert taken.keys() == {"CastApiFunction", "WebSocketFunction", "AuthorizeFunction"}
    for spec in taken.values():
        assert spec["SnapStart"] == {"ApplyOn": "PublishedVersions"}
        # What SnapStart asks of a function (Lambda's developer guide).
        assert spec["Runtime"] in ("python3.12", "python3.13")
        assert not {"EphemeralStorage", "FileSystemConfigs", "ProvisionedConcurrencyConfig"} & spec.keys()
        handler = ROOT / "functions" / spec["FunctionName"].rpartition("-")[2] / "app.py"
        assert "before_calls(" in handler.read_text("utf-8")


def test_a_bucket_that_does_not_answer_is_told_before_the_api_has_to_answer(prod: Resources) -> None:
    session = Session()
    session.set_config_variable("region", "us-east-1")
    found: Any = Parts(Settings.read({}), session, SystemClock()).storage.meta.config
    each = found.connect_timeout + found.read_timeout
    backoff = 1 + 2  # seconds at most, of botocore's standard mode
    attempts = found.retries["total_max_attempts"]
    assert attempts * each + backoff < prod["CastApiFunction"]["Properties"]["Timeout"]


def test_the_store_outlives_its_replacement(prod: Resources) -> None:
    assert prod["Table"]["UpdateReplacePolicy"] == "Retain"
    assert prod["Bucket"]["UpdateReplacePolicy"] == "Retain"


def test_the_bucket_is_closed_encrypted_and_swept(prod: Resources) -> None:
    [bucket] = of_type(prod, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    aborted, replaced, answers = bucket["LifecycleConfiguration"]["Rules"]
    assert aborted["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 1
    assert replaced["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert (answers["Prefix"], answers["ExpirationInDays"]) == ("answers/", 1)
    assert {aborted["Status"], replaced["Status"], answers["Status"]} == {"Enabled"}


def test_what_is_live_is_deleted_only_where_an_operator_says_when(resources: Callable[..., Resources]) -> None:
    def expiring(**parameters: str) -> list[Properties]:
        rules = resources("prod", **parameters)["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        # The API's own answers, which are in the records too, are not what is meant.
        return [
            rule
            for rule in rules
            if rule.get("Prefix") != "answers/" and {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(rule)
        ]

    assert expiring() == []
    [rule] = expiring(MediaDays="90")
    assert (rule["Prefix"], rule["ExpirationInDays"], rule["Status"]) == ("media/", "90", "Enabled")


def test_the_bucket_is_reached_over_tls_only(prod: Resources) -> None:
    [policy] = of_type(prod, "AWS::S3::BucketPolicy").values()
    assert referred(policy["Bucket"]) == "Bucket"
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

"""Deploys template.yaml to the embedded cloud, the fast way: zips to S3, one change set, nothing if nothing is new."""

from __future__ import annotations

import argparse
import compileall
import contextlib
import hashlib
import io
import json
import os
import py_compile
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import boto3
import yaml

from local.cloud import REGION, WEBSOCKET_PREFIX
from local.demo_provider import WEBHOOK_SECRET
from local.environment import BRIDGE, JWT_AUDIENCE, JWT_ISSUER, OF_SERVICES

ROOT: Final = Path(__file__).resolve().parent.parent
STACK: Final = "spellcast-local"
BUCKET: Final = "spellcast-local-deployments"
DEMO_SERVICES: Final = ("comfyui", "replicate")
ZIP_TIME: Final = (2020, 1, 1, 0, 0, 0)  # the same content gives the same zip


class DeployError(RuntimeError):
    """The stack could not be deployed; the message says which resource and why."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, turned into their long form."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tagged)


def load_template(path: Path) -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)
    return template


def client(service: str, endpoint: str) -> Any:
    connect: Any = boto3.client  # its stubs know the services by literal names only
    return connect(
        service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )


def deploy(template: Path, port: int, directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Bring the stack to what the template says, and write outputs.json beside its state."""
    endpoint = f"http://127.0.0.1:{port}"
    folder = directory / str(port)
    parameters = {
        "Stage": "local",
        "Revision": "0000000000",  # there is one version of everything
        "PublicUrl": endpoint,
        "PublicWebSocketUrl": f"ws://127.0.0.1:{port}/realtime",
        "WebSocketEndpoint": f"http://{_reached_at(environment)}:{port}{WEBSOCKET_PREFIX}",
        "AllowLoopback": "true",
        "WebhookBackoffSeconds": "1,1",  # a developer's receiver is on this machine, and tests wait for it
    }
    for name, variable in (("JwtIssuer", JWT_ISSUER), ("JwtAudience", JWT_AUDIENCE)):
        if variable.name in environment:
            parameters[name] = environment[variable.name]
    document = without_deployments(load_template(template))
    archives = package(document, template.parent)
    declared = document.get("Parameters", {})
    parameters = {name: value for name, value in parameters.items() if name in declared}
    body = json.dumps(document)
    digest = hashlib.sha256(json.dumps([body, parameters]).encode()).hexdigest()
    stamp = folder / "deployed"
    formation = client("cloudformation", endpoint)
    deployed = _stack(formation)
    if deployed is None or not stamp.exists() or stamp.read_text() != digest:
        stamp.unlink(missing_ok=True)
        key = f"{digest}.json"
        upload(endpoint, {**archives, key: body.encode()})
        change(formation, f"{endpoint}/{BUCKET}/{key}", parameters, update=deployed is not None)
        enable_expiry(formation, endpoint, document)
        deployed = _stack(formation)
        stamp.write_text(digest)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in (deployed or {}).get("Outputs", [])}
    if put_provider_secrets(endpoint, port, services(document), environment):
        # Warm workers would use the providers of before for some minutes more.
        _post(f"{endpoint}/_spellcast/renew")
    result = {
        "httpUrl": outputs["HttpUrl"],
        "webSocketUrl": outputs["WebSocketUrl"],
        "apiKey": create_api_key(endpoint, outputs["TableName"], folder / "api-key"),
        "internalKey": client("secretsmanager", endpoint).get_secret_value(SecretId="spellcast/local/internal-key")[
            "SecretString"
        ],
        "eventBusName": outputs["EventBusName"],
        "castStateMachineArn": outputs["CastStateMachineArn"],
        "tableName": outputs["TableName"],
        "endpointUrl": endpoint,
        "region": REGION,
    }
    _post(f"{endpoint}/_spellcast/save")
    if "SweepFunction" in document["Resources"]:
        take_up_casts(formation, endpoint)
    (folder / "outputs.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def _reached_at(environment: Mapping[str, str]) -> str:
    """Where functions reach this machine, those that run in containers, too."""
    return BRIDGE.of(environment) or "127.0.0.1"


def _post(url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=30).close()


# Packaging


UNKNOWN_TYPES: Final = ("AWS::StepFunctions::StateMachineVersion", "AWS::StepFunctions::StateMachineAlias")
CHECK: Final = ("CheckDeploymentFunction", "CheckDeploymentLogGroup")


def without_deployments(document: dict[str, Any]) -> dict[str, Any]:
    """The template without what the embedded cloud does not have: CodeDeploy, versions of machines, sums in alarms.

    There is one version of everything: what names an alias or a version names the function or the machine itself.
    """
    resources = {
        name: resource
        for name, resource in document["Resources"].items()
        if name not in CHECK
        and resource["Type"] not in UNKNOWN_TYPES
        and "Metrics" not in resource.get("Properties", {})
    }
    text = json.dumps(document | {"Resources": resources})
    text = re.sub(r'\{"Ref": "(\w+Function)\.(?:Alias|Version)"\}', r'{"Fn::GetAtt": ["\1", "Arn"]}', text)
    text = re.sub(r"(:stateMachine:spellcast-(?:cast|poll)-\$\{Stage\}):live\b", r"\1", text)
    fitted: dict[str, Any] = json.loads(text)
    for place in (
        fitted.get("Globals", {}).get("Function", {}),
        *(each.get("Properties", {}) for each in fitted["Resources"].values()),
    ):
        for name in ("AutoPublishAlias", "AutoPublishCodeSha256", "DeploymentPreference"):
            place.pop(name, None)
    return fitted


def package(document: dict[str, Any], base: Path) -> dict[str, bytes]:
    """Point the template at archives (key: content) and put the definitions of the machines into it."""
    archives: dict[str, bytes] = {}
    for resource in document["Resources"].values():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Serverless::Function":
                content = zipped(base / properties["CodeUri"])
                key = f"{hashlib.sha256(content).hexdigest()[:32]}.zip"
                archives[key] = content
                properties["CodeUri"] = {"Bucket": BUCKET, "Key": key}
            case "AWS::Serverless::LayerVersion":
                layer = build_layer(base / properties["ContentUri"])
                archives[f"{layer.name}.zip"] = pointer(layer)
                properties["ContentUri"] = {"Bucket": BUCKET, "Key": f"{layer.name}.zip"}
                resource.pop("Metadata", None)
            case "AWS::Serverless::StateMachine" if "DefinitionUri" in properties:
                properties["Definition"] = json.loads((base / properties.pop("DefinitionUri")).read_text())
    return archives


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in _files(folder):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(folder)), ZIP_TIME), path.read_bytes())
    return buffer.getvalue()


def pointer(layer: Path) -> bytes:
    """An archive that names the unpacked layer: 40 MB need not be packed, uploaded, kept in memory and unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("LOCATION", ZIP_TIME), str(layer))
    return buffer.getvalue()


def _files(folder: Path) -> list[Path]:
    skipped = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not skipped & set(path.relative_to(folder).parts) and path.name != ".DS_Store"
    )


def build_layer(source: Path) -> Path:
    """What `sam build` makes of a Python layer: requirements and package under python/; built once per content."""
    build = ROOT / ".local" / "build"
    build.mkdir(parents=True, exist_ok=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    requirements = source / "requirements.txt"
    wanted = hashlib.sha256(f"{version}\n{requirements.read_text()}".encode())
    installed = build / f"requirements-{wanted.hexdigest()[:16]}"
    if not installed.exists():
        with _unfinished(installed) as folder:
            command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
            command += ["--target", str(folder), "-r", str(requirements)]
            done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise DeployError(f"The layer's requirements could not be installed:\n{done.stderr}")
            _compile(folder)
    code = [path for path in _files(source) if path != requirements]
    for path in code:
        wanted.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes())
    layer = build / f"layer-{wanted.hexdigest()[:16]}"
    if not layer.exists():
        with _unfinished(layer) as folder:
            package = folder / "package"
            for path in code:
                copy = package / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            package.mkdir(exist_ok=True)
            _compile(package)
            shutil.copytree(installed, folder / "python", copy_function=os.link)
            shutil.copytree(package, folder / "python", copy_function=os.link, dirs_exist_ok=True)
            shutil.rmtree(package)
    layer.touch()
    for old in build.glob("layer-*"):  # a cloud that still runs may use it: it goes when it is a day old
        if time.time() - old.stat().st_mtime > 86_400:
            shutil.rmtree(old)
    return layer


@contextlib.contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A folder that takes the target's name when it is complete, so that an interruption leaves no half of it."""
    folder = target.with_name(f"{target.name}.{os.getpid()}.part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        with contextlib.suppress(OSError):  # another deployment has just finished the same
            folder.rename(target)
        if not target.exists():
            raise DeployError(f"{target} could not be made")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(folder: Path) -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH  # a zip does not keep the time that a .pyc checks
    compileall.compile_dir(str(folder), quiet=2, invalidation_mode=mode)


# CloudFormation


def upload(endpoint: str, archives: Mapping[str, bytes]) -> None:
    storage = client("s3", endpoint)
    storage.create_bucket(Bucket=BUCKET)
    present = {entry["Key"] for entry in storage.list_objects_v2(Bucket=BUCKET).get("Contents", [])}
    for key, content in archives.items():
        if key not in present:
            storage.put_object(Bucket=BUCKET, Key=key, Body=content)
    for key in present - set(archives):
        storage.delete_object(Bucket=BUCKET, Key=key)


def _stack(formation: Any) -> dict[str, Any] | None:
    try:
        stack: dict[str, Any] = formation.describe_stacks(StackName=STACK)["Stacks"][0]
    except formation.exceptions.ClientError:
        return None
    if stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"):
        return stack
    formation.delete_stack(StackName=STACK)
    return None


def change(formation: Any, url: str, parameters: Mapping[str, str], *, update: bool) -> None:
    """By the template's address, as `sam deploy` does: in a request it may have 51,200 bytes only."""
    name = f"change-{time.time_ns()}"
    formation.create_change_set(
        StackName=STACK,
        ChangeSetName=name,
        ChangeSetType="UPDATE" if update else "CREATE",
        TemplateURL=url,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    made = _wait(lambda: formation.describe_change_set(StackName=STACK, ChangeSetName=name), "Status")
    if made["Status"] == "FAILED":
        if "didn't contain changes" in made.get("StatusReason", "") or "No updates" in made.get("StatusReason", ""):
            return
        raise DeployError(made.get("StatusReason", "the change set failed"))
    formation.execute_change_set(StackName=STACK, ChangeSetName=name)
    stack = _wait(lambda: formation.describe_stacks(StackName=STACK)["Stacks"][0], "StackStatus")
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
        faults = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
        lines = [f"{fault['LogicalResourceId']}: {fault.get('ResourceStatusReason', '')}" for fault in faults]
        raise DeployError("\n".join(lines) or stack["StackStatus"])


def _wait(describe: Any, field: str, seconds: float = 120) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = describe()
        status = found[field]
        if not status.endswith(("_IN_PROGRESS", "_PENDING")) or time.monotonic() > end:
            return found
        time.sleep(0.05)


def enable_expiry(formation: Any, endpoint: str, document: Mapping[str, Any]) -> None:
    """MiniStack's CloudFormation ignores a table's TimeToLiveSpecification."""
    for name, resource in document["Resources"].items():
        expiry = resource.get("Properties", {}).get("TimeToLiveSpecification")
        if resource["Type"] == "AWS::DynamoDB::Table" and expiry:
            found = formation.describe_stack_resource(StackName=STACK, LogicalResourceId=name)
            table = found["StackResourceDetail"]["PhysicalResourceId"]
            client("dynamodb", endpoint).update_time_to_live(TableName=table, TimeToLiveSpecification=expiry)


# What a stage needs beside its stack


def take_up_casts(formation: Any, endpoint: str) -> None:
    """Let the casts go on that the end of the cloud cut off; on one that went on running there are none.

    Nobody waits for it: should it be lost, the sweep of the next minute does the same.
    """
    found = formation.describe_stack_resource(StackName=STACK, LogicalResourceId="SweepFunction")
    client("lambda", endpoint).invoke(
        FunctionName=found["StackResourceDetail"]["PhysicalResourceId"],
        InvocationType="Event",
        Payload=json.dumps({"detail-type": "Scheduled Event", "detail": {"olderThanSeconds": 0}}),
    )


def services(document: Mapping[str, Any]) -> list[str]:
    """Those whose secret the template leaves to an operator: it is empty there."""
    secrets = (each["Properties"] for each in document["Resources"].values() if each["Type"].endswith("::Secret"))
    return [each["Name"]["Fn::Sub"].rpartition("/")[2] for each in secrets if each.get("SecretString") == "{}"]


def put_provider_secrets(endpoint: str, port: int, names: list[str], environment: Mapping[str, str]) -> bool:
    """Providers as the environment names them; the two that the demo needs fall back to the demo provider.

    Tells whether anything is other than before.
    """
    store = client("secretsmanager", endpoint)
    changed = False
    for service in names:
        prefix = f"SPELLCAST_{service.upper()}"
        url, key, secret, limits = (environment.get(f"{prefix}_{name}", "") for name in OF_SERVICES)
        content: dict[str, Any] = {"url": url, "key": key, "webhookSecret": secret}
        if not any(content.values()) and service in DEMO_SERVICES:
            content = {
                "url": f"http://{_reached_at(environment)}:{port + 1}/{service}",
                "key": "demo-key",
                "webhookSecret": WEBHOOK_SECRET,
            }
        content = {name: value for name, value in content.items() if value}
        if limits:
            content["limits"] = read_limits(f"{prefix}_LIMITS", limits)
        if not re.match(r"https?://[^/]", content.get("url", "http://-")):
            raise DeployError(f"{prefix}_URL is {content['url']!r}, which is not an http or https address")
        name, text = f"spellcast/local/{service}", json.dumps(content)
        if store.get_secret_value(SecretId=name).get("SecretString") != text:
            store.put_secret_value(SecretId=name, SecretString=text)
            changed = True
    return changed


def read_limits(variable: str, text: str) -> Any:
    """The JSON of a provider's limits; what it means is for the functions to judge."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise DeployError(f"{variable} is not JSON: {error}") from None


def create_api_key(endpoint: str, table: str, file: Path) -> str:
    """The local account's key; it is kept in a file, so that it stays the same over restarts."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(f"sk_local_{secrets.token_urlsafe(24)}")
    key = file.read_text()
    digest = hashlib.sha256(key.encode()).hexdigest()
    made = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    item = {"pk": f"KEY#{digest}", "sk": "KEY", "entity": "KEY", "accountId": "local", "createdAt": made}
    item |= {"gsi1pk": "ACCOUNT#local#KEYS", "gsi1sk": f"{made}#{digest}"}
    row = {name: {"S": value} for name, value in item.items()} | {"version": {"N": "1"}}
    client("dynamodb", endpoint).put_item(TableName=table, Item=row)
    return key


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.deploy", description=__doc__)
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    parser.add_argument("--port", type=int, default=4599)
    parser.add_argument("--directory", type=Path, default=ROOT / ".local")
    arguments = parser.parse_args()
    try:
        deploy(arguments.template, arguments.port, arguments.directory, os.environ)
    except (DeployError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

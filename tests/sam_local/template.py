"""The template as SAM's local runner can take it: what the embedded cloud takes, for this machine's processor."""

from __future__ import annotations

import platform
from typing import Any

from local.deploy import load_template, without_deployments
from tests.sam_local import ROOT

Document = dict[str, Any]
PARAMETERS = ("--parameter-overrides", "Stage=local", "Revision=0000000000")


# What the layer's Makefile calls a processor, by Lambda's name for it.
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}


def architecture() -> str:
    """This machine's processor by Lambda's name for it."""
    return "x86_64" if platform.machine().lower() in ("x86_64", "amd64") else "arm64"


def functions(document: Document) -> dict[str, str]:
    """Logical ids by the names of the functions' folders."""
    return {
        resource["Properties"]["CodeUri"].rpartition("/")[2]: name
        for name, resource in document["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def fitted() -> Document:
    """Without CodeDeploy, versions and the WebSocket API, which `sam local start-api` cannot read.

    A function's variables are replaced only where the template has them, so it has AWS_ENDPOINT_URL.
    """
    document = without_deployments(load_template(ROOT / "template.yaml"))
    sockets = {
        name
        for name, resource in document["Resources"].items()
        if resource["Type"] == "AWS::ApiGatewayV2::Api" and resource["Properties"]["ProtocolType"] == "WEBSOCKET"
    }
    document["Resources"] = {
        name: resource
        for name, resource in document["Resources"].items()
        if resource.get("Properties", {}).get("ApiId", {}).get("Ref") not in sockets
    }
    shared = document["Globals"]["Function"]
    shared["Architectures"] = [architecture()]
    shared["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = ""
    for resource in document["Resources"].values():
        match resource["Type"]:
            case "AWS::Serverless::LayerVersion":
                resource["Properties"]["CompatibleArchitectures"] = [architecture()]
            case "AWS::ApiGatewayV2::Integration":
                name = resource["Properties"]["IntegrationUri"]["Fn::GetAtt"][0]
                resource["Properties"]["IntegrationUri"] = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    return document

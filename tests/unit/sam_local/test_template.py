"""SAM's local runner gets the template as it can take it; template.yaml knows nothing of that."""

from __future__ import annotations

import platform

import pytest

from tests.sam_local.engine import Engine, read_gateway
from tests.sam_local.events import files
from tests.sam_local.sam import Sam
from tests.sam_local.standin import read_ldd
from tests.sam_local.template import MACHINES, architecture, fitted, functions


def test_every_event_has_its_function() -> None:
    names = functions(fitted())
    assert len(names) == 12
    assert {file.name.partition(".")[0] for file in files()} == set(names)
    assert names["cast_api"] == "CastApiFunction"


def test_functions_have_the_variable_that_leads_them_to_the_cloud_and_this_machines_processor() -> None:
    shared = fitted()["Globals"]["Function"]
    assert shared["Environment"]["Variables"]["AWS_ENDPOINT_URL"] == ""
    assert shared["Architectures"] == [architecture()]
    assert "DeploymentPreference" not in shared


def test_what_start_api_cannot_read_is_left_out() -> None:
    resources = fitted()["Resources"].values()
    routes = [each["Properties"] for each in resources if each["Type"] == "AWS::ApiGatewayV2::Route"]
    assert {route["ApiId"]["Ref"] for route in routes} == {"HttpApi"}
    assert "$default" in {route["RouteKey"] for route in routes}
    targets = {each["Properties"]["IntegrationUri"] for each in resources if each["Type"].endswith("V2::Integration")}
    assert {target.rpartition(":")[2] for target in targets} == {
        "CastApiFunction",
        "CompleteJobFunction",
        "ConsoleFunction",
    }
    assert not any(each["Type"].endswith("V2::Authorizer") for each in resources)


@pytest.mark.parametrize(
    ("machine", "expected"), [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("aarch64", "arm64"), ("arm64", "arm64")]
)
def test_a_processor_has_lambdas_name(monkeypatch: pytest.MonkeyPatch, machine: str, expected: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert architecture() == expected
    assert MACHINES[expected] in ("x86_64", "aarch64")


@pytest.mark.parametrize("image", [None, "a-stand-in"])
def test_sam_chooses_the_image_where_there_is_no_stand_in(image: str | None) -> None:
    words = Sam(Engine("", ""), "", image).command("invoke", "CastApiFunction")
    assert ("--skip-pull-image" in words) is ("--invoke-image" in words) is (image is not None)


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ('[{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.9"}]', "172.17.0.9"),
        ('[{"Subnet": "172.17.0.0/16"}]', "172.17.0.1"),
        ('[{"Subnet": "fd00::/64"}, {"Subnet": "10.1.2.0/24", "Gateway": ""}]', "10.1.2.1"),
    ],
)
def test_the_bridge_has_an_address_whatever_docker_says_of_it(networks: str, address: str) -> None:
    assert read_gateway(networks) == address


def test_the_libraries_are_those_that_the_loader_found() -> None:
    found = ("linux-vdso.so.1 (0x7f)", "linux-gate.so.1 => (0x7f) (0x7f)", "libm.so.6 => /lib/libm.so.6 (0x7f)")
    text = "\n\t".join(["/a/python3.13:", *found, "libx.so => not found"])
    assert read_ldd(text) == ["/lib/libm.so.6"]

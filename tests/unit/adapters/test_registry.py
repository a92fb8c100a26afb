from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import httpx
import pytest

from spellcast.adapters.capabilities import ImmediateOnly, JobsOnly
from spellcast.adapters.exchange import provider_client
from spellcast.adapters.registry import BUILT_IN, DELIVERY_MODES, SHARED_ADDRESSES, Registry
from spellcast.domain.errors import InvalidSignature, ProviderNotConfigured
from spellcast.domain.limits import Limits
from spellcast.ports.adapter import Adapters, ProviderConfig


def registry(**configured: ProviderConfig) -> Registry:
    def no_client() -> httpx.Client:
        raise AssertionError("nobody asked for a client")

    return Registry(lambda service: configured.get(service, ProviderConfig()), no_client, False)


def test_it_is_the_port_and_caches_each_adapter() -> None:
    adapters: Adapters = registry(comfyui=ProviderConfig("http://127.0.0.1:8188"))
    assert adapters.get("string") is adapters.get("string")
    assert adapters.get("comfyui") is adapters.get("comfyui")


def test_a_rotated_key_makes_a_new_adapter() -> None:
    configured = {"replicate": ProviderConfig(key="old")}
    adapters = registry(**configured)
    adapters._configuration = lambda service: configured[service]
    before = adapters.get("replicate")
    configured["replicate"] = ProviderConfig(key="new")
    assert adapters.get("replicate") is not before


@pytest.mark.parametrize("service", sorted(DELIVERY_MODES.keys() - BUILT_IN))
def test_what_is_missing_is_named(service: str) -> None:
    with pytest.raises(ProviderNotConfigured, match=f"set SPELLCAST_{service.upper()}_(URL|KEY)"):
        registry().get(service)


def test_a_service_that_there_is_not() -> None:
    with pytest.raises(ProviderNotConfigured, match="no adapter for the service 'nothing'; there are string, "):
        registry().get("nothing")


def test_limits_are_the_services_configuration() -> None:
    limits = Limits(jobs=3)
    adapters = registry(
        comfyui=ProviderConfig("http://127.0.0.1:8188", limits=limits), http=ProviderConfig(limits=limits)
    )
    assert adapters.limits("comfyui") == limits
    # Those without a provider of ours are not configured, and what has no adapter is not looked for.
    assert adapters.limits("http") == adapters.limits("replicate") == adapters.limits("nothing") == Limits()


def test_importing_the_registry_imports_no_provider_and_no_client() -> None:
    code = (
        "import sys, spellcast.adapters.registry\n"
        "print([name for name in sys.modules if name == 'httpx' or name == 'jsonata'"
        " or name.startswith('spellcast.adapters.') and name != 'spellcast.adapters.registry'])"
    )
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True)
    assert run.stdout.decode().strip() == "[]", run.stderr.decode()


def test_the_clients_are_shared_and_made_late() -> None:
    made: list[httpx.Client] = []

    def client() -> httpx.Client:
        made.append(httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(404))))
        return made[-1]

    adapters = Registry(lambda _: ProviderConfig("http://127.0.0.1:1", "key"), client, True)
    comfyui, replicate = adapters.get("comfyui"), adapters.get("replicate")
    assert made == []
    comfyui.cancel_job("a")
    replicate.cancel_job("b")
    assert len(made) == 1


@pytest.mark.parametrize("service", DELIVERY_MODES)
def test_what_a_service_delivers_is_what_its_adapter_can_do(service: str) -> None:
    config = ProviderConfig("http://127.0.0.1:8188", "key")
    adapter = Registry(lambda _: config, provider_client, False).get(service)
    modes = DELIVERY_MODES[service]
    assert isinstance(adapter, ImmediateOnly) == (modes == ("immediate",))
    assert isinstance(adapter, JobsOnly) == ("immediate" not in modes)


@pytest.mark.parametrize("service", DELIVERY_MODES)
def test_an_unsigned_callback_at_an_address_for_all_jobs_is_refused_by_everybody(service: str) -> None:
    config = ProviderConfig("http://127.0.0.1:8188", "key")
    adapter = Registry(lambda _: config, provider_client, False).get(service)
    with pytest.raises(InvalidSignature):
        adapter.callback_token({}, b"{}", datetime(2026, 11, 23, tzinfo=UTC))
    assert DELIVERY_MODES.keys() >= SHARED_ADDRESSES


# Where the services keep outputs that their own servers give to whoever has the key.
FILES = {"comfyui": "/view", "comfyapi": "/api/v2/assets/eyJmIjoiYS5wbmcifQ.c2ln-_/content"}
# What any model may answer as its output, and only the key opens.
OTHERS = (
    "",
    "/",
    "/v1/webhooks/default/secret",
    "/v1/account",
    "/v1/files/a",
    "/v1/files/a/content",
    "/v1/predictions/a",
    "/files/a.png",
    "/queue",
    "/history",
    "/history/view",
    "/view/../history",
    "/view/%2e%2e/history",
    "/api/view",
    "/api/v2/jobs",
    "/api/v2/assets",
    "/api/v2/assets/a",
    "/api/v2/assets//content",
    "/api/v2/assets/../content",
    "/api/v2/assets/%2e%2e/content",
    "/api/v2/assets/.../content",
    "/api/v2/assets/..%2fjobs/content",
    "/api/v2/assets/a/../../jobs/content",
    "/api/v2/assets/a/b/content",
    "/api/v2/assets/a/content/..",
)


@pytest.mark.parametrize("service", DELIVERY_MODES)
def test_the_operators_key_reads_nothing_but_files(service: str) -> None:
    base = "https://provider.example/proxied"
    adapter = Registry(lambda _: ProviderConfig(base, "key"), provider_client, False).get(service)
    files = FILES.get(service)
    for path in (*OTHERS, *FILES.values()):
        for query in ("", "?filename=a.png&type=output"):
            headers = adapter.file_headers(f"{base}{path}{query}")
            assert headers == ({"Authorization": "Bearer key"} if path == files else None), path
            assert adapter.file_headers(f"https://provider.example{path}{query}") is None, path
            assert adapter.file_headers(f"https://other.example/proxied{path}{query}") is None, path

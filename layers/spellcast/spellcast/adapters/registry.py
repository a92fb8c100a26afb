"""Finds the adapter of a service. A new provider is a file beside this one and a line here: docs/adapters.md."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from spellcast.domain.errors import ProviderNotConfigured
from spellcast.domain.limits import Limits
from spellcast.domain.tools import DeliveryMode
from spellcast.ports.adapter import Adapter, ProviderConfig

if TYPE_CHECKING:
    import httpx

# What each service can deliver, so that a definition is judged without importing the service's module: it has the
# service's name, and is imported when the first step needs it, and not before.
DELIVERY_MODES: Mapping[str, tuple[DeliveryMode, ...]] = {
    "string": ("immediate",),
    "expression": ("immediate",),
    "http": ("immediate",),
    "comfyui": ("async", "webhook"),
    "comfyapi": ("async", "webhook"),
    "comfydeploy": ("async", "webhook"),
    "replicate": ("async", "webhook"),
    "openai": ("immediate", "async", "webhook"),
    "fal": ("async", "webhook"),
    "huggingface": ("immediate",),
}
# Whose callbacks all go to one address, `/v1/completions/<service>`, which the operator registers with them.
SHARED_ADDRESSES = frozenset({"openai"})
BUILT_IN = frozenset({"string", "expression", "http"})


class Registry:
    """The adapters of one container, each built once per configuration."""

    def __init__(
        self,
        configuration: Callable[[str], ProviderConfig],
        client_factory: Callable[[], httpx.Client],
        allow_loopback: bool,
    ) -> None:
        self._configuration = configuration
        self._client_factory = client_factory
        self._allow_loopback = allow_loopback
        self._client: httpx.Client | None = None
        self._adapters: dict[str, tuple[ProviderConfig, Adapter]] = {}

    def get(self, service: str) -> Adapter:
        """Raises ProviderNotConfigured for a service that has no adapter or no configuration."""
        if service not in DELIVERY_MODES:
            raise ProviderNotConfigured(
                f"There is no adapter for the service {service!r}; there are {', '.join(DELIVERY_MODES)}"
            )
        config = self._config(service)
        cached = self._adapters.get(service)
        # A key that was rotated reaches a warm container as soon as the configuration shows it.
        if cached is not None and cached[0] == config:
            return cached[1]
        module = importlib.import_module(f"spellcast.adapters.{service}")
        adapter: Adapter = module.build(config, self._shared_client, self._allow_loopback)
        self._adapters[service] = (config, adapter)
        return adapter

    def limits(self, service: str) -> Limits:
        """How much of the service may be in flight at once. What has no adapter is for `get` to refuse."""
        return self._config(service).limits if service in DELIVERY_MODES else Limits()

    def _config(self, service: str) -> ProviderConfig:
        return ProviderConfig() if service in BUILT_IN else self._configuration(service)

    def _shared_client(self) -> httpx.Client:
        if self._client is None:
            self._client = self._client_factory()
        return self._client

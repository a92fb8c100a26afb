"""Who may call out: an address that a user supplied is asked through the guard, and there is no other way to ask."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers" / "spellcast" / "spellcast"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "functions").rglob("*.py")])

# Where clients are built: for users' addresses, and for those that the operator configured.
CLIENTS = {
    "outbound/guard.py": "guarded_client",
    "adapters/exchange.py": "provider_client",
    "outbound/original.py": "original_client",
}
# Who gets the client of the operator's addresses.
TRUSTED = {
    "provider_client": {"adapters/exchange.py", "bootstrap.py"},
    "original_client": {"outbound/original.py", "bootstrap.py"},
}
# Of httpx: what builds a client, or asks with one that nobody sees.
ASKING = {"Client", "AsyncClient", "HTTPTransport", "AsyncHTTPTransport"} | {
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "head",
    "options",
    "request",
    "stream",
}
OTHER_WAYS = {
    "urllib.request",
    "urllib3",
    "http.client",
    "requests",
    "aiohttp",
    "ftplib",
    "smtplib",
    "websockets",
    "httpcore",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE)) if path.is_relative_to(PACKAGE) else str(path.relative_to(ROOT))


def httpx_uses(tree: ast.AST) -> set[str]:
    """The attributes of httpx that are called, and the names imported from it."""
    called = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "httpx"
    }
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "httpx"
        for alias in node.names
    }
    return called | imported


def modules_of(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_clients_are_built_where_it_is_said_whom_they_may_ask() -> None:
    building = {name_of(path) for path in SOURCES if httpx_uses(ast.parse(path.read_text("utf-8"))) & ASKING}
    assert building == set(CLIENTS)
    for file, function in CLIENTS.items():
        assert f"def {function}(" in (PACKAGE / file).read_text("utf-8")


@pytest.mark.parametrize("client", TRUSTED)
def test_the_clients_of_the_operators_addresses_go_to_nobody_else(client: str) -> None:
    holders = {name_of(path) for path in SOURCES if client in path.read_text("utf-8")}
    assert holders == TRUSTED[client]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_there_is_no_other_way_to_ask(path: Path) -> None:
    modules = modules_of(ast.parse(path.read_text("utf-8")))
    found = {module for module in modules for way in OTHER_WAYS if module == way or module.startswith(f"{way}.")}
    assert not found
    if "socket" in modules:
        # Addresses are resolved, and connections shut down, but none is opened by hand.
        assert "create_connection" not in path.read_text("utf-8")
        assert name_of(path) in {"outbound/guard.py", "outbound/bounded.py"}


def test_whoever_asks_users_addresses_is_given_the_guarded_client() -> None:
    """Casters' webhooks, the tool `http`, input files, and outputs; a container has one such client."""
    bootstrap = (PACKAGE / "bootstrap.py").read_text("utf-8")
    assert "HttpReceiver(shared_guarded_client(have.settings.allow_loopback))" in bootstrap
    assert "shared_guarded_client(self.settings.allow_loopback)" in bootstrap
    for adapter in ("http", "comfyui", "comfyapi", "huggingface"):
        source = (PACKAGE / "adapters" / f"{adapter}.py").read_text("utf-8")
        assert "shared_guarded_client(allow_loopback)" in source

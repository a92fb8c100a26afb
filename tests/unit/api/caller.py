"""The whole HTTP API over the fakes, called as API Gateway calls it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any
from urllib.parse import urlencode

import pytest

from spellcast.api.bearer import JwtVerifier
from spellcast.api.internal import InternalApi, InternalUseCases, build_internal_api
from spellcast.api.resolver import CastApi, build_cast_api
from spellcast.api.routes import UseCases
from spellcast.application.authenticate import Authenticate
from spellcast.application.authenticate_internal import AuthenticateInternal
from spellcast.application.create_tool import CreateTool
from spellcast.application.delete_tool import DeleteTool
from spellcast.application.draw_graphs import DrawGraphs
from spellcast.application.find_api_keys import FindApiKeys
from spellcast.application.find_records import FindRecords
from spellcast.application.find_settings import FindSettings
from spellcast.application.fit_answer import FitAnswer
from spellcast.application.import_tool import ImportTool
from spellcast.application.issue_ticket import IssueTicket
from spellcast.application.record_event import RecordEvent
from spellcast.application.revoke_api_key import RevokeApiKey
from spellcast.application.rotate_api_key import RotateApiKey
from spellcast.application.route_cast import RouteCast
from spellcast.application.run_tool import RunTool
from spellcast.application.save_settings import SaveSettings
from spellcast.application.update_cast import UpdateCast
from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.identifiers import fingerprint
from spellcast.outbound.guard import check_url
from spellcast.ports.store import ApiKey
from spellcast.ports.tokens import TokenVerifier
from tests.fakes.original import FakeFlags, FakeOriginal
from tests.fakes.world import ACCOUNT, FakeSecrets, World

SERVICES = {"fake": ("immediate", "async", "webhook"), "http": ("immediate",)}
IMPORTABLE = dict.fromkeys(("comfyui", "replicate", "fal"), ("async", "webhook"))
KEY, OTHERS_KEY = "a key of alice", "a key of bob"
# API Gateway takes at most 6 MB from a function and answers 5xx otherwise.
MAX_ANSWER_BYTES = 6 * 1024 * 1024
# Powertools reads the files of the page at /docs without closing them.
unclosed_files = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
# Described apart from the others, or taken by a function of its own.
ELSEWHERE = ("/internal/", "/v1/completions/")
OPEN = {("GET", "/v1/health"), ("GET", "/openapi.json"), ("GET", "/docs")}


@dataclass(frozen=True)
class Reply:
    """An answer, as a client reads it."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, which must be strict JSON that can be sent as UTF-8."""
        return json.loads(self.text.encode().decode(), parse_constant=lambda name: _refuse(name))

    @property
    def faults(self) -> dict[str, str]:
        """The messages of a refusal by their paths."""
        return {fault["path"]: fault["message"] for fault in self.json["error"]["details"]}

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(self.json["error"]["code"])


class Caller:
    """Alice, unless another key is given."""

    def __init__(
        self, world: World, tokens: TokenVerifier | None = None, websocket_url: str = "wss://socket.example/live"
    ) -> None:
        self.world = world
        self.original, self.flags = FakeOriginal(configured=False), FakeFlags()
        # What happens while a request waits.
        self.meanwhile: Callable[[], object] = lambda: None
        for key, account in ((KEY, ACCOUNT), (OTHERS_KEY, "bob")):
            world.store.keys[fingerprint(key)] = ApiKey(fingerprint(key), account, world.clock.now())
        # The world calls any address; the API refuses what the deployed one refuses.
        cast_spell = replace(world.cast_spell, refusal_of=lambda url: check_url(url, False))
        use = UseCases(
            lint_spell=world.lint_spell,
            create_spell=world.create_spell,
            update_spell=world.update_spell,
            delete_spell=world.delete_spell,
            find_spells=world.find_spells,
            draw_graphs=DrawGraphs(world.find_spells, world.find_casts, world.find_tools, world.store, world.clock),
            quote_spell=world.quote_spell,
            grant_permission=world.grant_permission,
            revoke_permission=world.revoke_permission,
            cast_spell=cast_spell,
            find_casts=world.find_casts,
            fit_answer=FitAnswer(world.media),
            cancel_cast=world.cancel_cast,
            resume_cast=world.resume_cast,
            retry_step=world.retry_step,
            create_tool=CreateTool(world.store, SERVICES),
            import_tool=ImportTool(CreateTool(world.store, IMPORTABLE)),
            delete_tool=DeleteTool(world.store),
            find_tools=world.find_tools,
            find_settings=FindSettings(world.store),
            find_ledger=world.find_ledger,
            save_settings=SaveSettings(world.store, world.store),
            issue_ticket=IssueTicket(world.store, world.clock),
            find_api_keys=FindApiKeys(world.store),
            rotate_api_key=RotateApiKey(world.store, world.clock),
            revoke_api_key=RevokeApiKey(world.store),
            websocket_url=websocket_url,
        )
        self.api: CastApi = build_cast_api(
            Authenticate(world.store, tokens or JwtVerifier("", ""), world.clock), use, lambda: self._internal
        )

    @cached_property
    def _internal(self) -> InternalApi:
        world = self.world
        cast_spell = replace(world.cast_spell, refusal_of=lambda url: check_url(url, False))
        use = InternalUseCases(
            record_event=RecordEvent(world.store, world.clock),
            find_records=FindRecords(world.store, world.find_casts),
            fit_answer=FitAnswer(world.media),
            complete_generation=world.complete_generation,
            run_tool=RunTool(
                world.find_tools, world.adopt_spell, cast_spell, world.store, world.links, world.clock, self._wait
            ),
            cast_in_context=replace(world.cast_in_context, cast_spell=cast_spell),
            update_cast=UpdateCast(world.store, world.finalize_cost),
        )
        return build_internal_api(AuthenticateInternal(FakeSecrets()), RouteCast(self.original, self.flags), use)

    def _wait(self, seconds: float) -> None:
        """The clock goes on, and so does the world."""
        self.world.clock.advance(seconds)
        self.meanwhile()

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        text: str | None = None,
        data: bytes | None = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        key: str | None = KEY,
    ) -> Reply:
        """One request. `body` is sent as JSON, `text` as it stands, `data` in base64."""
        event = request(method, path, query=query, headers={**({"x-api-key": key} if key else {}), **(headers or {})})
        if body is not None:
            event["body"] = json.dumps(body)
        if text is not None:
            event["body"] = text
        if data is not None:
            event |= {"body": base64.b64encode(data).decode(), "isBase64Encoded": True}
        return self.send(event)

    def send(self, event: dict[str, Any]) -> Reply:
        """One event."""
        answer = self.api(event, Context())
        headers = {name.lower(): str(value) for name, value in (answer.get("headers") or {}).items()}
        reply = Reply(answer["statusCode"], headers, answer.get("body") or "")
        method, path = event["requestContext"]["http"]["method"], event["rawPath"]
        if 400 <= reply.status < 500 and reply.status != 413 and not path.startswith(ELSEWHERE):
            # Nothing that a route knows of has this code: it says that there is no such route.
            assert reply.code in {"NOT_FOUND", *documented_codes(method, path)}, f"{method} {path}: {reply.code}"
        return reply

    @property
    def has_written(self) -> bool:
        """Whether anything of alice's or bob's is stored, or was started."""
        store = self.world.store
        spells = [store.list_spells(account, limit=1, cursor=None).items for account in (ACCOUNT, "bob")]
        own_tools = len(store.list_tools(ACCOUNT)) - len(store.list_tools("nobody"))
        set_anew = any(store.get_settings(account) != AccountSettings() for account in (ACCOUNT, "bob"))
        return bool(store.writes or any(spells) or own_tools or set_anew or self.world.machine.casts)


class Context:
    """What Lambda passes beside the event."""

    function_name = "cast_api"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:spellcast-test-cast_api"
    aws_request_id = "00000000-0000-4000-8000-000000000000"


def request(
    method: str, path: str, *, query: dict[str, str] | None = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """An HTTP API's event in payload format 2.0, without a body; names of headers come in lower case."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        "headers": {"host": "api.example", "content-type": "application/json", **(headers or {})},
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "203.0.113.1"},
            "requestId": "r",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    return event | {"queryStringParameters": query} if query else event


@cache
def openapi() -> dict[str, Any]:
    """The API's own description."""
    document: dict[str, Any] = Caller(World())("GET", "/openapi.json", key=None).json
    return document


@cache
def _refusals() -> list[tuple[str, re.Pattern[str], set[str]]]:
    """Method, path and codes of every route; a path without parameters comes before those that it fits into."""
    return [
        (method.upper(), re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), codes_of(operation))
        for path, item in sorted(openapi()["paths"].items(), key=lambda item: item[0].count("{"))
        for method, operation in item.items()
    ]


def codes_of(operation: dict[str, Any]) -> set[str]:
    """Every code that a route's description names."""
    said = " ".join(answer["description"] for answer in operation["responses"].values())
    return set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+|UNAUTHORIZED)`", said))


def documented_codes(method: str, path: str) -> set[str]:
    """With which codes a request may be refused, whatever its body's size."""
    for known, pattern, codes in _refusals():
        if known == method and pattern.fullmatch(path):
            return codes
    return {"UNAUTHORIZED", "INVALID_INPUT"}


def documented_routes() -> list[tuple[str, str]]:
    """Method and path of every route, and of the two that describe them."""
    found = [(method.upper(), path) for path, item in openapi()["paths"].items() for method in item]
    return sorted({*found, *OPEN})


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

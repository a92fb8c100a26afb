"""One request: who asks, is the body one, which route, and every refusal in the same shape."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from spellcast.api.errors import refusal
from spellcast.api.headers import by_lower_name
from spellcast.api.passing import pass_on
from spellcast.api.refusals import add_errors, refuse_unknown_queries
from spellcast.api.routes import Router, UseCases, add_routes
from spellcast.application.authenticate import Authenticate
from spellcast.domain import documents
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput, PayloadTooLarge, SpellcastError

if TYPE_CHECKING:
    from spellcast.api.internal import InternalApi

MAX_BODY_BYTES = 1_000_000
# Deeper than anything that people write, and shallow enough for every reader of JSON.
MAX_DEPTH = 60
_INTERNAL_PATHS = "/internal/"
_DESCRIPTION = frozenset({"/openapi.json", "/docs"})
_OPEN_PATHS = frozenset({"/v1/health"})


@dataclass(frozen=True, slots=True)
class CastApi:
    """The function behind the API's `$default` route; description and internal routes are built when asked for."""

    authenticate: Authenticate
    resolver: APIGatewayHttpResolver
    internal: Callable[[], InternalApi]
    description: Callable[[], APIGatewayHttpResolver]

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The answer in API Gateway's payload format 2.0."""
        # Of a path's escapes API Gateway leaves one as it is.
        event = {**event, "rawPath": event["rawPath"].replace("%25", "%")}
        headers = by_lower_name(event)
        resolver = self.resolver
        internal = self.internal() if event["rawPath"].startswith(_INTERNAL_PATHS) else None
        try:
            if internal:
                internal.authenticate(headers.get("x-internal-client-key"))
                resolver = internal.resolver
            elif event["rawPath"] in _DESCRIPTION:
                resolver = self.description()
            elif event["rawPath"] not in _OPEN_PATHS:
                account_id = self.authenticate(headers.get("x-api-key"), headers.get("authorization"))
                self.resolver.append_context(account_id=account_id)  # type: ignore[no-untyped-call]
            _check_body(event)
            if internal and (passed := pass_on(internal.route_cast, {**event, "headers": headers})):
                return passed
            # Every body here is JSON, whatever its sender calls it (`curl -d` calls it a form).
            as_json = {**event, "headers": {**headers, "content-type": "application/json"}}
            return resolver.resolve(as_json, context)
        except SpellcastError as error:
            return refusal(error)


def build_cast_api(authenticate: Authenticate, use: UseCases, internal: Callable[[], InternalApi]) -> CastApi:
    """The API with its routes and its errors."""
    app = Router(enable_validation=True)
    add_errors(app, partial(_faults_of_meaning, use))
    app.use([refuse_unknown_queries])
    add_routes(app, use)
    return CastApi(authenticate, app, internal, cache(partial(_description, use)))


def _description(use: UseCases) -> Router:
    from spellcast.api.description import build_description

    return build_description(use)


def _faults_of_meaning(use: UseCases, account_id: str, method: str, path: str, body: Document) -> Sequence[Fault]:
    match method, path.split("/")[2:]:
        case ("POST", ["spells"]) | ("PUT", ["spells", _]):
            return use.lint_spell.find_faults(account_id, body)
        case "POST", ["tools"]:
            return use.create_tool.find_faults(body)
        case "PUT", ["accounts", "me", "settings"]:
            return use.save_settings.find_faults(account_id, body)
    return ()


def _check_body(event: dict[str, Any]) -> None:
    """Refuses what no route takes, before any route reads it."""
    body = event.get("body")
    if not body:
        return
    try:
        content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, ValueError) as error:
        raise InvalidInput([Fault("body", "is not valid base64")]) from error
    if len(content) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"A body has at most {MAX_BODY_BYTES} bytes, this one has {len(content)}.")
    try:
        document = documents.from_text(content)
        too_deep = documents.is_deeper_than(document, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise InvalidInput([Fault("body", "is not JSON")]) from error
    if not isinstance(document, dict):
        raise InvalidInput([Fault("body", "is not an object")])
    if too_deep:
        raise InvalidInput([Fault("body", f"is nested deeper than {MAX_DEPTH} levels")])

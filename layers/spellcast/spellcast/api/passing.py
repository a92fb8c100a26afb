"""The internal routes that may still be the original's: which of them, for whom, and its answer as ours."""

from __future__ import annotations

import base64
import re
from typing import Any

from spellcast.application.route_cast import RouteCast
from spellcast.domain import documents
from spellcast.domain.documents import Document
from spellcast.ports.original import OriginalAnswer, PassedRequest

_DATA = "/internal/v1/data"
_RECORD = re.compile(rf"{_DATA}/(?:spells/casts|generations)/([^/]+)")
# Where a request that begins something says for which account, and which cast it belongs to if there is one already.
_BEGINNINGS = {
    f"{_DATA}/spells/cast": (("context", "masterAccountId"), ("context", "castId")),
    f"{_DATA}/execute": (("user", "masterAccountId"), ("metadata", "castId")),
}


def pass_on(route_cast: RouteCast, event: dict[str, Any]) -> dict[str, Any] | None:
    """The original's answer in API Gateway's payload format 2.0; None where the request is ours.

    Called when the caller's key and the form of the body have been checked. Raises what RouteCast raises.
    """
    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    body = _body(event)
    request = PassedRequest(method, path, event.get("rawQueryString") or "", body)
    answer = None
    if method in ("GET", "PUT") and (record := _RECORD.fullmatch(path)):
        answer = route_cast(request, record_id=record[1])
    elif method == "POST" and path in _BEGINNINGS:
        account, cast = (_text_at(documents.from_text(body) if body else {}, keys) for keys in _BEGINNINGS[path])
        answer = route_cast(request, account_id=account, record_id=cast)
    return None if answer is None else _answer(answer)


def _body(event: dict[str, Any]) -> bytes | None:
    body = event.get("body")
    if not body:
        return None
    return base64.b64decode(body) if event.get("isBase64Encoded") else str(body).encode()


def _text_at(document: Document, keys: tuple[str, str]) -> str | None:
    outer = document.get(keys[0])
    value = outer.get(keys[1]) if isinstance(outer, dict) else None
    return value if isinstance(value, str) and value else None


def _answer(answer: OriginalAnswer) -> dict[str, Any]:
    return {
        "statusCode": answer.status,
        "headers": {"content-type": answer.content_type},
        "body": answer.body.decode(errors="replace"),
    }

"""Requests to the internal routes that are still the original's: which they are, and its answer as ours."""

from __future__ import annotations

import base64
import re
from typing import Any

from spellcast.application.route_cast import RouteCast
from spellcast.domain import documents
from spellcast.domain.originals import id_text
from spellcast.ports.original import PASSED_ON, OriginalAnswer, PassedRequest

_DATA = "/internal/v1/data"
# The original's router knows neither case nor a slash at the end; nothing may get past the flag by them.
_ACCOUNTS_RECORDS = re.compile(rf"{_DATA}/generations/last/([^/]+)/?", re.IGNORECASE)
_RECORD = re.compile(rf"{_DATA}/(?:events|generations|spells/casts)/([^/]+)/?", re.IGNORECASE)
_LIST = f"{_DATA}/generations"
# Where a list names records, or their cast: they are all of the side of the first.
_LISTED = ("_id", "_id_in", "castId", "metadata.castId")
# Where a request that begins something says for which account, and which cast it belongs to if there is one already.
_BEGINNINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    f"{_DATA}/spells/cast": (("context", "masterAccountId"), ("context", "castId")),
    f"{_DATA}/spells/casts": (("initiatorAccountId",), ()),
    f"{_DATA}/execute": (("user", "masterAccountId"), ("metadata", "castId")),
    f"{_DATA}/events": (("masterAccountId",), ()),
    f"{_DATA}/generations": (("masterAccountId",), ("metadata", "castId")),
}


def pass_on(route_cast: RouteCast, event: dict[str, Any]) -> dict[str, Any] | None:
    """The original's answer in API Gateway's payload format 2.0; None where the request is ours.

    Called when the caller's key and the form of the body have been checked. Raises what RouteCast raises.
    """
    answer = _ask(route_cast, event)
    if answer is None:
        return None
    headers = {"content-type": answer.content_type}
    return {"statusCode": answer.status, "headers": headers, "body": answer.body.decode(errors="replace")}


def _ask(route_cast: RouteCast, event: dict[str, Any]) -> OriginalAnswer | None:
    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    known = path.rstrip("/").lower()
    if ".." in path.split("/"):
        return None  # It would be another path by the time it is sent.
    came_back = PASSED_ON in (event.get("headers") or {})
    request = PassedRequest(method, path, event.get("rawQueryString") or "", _body(event), came_back)
    if method == "POST" and known in _BEGINNINGS:
        document = documents.from_text(request.body) if request.body else {}
        account, cast = (_id_at(document, keys) for keys in _BEGINNINGS[known])
        return route_cast(request, account_id=account, record_id=cast)
    if found := _ACCOUNTS_RECORDS.fullmatch(path):
        return route_cast(request, account_id=found[1])
    if method == "GET" and known == _LIST:
        asked = event.get("queryStringParameters") or {}
        records = (text.split(",")[0].strip() for key in _LISTED if (text := asked.get(key)))
        return route_cast(request, account_id=id_text(asked.get("masterAccountId")), record_id=next(records, None))
    if found := _RECORD.fullmatch(path):
        return route_cast(request, record_id=found[1])
    # What this project does not offer is the original's alone.
    return route_cast.elsewhere(request) if known.startswith(f"{_DATA}/") else None


def _body(event: dict[str, Any]) -> bytes | None:
    body = event.get("body")
    if not body:
        return None
    return base64.b64decode(body) if event.get("isBase64Encoded") else str(body).encode()


def _id_at(document: Any, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return id_text(document) if keys else None

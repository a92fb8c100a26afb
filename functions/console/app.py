"""The console's files, which hold nothing of anybody's: who may see what is decided by the API that they call."""

from __future__ import annotations

import os
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from spellcast.observability import observed

PAGE = Path(__file__).parent / "page"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The page under `/console`, and what it loads under `/console/<version>/`, where nothing ever changes."""
    version, _, name = ((event.get("pathParameters") or {}).get("file") or "").partition("/")
    if not version:
        page = (PAGE / "index.html").read_text("utf-8").replace("{version}", _version())
        return _answer(200, "text/html", page, "no-cache")
    if version == _version() and name in _files():
        return _answer(200, TYPES[Path(name).suffix], _files()[name], "public, max-age=31536000, immutable")
    return _answer(404, "text/plain", "Nothing is here. The console's page is /console; load it again.\n", "no-store")


@cache
def _files() -> dict[str, str]:
    found = [path for path in sorted(PAGE.rglob("*")) if path.suffix in TYPES]
    return {path.relative_to(PAGE).as_posix(): path.read_text("utf-8") for path in found}


@cache
def _version() -> str:
    return sha256(repr(_files()).encode()).hexdigest()[:16]


def _answer(status: int, kind: str, content: str, caching: str) -> dict[str, Any]:
    socket = urlsplit(os.environ["SPELLCAST_WEBSOCKET_URL"])
    media = "'self' https: blob: data:" + (" http:" if os.environ.get("SPELLCAST_ALLOW_LOOPBACK") == "true" else "")
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {media}; media-src {media}; "
        f"connect-src 'self' {socket.scheme}://{socket.netloc}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {"content-type": f"{kind}; charset=utf-8", "cache-control": caching, "content-security-policy": policy}
    return {"statusCode": status, "headers": headers | {"x-content-type-options": "nosniff"}, "body": content}

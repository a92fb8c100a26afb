"""The service `http`: one request to an address that the spell or its caster gives, guarded and bounded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import httpx

from spellcast.adapters.capabilities import ImmediateOnly
from spellcast.domain.documents import Document, from_text, is_blank, to_text
from spellcast.domain.errors import InvalidStepInput, OutcomeUnknown, ProviderRefused, ProviderUnavailable
from spellcast.domain.results import ToolResult, succeeded
from spellcast.outbound.bounded import AnswerTooLarge, read_bounded
from spellcast.outbound.guard import shared_guarded_client
from spellcast.ports.adapter import ProviderConfig, Request

TOTAL_SECONDS = 30.0
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
MAX_ANSWER_BYTES = 1024 * 1024
MAX_REDIRECTS = 3
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# 307 and 308: the same request is to be made elsewhere. What other redirects say comes after the request was handled.
_REFUSALS = frozenset({307, 308, *range(400, 500)})
# Set by the exchange itself; a caller's own would break its framing or its guard.
_RESERVED_HEADERS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "accept-encoding",
    }
)


def build(config: ProviderConfig, client: Callable[[], httpx.Client], allow_loopback: bool) -> HttpAdapter:
    """The registry's way in. The providers' client is not used: addresses here are the users'."""
    return HttpAdapter(shared_guarded_client(allow_loopback))


class HttpAdapter(ImmediateOnly):
    """One exchange. A GET may be repeated; of other methods, a lost answer leaves the outcome unknown."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def is_repeatable(self, request: Request) -> bool:
        """A GET spends nothing and changes nothing."""
        return _method(request.inputs) == "GET"

    def execute(self, request: Request) -> ToolResult:
        """Sends the request and reads the answer as text and, where it is JSON, as `result`."""
        outgoing = self._request(request.inputs)
        try:
            response, body = self._send(outgoing)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ProviderUnavailable("The address could not be reached") from error
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
            raise InvalidStepInput("The request cannot be sent as it is") from error
        except AnswerTooLarge as error:
            raise _open(
                outgoing.method, f"The answer is larger than {MAX_ANSWER_BYTES} bytes", ProviderRefused
            ) from error
        except httpx.HTTPError as error:
            raise _open(outgoing.method, "The answer was lost, or took too long", ProviderUnavailable) from error
        return _read(outgoing.method, response, body)

    def _request(self, inputs: Document) -> httpx.Request:
        method, url = _method(inputs), inputs.get("url")
        if not isinstance(url, str) or is_blank(url):
            raise InvalidStepInput("url is required")
        headers = _headers(inputs.get("headers"))
        content = _content(inputs.get("body"), headers)
        query = _object(inputs.get("query"), "query")
        try:
            address = httpx.URL(url.strip())
            if query:
                address = address.copy_merge_params({key: _parameter(value) for key, value in query.items()})
            return self._client.build_request(method, address, headers=headers, content=content, timeout=TIMEOUT)
        except (httpx.InvalidURL, UnicodeError, TypeError, ValueError) as error:
            raise InvalidStepInput("url, headers or query cannot be sent as they are") from error

    def _send(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """Follows redirects of a GET; each goes through the guard as the first one did."""
        deadline = time.monotonic() + TOTAL_SECONDS
        origin = _origin(request.url)
        for _ in range(MAX_REDIRECTS + 1):
            remaining = max(0.1, deadline - time.monotonic())
            response, body = read_bounded(self._client, request, max_bytes=MAX_ANSWER_BYTES, seconds=remaining)
            if request.method != "GET" or response.next_request is None:
                return response, body
            target = response.next_request.url
            # Whoever the request is redirected to was not meant to see its headers.
            headers = request.headers if _origin(target) == origin else {}
            headers = {key: value for key, value in headers.items() if key not in ("host", "cookie")}
            request = self._client.build_request("GET", target, headers=headers, timeout=TIMEOUT)
        raise ProviderRefused(f"The address redirects more than {MAX_REDIRECTS} times")


def _method(inputs: Document) -> str:
    method = inputs.get("method")
    name = "GET" if is_blank(method) else str(method).strip().upper()
    if name not in _METHODS:
        raise InvalidStepInput(f"method must be one of {', '.join(_METHODS)}")
    return name


def _object(value: Any, name: str) -> Document:
    """A JSON object, or the text of one, as a form field gives it."""
    if is_blank(value):
        return {}
    if isinstance(value, str):
        try:
            value = from_text(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise InvalidStepInput(f"{name} must be a JSON object")
    return value


def _headers(value: Any) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, content in _object(value, "headers").items():
        if name.lower() in _RESERVED_HEADERS:
            raise InvalidStepInput(f"The header {name} cannot be set")
        text = content if isinstance(content, str) else to_text(content)
        if not (name.isascii() and text.isascii() and name.isprintable() and text.isprintable()):
            raise InvalidStepInput("headers may hold printable ASCII characters only")
        headers[name] = text
    return headers


def _content(body: Any, headers: dict[str, str]) -> bytes | None:
    if body is None or body == "":
        return None
    names = {name.lower() for name in headers}
    if isinstance(body, str):
        if "content-type" not in names:
            headers["Content-Type"] = "text/plain; charset=utf-8"
        return body.encode()
    if "content-type" not in names:
        headers["Content-Type"] = "application/json"
    return to_text(body).encode()


def _parameter(value: Any) -> str:
    return value if isinstance(value, str) else to_text(value)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _open(
    method: str, message: str, of_a_get: type[ProviderRefused | ProviderUnavailable]
) -> ProviderRefused | ProviderUnavailable | OutcomeUnknown:
    """What an answer means that does not prove that nothing was done."""
    if method == "GET":
        return of_a_get(message)
    return OutcomeUnknown(f"{message}; whether the {method} took effect is not known")


def _read(method: str, response: httpx.Response, body: bytes) -> ToolResult:
    status = response.status_code
    answered = f"The address answered {status}"
    if status == 429:
        raise ProviderUnavailable(answered)
    if status == 408 or status >= 500:
        raise _open(method, answered, ProviderUnavailable)
    if status in _REFUSALS:
        raise ProviderRefused(answered)
    if not 200 <= status < 300:
        # A form that was taken answers 303 too, and many answer 302.
        raise _open(method, answered, ProviderRefused)
    try:
        text = body.decode(response.charset_encoding or "utf-8")
    except (UnicodeDecodeError, LookupError):
        raise _open(method, f"{answered} with something that is not text", ProviderRefused) from None
    data: Document = {"text": text, "statusCode": status}
    with contextlib.suppress(ValueError, RecursionError):
        data["result"] = from_text(text)
    return succeeded("text", data)

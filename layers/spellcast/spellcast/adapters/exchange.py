"""One exchange with a provider, and what its outcome proves: that nothing was started, or not even that."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from spellcast.domain.documents import Document, from_text, to_text
from spellcast.domain.errors import (
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.retrying import parse_retry_after
from spellcast.outbound.bounded import NOTHING_WAS_SENT, AnswerTooLarge, read_bounded
from spellcast.outbound.guard import is_loopback
from spellcast.ports.adapter import Request

SUBMIT_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
POLL_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
# Over and above the time-outs of one read, for a provider that sends a little at a time.
SUBMIT_SECONDS = 45.0
POLL_SECONDS = 20.0
MAX_ANSWER_BYTES = 10 * 1024 * 1024
MAX_MESSAGE_CHARACTERS = 500

# A server, or a proxy before it, that says "too slow" may have begun all the same.
_AMBIGUOUS_CLIENT_ERRORS = frozenset({408})


def provider_client() -> httpx.Client:
    """A client for addresses that the operator configured: it follows no redirect and keeps no cookie."""
    # It would log every address, and in one of fal's stands the callback's token.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.Client(timeout=POLL_TIMEOUT, follow_redirects=False, headers={"User-Agent": "spellcast"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered, whole; names of headers have no case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300

    def document(self) -> Document | None:
        """The body, where it is a JSON object."""
        try:
            document = from_text(self.body)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None


class Provider:
    """One service at one address. Messages name the service, never the address."""

    def __init__(self, name: str, url: str, headers: Mapping[str, str], client: Callable[[], httpx.Client]) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._headers = dict(headers)
        self._client = client

    def can_call_back(self, request: Request) -> bool:
        """Whether the tool waits for a callback, and one can be made: by https, or on this machine."""
        if request.tool.delivery_mode != "webhook" or not request.callback_url:
            return False
        return request.callback_url.startswith("https://") or is_loopback(urlsplit(self._url).hostname or "")

    def job_id(self, accepted: Document, name: str = "id", run_id: str | None = None) -> str:
        """What the answer to a submit calls the job. Raises OutcomeUnknown: it was taken all the same."""
        found = accepted.get(name)
        if not isinstance(found, str) or not found:
            raise OutcomeUnknown(f"{self._name} took the job, but its answer names none", run_id)
        return found

    def told(self, body: bytes) -> Document:
        """What a callback says. Raises ProviderAnswerInvalid; whether it may be believed is not asked here."""
        document = Answer(200, body).document()
        if document is None:
            raise ProviderAnswerInvalid(f"{self._name}'s callback is not a JSON object")
        return document

    def submit(
        self,
        path: str,
        body: Document,
        *,
        explain: Callable[[Answer], str],
        run_id: str | None = None,
        judge: Callable[[Answer], StepFailed | None] | None = None,
        seconds: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
        headers: Mapping[str, str] | None = None,
    ) -> Document:
        """POSTs, once, what may cost money. OutcomeUnknown carries `run_id`, for whoever looks the job up.

        `judge` may name what a refusal proves to whoever knows the service; `seconds` is for one that answers only
        when its work is done.
        """
        answer = self.send(
            path,
            body,
            explain=explain,
            run_id=run_id,
            judge=judge,
            seconds=seconds,
            max_bytes=max_bytes,
            headers=headers,
        )
        document = answer.document()
        if document is None:
            raise OutcomeUnknown(f"{self._name} took the job, but its answer cannot be read", run_id)
        return document

    def send(
        self,
        path: str,
        body: Document | bytes,
        *,
        explain: Callable[[Answer], str],
        run_id: str | None = None,
        judge: Callable[[Answer], StepFailed | None] | None = None,
        seconds: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """As `submit`, for a body or an answer that is not a JSON object; the answer is a success."""
        timeout = SUBMIT_TIMEOUT if seconds is None else httpx.Timeout(seconds, connect=5.0)
        try:
            answer = self._exchange("POST", path, body, timeout, seconds or SUBMIT_SECONDS, max_bytes, headers)
        except NOTHING_WAS_SENT as error:
            raise ProviderUnavailable(f"{self._name} could not be reached", nothing_started=True) from error
        except (httpx.HTTPError, AnswerTooLarge) as error:
            raise OutcomeUnknown(f"{self._name} was asked, but its answer was lost", run_id) from error
        if judge is not None and not answer.is_success and (proven := judge(answer)) is not None:
            raise proven
        if answer.status == 429:
            raise self.busy(answer)
        if answer.status >= 500 or answer.status < 200 or answer.status in _AMBIGUOUS_CLIENT_ERRORS:
            raise OutcomeUnknown(f"{self._name} answered {answer.status} and may have started the job", run_id)
        if not answer.is_success:
            raise self._refused(answer, explain)
        return answer

    def busy(self, answer: Answer) -> ProviderUnavailable:
        """What a 429 to a submit means, and any other answer that the provider gives before it accepts anything."""
        retry_after = parse_retry_after(answer.headers, datetime.now(UTC))
        message = f"{self._name} takes no more jobs at the moment ({answer.status})"
        return ProviderUnavailable(message, nothing_started=True, retry_after=retry_after)

    def look_up(self, path: str, *, explain: Callable[[Answer], str], seconds: float = POLL_SECONDS) -> Document | None:
        """GETs; None where the provider answers 404."""
        answer = self.ask("GET", path, seconds=seconds)
        return None if answer.status == 404 else self.document_of(answer, explain=explain)

    def document_of(self, answer: Answer, *, explain: Callable[[Answer], str]) -> Document:
        """The JSON object of a success. Raises ProviderRefused, ProviderAnswerInvalid."""
        if not answer.is_success:
            raise self._refused(answer, explain)
        document = answer.document()
        if document is None:
            raise ProviderAnswerInvalid(f"{self._name} answered something that is not a JSON object")
        return document

    def ask(
        self,
        method: str,
        path: str,
        body: Document | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = POLL_SECONDS,
    ) -> Answer:
        """One request that may be repeated. What the provider itself answered is the caller's to judge."""
        answer = self.read(method, path, body, headers=headers, seconds=seconds)
        if answer.status >= 500 or answer.status in (408, 425, 429):
            raise self.unavailable(answer)
        return answer

    def read(
        self,
        method: str,
        path: str,
        body: Document | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = POLL_SECONDS,
    ) -> Answer:
        """As `ask`, for where any status may be a job's own, and not only the provider's."""
        try:
            return self._exchange(method, path, body, POLL_TIMEOUT, seconds, headers=headers)
        except AnswerTooLarge as error:
            raise ProviderAnswerInvalid(f"{self._name} answered more than {MAX_ANSWER_BYTES} bytes") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderUnavailable(f"{self._name} could not be reached") from error

    def unavailable(self, answer: Answer) -> ProviderUnavailable:
        """What an answer means that says nothing but that another one may come later."""
        return ProviderUnavailable(f"{self._name} answered {answer.status}")

    def file_headers(self, url: str, path: re.Pattern[str]) -> Mapping[str, str] | None:
        """This service's headers for a file of its own: what follows its address up to `?` is `path`, as it is sent.

        A path should match no `%` and no segment of dots: who unpacks them later would be led elsewhere.
        """
        try:
            asked, own = httpx.URL(url), httpx.URL(self._url)
        except httpx.InvalidURL:
            return None
        base, sent = (found.raw_path.decode().partition("?")[0] for found in (own, asked))
        base = base.rstrip("/")
        is_own = _origin(asked) == _origin(own) and not asked.userinfo and sent.startswith(base)
        return self._headers if is_own and path.fullmatch(sent.removeprefix(base)) else None

    def _exchange(
        self,
        method: str,
        path: str,
        body: Document | bytes | None,
        timeout: httpx.Timeout,
        seconds: float,
        max_bytes: int = MAX_ANSWER_BYTES,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {**self._headers, **(headers or {})}
        content = body if isinstance(body, bytes) else None
        if isinstance(body, dict):
            sent["Content-Type"] = "application/json"
            content = to_text(body).encode()
        client = self._client()
        request = client.build_request(method, self._url + path, headers=sent, content=content, timeout=timeout)
        response, data = read_bounded(client, request, max_bytes=max_bytes, seconds=seconds)
        return Answer(response.status_code, data, response.headers)

    def _refused(self, answer: Answer, explain: Callable[[Answer], str]) -> ProviderRefused:
        if answer.status in (401, 403):
            return ProviderRefused(f"{self._name} refused our credentials ({answer.status})")
        if answer.status < 400:
            return ProviderRefused(f"{self._name} redirects elsewhere ({answer.status}); is its address complete?")
        return ProviderRefused(one_line(f"{self._name} refused ({answer.status}): {explain(answer)}"))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def fraction(value: object) -> float | None:
    """How far a job is, from 0 to 1, where the provider says it in a number."""
    return min(1.0, max(0.0, value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


def one_line(text: str) -> str:
    """A message as a caller reads it: one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_MESSAGE_CHARACTERS else line[: MAX_MESSAGE_CHARACTERS - 1] + "…"

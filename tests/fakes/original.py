"""The original service, which remembers what it was asked, and flags that a test sets."""

from __future__ import annotations

from spellcast.domain.errors import FlagsUnreadable
from spellcast.ports.original import OriginalAnswer, PassedRequest


class FakeOriginal:
    """Implements `ports.original.Original`; answers with `answer`, or raises it."""

    def __init__(self, *, configured: bool = True) -> None:
        self.configured = configured
        self.asked: list[PassedRequest] = []
        self.answer: OriginalAnswer | Exception = OriginalAnswer(200, "application/json", b'{"from":"the original"}')

    def is_configured(self) -> bool:
        return self.configured

    def ask(self, request: PassedRequest) -> OriginalAnswer:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeFlags:
    """Implements `ports.flags.CastFlags`; `here` are the accounts that cast here, None is an AppConfig that is down."""

    def __init__(self, *here: str) -> None:
        self.here: set[str] | None = set(here)
        self.read: list[str] = []

    def casts_here(self, account_id: str) -> bool:
        self.read.append(account_id)
        if self.here is None:
            raise FlagsUnreadable("Where this account casts cannot be read at the moment; nothing was changed.")
        return account_id in self.here

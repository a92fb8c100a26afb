"""The original service, as far as requests are passed on to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

# The header of every request that was passed on: one that comes back with it would go round for ever.
PASSED_ON = "x-spellcast-passed-on"


@dataclass(frozen=True, slots=True)
class PassedRequest:
    """A request to an internal route, as it came in; the path begins with `/internal/v1/data/`.

    `was_passed_on` says of one that it came from here.
    """

    method: str
    path: str
    query: str = ""
    body: bytes | None = field(default=None, repr=False)
    was_passed_on: bool = False


@dataclass(frozen=True, slots=True)
class OriginalAnswer:
    """What the original answered, whole and unread."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


class Original(Protocol):
    """The internal API of the service that is being replaced."""

    def is_configured(self) -> bool:
        """Whether there is one."""

    def ask(self, request: PassedRequest) -> OriginalAnswer:
        """Passes the request on, once, whatever becomes of it.

        Raises OriginalUnavailable where nothing was changed there, OriginalUnanswered where nobody can tell.
        """

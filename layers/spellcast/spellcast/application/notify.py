"""Announces what was written: to the account's WebSockets and on the bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypedDict

from spellcast.application.media_links import MediaLinks
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.generations import Generation
from spellcast.domain.messages import cast_update, connection_ack, generation_messages
from spellcast.domain.resources import cast_resource, generation_resource, within
from spellcast.ports.announcer import Announcer, Event
from spellcast.ports.clock import Clock
from spellcast.ports.store import Connection

# PutEvents, and the queue and the functions behind the bus, take 256 KB with the event's envelope (AWS quotas).
MAX_DETAIL_BYTES = 200_000


CAST_UPDATED, GENERATION_UPDATED = "Cast Updated", "Generation Updated"


class Following(TypedDict):
    """What `Cast Updated` has beside the cast: what is to follow."""

    webhookDue: Annotated[bool, "The caster's webhook is to be called; so once only of every end."]
    cancelDue: Annotated[bool, "The cast was cancelled, or closed before its step: what still runs is to be stopped."]
    execution: Annotated[str, "The state machine's execution that runs it, or ran it last."]


@dataclass(frozen=True, slots=True)
class Notify:
    """Every revision is announced at least once; receivers ignore revisions that they have seen.

    The bus comes first: webhooks and the stop of what was cancelled hang on it, and nobody's WebSocket delays them.
    """

    announcer: Announcer
    links: MediaLinks
    clock: Clock

    def __call__(self, written: Cast | Generation | Connection) -> None:
        """Raises what the announcer raises, so that the stream delivers the revision again."""
        now = self.clock.now()
        match written:
            case Connection():
                self.announcer.greet(written.connection_id, connection_ack(now))
            case Cast():
                self.announcer.publish([Event(CAST_UPDATED, self._cast_detail(written))])
                self.announcer.push(written.account_id, self.links(written.cast_id, cast_update(written, now)))
            case Generation():
                detail = self.links.of_resource(generation_resource(written))
                self.announcer.publish([Event(GENERATION_UPDATED, within(detail, MAX_DETAIL_BYTES))])
                for message in generation_messages(written, now):
                    self.announcer.push(written.account_id, self.links(written.cast_id, message))

    def _cast_detail(self, cast: Cast) -> Document:
        """The resource, and what is to follow: the caster's webhook, once, or the stop of what was cancelled."""
        following: Following = {
            "webhookDue": cast.tells_its_end and cast.has_just_ended,
            "cancelDue": cast.is_to_be_stopped,
            "execution": cast.execution_name,
        }
        return within({**self.links.of_resource(cast_resource(cast)), **following}, MAX_DETAIL_BYTES)

"""Makes links of pointers to kept media: for clients, webhooks, the bus, and the next step's provider."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from spellcast.domain import kept_media
from spellcast.domain.documents import Document
from spellcast.ports.media import MediaStore


@dataclass(frozen=True, slots=True)
class MediaLinks:
    """Whatever leaves goes through here; records hold pointers only."""

    media: MediaStore

    def __call__(self, cast_id: str, document: Any) -> Any:
        """The document with links to this cast's media; pointers to any other's stay as they are."""
        # One link per object: what two places of a document share is the same in both.
        return kept_media.with_links(document, cast_id, cache(self.media.link))

    def of_resource(self, resource: Document) -> Document:
        """The same for a resource, or the payload of a message, which names its cast."""
        linked: Document = self(resource["castId"], resource)
        return linked

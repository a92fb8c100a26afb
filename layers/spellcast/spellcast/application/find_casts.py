"""Finds casts and generations; those of other accounts do not exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spellcast.application.media_links import MediaLinks
from spellcast.domain.casts import Cast, CastStatus
from spellcast.domain.documents import Document
from spellcast.domain.errors import CastNotFound, GenerationNotFound
from spellcast.domain.generations import Generation
from spellcast.domain.identifiers import parse_generation_id
from spellcast.domain.pipeline import assembled_metadata
from spellcast.domain.resources import cast_resource, generation_resource
from spellcast.ports.store import CastStore, Page, SpellStore


@dataclass(frozen=True, slots=True)
class FindCasts:
    """Answers resources, since what a generation shows is assembled from more than its record."""

    casts: CastStore
    spells: SpellStore
    links: MediaLinks

    def shown(self, cast: Cast) -> Document:
        """The cast alone, as its account sees it."""
        return self.links.of_resource(cast_resource(cast))

    def get(self, account_id: str, cast_id: str) -> Document:
        """The cast with its generations, of which the large come without their documents. Raises CastNotFound."""
        cast, generations = self.load(account_id, cast_id, whole=False)
        if cast.unread:
            cast = self.casts.get_cast(cast_id) or cast
        return self.links.of_resource(cast_resource(cast, generations))

    def list(
        self,
        account_id: str,
        *,
        status: CastStatus | None,
        limit: int,
        cursor: str | None,
        spell_id: str | None = None,
    ) -> Page[Document]:
        """The account's casts, latest first, the large without their documents.

        Raises InvalidInput for a cursor that is none.
        """
        page = self.casts.list_casts(account_id, status=status, limit=limit, cursor=cursor, spell_id=spell_id)
        return Page([self.shown(cast) for cast in page.items], page.cursor)

    def get_generation(self, account_id: str, generation_id: str) -> Document:
        """The record with its metadata as the original had it. Raises GenerationNotFound."""
        key = parse_generation_id(generation_id)
        try:
            if key is None:
                raise CastNotFound(generation_id)
            cast, generations = self.load(account_id, key.cast_id)
            generation = next(item for item in generations if item.generation_id == generation_id)
        except (CastNotFound, StopIteration) as error:
            raise GenerationNotFound(f"There is no generation {generation_id!r}.") from error
        version = self.spells.get_version(cast.spell_id, cast.version)
        assembled = assembled_metadata(generation, cast, version, generations) if version else None
        return self.links.of_resource(generation_resource(generation, assembled))

    def load(self, account_id: str, cast_id: str, *, whole: bool = True) -> tuple[Cast, Sequence[Generation]]:
        """The records, with or without what lies apart from them. Raises CastNotFound."""
        # No id of ours is longer, and DynamoDB refuses keys over 2,048 bytes.
        loaded = self.casts.load_cast(cast_id, whole=whole) if len(cast_id) <= 64 else None
        if loaded is None or loaded[0].account_id != account_id:
            raise CastNotFound(f"There is no cast {cast_id!r}.")
        return loaded

"""Finds casts and generations for the internal routes, in the original's shape."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.find_casts import FindCasts
from spellcast.domain.documents import Document
from spellcast.domain.errors import CastNotFound, GenerationNotFound
from spellcast.domain.generation_queries import GenerationQuery
from spellcast.domain.generations import Generation
from spellcast.domain.identifiers import parse_generation_id
from spellcast.domain.resources import cast_record, generation_record, generation_resource
from spellcast.ports.store import CastStore

# Records are found by their cast, and an account's casts are listed latest first.
MAX_CASTS = 100
_LATEST_CASTS = 10


@dataclass(frozen=True, slots=True)
class FindRecords:
    """Whoever holds the internal key may leave the account out; where it is named, others' records do not exist."""

    casts: CastStore
    find_casts: FindCasts

    def cast(self, cast_id: str, account_id: str | None = None) -> Document:
        """The cast with its generations. Raises CastNotFound."""
        owner = self._owner(cast_id, account_id)
        if owner is None:
            raise CastNotFound(f"There is no cast {cast_id!r}.")
        return cast_record(self.find_casts.get(owner, cast_id), owner)

    def generation(self, generation_id: str, account_id: str | None = None) -> Document:
        """The record with its whole metadata, as `continue_execution` takes it. Raises GenerationNotFound."""
        key = parse_generation_id(generation_id)
        owner = self._owner(key.cast_id, account_id) if key else None
        if owner is None:
            raise GenerationNotFound(f"There is no generation {generation_id!r}.")
        return generation_record(self.find_casts.get_generation(owner, generation_id), owner)

    def generations(self, query: GenerationQuery) -> tuple[list[Document], bool]:
        """The records without what is assembled from others, the large ones without their documents, and whether all
        that could be meant were looked at.

        By account alone: those of its latest 100 casts.
        """
        found, complete = self._generations(query)
        records = [
            generation_record(self.find_casts.links.of_resource(generation_resource(item)), item.account_id)
            for item in found
            if query.account_id in (None, item.account_id) and query.cast_id in (None, item.cast_id)
        ]
        return query.select(records), complete

    def last_generation(self, account_id: str) -> Document:
        """The account's latest record, of its latest ten casts. Raises GenerationNotFound."""
        found, _ = self._of_account(account_id, _LATEST_CASTS)
        latest = max(found, key=lambda item: item.request_timestamp, default=None)
        if latest is None:
            raise GenerationNotFound("No previous generations found for this user.")
        return self.generation(latest.generation_id, account_id)

    def _generations(self, query: GenerationQuery) -> tuple[list[Generation], bool]:
        if query.ids is not None:
            found = [self.casts.get_generation(generation_id) for generation_id in query.ids]
            return [generation for generation in found if generation], True
        if query.cast_id is not None:
            return self._of_cast(query.cast_id), True
        return self._of_account(query.account_id or "", MAX_CASTS)

    def _of_account(self, account_id: str, limit: int) -> tuple[list[Generation], bool]:
        page = self.casts.list_casts(account_id, status=None, limit=limit, cursor=None)
        found = [generation for cast in page.items for generation in self._of_cast(cast.cast_id)]
        return found, page.cursor is None

    def _of_cast(self, cast_id: str) -> list[Generation]:
        loaded = self.casts.load_cast(cast_id, whole=False) if len(cast_id) <= 64 else None
        return loaded[1] if loaded else []

    def _owner(self, cast_id: str, account_id: str | None) -> str | None:
        cast = self.casts.get_cast(cast_id) if len(cast_id) <= 64 else None
        return cast.account_id if cast and account_id in (None, cast.account_id) else None

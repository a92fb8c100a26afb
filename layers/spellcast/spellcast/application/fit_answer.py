"""Makes answers that a Lambda can give: what is larger lies in the bucket, and a link leads to it."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.domain import documents
from spellcast.domain.documents import Document
from spellcast.domain.errors import StorageUnavailable
from spellcast.domain.resources import within
from spellcast.ports.media import MediaNotCopied, MediaStore

# A Lambda answers at most 6 MB (Lambda quotas), of which the body is a text within JSON; the rest is for the envelope.
MAX_ANSWER_BYTES = 6_000_000


@dataclass(frozen=True, slots=True)
class FitAnswer:
    """For the answer that is about one record; one that is part of a list is read by itself where it is too large."""

    media: MediaStore

    def __call__(self, resource: Document) -> Document:
        """The resource; where it is too large without its documents, with a `wholeUrl` where they are too.

        Raises StorageUnavailable.
        """
        fitted = within(resource, MAX_ANSWER_BYTES, documents.size_in_text)
        if "truncated" not in fitted:
            return fitted
        key = f"answers/{resource['castId']}/{resource.get('generationId', 'cast')}-{resource['revision']}.json"
        try:
            self.media.write(key, [documents.to_text(resource).encode()], "application/json")
        except MediaNotCopied as error:
            raise StorageUnavailable("The answer is too large, and its store did not take it; try again.") from error
        return {**fitted, "wholeUrl": self.media.link(key)}

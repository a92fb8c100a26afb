"""The documents of a row: JSON texts in the row itself, or in S3 where they would make it too large."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spellcast.aws.table import Row
from spellcast.domain import documents, identifiers

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A DynamoDB item may have 400 KB; what is larger than this lies in S3 with a pointer in the row (contract §2).
MAX_ROW_BYTES = 200_000
_POINTER = "s3:"


@dataclass(frozen=True, slots=True)
class DocumentStore:
    """Objects are named by their content, so that writing one twice is harmless.

    S3 is connected to when a document first needs it: most never do.
    """

    connect: Callable[[], S3Client]
    bucket: str

    def pack(self, folder: str, contents: Mapping[str, Any]) -> Row:
        """The attributes to store; the largest documents go to S3 until the rest fits. Absent documents stay absent."""
        texts = {name: documents.to_text(content) for name, content in contents.items() if content is not None}
        sizes = {name: len(text.encode()) for name, text in texts.items()}
        for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
            if sum(sizes.values()) <= MAX_ROW_BYTES:
                break
            key = f"documents/{folder}/{name}-{identifiers.fingerprint(texts[name])[:32]}.json"
            self.connect().put_object(
                Bucket=self.bucket, Key=key, Body=texts[name].encode(), ContentType="application/json"
            )
            texts[name] = _POINTER + key
            sizes[name] = len(texts[name])
        return dict(texts)

    def unpack(self, row: Row, name: str) -> Any:
        """The document under this attribute, or None."""
        text = row.get(name)
        if text is None:
            return None
        if text.startswith(_POINTER):
            text = self.connect().get_object(Bucket=self.bucket, Key=text.removeprefix(_POINTER))["Body"].read()
        return documents.from_text(text)

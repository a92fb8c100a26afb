"""The documents of a row: JSON texts in the row itself, or in S3 where they would make it too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from spellcast.aws.table import Row
from spellcast.domain import documents, identifiers
from spellcast.domain.documents import MAX_ROW_BYTES, NOTHING_UNREAD, Unread
from spellcast.domain.errors import DocumentLost, StorageUnavailable
from spellcast.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_POINTER = "s3:"


@dataclass(frozen=True, slots=True)
class DocumentStore:
    """Objects are named by their content, so that writing one twice is harmless.

    They are written before the row that points to them. Whoever dies in between leaves an object that nobody points to,
    and the repetition of what it did points to it after all. Nothing deletes them: rows of other revisions, which a
    reader may hold, point to the same objects.

    S3 is connected to when a document first needs it: most never do.
    """

    connect: Callable[[], S3Client]
    bucket: str

    def pack(self, folder: str, contents: Mapping[str, Any], unread: Unread = NOTHING_UNREAD) -> Row:
        """The attributes to store; the largest documents go to S3 until the rest fits. Absent documents stay absent.

        Documents that were not read keep their place, whatever `contents` has for them. Raises StorageUnavailable.
        """
        given = {name: content for name, content in contents.items() if content is not None and name not in unread}
        texts = {name: documents.to_text(content) for name, content in given.items()}
        sizes = {name: len(text.encode()) for name, text in texts.items()}
        for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
            if sum(sizes.values()) <= MAX_ROW_BYTES:
                break
            key = f"documents/{folder}/{name}-{identifiers.fingerprint(texts[name])[:32]}.json"
            self._put(key, texts[name].encode())
            texts[name] = _POINTER + key
            sizes[name] = len(texts[name])
        return {**texts, **unread}

    def unpack(self, row: Row, name: str, unread: Unread = NOTHING_UNREAD) -> Any:
        """The document under this attribute; None where there is none, or where it is not to be read.

        Raises DocumentLost, StorageUnavailable.
        """
        text = row.get(name)
        if text is None or name in unread:
            return None
        return documents.from_text(self._get(text.removeprefix(_POINTER), name) if _is_pointer(text) else text)

    def apart(self, row: Row, names: Iterable[str]) -> Unread:
        """Which of these documents lie in S3, and where; nothing is read."""
        return {name: row[name] for name in names if _is_pointer(row.get(name))}

    def _put(self, key: str, content: bytes) -> None:
        try:
            self.connect().put_object(Bucket=self.bucket, Key=key, Body=content, ContentType="application/json")
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from error

    def _get(self, key: str, name: str) -> bytes:
        try:
            return self.connect().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            # Without the permission to list, S3 says of an object that is not there that it is denied.
            if error.response["Error"]["Code"] in ("NoSuchKey", "AccessDenied"):
                logger().error("A document is not in the bucket", key=key)
                raise DocumentLost(f"The record's document {name!r} is not in the bucket any more.") from error
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error


def _is_pointer(value: object) -> bool:
    # No JSON begins like this.
    return isinstance(value, str) and value.startswith(_POINTER)


def _unavailable(error: Exception) -> StorageUnavailable:
    logger().warning("The bucket did not answer", error=type(error).__name__)
    return StorageUnavailable("The store of large documents did not answer; try again in a moment.")

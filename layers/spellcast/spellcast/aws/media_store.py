"""Media in the bucket: streamed into it part by part, and handed out by presigned links."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from spellcast.observability import logger
from spellcast.ports.media import MediaNotCopied

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

# As long as a step may take (api/bodies.py): its provider may fetch an input when it begins, at the end of its queue.
# A link also ends with the credentials that signed it; Lambda's last for some hours.
LINK_SECONDS = 12 * 60 * 60
# S3 takes no less than 5 MiB a part, but for the last one; this much is in memory at a time.
PART_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class S3MediaStore:
    """Implements `ports.media.MediaStore`. S3 is connected to when a cast first has media."""

    connect: Callable[[], S3Client]
    bucket: str

    def write(self, key: str, chunks: Iterable[bytes], media_type: str) -> int:
        """One put, or a multipart upload of what is larger than a part; of one that breaks off nothing is left."""
        try:
            return _Upload(self.connect(), self.bucket, key, media_type).take(chunks)
        except (BotoCoreError, ClientError) as error:
            logger().warning("The bucket did not take an output", error=type(error).__name__)
            raise MediaNotCopied("The bucket did not take it.", may_pass=True) from error

    def link(self, key: str) -> str:
        """Good for 12 hours, or as long as the credentials of this function."""
        return self.connect().generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=LINK_SECONDS
        )

    def key_of(self, url: str) -> str | None:
        """By its place in the bucket; the signature is not looked at."""
        root = self.link("-").partition("?")[0].removesuffix("-")
        address = url.partition("?")[0]
        return unquote(address.removeprefix(root)) if address.startswith(root) else None


class _Upload:
    def __init__(self, client: S3Client, bucket: str, key: str, media_type: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._media_type = media_type
        self._id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def take(self, chunks: Iterable[bytes]) -> int:
        try:
            size = self._send(chunks)
        except BaseException:
            self._abort()
            raise
        return size

    def _send(self, chunks: Iterable[bytes]) -> int:
        size, part = 0, bytearray()
        for chunk in chunks:
            # Sent before the next chunk is added, so that what fits into one part is one put.
            if len(part) >= PART_BYTES:
                self._send_part(part)
                part = bytearray()
            part += chunk
            size += len(chunk)
        if self._id is None:
            self._client.put_object(Bucket=self._bucket, Key=self._key, Body=bytes(part), ContentType=self._media_type)
            return size
        self._send_part(part)
        self._client.complete_multipart_upload(
            Bucket=self._bucket, Key=self._key, UploadId=self._id, MultipartUpload={"Parts": self._parts}
        )
        return size

    def _send_part(self, part: bytearray) -> None:
        if self._id is None:
            self._id = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=self._key, ContentType=self._media_type
            )["UploadId"]
        number = len(self._parts) + 1
        sent = self._client.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=self._id, PartNumber=number, Body=bytes(part)
        )
        self._parts.append({"ETag": sent["ETag"], "PartNumber": number})

    def _abort(self) -> None:
        """What is left all the same, the bucket's lifecycle rule removes after a day."""
        if self._id is not None:
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)
            except (BotoCoreError, ClientError) as error:
                logger().warning("A broken upload is left to the lifecycle rule", error=type(error).__name__)

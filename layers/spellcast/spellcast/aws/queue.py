"""SQS: messages, and when one that was received comes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spellcast.domain import documents
from spellcast.domain.documents import Document
from spellcast.ports.queue import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """Implements `ports.queue.Queue`."""

    client: Callable[[], SQSClient]
    url: str

    def put(self, body: Document) -> None:
        """One more message, to be received at once."""
        self.client().send_message(QueueUrl=self.url, MessageBody=documents.to_text(body))

    def postpone(self, message: Message, seconds: int) -> None:
        """By the time for which nobody else sees the message."""
        self.client().change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message.receipt, VisibilityTimeout=seconds
        )

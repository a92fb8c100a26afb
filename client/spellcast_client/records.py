"""What all models have in common: keys in camelCase, money as `Decimal`, times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel


def time_text(moment: datetime) -> str:
    """`2026-01-31T12:00:00.000Z`, as the API writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Without an exponent, as the API reads it.
Money = Annotated[Decimal, Field(strict=False), PlainSerializer(lambda amount: format(amount, "f"), when_used="json")]
Moment = Annotated[datetime, PlainSerializer(time_text, when_used="json")]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Record(BaseModel):
    """Its fields can be given by their names here and by their names in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )

    def document(self) -> dict[str, Any]:
        """As JSON, without what was not said."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


class Answer(Record):
    """What the API says; what a newer one adds is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Body(Record):
    """What is sent; keys that the API does not know are refused before."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OpenBody(Body):
    """What is sent; other keys are sent as they are."""

    model_config = ConfigDict(extra="allow")

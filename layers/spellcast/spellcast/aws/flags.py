"""Feature flags in AppConfig, read through Powertools. A change reaches every warm container within MAX_AGE."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from aws_lambda_powertools.utilities.feature_flags import FeatureFlags, SchemaValidator
from aws_lambda_powertools.utilities.feature_flags.base import StoreProvider
from aws_lambda_powertools.utilities.feature_flags.exceptions import (
    ConfigurationStoreError,
    SchemaValidationError,
    StoreClientError,
)

from spellcast.domain.errors import FlagsUnreadable
from spellcast.domain.identifiers import share_of
from spellcast.observability import logger
from spellcast.ports.clock import Clock

MAX_AGE = timedelta(seconds=30)
CAST_HERE = "cast_here"


class AppConfigFlags:
    """Implements `ports.flags.CastFlags`. Rules know `account`, the id, and `share`, its place of 0 to 99."""

    def __init__(self, open_store: Callable[[], StoreProvider], clock: Clock) -> None:
        self._flags = FeatureFlags(store=_LastGood(open_store, clock))

    def casts_here(self, account_id: str) -> bool:
        """The flag `cast_here`; what was read last counts on while AppConfig cannot be read."""
        context = {"account": account_id, "share": share_of(account_id)}
        value = self._flags.evaluate(name=CAST_HERE, context=context, default=None)
        if value is None:
            # Neither side is a safe guess: an account that was moved would find nothing on the other.
            raise FlagsUnreadable("Where this account casts cannot be read at the moment; nothing was changed.")
        return bool(value)


class _LastGood(StoreProvider):
    """Reads no more often than MAX_AGE, and keeps what it has where the new content cannot be read or used."""

    def __init__(self, open_store: Callable[[], StoreProvider], clock: Clock) -> None:
        self._open_store = open_store
        self._clock = clock
        self._store: StoreProvider | None = None
        self._content: dict[str, Any] | None = None
        self._read_at: datetime | None = None

    @property
    def get_raw_configuration(self) -> dict[str, Any]:
        """The same: there is no envelope."""
        return self.get_configuration()

    def get_configuration(self) -> dict[str, Any]:
        """Raises ConfigurationStoreError where nothing good was ever read."""
        now = self._clock.now()
        if self._content is None or self._read_at is None or now - self._read_at >= MAX_AGE:
            self._read_at = now
            self._read()
        if self._content is None:
            raise ConfigurationStoreError("no flags were read")
        return self._content

    def _read(self) -> None:
        try:
            self._store = self._store or self._open_store()
            content = self._store.get_configuration()
            SchemaValidator(content).validate()
        except (ConfigurationStoreError, StoreClientError, SchemaValidationError) as error:
            # The session's token serves once and for a day. Powertools would go on with the one that was lost.
            self._store = None
            logger().warning("The flags could not be read", reason=type(error).__name__)
        else:
            self._content = content

"""The log: one JSON line an entry, with the cast's id; never a secret, a prompt, or a URL with a token in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, wraps
from typing import Any, TypeVar

from aws_lambda_powertools import Logger

from spellcast.domain.errors import (
    CastNotFound,
    GenerationNotFound,
    IllegalTransition,
    InvalidCompletion,
    SpellcastError,
    StepEndedInFailure,
    WriteConflict,
)

Answer = TypeVar("Answer")

# Their texts are ids, codes and names of ours; all others may quote a prompt, a key or an address.
_OF_OURS = (CastNotFound, GenerationNotFound, IllegalTransition, InvalidCompletion, StepEndedInFailure, WriteConflict)
# They tell of every request, with its address and its headers.
_TALKATIVE = ("botocore", "httpcore", "httpx", "urllib3")


def begin(**keys: Any) -> Logger:
    """The logger of one invocation, with these keys in every line and none of the invocation before."""
    logger().structure_logs(append=False, **keys)
    return logger()


@cache
def logger() -> Logger:
    """The process's logger, made when it is first used. Its tracebacks tell places and kinds, and no texts."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    made = Logger(service="spellcast")
    made.addFilter(_Textless())
    return made


def measure(counts: Mapping[str, int | Decimal]) -> None:
    """One line of metrics in the log, from which CloudWatch makes them (namespace Spellcast, dimension `service`).

    Every name is 0.30 US dollars a month for each stage, so none has an account, a spell or a tool in it.
    """
    from aws_lambda_powertools.metrics import Metrics, MetricUnit

    metrics = Metrics(namespace="Spellcast", service=os.environ.get("POWERTOOLS_SERVICE_NAME", "spellcast"))
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=float(count))
    metrics.flush_metrics()


def observed(handler: Callable[[dict[str, Any], Any], Answer]) -> Callable[[dict[str, Any], Any], Answer]:
    """A function's handler, of which no exception leaves with a text that is not ours: the runtime logs it."""

    @wraps(handler)
    def entry(event: dict[str, Any], context: Any) -> Answer:
        logger()
        try:
            return handler(event, context)
        except StepEndedInFailure:
            raise  # how a step tells its machine what became of it
        except Exception as error:
            logger().exception("The invocation failed")
            if isinstance(error, _OF_OURS):
                raise
            raise _without_text(error) from None

    return entry


class _Textless(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1]:
            bare = _without_text(record.exc_info[1])
            record.exc_info = (type(bare), bare, bare.__traceback__)
        return True


def _without_text(error: BaseException) -> BaseException:
    """An exception of the same name, place and causes; Step Functions and whoever reads the log go by these."""
    if isinstance(error, _OF_OURS):
        text = str(error)
    else:
        text = error.code if isinstance(error, SpellcastError) else "its text is withheld"
    kind = type(error)
    bare: BaseException = type(kind.__name__, (Exception,), {"__module__": kind.__module__})(text)
    bare.__traceback__ = error.__traceback__
    bare.__cause__ = error.__cause__ and _without_text(error.__cause__)
    if not error.__suppress_context__:
        bare.__context__ = error.__context__ and _without_text(error.__context__)
    bare.__suppress_context__ = error.__suppress_context__
    return bare

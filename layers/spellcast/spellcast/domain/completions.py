"""`Job Completed` on the bus: a job's result, from whoever may put events there (contract §5)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from spellcast.domain import money, results
from spellcast.domain.documents import Document, is_deeper_than, to_text
from spellcast.domain.errors import Fault, InvalidCompletion, JobFailed
from spellcast.domain.identifiers import parse_generation_id
from spellcast.domain.payloads import normalise
from spellcast.domain.results import ToolResult, Usage

# As deep as a body of the API's may go, and then some for what is wrapped around an output.
MAX_DEPTH = 100


class TokensUsed(TypedDict, total=False):
    """How many tokens a model took."""

    inputTokens: Annotated[int, "Read."]
    outputTokens: Annotated[int, "Written."]


class JobCompleted(TypedDict):
    """The detail of the event by which a job's result may be told, by whoever may put events on the bus."""

    generationId: Annotated[str, "Whose result it is."]
    status: Annotated[Literal["succeeded", "failed"], "How the job ended."]
    data: NotRequired[Annotated[Any, "What came out, in any form; it is read as a provider's answer is."]]
    type: NotRequired[Annotated[str, "What `data` is, where it does not say so itself: `text`, `image`, `video` …"]]
    costUsd: NotRequired[Annotated[str, "US dollars that were billed; else the tool's definition says it."]]
    usage: NotRequired[Annotated[TokensUsed, "`inputTokens` and `outputTokens`, for tools that cost by the token."]]
    error: NotRequired[Annotated[Any, "Why it failed: a text, or an object with a `message`."]]


def parse_completion(detail: Document) -> tuple[str, ToolResult]:
    """The generation's id and its result, from the event's detail: `data` may have any form that a provider gives it.

    Raises InvalidCompletion with every fault.
    """
    faults: list[Fault] = []
    generation_id, status = detail.get("generationId"), detail.get("status")
    if not isinstance(generation_id, str) or parse_generation_id(generation_id) is None:
        faults.append(Fault("generationId", "is not the id of a generation"))
    if status not in ("succeeded", "failed"):
        faults.append(Fault("status", "is neither succeeded nor failed"))
    kind, data = detail.get("type"), detail.get("data")
    if kind is not None and not isinstance(kind, str):
        faults.append(Fault("type", "is not a text"))
    if is_deeper_than(data, MAX_DEPTH):
        faults.append(Fault("data", f"is nested deeper than {MAX_DEPTH} levels"))
    elif not _is_json(data):
        faults.append(Fault("data", "holds a number or a text that JSON cannot hold"))
    cost_usd, cost_fault = _parse_cost(detail.get("costUsd"))
    if cost_fault:
        faults.append(cost_fault)
    usage, usage_faults = _parse_usage(detail.get("usage"))
    faults += usage_faults
    if faults:
        raise InvalidCompletion(faults)
    if status == "succeeded":
        return str(generation_id), ToolResult("succeeded", normalise(data, kind), cost_usd=cost_usd, usage=usage)
    return str(generation_id), results.failed(JobFailed(_reason(detail.get("error"))), cost_usd=cost_usd)


def _parse_cost(value: object) -> tuple[Decimal | None, Fault | None]:
    if value is None:
        return None, None
    fault = Fault("costUsd", "is not a decimal string in US dollars")
    if not isinstance(value, str) or not re.fullmatch(money.TEXT_PATTERN, value):
        return None, fault
    return Decimal(value), None


def _parse_usage(value: object) -> tuple[Usage | None, list[Fault]]:
    if value is None:
        return None, []
    if not isinstance(value, dict):
        return None, [Fault("usage", "is not an object")]
    counts = {key: value.get(key, 0) for key in ("inputTokens", "outputTokens")}
    faults = [
        Fault(f"usage.{key}", "is not a whole number of tokens")
        for key, count in counts.items()
        if not Usage.is_count(count)
    ]
    return (None if faults else Usage(counts["inputTokens"], counts["outputTokens"])), faults


def _reason(error: object) -> str:
    if isinstance(error, dict):
        error = error.get("message")
    # Anything may stand there, as deep or as long as its sender likes; a text or a number is a reason.
    is_reason = isinstance(error, str | int | float) and bool(error) and _is_json(error)
    return str(error)[:1_000] if is_reason else "The job failed; its sender gave no reason."


def _is_json(data: object) -> bool:
    try:
        to_text(data).encode()
    except ValueError:
        return False
    return True

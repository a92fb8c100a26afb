"""Recorded casts of the original, run through this domain, and what comes out other than it was recorded.

Nothing is cast: outputs are the recorded ones, and from them context, inputs, outcome and costs are worked out anew.
`docs/migrating.md` lists the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from scripts.replay_casts.recordings import RecordedCast, RecordedStep
from spellcast.domain import cost, money, outputs
from spellcast.domain.documents import Document, is_blank
from spellcast.domain.migrations import names_now
from spellcast.domain.parameters import caster_inputs, is_visible, missing_inputs, resolve, wired_value
from spellcast.domain.payloads import Payload, normalise
from spellcast.domain.pricing import PricingPolicy
from spellcast.domain.results import ToolResult
from spellcast.domain.spells import Step
from spellcast.domain.tools import Tool

# What the original keeps in the context for itself.
_BOOKKEEPING = frozenset({"stepGenerationIds", "castId"})
# The original adds in binary floats: below this a difference is theirs.
_FLOAT_NOISE = Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is other here. None stands for no value; without a reason nobody expected it.

    `reason` is `row <n>` of contract §3 or a word of docs/migrating.md.
    """

    cast_id: str
    step_index: int | None
    key: str
    recorded: Any
    ours: Any
    reason: str | None


def replay(cast: RecordedCast, tools: Sequence[Tool]) -> list[Difference]:
    """Every difference, in the order of the steps; `tools` in the order in which they are looked up."""
    return _Replay(cast, tools).run()


class _Replay:
    def __init__(self, cast: RecordedCast, tools: Sequence[Tool]) -> None:
        self._cast = cast
        self._tools = tools
        self._steps = cast.version.steps
        self._inputs = caster_inputs(cast.inputs)
        self._ours: Document = dict(self._inputs)
        # The same with what the original extracts from a payload: its first element only.
        self._narrow: Document = dict(self._inputs)
        self._costs: dict[str, Decimal] = {}
        self._found: list[Difference] = []

    def run(self) -> list[Difference]:
        attempts: dict[int, list[RecordedStep]] = {}
        for recorded in self._cast.steps:
            attempts.setdefault(recorded.position, []).append(recorded)
        for position, records in attempts.items():
            recorded = self._counted(records)
            if len(records) > 1:
                self._add(position, "generations", len(records), 1, "row 9")
            self._replay_step(position, recorded)
        self._compare_end(attempts)
        return self._found

    def _counted(self, records: list[RecordedStep]) -> RecordedStep:
        """Of several generations of one step the one that the cast counts."""
        return next((each for each in records if each.generation_id in self._cast.generation_ids), records[-1])

    def _replay_step(self, position: int, recorded: RecordedStep) -> None:
        step = self._steps[position]
        tool = self._tool(step.tool_identifier)
        contexts = self._compare_context(recorded)
        if tool is None:
            self._add(position, "toolIdentifier", step.tool_identifier, None, None)
        else:
            self._compare_inputs(step, tool, recorded, contexts)
            self._compare_cost(tool, recorded)
        if recorded.status == "completed":
            self._narrow = outputs.pipeline_context(self._narrow, [(step, _extracted(recorded.payload))])
            self._ours = outputs.pipeline_context(self._ours, [(step, normalise(recorded.payload))])

    def _compare_context(self, recorded: RecordedStep) -> list[Difference]:
        """What the step found other than ours finds; what earlier steps found so already is not reported again."""
        found: list[Difference] = []
        if recorded.context is None:
            return found
        for key, theirs, ours in _differing(recorded.context, self._ours):
            reason = self._context_reason(key, theirs, ours)
            found.append(Difference(self._cast.cast_id, recorded.position, f"context.{key}", theirs, ours, reason))
        known = [(each.key, each.recorded, each.ours) for each in self._found]
        self._found += [each for each in found if (each.key, each.recorded, each.ours) not in known]
        return found

    def _context_reason(self, key: str, theirs: Any, ours: Any) -> str | None:
        if theirs == self._narrow.get(key) or (theirs is None and key == "input_video"):
            return "row 5"
        if re.fullmatch(r"(.*_)?result", key) and ours is not None and (theirs is None or ours == [theirs]):
            return "rewritten"
        return None

    def _compare_inputs(self, step: Step, tool: Tool, recorded: RecordedStep, contexts: list[Difference]) -> None:
        exposed = self._cast.version.exposed
        ours = resolve(step, tool, self._ours, self._inputs, exposed)
        missing = [key for key in missing_inputs(tool, ours) if _is_missing(recorded.inputs.get(key))]
        for key in missing:
            self._add(recorded.position, key, recorded.inputs.get(key), "MISSING_INPUTS", "row 6")
        for key, theirs, own in _differing(recorded.inputs, ours):
            if key in missing:
                continue
            reason = self._input_reason(step, tool, recorded, key, theirs, own, ours)
            if reason is None and recorded.context is not None and contexts and all(each.reason for each in contexts):
                from_theirs = resolve(step, tool, recorded.context, self._inputs, exposed)
                if from_theirs.get(key) == theirs:
                    reason = contexts[0].reason
            self._add(recorded.position, key, theirs, own, reason)
        for key, value in ours.items():
            if key in tool.inputs and (refusal := tool.inputs[key].refusal_of(value)):
                self._add(recorded.position, key, recorded.inputs.get(key), f"INVALID_STEP_INPUT: {refusal}", None)

    def _input_reason(
        self, step: Step, tool: Tool, recorded: RecordedStep, key: str, theirs: Any, own: Any, ours: Document
    ) -> str | None:
        field = tool.inputs.get(key)
        if field and field.is_media and own is not None and own in _addresses(theirs):
            return "media address"
        if recorded.had_loras and key == tool.metadata.get("telegramPromptInputKey", "input_prompt"):
            return "LoRA triggers"
        exposed = self._cast.version.exposed
        if own is not None and (step.step_id, key) in exposed:
            names = (f"{step.step_id}_{key}", key)
            if own in (*(self._inputs.get(name) for name in names), exposed[step.step_id, key]):
                return "row 1"
        wire = step.parameter_overrides.get(key) or step.parameter_mappings.get(key)
        if isinstance(wire, dict) and wire.get("type") == "nodeOutput":
            return self._wire_reason(wire, key, own, is_override=key in step.parameter_overrides)
        if field is None:
            return None
        if own is None and not is_visible(key, tool, {**ours, key: theirs}):
            return "hidden field"
        if _is_filled_by_rule_2(tool, key, theirs, own) and theirs in self._ours.values():
            return "row 2"
        given = {**step.parameter_mappings, **step.parameter_overrides}
        if any(name != key and key in names_now(name, step.tool_version, tool) for name in given):
            return "migrated step"
        return None

    def _wire_reason(self, wire: Document, key: str, own: Any, *, is_override: bool) -> str | None:
        """Rows 3 and 4. The original also looks up an override's bare key before its node's (§2.5 e)."""
        output_key = wire.get("outputKey")
        if own is None or own != wired_value(wire, key, self._ours):
            return None
        if f"{wire.get('nodeId')}_{output_key}" in self._ours:
            return "row 3" if is_override or not own else None
        return "row 4" if own != self._ours.get(str(output_key)) else None

    def _compare_cost(self, tool: Tool, recorded: RecordedStep) -> None:
        own = recorded.cost_usd
        if recorded.is_final and self._cast.generation_ids:
            # The total stands where the step's own cost was: what the others leave of it is the step's.
            others = money.total(
                each.cost_usd
                for each in self._cast.steps
                if each is not recorded and each.generation_id in self._cast.generation_ids
            )
            own = _without_noise(self._cast.cost_usd - others)
        ours = _our_cost(tool, recorded, own)
        self._costs[recorded.generation_id] = ours
        if recorded.cost_usd != ours:
            reason = _cost_reason(tool, recorded, own, ours)
            if reason and own != recorded.cost_usd:
                reason = ", ".join(dict.fromkeys(["row 10", reason]))
            self._add(recorded.position, "costUsd", money.to_text(recorded.cost_usd), money.to_text(ours), reason)

    def _compare_end(self, attempts: dict[int, list[RecordedStep]]) -> None:
        statuses = {position: self._counted(records).status for position, records in attempts.items()}
        is_complete = len(statuses) == len(self._steps) > 0 and set(statuses.values()) == {"completed"}
        ours = "completed" if is_complete else "failed"
        if self._cast.status != ours:
            reason = {"running": "row 7", "completed": "row 8"}.get(self._cast.status)
            self._add(None, "status", self._cast.status, ours, reason)
        total = money.total(self._costs.values())
        if total != self._cast.cost_usd:
            self._add(
                None, "costUsd", money.to_text(self._cast.cost_usd), money.to_text(total), self._total_reason(total)
            )

    def _total_reason(self, total: Decimal) -> str | None:
        if abs(total - self._cast.cost_usd) < _FLOAT_NOISE:
            return "row 10"
        reasons = [each.reason for each in self._found if each.key in ("costUsd", "generations")]
        reasons += ["failed run" for each in self._cast.steps if each.status == "failed" and each.cost_usd]
        # The total follows from its parts, and so do its reasons; row 10 alone moves no money.
        if None in reasons:
            return None
        moved = dict.fromkeys(each for reason in reasons for each in str(reason).split(", "))
        return ", ".join(each for each in moved if each != "row 10") or None

    def _tool(self, identifier: str) -> Tool | None:
        return next((tool for tool in self._tools if identifier in (tool.display_name, tool.tool_id)), None)

    def _add(self, step: int | None, key: str, recorded: Any, ours: Any, reason: str | None) -> None:
        self._found.append(Difference(self._cast.cast_id, step, key, recorded, ours, reason))


def _differing(theirs: Document, ours: Document) -> list[tuple[str, Any, Any]]:
    keys = [key for key in {**theirs, **ours} if key not in _BOOKKEEPING]
    return [(key, theirs.get(key), ours.get(key)) for key in keys if theirs.get(key) != ours.get(key)]


def _extracted(payload: Any) -> Payload:
    """The original's extraction (§4.4): the first element of a list, or the object itself, and a text of it."""
    if isinstance(payload, list):
        first = payload[0] if payload and isinstance(payload[0], dict) else {}
        payload = first.get("data") or {}
    if not isinstance(payload, dict):
        return ()
    text = payload.get("text") or outputs.merge_payload(normalise(payload)).get("text")
    return ({"type": "text", "data": payload | ({"text": text} if text else {})},)


def _is_missing(value: Any) -> bool:
    """Whether the original asked without it too; an override's wire that led nowhere was sent as it stood."""
    return is_blank(value) or (isinstance(value, dict) and value.get("type") == "nodeOutput")


def _addresses(value: Any) -> list[Any]:
    items = value if isinstance(value, list) else [value]
    return [item.get("url") for item in items if isinstance(item, dict)]


def _is_filled_by_rule_2(tool: Tool, key: str, theirs: Any, own: Any) -> bool:
    """Whether the original fills the field from the context, and this project on purpose does not."""
    field = tool.inputs[key]
    stays_blank = field.has_default or not (field.required or key == tool.primary_input)
    return stays_blank and own == field.default and not is_blank(theirs)


def _our_cost(tool: Tool, recorded: RecordedStep, own: Decimal) -> Decimal:
    """What the step costs here: the provider's own figure, or the tool's rate where a record has none to show."""
    status: Literal["succeeded", "failed"] = "succeeded" if recorded.status == "completed" else "failed"
    by_rate = cost.cost_of(tool, ToolResult(status), recorded.duration_ms, recorded.inputs)
    if tool.delivery_mode == "webhook" or own == 0 or own == _price(tool, by_rate):
        # The original takes a webhook's cost from the rate; elsewhere zero, or the price, is no provider's figure.
        return own if abs(by_rate - own) < _FLOAT_NOISE else by_rate
    return own


def _price(tool: Tool, amount: Decimal) -> Decimal:
    """The platform's price, which the original records as the cost of tools that report none (§3.5)."""
    return PricingPolicy().price_usd(tool.service, amount)


def _cost_reason(tool: Tool, recorded: RecordedStep, own: Decimal, ours: Decimal) -> str | None:
    if abs(own - ours) < _FLOAT_NOISE:
        return "row 10"
    if recorded.status != "completed":
        return "failed run"
    if own == 0:
        return "unbilled"
    return "price" if own == _price(tool, ours) else None


def _without_noise(amount: Decimal) -> Decimal:
    """To 12 places, as far as anybody's rates go."""
    return amount.quantize(Decimal("0.000000000001")).normalize()

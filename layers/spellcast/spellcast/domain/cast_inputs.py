"""What can be said of a caster's inputs before the cast: values that no tool takes, inputs that are missing or idle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from spellcast.domain.documents import Document, is_blank
from spellcast.domain.errors import Fault
from spellcast.domain.linter import fields_reached
from spellcast.domain.parameters import caster_inputs, missing_inputs, resolve, takes
from spellcast.domain.spells import SpellVersion, Step
from spellcast.domain.tools import Tool

# More would not fit into an answer.
MAX_WARNINGS = 200


def find_input_faults(version: SpellVersion, tools: Mapping[str, Tool], inputs: Document) -> list[Fault]:
    """Values of exposed inputs that their tools refuse. `tools` holds the steps' tools by the identifiers used."""
    steps: dict[str, list[Step]] = {}
    for step in version.steps:
        steps.setdefault(step.step_id, []).append(step)
    faults: dict[Fault, None] = {}
    for node_id, parameter in version.exposed:
        for key in [key for key in _names(node_id, parameter) if not is_blank(inputs.get(key))][:1]:
            for step in steps.get(node_id, ()):
                fields = fields_reached(parameter, step, tools[step.tool_identifier])
                reasons = [field.refusal_of(inputs[key]) for field in fields]
                if reasons and all(reasons):
                    faults[Fault(f"inputs.{key}", str(reasons[0]))] = None
    return list(faults)


def find_missing_warnings(
    version: SpellVersion, tools: Mapping[str, Tool], inputs: Document, settings: Document
) -> list[Fault]:
    """Required inputs of the first step that nothing fills; `settings` are the caster's own defaults by tool.

    Of later steps nothing is known before the outputs of those before them.
    """
    step = version.steps[0]
    tool = tools[step.tool_identifier]
    context = caster_inputs(inputs)
    resolved = resolve(step, tool, context, inputs, version.exposed, settings.get(tool.tool_id))
    if names := missing_inputs(tool, resolved):
        return [Fault("inputs", f"step 0 ({tool.display_name}) will fail without a value for: {', '.join(names)}")]
    return []


def find_input_warnings(version: SpellVersion, tools: Mapping[str, Tool], inputs: Document) -> list[Fault]:
    """Inputs that no step can take, whatever the other inputs are; at most MAX_WARNINGS of them."""
    steps = version.steps
    known = {name for exposed in version.exposed for name in _names(*exposed)}
    known.update(name for step in steps for name in _wired_names(step))
    used = [_unfolded(tools[identifier]) for identifier in {step.tool_identifier for step in steps}]
    unknown = (key for key in inputs if key not in known and not _reaches_any(used, key))
    return [Fault(f"inputs.{key}", "no step of the spell can take it") for key in islice(unknown, MAX_WARNINGS)]


def _names(node_id: str, parameter: str) -> tuple[str, str]:
    """What a caster may call an exposed input, the first that is given winning."""
    return f"{node_id}_{parameter}", parameter


def _wired_names(step: Step) -> Iterator[str]:
    """The bare names in the context that a wire falls back to."""
    for section in (step.parameter_mappings, step.parameter_overrides):
        for parameter, mapping in section.items():
            if isinstance(mapping, dict) and mapping.get("type") == "nodeOutput":
                yield str(mapping.get("outputKey"))
                yield str(mapping.get("paramKey") or parameter)


def _unfolded(tool: Tool) -> Tool:
    """The tool with its whole form shown: what hides a field depends on the other inputs."""
    return replace(tool, inputs={key: replace(field, visible_if=None) for key, field in tool.inputs.items()})


def _reaches_any(tools: Sequence[Tool], key: str) -> bool:
    """Whether a tool takes the key by its name, or, as its inputs are resolved, by an alias."""
    # A caster uses the names of today: only what a step gives is migrated.
    if any(takes(tool, key, tool.version) for tool in tools):
        return True
    probe = object()
    alone = caster_inputs({key: probe})
    bare = Step.parse({"toolIdentifier": ""}, 0)
    return any(value is probe for tool in tools for value in resolve(bare, tool, alone, {}, {}).values())

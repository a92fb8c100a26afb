"""What can be said of a spell before it is cast: faults that refuse it, warnings that come with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spellcast.domain.documents import Document, is_blank
from spellcast.domain.errors import Fault
from spellcast.domain.parameters import takes
from spellcast.domain.spells import Step
from spellcast.domain.tools import InputField, Tool

MAX_STEPS = 50


def tool_identifiers(content: Document) -> set[str]:
    """The tools that the steps name; none where there are more steps than a spell may have."""
    steps = _steps(content)
    if len(steps) > MAX_STEPS:
        return set()
    return {str(step["toolIdentifier"]) for _, step in steps if step.get("toolIdentifier")}


def find_faults(content: Document, tools: Mapping[str, Tool]) -> list[Fault]:
    """Everything that makes the spell impossible to cast. `tools` holds the known tools by the identifiers used.

    Parts whose shape is wrong are passed over: whoever checks shapes names them.
    """
    steps = _steps(content)
    if not steps:
        return [Fault("steps", "a spell needs at least one step")]
    if len(steps) > MAX_STEPS:
        return [Fault("steps", f"a spell has at most {MAX_STEPS} steps, this one has {len(steps)}")]
    faults: list[Fault] = []
    positions: dict[str, int] = {}
    for position, step in steps:
        identifier = step.get("toolIdentifier")
        if not identifier:
            faults.append(Fault(f"steps[{position}].toolIdentifier", "a step names its tool"))
        elif str(identifier) not in tools:
            faults.append(Fault(f"steps[{position}].toolIdentifier", f"there is no tool {identifier!r}"))
        node_id = str(step.get("id") or "")
        if node_id in positions:
            faults.append(Fault(f"steps[{position}].id", f"{node_id!r} is also steps[{positions[node_id]}]'s id"))
        elif node_id:
            positions[node_id] = position
    for position, step in steps:
        faults.extend(_wire_faults(position, step, positions))
        faults.extend(_value_faults(position, step, tools.get(str(step.get("toolIdentifier")))))
    faults.extend(_exposure_faults(content, {_step_id(position, step) for position, step in steps}))
    return faults


def find_warnings(content: Document, tools: Mapping[str, Tool]) -> list[Fault]:
    """What will probably not do what its author meant."""
    warnings: list[Fault] = []
    exposed = {(str(item["nodeId"]), item["paramKey"]) for item in content.get("exposedInputs") or []}
    before: list[Tool] = []
    for position, document in enumerate(content["steps"]):
        step = Step.parse(document, position)
        tool = tools[step.tool_identifier]
        given = step.parameter_mappings.keys() | step.parameter_overrides.keys()
        for key in sorted(given):
            if not takes(tool, key):
                warnings.append(Fault(f"steps[{position}]", f"{tool.display_name} has no input {key!r}"))
        for key, field in tool.inputs.items():
            supplied = key in given or (step.step_id, key) in exposed or field.has_default
            if field.required and not supplied and not _fills_itself(field, before):
                message = f"required input {key!r} of {tool.display_name} is not mapped"
                warnings.append(Fault(f"steps[{position}]", message))
        before.append(tool)
    return warnings


def _fills_itself(field: InputField, before: Sequence[Tool]) -> bool:
    """Whether an alias may find a value: the caster's prompt or file, or what an earlier step makes."""
    if field.type in ("string", "text"):
        return True
    return field.type in ("image", "video") and (not before or any(_makes(tool, field.type) for tool in before))


def _makes(tool: Tool, kind: str) -> bool:
    outputs = tool.document.get("outputSchema") or {}
    declared = {output.get("type") for output in outputs.values() if isinstance(output, dict)}
    return kind in declared | {tool.metadata.get("outputType")}


def _wire_faults(position: int, step: Document, positions: Mapping[str, int]) -> list[Fault]:
    faults: list[Fault] = []
    for section in ("parameterMappings", "parameterOverrides"):
        for parameter, mapping in _section(step, section).items():
            path = f"steps[{position}].{section}.{parameter}"
            if not isinstance(mapping, dict) or mapping.get("type") != "nodeOutput":
                continue
            source = positions.get(str(mapping.get("nodeId")))
            if source is None:
                faults.append(Fault(f"{path}.nodeId", f"no step has the id {mapping.get('nodeId')!r}"))
            elif source >= position:
                faults.append(Fault(f"{path}.nodeId", f"{mapping['nodeId']!r} does not run before this step"))
            if is_blank(mapping.get("outputKey")):
                faults.append(Fault(f"{path}.outputKey", "a wire names the output that it takes"))
    return faults


def _value_faults(position: int, step: Document, tool: Tool | None) -> list[Fault]:
    """The author's own values that the tool cannot take."""
    faults: list[Fault] = []
    for parameter, mapping in _section(step, "parameterMappings").items():
        if isinstance(mapping, dict) and mapping.get("type") == "static":
            path = f"steps[{position}].parameterMappings.{parameter}.value"
            faults += _value_fault(path, parameter, mapping.get("value"), tool)
    for parameter, value in _section(step, "parameterOverrides").items():
        if not (isinstance(value, dict) and value.get("type") == "nodeOutput"):
            faults += _value_fault(f"steps[{position}].parameterOverrides.{parameter}", parameter, value, tool)
    return faults


def _value_fault(path: str, parameter: str, value: object, tool: Tool | None) -> list[Fault]:
    field = tool.inputs.get(parameter) if tool else None
    reason = None if field is None or is_blank(value) else field.refusal_of(value)
    return [Fault(path, reason)] if reason else []


def _exposure_faults(content: Document, step_ids: set[str]) -> list[Fault]:
    exposed = content.get("exposedInputs")
    return [
        Fault(f"exposedInputs[{number}].nodeId", f"no step has the id {item['nodeId']!r}")
        for number, item in enumerate(exposed if isinstance(exposed, list) else ())
        if isinstance(item, dict) and "nodeId" in item and str(item["nodeId"]) not in step_ids
    ]


def _steps(content: Document) -> list[tuple[int, Document]]:
    steps = content.get("steps")
    return (
        [(position, step) for position, step in enumerate(steps) if isinstance(step, dict)]
        if isinstance(steps, list)
        else []
    )


def _section(step: Document, name: str) -> Document:
    section = step.get(name)
    return section if isinstance(section, dict) else {}


def _step_id(position: int, step: Document) -> str:
    return str(step.get("id") or step.get("stepId") or position + 1)

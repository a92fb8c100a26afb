"""What can be said of a spell before it is cast: faults that refuse it, warnings that come with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from spellcast.domain.documents import Document, is_among, is_blank
from spellcast.domain.errors import Fault
from spellcast.domain.migrations import names_now
from spellcast.domain.parameters import takes
from spellcast.domain.spells import Step
from spellcast.domain.tools import InputField, Tool

MAX_STEPS = 50
_MAX_NAMED = 20

# Keys of wires that name a type: what they take, `wired_value` looks for among the node's outputs.
_TYPE_WORDS = {"image": "image", "video": "video", "audio": "audio", "file": "file", "text": "text", "output": "any"}
_KINDS = {kind: kind for kind in ("text", "number", "boolean", "object", "image", "video", "audio", "file")}
_KINDS |= {"string": "text", "url": "text", "enum": "text", "integer": "number"}
# The kinds of outputs that can fill an input of this type: a text may hold an address or a number. Others take all.
_FILLED_BY = {
    "number": {"number", "text"},
    "integer": {"number", "text"},
    "boolean": {"boolean"},
    "object": {"object"},
    "enum": {"text", "number", "boolean"},
    "image": {"image", "file", "text"},
    "video": {"video", "file", "text"},
    "audio": {"audio", "file", "text"},
    "file": {"image", "video", "audio", "file", "text"},
}


@dataclass(frozen=True, slots=True)
class _Maker:
    """A step that can be wired from: the types of its outputs by the keys that wires may name them by."""

    tool: Tool
    types: Mapping[str, str]

    @classmethod
    def of(cls, step: Step, tool: Tool) -> _Maker:
        declared = _declared(tool)
        renamed = {name: declared.get(output, "") for output, name in step.output_mappings.items()}
        return cls(tool, {**_TYPE_WORDS, **renamed, **declared})


def tool_identifiers(content: Document) -> set[str]:
    """The tools that the steps name; none where there are more steps than a spell may have."""
    steps = _steps(content)
    if len(steps) > MAX_STEPS:
        return set()
    return {str(step[key]) for _, step in steps for key in ("toolIdentifier", "fallbackTool") if step.get(key)}


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
    nameless: dict[str, int] = {}
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
        else:
            nameless.setdefault(_step_id(position, step), position)
    for position, step in steps:
        # What names a step without an id by its step id comes with a warning.
        faults.extend(_wire_faults(position, step, {**nameless, **positions}))
        faults.extend(_value_faults(position, step, tools.get(str(step.get("toolIdentifier")))))
        faults.extend(_fallback_faults(position, step, tools))
    return [*faults, *_exposure_faults(content, tools)]


def find_warnings(content: Document, tools: Mapping[str, Tool]) -> list[Fault]:
    """What will probably not do what its author meant."""
    warnings: list[Fault] = []
    exposed = {(str(item["nodeId"]), item["paramKey"]) for item in content.get("exposedInputs") or []}
    before: list[Tool] = []
    named: dict[str, _Maker] = {}
    for position, document in enumerate(content["steps"]):
        step = Step.parse(document, position)
        tool = tools[step.tool_identifier]
        given = step.parameter_mappings.keys() | step.parameter_overrides.keys()
        for key in sorted(given):
            if not takes(tool, key, step.tool_version):
                warnings.append(Fault(f"steps[{position}]", f"{tool.display_name} has no input {key!r}"))
        settable = {parameter for node_id, parameter in exposed if node_id == step.step_id}
        warnings += _unmapped_warnings(position, step, tool, given | settable, before)
        if step.fallback_tool:
            fallback = tools[step.fallback_tool]
            warnings += _unmapped_warnings(position, step, fallback, given | settable, before)
            warnings += _untaken(position, fallback, settable - given)
        warnings += _wire_warnings(position, step, document, tool, named)
        warnings += _mapping_warnings(position, step, tool)
        warnings += _hidden_warnings(position, step, tool, settable)
        before.append(tool)
        if step.node_id:
            named[step.node_id] = _Maker.of(step, tool)
    return [*warnings, *_exposure_warnings(content, tools)]


def find_own_tools(content: Document, tools: Mapping[str, Tool]) -> list[Fault]:
    """The steps that keep others from casting a spell that its author shares: tools belong to their account."""
    reasons = {"toolIdentifier": "others cannot cast it", "fallbackTool": "others do without this fallback"}
    return [
        Fault(f"steps[{position}].{key}", f"{tools[str(step[key])].display_name} is a tool of your own: {reason}")
        for position, step in _steps(content)
        for key, reason in reasons.items()
        if step.get(key) and tools[str(step[key])].is_own
    ]


def fields_reached(parameter: str, step: Step, tool: Tool) -> list[InputField]:
    """The tool's inputs that a value of the step under this name may become, now that the tool has a newer version."""
    return [tool.inputs[name] for name in sorted(names_now(parameter, step.tool_version, tool)) if name in tool.inputs]


def _unmapped_warnings(
    position: int, step: Step, tool: Tool, given: Collection[str], before: Sequence[Tool]
) -> Iterator[Fault]:
    supplied = {field.key for key in given for field in fields_reached(key, step, tool)}
    for key, field in tool.inputs.items():
        if field.required and not field.has_default and key not in supplied and not _fills_itself(field, before):
            yield Fault(f"steps[{position}]", f"required input {key!r} of {tool.display_name} is not mapped")


def _fills_itself(field: InputField, before: Sequence[Tool]) -> bool:
    """Whether an alias may find a value: the caster's prompt or file, or what an earlier step makes."""
    if field.type in ("string", "text"):
        return True
    return field.type in ("image", "video") and (not before or any(_makes(tool, field.type) for tool in before))


def _makes(tool: Tool, kind: str) -> bool:
    return kind in {*_declared(tool).values(), tool.metadata.get("outputType")}


def _wire_faults(position: int, step: Document, positions: Mapping[str, int]) -> list[Fault]:
    faults: list[Fault] = []
    for path, _, mapping in _wires(position, step):
        node_id = mapping.get("nodeId")
        source = None if node_id is None else positions.get(str(node_id))
        if source is None:
            faults.append(Fault(f"{path}.nodeId", f"no step has the id {node_id!r}"))
        elif source >= position:
            faults.append(Fault(f"{path}.nodeId", f"{node_id!r} does not run before this step"))
        if is_blank(mapping.get("outputKey")):
            faults.append(Fault(f"{path}.outputKey", "a wire names the output that it takes"))
    return faults


def _fallback_faults(position: int, step: Document, tools: Mapping[str, Tool]) -> Iterator[Fault]:
    """What keeps a tool from taking the first one's place: it gets the same inputs, and what is left of the time."""
    identifier, path = step.get("fallbackTool"), f"steps[{position}].fallbackTool"
    if not identifier:
        return
    fallback, tool = tools.get(str(identifier)), tools.get(str(step.get("toolIdentifier")))
    if fallback is None:
        yield Fault(path, f"there is no tool {identifier!r}")
        return
    name = fallback.display_name
    given = _section(step, "parameterMappings").keys() | _section(step, "parameterOverrides").keys()
    yield from _untaken(position, fallback, given)
    for fault in _value_faults(position, step, fallback):
        yield Fault(fault.path, f"{name} cannot take it: it {fault.message}")
    if tool is None:
        return
    if fallback.tool_id == tool.tool_id:
        yield Fault(path, "is the step's own tool")
    if fallback.is_immediate != tool.is_immediate:
        runs = "answers at once" if fallback.is_immediate else "runs as a job"
        yield Fault(path, f"{name} {runs}, which {tool.display_name} does not")
    if fallback.deadline_seconds > tool.deadline_seconds:
        own = f"{tool.display_name} has {tool.deadline_seconds}"
        yield Fault(path, f"{name} may take {fallback.deadline_seconds} seconds, {own}")


def _untaken(position: int, fallback: Tool, parameters: Collection[str]) -> Iterator[Fault]:
    for key in sorted(parameters):
        # Under its names of today: the step's version is that of the first tool.
        if not takes(fallback, key, fallback.version):
            yield Fault(f"steps[{position}].fallbackTool", f"{fallback.display_name} has no input {key!r}")


def _wire_warnings(
    position: int, step: Step, document: Document, tool: Tool, named: Mapping[str, _Maker]
) -> Iterator[Fault]:
    for path, parameter, mapping in _wires(position, document):
        key = str(mapping["outputKey"])
        if str(mapping["nodeId"]) not in named:
            reason = "has no id, so its outputs are not told from those of other steps"
            yield Fault(f"{path}.nodeId", f"step {mapping['nodeId']!r} {reason}: the latest {key!r} is taken")
            continue
        maker = named[str(mapping["nodeId"])]
        made = maker.types.get(key)
        fields = fields_reached(parameter, step, tool)
        if made is None and maker.tool.document.get("outputSchema"):
            yield Fault(f"{path}.outputKey", _no_output(maker.tool, key))
        elif made and fields and not any(_can_fill(made, field.type) for field in fields):
            reason = f"is of type {made} and cannot fill {parameter!r}, which is of type {fields[0].type}"
            yield Fault(f"{path}.outputKey", f"{key!r} of {maker.tool.display_name} {reason}")


def _mapping_warnings(position: int, step: Step, tool: Tool) -> Iterator[Fault]:
    declared = _declared(tool)
    for key in step.output_mappings:
        if declared and key not in declared:
            yield Fault(f"steps[{position}].outputMappings.{key}", _no_output(tool, key))


def _hidden_warnings(position: int, step: Step, tool: Tool, settable: Collection[str]) -> Iterator[Fault]:
    """Values for fields that the tool's form does not show at the author's own values, and so never reach the tool."""
    given = {**step.parameter_mappings, **step.parameter_overrides}
    for key in sorted(given.keys() & tool.inputs.keys()):
        rule = tool.inputs[key].visible_if
        if rule is None or rule.field in settable or rule.field not in tool.inputs:
            continue
        deciding = given.get(rule.field)
        if isinstance(deciding, dict) and deciding.get("type") == "nodeOutput":
            continue
        if isinstance(deciding, dict) and deciding.get("type") == "static":
            deciding = deciding.get("value")
        if is_blank(deciding):
            deciding = tool.inputs[rule.field].default
        if deciding is not None and not is_among(deciding, rule.values):
            wanted = " or ".join(map(str, rule.values))
            yield Fault(f"steps[{position}]", f"{key!r} counts only where {rule.field!r} is {wanted}")


def _exposure_warnings(content: Document, tools: Mapping[str, Tool]) -> Iterator[Fault]:
    """Exposed inputs that do nothing, or more than they seem to."""
    wires: dict[str, dict[str, str]] = {}
    takers: dict[str, list[tuple[Step, Tool]]] = {}
    for position, step in _steps(content):
        step_id = _step_id(position, step)
        takers.setdefault(step_id, []).append((Step.parse(step, position), tools[str(step["toolIdentifier"])]))
        wires.setdefault(step_id, {}).update(
            (parameter, str(mapping["nodeId"])) for _, parameter, mapping in _wires(position, step)
        )
    first: dict[tuple[str, str], int] = {}
    for number, item in enumerate(content.get("exposedInputs") or []):
        path, node_id, parameter = f"exposedInputs[{number}]", str(item["nodeId"]), item["paramKey"]
        earlier = first.setdefault((node_id, parameter), number)
        if earlier != number:
            yield Fault(path, f"{parameter!r} of step {node_id!r} is exposed by exposedInputs[{earlier}] already")
        elif not any(takes(tool, parameter, step.tool_version) for step, tool in takers[node_id]):
            yield Fault(f"{path}.paramKey", f"{takers[node_id][0][1].display_name} has no input {parameter!r}")
        elif parameter in wires[node_id]:
            source = wires[node_id][parameter]
            yield Fault(path, f"{parameter!r} is wired from step {source!r}: a caster's value replaces the wire")


def _can_fill(made: str, wanted: str) -> bool:
    """Whether an output of one type can be the value of an input of another; what is not known may."""
    kind, fillers = _KINDS.get(made), _FILLED_BY.get(wanted)
    return kind is None or fillers is None or kind in fillers


def _declared(tool: Tool) -> dict[str, str]:
    """The types of the outputs that the tool declares, by their keys; an empty type where it says none."""
    outputs = tool.document.get("outputSchema") or {}
    return {key: str(output.get("type") or "") if isinstance(output, dict) else "" for key, output in outputs.items()}


def _no_output(tool: Tool, key: str) -> str:
    named = ", ".join(islice(tool.document["outputSchema"], _MAX_NAMED))
    return f"{tool.display_name} has no output {key!r}, it declares {named}"


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


def _exposure_faults(content: Document, tools: Mapping[str, Tool]) -> Iterator[Fault]:
    steps = {_step_id(position, step): step for position, step in _steps(content)}
    exposed = content.get("exposedInputs")
    for number, item in enumerate(exposed if isinstance(exposed, list) else ()):
        if not isinstance(item, dict) or "nodeId" not in item:
            continue
        path, step = f"exposedInputs[{number}]", steps.get(str(item["nodeId"]))
        if step is None:
            yield Fault(f"{path}.nodeId", f"no step has the id {item['nodeId']!r}")
        else:
            tool = tools.get(str(step.get("toolIdentifier")))
            yield from _value_fault(f"{path}.defaultValue", str(item.get("paramKey")), item.get("defaultValue"), tool)


def _steps(content: Document) -> list[tuple[int, Document]]:
    steps = content.get("steps")
    return (
        [(position, step) for position, step in enumerate(steps) if isinstance(step, dict)]
        if isinstance(steps, list)
        else []
    )


def _wires(position: int, step: Document) -> Iterator[tuple[str, str, Document]]:
    """Path, parameter and mapping of each wire; in an override it has the form that the original had there."""
    for section in ("parameterMappings", "parameterOverrides"):
        for parameter, mapping in _section(step, section).items():
            if isinstance(mapping, dict) and mapping.get("type") == "nodeOutput":
                yield f"steps[{position}].{section}.{parameter}", parameter, mapping


def _section(step: Document, name: str) -> Document:
    section = step.get(name)
    return section if isinstance(section, dict) else {}


def _step_id(position: int, step: Document) -> str:
    return str(step.get("id") or step.get("stepId") or position + 1)

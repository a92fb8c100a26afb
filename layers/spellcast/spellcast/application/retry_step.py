"""Runs a step of a cast that has ended again, with other inputs if its caster wants, and all steps after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from spellcast.application.find_tools import FindTools
from spellcast.application.resume_cast import ResumeCast, ResumeOrder, Start
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import CastNotFound, Fault, GenerationNotFound, GenerationSuperseded, InvalidInput
from spellcast.domain.generations import Generation
from spellcast.domain.identifiers import parse_generation_id
from spellcast.domain.tools import Tool
from spellcast.ports.store import SpellStore


@dataclass(frozen=True, slots=True)
class RetryStep:
    """A resume that begins at a step of the caster's choice; what it sets stays set when the cast is resumed later."""

    resume_cast: ResumeCast
    spells: SpellStore
    find_tools: FindTools

    def __call__(self, account_id: str, generation_id: str, inputs: Document, order: ResumeOrder) -> Cast:
        """The cast, running. `inputs` take the place of what was resolved; null takes an earlier one back.

        Raises GenerationNotFound, GenerationSuperseded, CastRunning, CastEnded, InvalidInput, IdempotencyKeyReused.
        """
        key = parse_generation_id(generation_id)
        try:
            if key is None:
                raise CastNotFound(generation_id)
            return self.resume_cast.go_on(account_id, key.cast_id, order, partial(self._start, generation_id, inputs))
        except CastNotFound as error:
            raise GenerationNotFound(f"There is no generation {generation_id!r}.") from error

    def _start(self, generation_id: str, inputs: Document, cast: Cast, generations: Sequence[Generation]) -> Start:
        found = next((item for item in generations if item.generation_id == generation_id), None)
        if found is None:
            raise GenerationNotFound(f"There is no generation {generation_id!r}.")
        if cast.current(generations).get(found.step_index) != found:
            raise GenerationSuperseded("The step, or one before it, has been run again since.")
        if faults := _faults(self._tool(cast, found), inputs):
            raise InvalidInput(faults)
        changed = {**cast.overrides.get(found.step_id, {}), **inputs}
        kept = {name: value for name, value in changed.items() if value is not None}
        others = {step_id: own for step_id, own in cast.overrides.items() if step_id != found.step_id}
        return Start(found.step_index, {**others, **({found.step_id: kept} if kept else {})})

    def _tool(self, cast: Cast, generation: Generation) -> Tool:
        """The tool that the step will have now."""
        version = self.spells.get_version(cast.spell_id, cast.version)
        identifier = version.steps[generation.step_index].tool_identifier if version else generation.tool_id
        tool = self.find_tools.known(cast.account_id, [identifier]).get(identifier)
        if tool is None:
            raise InvalidInput([Fault("generationId", f"is of the tool {identifier!r}, which does not exist any more")])
        return tool


def _faults(tool: Tool, inputs: Document) -> list[Fault]:
    if not tool.inputs:
        return []
    faults = []
    for name, value in inputs.items():
        if name not in tool.inputs:
            faults.append(Fault(f"inputs.{name}", f"is no input of {tool.display_name}"))
        elif value is not None and (reason := tool.inputs[name].refusal_of(value)):
            faults.append(Fault(f"inputs.{name}", reason))
    return faults

"""One invocation's view of a segment: the cast as it was read, and the generations as the invocation leaves them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document, is_blank
from spellcast.domain.errors import CastCancelled, CastInterrupted, InvalidStepInput, MissingInputs, StepFailed
from spellcast.domain.generations import Generation, latest_attempts
from spellcast.domain.identifiers import generation_id
from spellcast.domain.parameters import missing_inputs, resolve
from spellcast.domain.pipeline import context_before
from spellcast.domain.retrying import proves_nothing_begun
from spellcast.domain.segments import Segment, waiting_ends
from spellcast.domain.spells import SpellVersion
from spellcast.domain.tools import Tool
from spellcast.ports.store import CastStore


@dataclass(slots=True)
class SegmentRun:
    """Held by one invocation only."""

    cast: Cast
    version: SpellVersion
    generations: dict[str, Generation]
    segment: Segment
    task_token: str

    def known(self, position: int) -> Generation | None:
        """This attempt's record of a step, if an earlier invocation or step left one."""
        return self.generations.get(generation_id(self.cast.cast_id, position, self.segment.attempt))

    def keep(self, generation: Generation) -> Generation:
        """Remembers what was written, for the steps that follow."""
        self.generations[generation.generation_id] = generation
        return generation

    def reserve(self, position: int, tool: Tool, now: datetime, task_token: str | None = None) -> Generation:
        """The step's record before anybody is asked, with its resolved inputs; not yet written."""
        step = self.version.steps[position]
        context = context_before(position, self.cast, self.version, self.generations.values())
        metadata = self.cast.metadata
        return Generation.reserve(
            cast_id=self.cast.cast_id,
            account_id=self.cast.account_id,
            spell_id=self.cast.spell_id,
            position=position,
            attempt=self.segment.attempt,
            step=step,
            tool=tool,
            inputs=resolve(
                step,
                tool,
                context,
                self.cast.inputs,
                self.version.exposed,
                self.settings_of(tool),
                self.cast.overrides.get(step.step_id),
            ),
            now=now,
            task_token=task_token,
            execution=self.cast.execution,
            collection={key: metadata[key] for key in ("cookId", "collectionId") if not is_blank(metadata.get(key))},
        )

    def settings_of(self, tool: Tool) -> Document:
        """The caster's own defaults of the tool's inputs, as they were when the spell was cast."""
        settings: Document = self.cast.settings.get(tool.tool_id, {})
        return settings

    def fallback_of(self, reserved: Generation, error: StepFailed) -> str | None:
        """The tool that may be asked instead: once, and only after what proves that nothing was begun."""
        if reserved.fallback_from or not proves_nothing_begun(error):
            return None
        return self.version.steps[reserved.step_index].fallback_tool

    def waiting_ends(self, position: int) -> datetime:
        """Until when this step may wait for its turn under its provider's limits; what is reserved waits no more."""
        if (reserved := self.known(position)) is not None:
            return reserved.request_timestamp
        before = (
            (generation.deadline_at - generation.request_timestamp).total_seconds()
            for index, generation in latest_attempts(self.generations.values()).items()
            if self.cast.first_step <= index < position
        )
        return waiting_ends(self.cast.running_since, sum(before))

    def check_open(self, casts: CastStore) -> None:
        """Raises CastInterrupted or CastCancelled where the cast has been closed, or is about to be: it spends no more.

        Asked after a step is reserved: whoever closes the cast either finds the reservation, or is found here.
        """
        cast = casts.get_cast(self.cast.cast_id)
        if cast is None or cast.is_terminal or cast.attempt != self.cast.attempt:
            raise CastInterrupted("The cast was closed while its steps ran.")
        if cast.is_cancelling:
            raise CastCancelled("The cast was cancelled while its steps ran.")


def refusal_of(tool: Tool, reserved: Generation, settings: Document) -> StepFailed | None:
    """What is wrong with the inputs, before a provider is asked (contract §3 row 6).

    What comes of the caster's `settings` is named as such: no input of the cast has it.
    """
    step = f"Step {reserved.step_index} ({tool.display_name})"
    if names := missing_inputs(tool, reserved.request_payload):
        return MissingInputs(f"{step} has no value for: {', '.join(names)}.")
    wrong = [
        f"{key} {reason}{f' (tools.{tool.tool_id}.{key} of the settings)' if settings.get(key) == value else ''}"
        for key, value in reserved.request_payload.items()
        if key in tool.inputs and (reason := tool.inputs[key].refusal_of(value))
    ]
    return InvalidStepInput(f"{step} cannot take its inputs: {'; '.join(wrong)}.") if wrong else None

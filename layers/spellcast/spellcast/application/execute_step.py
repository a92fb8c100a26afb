"""Runs a segment: its immediate steps in place, then the start of its job. May be invoked again at any point."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spellcast.application.budgets import Budgets
from spellcast.application.complete_job import CompleteJob
from spellcast.application.keep_outputs import KeepOutputs
from spellcast.application.media_links import MediaLinks
from spellcast.application.process_output import ProcessOutput
from spellcast.application.segment_run import SegmentRun, refusal_of
from spellcast.application.slots import Slots
from spellcast.application.start_job import StartJob
from spellcast.application.submit import Submit
from spellcast.domain import results
from spellcast.domain.errors import (
    CastCancelled,
    CastInterrupted,
    CastNotFound,
    NoFreeSlot,
    OutcomeUnknown,
    PreviousStepIncomplete,
    SpellNotFound,
    StepFailed,
    StepToolNotFound,
    StorageUnavailable,
    WriteConflict,
)
from spellcast.domain.generations import Generation
from spellcast.domain.results import Failure, ToolResult
from spellcast.domain.segments import Segment
from spellcast.domain.tools import Tool, unknown_tool
from spellcast.observability import logger
from spellcast.ports.adapter import Adapters, Request
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.store import CastStore, SpellStore, ToolStore


@dataclass(frozen=True, slots=True)
class ExecuteStep:
    """Every segment is awaited by its task token, whatever its steps are."""

    casts: CastStore
    spells: SpellStore
    tools: ToolStore
    adapters: Adapters
    machine: Machine
    process_output: ProcessOutput
    keep_outputs: KeepOutputs
    links: MediaLinks
    complete_job: CompleteJob
    start_job: StartJob
    submit: Submit
    slots: Slots
    budgets: Budgets
    clock: Clock

    def __call__(self, cast_id: str, segment: Segment, task_token: str, execution: str) -> None:
        """Ends with the token answered, refused, or stored for whoever brings the result.

        `execution` is the one that asks; of a cast that another has taken over it gets nothing.
        """
        while True:
            try:
                run = self._read(cast_id, segment, task_token, execution)
                for position in range(segment.first, segment.last):
                    self._run_in_place(run, position)
                self._run_last(run, segment.last)
            except WriteConflict:
                continue  # Another invocation, or a completion, was faster: read what it left.
            except StepFailed as error:
                self.machine.refuse(task_token, Failure.of(error))
            return

    def _read(self, cast_id: str, segment: Segment, task_token: str, execution: str) -> SegmentRun:
        loaded = self.casts.load_cast(cast_id)
        if loaded is None:
            raise CastNotFound(f"There is no cast {cast_id}.")
        cast, generations = loaded
        if cast.is_terminal:
            raise CastInterrupted(f"The cast is {cast.status}.")
        if execution != cast.execution_name:
            raise CastInterrupted("Another execution of the machine goes on with the cast.")
        if cast.is_cancelling:
            raise CastCancelled("The cast was cancelled before the step began.")
        version = self.spells.get_version(cast.spell_id, cast.version)
        if version is None:
            raise SpellNotFound(f"There is no version {cast.version} of spell {cast.spell_id}.")
        before = cast.current(generations).get(segment.first - 1)
        if segment.first > 0 and (before is None or before.status != "completed"):
            raise PreviousStepIncomplete(f"Step {segment.first - 1} has not been completed.")
        known = {generation.generation_id: generation for generation in generations}
        return SegmentRun(cast, version, known, segment, task_token)

    def _run_in_place(self, run: SegmentRun, position: int) -> None:
        """An immediate step that others of its segment follow: finished here, since they need its outputs."""
        generation = run.known(position)
        if generation is None or not generation.is_terminal:
            generation = self._execute(run, position, finish=True)
        if generation.status != "completed":
            code = generation.failure.code if generation.failure else generation.status
            raise StepFailed(f"Step {position} ended with {code}.")

    def _run_last(self, run: SegmentRun, position: int) -> None:
        """The step that `process_output` will finish."""
        generation = run.known(position)
        if generation is not None and (generation.is_terminal or generation.result is not None):
            self.slots.give_back(generation.generation_id, generation.slots)
            self.machine.answer(run.task_token, generation.generation_id)
            return
        tool = self._tool(run, position)
        # A step that has begun stays what it was, though its tool was deleted and defined anew.
        if (generation.delivery_mode if generation else tool.delivery_mode) == "immediate":
            generation = self._execute(run, position, finish=False)
            self.machine.answer(run.task_token, generation.generation_id)
        elif generation is not None:
            self.start_job.take_up(run, generation, tool)
        else:
            self._begin_job(run, run.reserve(position, tool, self.clock.now(), run.task_token), tool)

    def _begin_job(self, run: SegmentRun, reserved: Generation, tool: Tool) -> None:
        position = reserved.step_index
        try:
            expected = self.budgets.expect(run, reserved, tool)
            if refusal := refusal_of(tool, reserved, run.settings_of(tool)):
                raise refusal
            reserved = reserved.holding(self.slots.take(reserved, "jobs", run.waiting_ends(position)))
            reserved = self.budgets.hold(run, reserved, tool, expected)
            self.start_job(run, reserved, tool)
        except NoFreeSlot:
            raise
        except StepFailed as error:
            if second := self._second(run, reserved, error):
                self._begin_second_job(run, reserved, second, error)
                return
            # Nothing was asked, so no result will come.
            ended = self._ended(reserved, error)
            self.casts.save_generation(ended, run.known(position))
            self.slots.give_back(reserved.generation_id, reserved.slots)
            self.budgets.settle(ended)
            raise

    def _begin_second_job(
        self, run: SegmentRun, first: Generation, second: tuple[Generation, Tool], error: StepFailed
    ) -> None:
        # Both may have the same provider: its place is given back before it is taken again.
        self.slots.give_back(first.generation_id, first.slots)
        try:
            self._begin_job(run, *second)
        except WriteConflict:
            if run.known(first.step_index) is None:
                raise
            # Whoever wrote over the reservation waits for a job that nobody will ask for.
            self.complete_job(first.generation_id, results.failed(error))

    def _second(self, run: SegmentRun, first: Generation, error: StepFailed) -> tuple[Generation, Tool] | None:
        """The fallback tool's record, not yet written, and the tool; it has what is left of the step's time."""
        identifier, now = run.fallback_of(first, error), self.clock.now()
        seconds_left = int((first.deadline_at - now).total_seconds())
        if identifier is None or seconds_left < 1:
            return None
        tool = self.tools.get_tool(run.cast.account_id, identifier)
        if tool is None or tool.is_immediate != (first.delivery_mode == "immediate"):
            # It was deleted, or made anew, since the spell was saved.
            return None
        tool = replace(tool, deadline_seconds=min(tool.deadline_seconds, seconds_left))
        reserved = run.reserve(first.step_index, tool, now, first.task_token)
        logger().info("The step falls back to another tool", tool=tool.tool_id, code=error.code)
        return reserved.instead_of(first, Failure.of(error)), tool

    def _execute(self, run: SegmentRun, position: int, *, finish: bool) -> Generation:
        """Asks the tool and writes the result: at once for a step that may be run again, reserved before otherwise."""
        stored = run.known(position)
        if stored is not None:
            lost = OutcomeUnknown("The step was interrupted after its tool may have been asked; it is not asked again.")
            return self._write(run, stored, stored, results.failed(lost), finish)
        tool = self._tool(run, position)
        reserved, result = self._ask(run, run.reserve(position, tool, self.clock.now()), tool)
        stored = run.known(position)
        try:
            return self._write(run, stored, reserved, result, finish)
        except WriteConflict:
            if stored is not None:
                # The step was given up, or completed from outside, while its tool was at work: its cost is not lost.
                self.complete_job(reserved.generation_id, result)
            raise
        except StorageUnavailable as error:
            known = run.known(position)
            if known is None or known.result is not None:
                raise  # The next invocation asks again, or goes on with the result that is stored.
            left = self._without_payload(reserved, result, error)
            return self._write(run, known, self._as_in_its_row(known), left, finish)

    def _without_payload(self, reserved: Generation, result: ToolResult, error: StorageUnavailable) -> ToolResult:
        """What is left of a result that the bucket did not take: it is not asked for again, and its cost is kept."""
        amount, _ = self.process_output.price(reserved.received(result, self.clock.now()), result)
        failure = Failure(error.code, "The step's result could not be stored; it is not asked for again.")
        return ToolResult("failed", failure=failure, cost_usd=amount, duration_ms=result.duration_ms)

    def _as_in_its_row(self, known: Generation) -> Generation:
        """Its large documents stay where they are: the bucket is not asked for them, nor to take them again."""
        _, generations = self.casts.load_cast(known.cast_id, whole=False) or (None, [])
        return next((item for item in generations if item.generation_id == known.generation_id), known)

    def _ask(self, run: SegmentRun, reserved: Generation, tool: Tool) -> tuple[Generation, ToolResult]:
        """An immediate tool's result, or its fallback's, with the record of the one that gave it."""
        position = reserved.step_index
        inputs = self.links(run.cast.cast_id, reserved.request_payload)
        request = Request(reserved.generation_id, tool, inputs)
        try:
            if refusal := refusal_of(tool, reserved, run.settings_of(tool)):
                raise refusal
            adapter = self.adapters.get(tool.service)
            with self.slots.held(reserved, "requests", run.waiting_ends(position)):
                if not (tool.is_free and adapter.is_repeatable(request)):
                    expected = self.budgets.expect(run, reserved, tool)
                    reserved = self.budgets.hold(run, reserved, tool, expected)
                    self.casts.save_generation(reserved, run.known(position))
                    run.keep(reserved)
                    run.check_open(self.casts)
                return reserved, self.submit.execute(adapter, request, reserved, lambda: run.check_open(self.casts))
        except NoFreeSlot:
            raise
        except (CastCancelled, CastInterrupted) as error:
            # Whoever closed the cast has perhaps come before the reservation: nobody would process a result.
            if (stored := run.known(position)) is not None:
                ended = self._ended(stored, error)
                self.casts.save_generation(ended, stored)
                self.budgets.settle(ended)
            raise
        except StepFailed as error:
            if second := self._second(run, reserved, error):
                return self._ask(run, *second)
            return reserved, results.failed(error)

    def _write(
        self, run: SegmentRun, stored: Generation | None, reserved: Generation, result: ToolResult, finish: bool
    ) -> Generation:
        # A result that came from outside while the step was reserved is the step's result.
        generation = reserved
        if generation.result is None:
            taken_in = self.keep_outputs.take_in(reserved.generation_id, result)
            generation = reserved.received(taken_in, self.clock.now())
        if finish:
            if due := self.keep_outputs.due(generation):
                if stored is not None and stored.result is None:
                    # Copying takes its time, and what may have cost money is not lost with this process.
                    self.casts.save_generation(generation, stored)
                    stored = run.keep(generation)
                # What is over the deadline would be over the segment's timeout in the end.
                kept = self.keep_outputs(generation, due, until=generation.deadline_at)
                generation = replace(generation, result=kept)
            generation = self.process_output.finished(generation)
        self.casts.save_generation(generation, stored)
        if finish:
            self.budgets.settle(generation)
        return run.keep(generation)

    def _ended(self, reserved: Generation, error: StepFailed) -> Generation:
        """A step that was not begun."""
        now = self.clock.now()
        return (
            reserved.cancelled(now=now)
            if isinstance(error, CastCancelled)
            else reserved.failed(Failure.of(error), now=now)
        )

    def _tool(self, run: SegmentRun, position: int) -> Tool:
        """The tool as it is now; for a step that has begun, also where it was deleted since."""
        account_id, identifier = run.cast.account_id, run.version.steps[position].tool_identifier
        known = run.known(position)
        tool = (
            self.tools.get_tool(account_id, identifier)
            if known is None
            else self.tools.recall_tool(account_id, known.tool_id)
        )
        if tool is not None:
            return tool
        step = run.version.content["steps"][position].get("stepId") or position
        error = StepToolNotFound(
            f"Tool with name or ID '{identifier}' not found in registry for step {step} "
            f'of spell "{run.cast.spell_name}".'
        )
        reserved = run.reserve(position, unknown_tool(identifier), self.clock.now())
        self.casts.save_generation((known or reserved).failed(Failure.of(error), now=self.clock.now()), known)
        raise error

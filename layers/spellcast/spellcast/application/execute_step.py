"""Runs a segment: its immediate steps in place, then the start of its job. May be invoked again at any point."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application.complete_job import CompleteJob
from spellcast.application.process_output import ProcessOutput
from spellcast.domain import callback_tokens, documents, results
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    AdapterFault,
    CastInterrupted,
    CastNotFound,
    MissingInputs,
    OutcomeUnknown,
    PreviousStepIncomplete,
    SpellNotFound,
    StepFailed,
    StepTimedOut,
    StepToolNotFound,
    WriteConflict,
)
from spellcast.domain.generations import Generation, latest_attempts
from spellcast.domain.identifiers import generation_id
from spellcast.domain.parameters import missing_inputs, resolve
from spellcast.domain.pipeline import context_before
from spellcast.domain.results import Failure, Job, ToolResult
from spellcast.domain.segments import Segment
from spellcast.domain.spells import SpellVersion
from spellcast.domain.tools import Tool
from spellcast.observability import logger
from spellcast.ports.adapter import Adapter, Adapters, Request
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.secrets import Secrets
from spellcast.ports.store import CastStore, SpellStore, ToolStore


@dataclass(slots=True)
class _Run:
    """One invocation: the cast as it was read, and the generations as this invocation leaves them."""

    cast: Cast
    version: SpellVersion
    generations: dict[str, Generation]
    attempt: int
    task_token: str

    def known(self, position: int) -> Generation | None:
        return self.generations.get(generation_id(self.cast.cast_id, position, self.attempt))

    def keep(self, generation: Generation) -> Generation:
        self.generations[generation.generation_id] = generation
        return generation


@dataclass(frozen=True, slots=True)
class ExecuteStep:
    """Every segment is awaited by its task token, whatever its steps are."""

    casts: CastStore
    spells: SpellStore
    tools: ToolStore
    adapters: Adapters
    machine: Machine
    secrets: Secrets
    process_output: ProcessOutput
    complete_job: CompleteJob
    clock: Clock
    callback_base_url: str

    def __call__(self, cast_id: str, segment: Segment, task_token: str) -> None:
        """Ends with the token answered, refused, or stored for whoever brings the result."""
        while True:
            try:
                run = self._read(cast_id, segment, task_token)
                for position in range(segment.first, segment.last):
                    self._run_in_place(run, position)
                self._run_last(run, segment.last)
            except WriteConflict:
                continue  # Another invocation, or a completion, was faster: read what it left.
            except StepFailed as error:
                self.machine.refuse(task_token, Failure.of(error))
            return

    def _read(self, cast_id: str, segment: Segment, task_token: str) -> _Run:
        loaded = self.casts.load_cast(cast_id)
        if loaded is None:
            raise CastNotFound(f"There is no cast {cast_id}.")
        cast, generations = loaded
        if cast.is_terminal:
            raise CastInterrupted(f"The cast is {cast.status}.")
        version = self.spells.get_version(cast.spell_id, cast.version)
        if version is None:
            raise SpellNotFound(f"There is no version {cast.version} of spell {cast.spell_id}.")
        before = latest_attempts(generations).get(segment.first - 1)
        if segment.first > 0 and (before is None or before.status != "completed"):
            raise PreviousStepIncomplete(f"Step {segment.first - 1} has not been completed.")
        known = {generation.generation_id: generation for generation in generations}
        return _Run(cast, version, known, segment.attempt, task_token)

    def _run_in_place(self, run: _Run, position: int) -> None:
        """An immediate step that others of its segment follow: finished here, since they need its outputs."""
        generation = run.known(position)
        if generation is None or not generation.is_terminal:
            generation = self._execute(run, position, finish=True)
        if generation.status != "completed":
            raise _step_error(generation)

    def _run_last(self, run: _Run, position: int) -> None:
        """The step that `process_output` will finish."""
        generation = run.known(position)
        if generation is not None and (generation.is_terminal or generation.result is not None):
            self.machine.answer(run.task_token, generation.generation_id)
        elif generation is not None and generation.delivery_mode != "immediate":
            self._take_up(run, generation)
        elif self._tool(run, position).is_immediate:
            generation = self._execute(run, position, finish=False)
            self.machine.answer(run.task_token, generation.generation_id)
        else:
            self._start_job(run, position)

    # --- immediate steps ---

    def _execute(self, run: _Run, position: int, *, finish: bool) -> Generation:
        """Asks the tool and writes the result: at once for a step that may be run again, reserved before otherwise."""
        stored = run.known(position)
        if stored is not None:
            lost = OutcomeUnknown("The step was interrupted after its tool may have been asked; it is not asked again.")
            return self._write(run, stored, stored.received(results.failed(lost), self.clock.now()), finish)
        tool = self._tool(run, position)
        reserved = self._reserve(run, position, tool, task_token=None)
        request = Request(reserved.generation_id, tool, reserved.request_payload)
        refusal = _missing(tool, reserved)
        if refusal is None:
            try:
                adapter = self.adapters.get(tool.service)
                if not (tool.is_free and adapter.is_repeatable(request)):
                    self._save(run, reserved, None)
                    stored = reserved
                result = _asked(adapter, request)
            except StepFailed as error:
                result = results.failed(error)
        else:
            result = results.failed(refusal)
        return self._write(run, stored, reserved.received(result, self.clock.now()), finish)

    def _write(self, run: _Run, stored: Generation | None, received: Generation, finish: bool) -> Generation:
        generation = self.process_output.finished(received) if finish else received
        self._save(run, generation, stored)
        return run.keep(generation)

    # --- jobs ---

    def _start_job(self, run: _Run, position: int) -> None:
        tool = self._tool(run, position)
        reserved = self._reserve(run, position, tool, run.task_token)
        refusal = _missing(tool, reserved)
        if refusal is not None:
            self._fail(run, reserved, None, refusal)
        try:
            adapter = self.adapters.get(tool.service)
        except StepFailed as error:
            self._fail(run, reserved, None, error)
        self._save(run, reserved, None)
        request = Request(reserved.generation_id, tool, reserved.request_payload, self._callback_url(reserved))
        try:
            self._submitted(reserved, _started(adapter, request))
        except OutcomeUnknown as error:
            if error.run_id is not None:
                self._submitted(reserved, Job(error.run_id, calls_back=False))
            elif tool.delivery_mode != "webhook":
                self._fail(run, reserved, reserved, error)
            # Otherwise the job may run all the same: its callback tells, or the step's deadline.
        except StepFailed as error:
            self._fail(run, reserved, reserved, error)

    def _submitted(self, generation: Generation, job: Job) -> None:
        while generation.status == "pending":
            submitted = generation.submitted(job.run_id)
            try:
                self.casts.save_generation(submitted, generation)
            except WriteConflict:
                # The callback, or another invocation, was faster than the submit's answer.
                generation = self.casts.get_generation(generation.generation_id) or generation
                continue
            if not job.calls_back:
                self.machine.start_polling(submitted.generation_id)
            return
        if generation.result is not None and generation.task_token:
            self.machine.answer(generation.task_token, generation.generation_id)

    def _take_up(self, run: _Run, generation: Generation) -> None:
        """A job that an earlier invocation left: never submitted again, only looked for."""
        waiting = self._with_token(run, generation)
        if waiting.result is not None:
            self.machine.answer(run.task_token, waiting.generation_id)
            return
        adapter = self.adapters.get(waiting.service_name)
        run_id = waiting.run_id or adapter.derived_run_id(waiting.generation_id)
        overdue = waiting.is_overdue(self.clock.now())
        state: ToolResult | None = None
        if run_id is not None:
            try:
                state = adapter.poll_job(run_id, self._tool(run, waiting.step_index))
            except StepFailed as error:
                if overdue:
                    logger().warning("The overdue job could not be looked up", code=error.code)
        if state is not None and state.is_final:
            self.complete_job(waiting.generation_id, state)
        elif overdue:
            self._give_up(adapter, waiting, run_id)
        elif waiting.run_id is None and run_id is not None:
            self._submitted(waiting, Job(run_id, calls_back=False))
        elif run_id is not None:
            # The earlier invocation may have ended before it saw to this; starting twice is harmless.
            self.machine.start_polling(waiting.generation_id)

    def _give_up(self, adapter: Adapter, waiting: Generation, run_id: str | None) -> None:
        if run_id is None:
            lost = OutcomeUnknown("The job's submission was not answered and nothing was heard of it by its deadline.")
            self.complete_job(waiting.generation_id, results.failed(lost))
            return
        try:
            adapter.cancel_job(run_id)
        except StepFailed as error:
            logger().warning("The overdue job could not be cancelled", code=error.code)
        late = StepTimedOut("Job did not complete within timeout period")
        self.complete_job(waiting.generation_id, results.failed(late))

    def _with_token(self, run: _Run, generation: Generation) -> Generation:
        """The generation under this invocation's token; whoever brings the result then answers it."""
        while True:
            waiting = generation.with_task_token(run.task_token)
            try:
                self.casts.save_generation(waiting, generation)
            except WriteConflict:
                current = self.casts.get_generation(generation.generation_id)
                if current is None or current.is_terminal:
                    return current or generation
                generation = current
                continue
            return run.keep(waiting)

    # --- both ---

    def _reserve(self, run: _Run, position: int, tool: Tool, task_token: str | None) -> Generation:
        step = run.version.steps[position]
        context = context_before(position, run.cast, run.version, run.generations.values())
        return Generation.reserve(
            cast_id=run.cast.cast_id,
            account_id=run.cast.account_id,
            spell_id=run.cast.spell_id,
            position=position,
            attempt=run.attempt,
            step=step,
            tool=tool,
            inputs=resolve(step, tool, context, run.cast.inputs, run.version.exposed),
            now=self.clock.now(),
            task_token=task_token,
            collection=_collection(run.cast.metadata),
        )

    def _tool(self, run: _Run, position: int) -> Tool:
        identifier = run.version.steps[position].tool_identifier
        tool = self.tools.get_tool(run.cast.account_id, identifier)
        if tool is None:
            raise StepToolNotFound(f"Tool with name or ID '{identifier}' not found in registry for step {position}.")
        return tool

    def _save(self, run: _Run, generation: Generation, previous: Generation | None) -> None:
        self.casts.save_generation(generation, previous)
        run.keep(generation)

    def _fail(self, run: _Run, reserved: Generation, stored: Generation | None, error: StepFailed) -> None:
        """Writes the terminal revision at once, since no result will come, and ends the invocation."""
        failed = reserved.failed(Failure.of(error), now=self.clock.now())
        self._save(run, failed, stored)
        raise error

    def _callback_url(self, generation: Generation) -> str:
        token = callback_tokens.sign(
            generation.generation_id, generation.deadline_at, self.secrets.callback_signing_key()
        )
        return f"{self.callback_base_url}/v1/completions/{token}"


def _asked(adapter: Adapter, request: Request) -> ToolResult:
    try:
        return adapter.execute(request)
    except StepFailed:
        raise
    except Exception as error:
        raise _fault(request, error) from error


def _started(adapter: Adapter, request: Request) -> Job:
    try:
        return adapter.start_job(request)
    except StepFailed:
        raise
    except Exception as error:
        raise _fault(request, error) from error


def _fault(request: Request, error: Exception) -> AdapterFault:
    logger().exception("An adapter failed in a way that it should not", service=request.tool.service)
    return AdapterFault(f"The adapter of {request.tool.service} failed: {type(error).__name__}.")


def _missing(tool: Tool, reserved: Generation) -> MissingInputs | None:
    missing = missing_inputs(tool, reserved.request_payload)
    if not missing:
        return None
    names = ", ".join(missing)
    return MissingInputs(f"Step {reserved.step_index} ({tool.display_name}) has no value for: {names}.")


def _step_error(generation: Generation) -> StepFailed:
    failure = generation.failure
    return StepFailed(f"{failure.code}: {failure.message}" if failure else f"The step is {generation.status}.")


def _collection(metadata: Document) -> Document:
    return {key: metadata[key] for key in ("cookId", "collectionId") if not documents.is_blank(metadata.get(key))}

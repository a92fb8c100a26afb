"""Starts a step's job, at most once an attempt, and takes up a job that an earlier invocation left."""

from __future__ import annotations

from dataclasses import dataclass

from spellcast.application import ask_provider
from spellcast.application.complete_job import CompleteJob
from spellcast.application.give_up_job import GiveUpJob
from spellcast.application.media_links import MediaLinks
from spellcast.application.segment_run import SegmentRun
from spellcast.application.submit import Submit
from spellcast.domain import callback_tokens, results
from spellcast.domain.errors import OutcomeUnknown, StepFailed, WriteConflict
from spellcast.domain.generations import Generation
from spellcast.domain.results import Job
from spellcast.domain.tools import Tool
from spellcast.observability import logger
from spellcast.ports.adapter import Adapters, Request
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.secrets import Secrets
from spellcast.ports.store import CastStore


@dataclass(frozen=True, slots=True)
class StartJob:
    """The record is reserved before the provider is asked; whoever finds it so never asks again."""

    casts: CastStore
    adapters: Adapters
    machine: Machine
    secrets: Secrets
    complete_job: CompleteJob
    give_up_job: GiveUpJob
    links: MediaLinks
    submit: Submit
    clock: Clock
    callback_base_url: str

    def __call__(self, run: SegmentRun, reserved: Generation, tool: Tool) -> None:
        """Submits the job of a record that is not yet written. Raises StepFailed where nothing could be asked.

        It raises too where the fallback tool may be asked instead: the record stays as it was reserved.
        """
        adapter = self.adapters.get(tool.service)
        inputs = self.links(reserved.cast_id, reserved.request_payload)
        request = Request(reserved.generation_id, tool, inputs, self._callback_url(reserved))
        self.casts.save_generation(reserved, run.known(reserved.step_index))
        run.keep(reserved)
        run.check_open(self.casts)
        try:
            job = self.submit.start_job(adapter, request, reserved, lambda: run.check_open(self.casts))
            self._submitted(run, reserved, job)
        except OutcomeUnknown as error:
            if error.run_id is not None:
                self._submitted(run, reserved, Job(error.run_id, calls_back=False))
            elif not adapter.calls_back(request):
                self.complete_job(reserved.generation_id, results.failed(error))
            else:
                # The job may run all the same: its callback tells, or the step's deadline.
                self._note_lost_answer(reserved)
        except StepFailed as error:
            if run.fallback_of(reserved, error):
                raise
            self.complete_job(reserved.generation_id, results.failed(error))

    def take_up(self, run: SegmentRun, generation: Generation, tool: Tool) -> None:
        """Stores this invocation's token and looks for the job; what is overdue is given up."""
        waiting = self._with_token(run, generation)
        if waiting.tool_id != generation.tool_id:
            raise WriteConflict(f"{waiting.generation_id} has fallen back to another tool.")
        if waiting.is_terminal or waiting.result is not None:
            self.machine.answer(run.task_token, waiting.generation_id)
            return
        run_id, end = ask_provider.look_up_job(self.adapters, waiting, lambda: tool)
        if end is not None:
            self.complete_job(waiting.generation_id, end)
        elif waiting.is_overdue(self.clock.now()):
            self.give_up_job(waiting)
        elif waiting.run_id is None and run_id is not None:
            self._submitted(run, waiting, Job(run_id, calls_back=False))
        elif run_id is not None:
            # The earlier invocation may have ended before it saw to this; starting twice is harmless. A callback may
            # have come while nobody was there to take it, so that a job which calls back is asked after, too.
            self.machine.start_polling(waiting.generation_id, run.cast.execution)

    def _submitted(self, run: SegmentRun, generation: Generation, job: Job) -> None:
        """Attaches an accepted job to its record, whatever became of the record in the meantime."""
        while not generation.is_terminal and generation.run_id is None:
            submitted = generation.submitted(job.run_id)
            try:
                self.casts.save_generation(submitted, generation)
            except WriteConflict:
                # A completion, another invocation, the end of the cast, or this very write whose answer was lost.
                generation = self.casts.get_generation(generation.generation_id) or generation
                continue
            generation = submitted
        if generation.is_terminal and generation.run_id != job.run_id:
            logger().warning("A job was accepted after its step had been closed", runId=job.run_id)
            ask_provider.cancel_job(self.adapters, generation.service_name, job.run_id)
        elif generation.result is not None and generation.task_token:
            self.machine.answer(generation.task_token, generation.generation_id)
        elif not generation.is_terminal and not job.calls_back:
            self.machine.start_polling(generation.generation_id, run.cast.execution)

    def _note_lost_answer(self, reserved: Generation) -> None:
        """In place of the write that would have named the job."""
        try:
            self.casts.save_generation(reserved.unanswered(), reserved)
        except WriteConflict:
            pass  # Somebody knows more by now.

    def _with_token(self, run: SegmentRun, generation: Generation) -> Generation:
        """The generation under this invocation's token; whoever brings the result then answers it."""
        while not generation.is_terminal:
            waiting = generation.with_task_token(run.task_token)
            try:
                self.casts.save_generation(waiting, generation)
            except WriteConflict:
                generation = self.casts.get_generation(generation.generation_id) or generation
                continue
            return run.keep(waiting)
        return generation

    def _callback_url(self, generation: Generation) -> str:
        key = self.secrets.callback_signing_key()
        token = callback_tokens.sign(generation.generation_id, generation.deadline_at, key)
        return f"{self.callback_base_url}/v1/completions/{token}"

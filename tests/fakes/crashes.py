"""A process that is killed between, or in the middle of, its calls to the outside; and who then starts it again."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Literal

from spellcast.application.finalize_cost import interruption_of
from spellcast.domain import documents, results
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import JobLost, NoFreeSlot, StepEndedInFailure
from spellcast.domain.polling import Polling
from spellcast.domain.results import Failure, Job, ToolResult
from spellcast.domain.segments import Segment
from spellcast.ports.adapter import Request
from tests.fakes.adapters import FakeAdapter
from tests.fakes.crash import Crash
from tests.fakes.media import PNG
from tests.fakes.world import World

When = Literal["before", "after"]
PICTURE_URL = "https://files.example/picture"
PICTURE = base64.b64encode(PNG).decode()


class Chokepoint:
    """Numbers every call to the outside, and kills the process at some of them.

    `before` the call has no effect, `after` it has one and its answer is lost. `meanwhile` is what somebody else does
    just before the call of a number.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.killed: list[str] = []
        self.meanwhile: dict[int, Callable[[], object]] = {}
        self.on_kill: Callable[[], object] = lambda: None
        self._kills: frozenset[tuple[int, When]] = frozenset()

    def arm(self, kills: Collection[tuple[int, When]]) -> None:
        """Counts from here on, and kills at these calls."""
        self.calls.clear()
        self._kills = frozenset(kills)

    def __call__(self, port: Any) -> Any:
        """The port, as the use cases see it."""
        return _Numbered(port, self)

    def pass_through(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls.append(name)
        number = len(self.calls)
        if number in self.meanwhile:
            self.meanwhile.pop(number)()
        if (number, "before") in self._kills:
            self._kill(f"before call {number}, {name}")
        try:
            return call()
        finally:
            # An error is an answer that is lost, too.
            if (number, "after") in self._kills:
                self._kill(f"after call {number}, {name}")

    def _kill(self, moment: str) -> None:
        self.killed.append(moment)
        self.on_kill()
        raise Crash(moment)


class _Numbered:
    # What an adapter answers from what it knows is no call to the outside.
    _LOCAL = ("is_repeatable", "derived_run_id", "parse_webhook", "file_headers", "key_of")

    def __init__(self, port: Any, chokepoint: Chokepoint) -> None:
        self._port = port
        self._chokepoint = chokepoint

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name in self._LOCAL:
            return method
        label = f"{type(self._port).__name__}.{name}"
        return lambda *args, **kwargs: self._chokepoint.pass_through(label, lambda: method(*args, **kwargs))


class Provider:
    """The provider on the other side: its jobs live on, whoever is killed on ours.

    Where it `draws`, its jobs leave pictures on its server, and immediate steps answer them as base64. It is the one
    behind `adapter`, the world's first where none is named.
    """

    def __init__(
        self, world: World, polls_needed: int = 2, *, draws: bool = False, adapter: FakeAdapter | None = None
    ) -> None:
        self.jobs: dict[str, Request] = {}
        self.asked: list[str] = []
        self._polls: dict[str, int] = {}
        self._polls_needed = polls_needed
        self._draws = draws
        world.media_source.contents[PICTURE_URL] = PNG
        self._adapter = adapter or world.adapter
        self._adapter.on_start = self._start
        self._adapter.on_poll = self._poll
        execute = self._adapter.on_execute

        def asked(request: Request) -> ToolResult:
            self.asked.append(request.generation_id)
            return results.succeeded("image", {"images": [{"b64_json": PICTURE}]}) if draws else execute(request)

        self._adapter.on_execute = asked

    def _start(self, request: Request) -> Job:
        self.asked.append(request.generation_id)
        run_id = self._adapter.derived_run_id(request.generation_id) or f"job-{len(self.jobs)}"
        self.jobs[run_id] = request
        return Job(run_id, calls_back=request.tool.delivery_mode == "webhook")

    def _poll(self, run_id: str) -> ToolResult:
        if run_id not in self.jobs:
            raise JobLost("The provider does not know the job.")
        self._polls[run_id] = self._polls.get(run_id, 0) + 1
        if self._polls[run_id] < self._polls_needed:
            return ToolResult("processing", progress=0.5)
        return results.succeeded("text", self.made(f"polled {run_id}"))

    def made(self, text: str) -> Document:
        """What a job leaves."""
        return {"images": [{"url": PICTURE_URL}]} if self._draws else {"text": text}


class StepFunctions:
    """Walks a cast through its machines as their definitions say: what is retried, what is caught, what times out.

    A webhook job's callback is delivered twice, and again until it is taken. `tokens` is how task tokens begin.
    """

    # `MaxAttempts` of the definitions is 4 to 6; nothing here is killed more often than that.
    _ATTEMPTS = 5
    _MOST_POLLS = 100
    _WAIT_SECONDS = 15.0

    def __init__(self, world: World, provider: Provider, tokens: str = "token") -> None:
        self._world = world
        self._provider = provider
        self._prefix = tokens
        self._tokens = 0
        self._polled: set[str] = set()
        self._called: set[str] = set()

    def run(self, cast_id: str, execution: str | None = None) -> Cast:
        """The cast at its end. `execution` is the name of another than its first."""
        self._execution = execution or cast_id
        remaining = self._world.machine.casts[self._execution]
        while remaining:
            interruption = self._execute_the_step(cast_id, remaining[0])
            if interruption is not None:
                return self._settle(cast_id, interruption)
            try:
                remaining = list(self.again(partial(self._world.process_output, cast_id, remaining)))
            except StepEndedInFailure as error:
                return self._settle(cast_id, interruption_of(type(error).__name__, error.message))
        return self._settle(cast_id, None)

    def again(self, call: Callable[[], Any]) -> Any:
        """What its caller repeats until it gets an answer."""
        for _ in range(self._ATTEMPTS):
            try:
                return call()
            except Crash:
                continue
        raise AssertionError("killed more often than anyone repeats")

    def _settle(self, cast_id: str, interruption: Failure | None) -> Cast:
        cast = self.again(lambda: self._world.finalize_cost(cast_id, interruption, self._execution))
        assert isinstance(cast, Cast)
        return cast

    def _execute_the_step(self, cast_id: str, segment: Segment) -> Failure | None:
        # `Retry` on States.Timeout, once, and on NO_FREE_SLOT as often as it takes.
        timeouts = 0
        while timeouts < 2:
            token = self.again(lambda: self._enter(cast_id, segment))
            overdue_at = self._world.clock.now().timestamp() + segment.timeout_seconds
            self._let_the_world_go_on()
            answer = self._world.machine.answers.get(token)
            if isinstance(answer, Failure) and answer.code == NoFreeSlot.code:
                self._world.clock.advance(self._WAIT_SECONDS)
                continue
            if isinstance(answer, Failure):
                return interruption_of(answer.code, answer.message)
            if answer is not None:
                return None
            self._world.clock.advance(max(0.0, overdue_at - self._world.clock.now().timestamp()))
            timeouts += 1
        return interruption_of("States.Timeout", "")

    def _enter(self, cast_id: str, segment: Segment) -> str:
        self._tokens += 1
        token = f"{self._prefix}-{self._tokens}"
        self._world.execute_step(cast_id, segment, token, self._execution)
        return token

    def _let_the_world_go_on(self) -> None:
        for run_id, request in list(self._provider.jobs.items()):
            if request.tool.delivery_mode == "webhook" and run_id not in self._called:
                self._called.add(run_id)
                for _ in range(2):
                    self.again(partial(self._call_back, request))
        for generation_id in self._world.machine.polling:
            if generation_id not in self._polled:
                self._polled.add(generation_id)
                self._poll_the_job(Polling(generation_id))

    def _call_back(self, request: Request) -> None:
        token = request.callback_url.rpartition("/")[2]
        body = documents.to_text({"status": "succeeded", "output": self._provider.made("called back")}).encode()
        self._world.receive_callback(token, {"x-signature": "good"}, body)

    def _poll_the_job(self, polling: Polling) -> None:
        while not polling.finished:
            assert polling.polls < self._MOST_POLLS, "the polling does not end"
            self._world.clock.advance(polling.wait_seconds)
            polling = self.again(partial(self._world.poll_job, polling))

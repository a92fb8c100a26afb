"""Mends of MiniStack 1.5.33: where the embedded cloud differs from AWS in a way that this project would notice.

Each mend states the fault that it mends and asserts that it patches the code that it was written for, so that it
can be deleted when a release mends the fault. `SPELLCAST_MENDS=-name,-name` leaves mends out.
"""

from __future__ import annotations

import contextvars
import copy
import hashlib
import inspect
import io
import json
import os
import queue
import sys
import tempfile
import textwrap
import threading
import time
import uuid
import zipfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import apigateway, dynamodb, eventbridge, lambda_svc, secretsmanager
from ministack.services import stepfunctions as states
from ministack.services.cloudformation import provisioners

from local import nursery
from local.environment import ALL_WORKERS, MENDS, WORKERS

TOKEN_CHARACTERS = 1000  # a task token on AWS is about as long; write units are counted with it
PAYLOAD_LIMIT = 256 * 1024  # bytes a state may receive or hand on
PATIENCE = 0.03  # seconds to wait for a busy worker before another is started
UNNEEDED = 1.0  # seconds after which an idle worker may make way for another function's
NEVER = 99_999_999.0  # seconds; AWS's own default of a task

Mend = Callable[[], None]
_mends: dict[str, Mend] = {}
_hooks: dict[str, Callable[..., Any]] = {}
_running: contextvars.ContextVar[Any] = contextvars.ContextVar("spellcast_execution", default=None)


class MendMismatch(AssertionError):
    """MiniStack's code is not the code that a mend was written for."""


def mend(name: str) -> Callable[[Mend], Mend]:
    def register(function: Mend) -> Mend:
        _mends[name] = function
        return function

    return register


def apply(entered: Callable[[Any], None], payload: Callable[[Any, str, Any], int]) -> None:
    """Apply every mend that SPELLCAST_MENDS does not leave out.

    `entered` is told of every state and retry; `payload` of what goes in and out, and answers with its bytes.
    """
    _hooks.update(entered=entered, payload=payload)
    left_out = {word[1:] for word in MENDS.of(os.environ).split(",") if word.startswith("-")}
    if unknown := left_out - set(_mends):
        raise MendMismatch(f"{MENDS.name} names no mend: {', '.join(sorted(unknown))}")
    for name, function in _mends.items():
        if name not in left_out:
            try:
                function()
            except MendMismatch as mismatch:
                raise MendMismatch(f"mend {name}: {mismatch}; check whether MiniStack mended it") from None


_sources: dict[tuple[str, str], str] = {}


def _check(owner: str, path: str, source: str, digest: str) -> None:
    found = hashlib.sha256(source.encode()).hexdigest()[:12]
    if found != digest:
        raise MendMismatch(f"{owner}.{path} has digest {found}, expected {digest}")


def _place(module: ModuleType, path: str) -> tuple[Any, str]:
    *outer, name = path.split(".")
    holder: Any = module
    for part in outer:
        holder = getattr(holder, part)
    return holder, name


def _source(module: ModuleType, path: str, digest: str) -> str:
    """The text of a function as the mends before left it."""
    if (module.__name__, path) not in _sources:
        holder, name = _place(module, path)
        original = inspect.getsource(getattr(holder, name))
        _check(module.__name__, path, original, digest)
        _sources[module.__name__, path] = textwrap.dedent(original)
    return _sources[module.__name__, path]


def _rewrite(module: ModuleType, path: str, digest: str, *changes: tuple[str, str]) -> None:
    """Replace text in a function; `digest` is that of the function as MiniStack ships it."""
    source = _source(module, path, digest)
    for old, new in changes:
        if source.count(old) != 1:
            raise MendMismatch(f"{module.__name__}.{path} holds {source.count(old)} times {old!r}")
        source = source.replace(old, new)
    _sources[module.__name__, path] = source
    holder, name = _place(module, path)
    module.__dict__["_spellcast"] = sys.modules[__name__]
    namespace: dict[str, Any] = {}
    exec(compile(source, f"<{path}, mended>", "exec"), module.__dict__, namespace)
    setattr(holder, name, namespace[name])


def _replace(module: ModuleType, path: str, digest: str, new: Callable[..., Any]) -> Callable[..., Any]:
    """Put `new` in the place of a function and hand back the original."""
    original: Callable[..., Any] = getattr(module, path)
    _check(module.__name__, path, inspect.getsource(original), digest)
    setattr(module, path, new)
    return original


def _worker_script(digest: str, *changes: tuple[str, str]) -> None:
    """Replace text in the script that every Lambda worker runs."""
    place = ("worker", "script")
    if place not in _sources:
        _check("lambda_runtime", "_PYTHON_WORKER_SCRIPT", lambda_runtime._PYTHON_WORKER_SCRIPT, digest)
    for old, new in changes:
        if lambda_runtime._PYTHON_WORKER_SCRIPT.count(old) != 1:
            raise MendMismatch(f"the worker script does not hold {old!r} once")
        lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_runtime._PYTHON_WORKER_SCRIPT.replace(old, new)
    _sources[place] = lambda_runtime._PYTHON_WORKER_SCRIPT


# Lambda


@mend("lambda-error-name")
def _lambda_error_name() -> None:
    """Every Python exception reached Retry and Catch as Runtime.HandlerError, and cost the worker its life."""
    _worker_script(
        "368800addf4d",
        ('"error": str(e), "trace"', '"error": str(e), "type": type(e).__name__, "trace"'),
    )
    _rewrite(
        lambda_svc,
        "_execute_function_warm",
        "62b9218bef5b",
        ('error_type = "Runtime.HandlerError"', 'error_type = result.get("type") or "Runtime.HandlerError"'),
    )
    _rewrite(
        lambda_runtime,
        "Worker.invoke",
        "96751a754710",
        (
            'if response.get("status") == "error":\n            proc',
            'if response.get("status") == "error" and "type" not in response:\n            proc',
        ),
    )


@mend("lambda-log-wait")
def _lambda_log_wait() -> None:
    """Every invocation of a silent handler waited 50 ms for a line on stderr; now the worker marks the end."""
    _worker_script("368800addf4d", ("        _real_stdout.flush()\n\nrun()", _END_OF_LOG + "\nrun()"))

    def drain(self: Any, *_: Any) -> str:
        lines: list[str] = []
        try:
            while not (line := self._stderr_queue.get(timeout=0.25)).endswith("\x04"):
                lines.append(line)
            lines.extend(filter(None, [line[:-1]]))
        except queue.Empty:
            pass  # the worker died before it could mark the end
        return "\n".join(lines)

    original = inspect.getsource(lambda_runtime.Worker._drain_stderr_bounded)
    _check("lambda_runtime", "Worker._drain_stderr_bounded", original, "3fd7cc742872")
    lambda_runtime.Worker._drain_stderr_bounded = drain


_END_OF_LOG = """        _real_stdout.flush()
        sys.stderr.write("\\x04\\n")
        sys.stderr.flush()
"""


@mend("lambda-environment")
def _lambda_environment() -> None:
    """A worker inherited the whole environment of the host, secrets of the developer's shell included."""
    _rewrite(
        lambda_runtime,
        "Worker._spawn",
        "c55febf95656",
        ("spawn_env = {**os.environ, **env_vars}", "spawn_env = {**_spellcast.worker_environment(), **env_vars}"),
    )


def worker_environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }


@mend("lambda-layer-cache")
def _lambda_layer_cache() -> None:
    """Every worker unpacked every layer for itself, which takes seconds for a layer with dependencies."""
    source = _source(lambda_runtime, "Worker._spawn", "c55febf95656")
    unpacking = source[source.index("layer_dir = os.path.join(self._tmpdir") :]
    unpacking = unpacking[: unpacking.index("layers_dirs.append(layer_dir)")]
    cached = "layer_dir = _spellcast.unpacked_layer(layer_arn, layer_data)\n" + " " * 16
    _rewrite(lambda_runtime, "Worker._spawn", "c55febf95656", (unpacking, cached))


_layers: dict[str, str] = {}
_layers_lock = threading.Lock()


def unpacked_layer(arn: str, content: bytes) -> str:
    """The folder of a layer version, unpacked once; an archive that holds LOCATION alone names such a folder."""
    with _layers_lock:
        if arn not in _layers:
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                if packed.namelist() == ["LOCATION"]:
                    _layers[arn] = packed.read("LOCATION").decode()
                else:
                    _layers[arn] = tempfile.mkdtemp(prefix="layer-")
                    packed.extractall(_layers[arn])
        return _layers[arn]


@mend("lambda-worker-fork")
def _lambda_worker_fork() -> None:
    """Every worker imported everything for itself: half a second of a core and 70 MB, times the workers."""
    if sys.platform != "linux":
        return
    source = _source(lambda_runtime, "Worker._spawn", "c55febf95656")
    starting = source[source.index("subprocess.Popen(") :]
    starting = starting[: starting.index("env=spawn_env,")] + "env=spawn_env,\n    )"
    _rewrite(
        lambda_runtime,
        "Worker._spawn",
        "c55febf95656",
        (starting, "_spellcast.forked(worker_path, code_dir, spawn_env)"),
    )


_nurseries: dict[str, nursery.Nursery] = {}
_nurseries_lock = threading.Lock()


def forked(script: str, folder: str, environment: dict[str, str]) -> nursery.Forked:
    layers = environment.get("_LAMBDA_LAYERS_DIRS", "")
    with _nurseries_lock:
        if layers not in _nurseries or _nurseries[layers].process.poll() is not None:
            _nurseries[layers] = nursery.Nursery(layers, worker_environment())
    return nursery.Forked(_nurseries[layers], script, folder, environment)


@mend("lambda-worker-cap")
def _lambda_worker_cap() -> None:
    """Workers were unbounded (50 concurrent invocations: 2 GB); now further invocations wait for one."""
    lambda_runtime._lock = threading.Condition()
    acquire = inspect.getsource(lambda_runtime.acquire_worker)
    _check("lambda_runtime", "acquire_worker", acquire, "5017d144adb5")
    _check("lambda_runtime", "release_worker", inspect.getsource(lambda_runtime.release_worker), "25d5dd7d42b6")
    for module in (lambda_runtime, lambda_svc):
        module.acquire_worker = _acquire_worker
        module.release_worker = _release_worker


def _acquire_worker(
    name: str, config: Any, code: bytes, qualifier: str = "$LATEST", max_concurrency: int | None = None
) -> tuple[Any, str]:
    """Lease a worker: an idle one, else soon a new one within the caps, in place of one that is not needed.

    A function without any worker always gets one, so that functions which wait for each other cannot lock up.
    """
    workers, changed = lambda_runtime._workers, lambda_runtime._lock
    key = lambda_runtime._worker_key(name, config, qualifier)
    patient_until = time.monotonic() + PATIENCE
    evicted: list[Any] = []
    with changed:
        while True:
            if _closed.is_set():
                raise RuntimeError("the cloud is stopping")
            own = workers.setdefault(key, [])
            idle = [worker for worker in own if not worker.in_use]
            if idle:
                worker, how = max(idle, key=lambda one: one.last_used), "reused"
                break
            patience = patient_until - time.monotonic()
            if not own or (len(own) < _each(name) and patience <= 0):
                full = _surplus() >= 0
                if full:
                    evicted += _take_unneeded()
                if not full or evicted or not own:
                    worker, how = lambda_runtime.Worker(name, config, code), "spawn"
                    own.append(worker)
                    break
            changed.wait(patience if patience > 0 else 0.2)
        worker.in_use, worker.last_used = True, time.time()
    lambda_runtime.kill_workers(evicted)
    return worker, how


_closed = threading.Event()


def renew_workers() -> None:
    """End every worker: those that follow read configuration and secrets anew."""
    lambda_runtime.reset()


def close_workers() -> None:
    """End every worker and start none again."""
    _closed.set()
    lambda_runtime.reset()


def _release_worker(worker: Any) -> None:
    surplus = []
    with lambda_runtime._lock:
        if worker is not None:
            worker.in_use, worker.last_used = False, time.time()
            if _surplus() > 0:  # more than the cap were started, each as its function's first
                surplus = _take_unneeded()
        lambda_runtime._lock.notify_all()
    lambda_runtime.kill_workers(surplus)


def _each(function: str) -> int:
    own = f"{WORKERS.name}_{function.rpartition('-')[2].upper()}"
    return int(os.environ.get(own) or WORKERS.of(os.environ))


def _surplus() -> int:
    return sum(map(len, lambda_runtime._workers.values())) - int(ALL_WORKERS.of(os.environ))


def _take_unneeded() -> list[Any]:
    """Take the worker out of its pool that was idle longest, if it was idle for long enough."""
    idle = [
        (worker.last_used, at, pool)
        for pool in lambda_runtime._workers.values()
        for at, worker in enumerate(pool)
        if not worker.in_use and time.time() - worker.last_used > UNNEEDED
    ]
    if not idle:
        return []
    _, at, pool = min(idle, key=lambda entry: entry[0])
    return [pool.pop(at)]


@mend("websocket-worker")
def _websocket_worker() -> None:
    """Messages of a WebSocket bypassed the pool: one at a time for all sockets, on a worker that was not leased."""
    _rewrite(
        apigateway,
        "_invoke_ws_lambda",
        "a80872394b0b",
        ('if code_zip and runtime.startswith(("python", "nodejs")):', "if False:"),
    )


@mend("event-retry")
def _event_retry() -> None:
    """EventBridge invoked a function once; AWS invokes it asynchronously, with two retries."""
    _rewrite(
        eventbridge,
        "_dispatch_to_lambda",
        "1f95adbaed3a",
        (
            "threading.Thread(\n        target=lambda_svc._execute_function_with_config_scope, "
            "args=(exec_record, event), daemon=True\n    ).start()",
            "lambda_svc.invoke_async_with_retry(exec_record, event)",
        ),
    )


@mend("secret-characters")
def _secret_characters() -> None:
    """A generated secret ignored ExcludePunctuation and the like; the internal key travels in a header."""
    _rewrite(
        provisioners,
        "_sm_secret_string",
        "35e09b8c3f3d",
        ('"".join(random.choices(chars, k=length))', "_spellcast.password(gen)"),
    )


def password(wanted: Any) -> str:
    answer: str = json.loads(secretsmanager._get_random_password(wanted)[2])["RandomPassword"]
    return answer


# DynamoDB streams


@mend("stream-partial-failure")
def _stream_partial_failure() -> None:
    """A stream's mapping ignored ReportBatchItemFailures, MaximumRetryAttempts and BisectBatchOnFunctionError."""
    _rewrite(
        lambda_svc,
        "_poll_dynamodb_streams",
        "2b2460e933a9",
        ("raw_len = len(batch)", "raw, raw_len = batch, len(batch)"),
        ('batch_size = esm.get("BatchSize", 100)', "batch_size = _spellcast.stream_batch_size(esm)"),
        (
            "result = _execute_function(func_rec, event)\n",
            "result = _execute_function(func_rec, event)\n"
            "            advance = _spellcast.stream_advance(esm, func_rec, raw, batch, source_arn, result)\n"
            "            if advance is not None:\n"
            "                with _dynamodb_stream_positions_lock:\n"
            "                    _dynamodb_stream_positions[esm_id] = pos + advance\n"
            "                processed_any = bool(advance) or processed_any\n"
            "                continue\n",
        ),
    )


_halved: dict[str, int] = {}
_attempts: dict[tuple[str, str], int] = {}


def stream_batch_size(mapping: Any) -> int:
    return _halved.get(mapping["UUID"]) or int(mapping.get("BatchSize", 100))


def stream_advance(mapping: Any, function: Any, raw: Any, batch: Any, source: str, result: Any) -> int | None:
    """How many records of the batch are done with, or None when all of them succeeded."""
    failed = _first_failed(mapping, batch, result)
    identity: str = mapping["UUID"]
    if failed is None:
        _halved.pop(identity, None)
        return None
    sequence = failed["dynamodb"]["SequenceNumber"]
    position = next(at for at, record in enumerate(raw) if record["dynamodb"]["SequenceNumber"] == sequence)
    attempt = _attempts[identity, sequence] = _attempts.get((identity, sequence), 0) + 1
    if mapping.get("BisectBatchOnFunctionError") and len(raw) - position > 1:
        _halved[identity] = max(1, (len(raw) - position) // 2)
    limit = int(mapping.get("MaximumRetryAttempts", -1))
    if limit >= 0 and attempt > limit:
        given_up = batch[batch.index(failed) :]
        lambda_svc._send_ddb_stream_failure_record(
            mapping, function, given_up, source, result, "RetryAttemptsExhausted"
        )
        _attempts.pop((identity, sequence))
        _halved.pop(identity, None)
        return len(raw)
    lambda_svc._esm_backoff_until[identity] = time.time() + min(0.1 * 2**attempt, 2.0)
    return position


def _first_failed(mapping: Any, batch: Any, result: Any) -> Any:
    if result.get("error"):
        return batch[0]
    body = result.get("body")
    if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []) or not isinstance(body, dict):
        return None
    failures = {failure.get("itemIdentifier") for failure in body.get("batchItemFailures") or []}
    return next((record for record in batch if record["dynamodb"]["SequenceNumber"] in failures), None)


@mend("stream-restart")
def _stream_restart() -> None:
    """After a restart a mapping waited at its old place of a stream that began anew, and so missed every change."""

    def get_state() -> Any:
        # Places first: a change in between is delivered again rather than lost.
        places = copy.deepcopy(lambda_svc._dynamodb_stream_positions)
        kept = {name: copy.deepcopy(getattr(dynamodb, f"_{name}")) for name in _STREAM_STATE}
        return {**original_get(), **kept, "stream_places": places}

    def load(data: Any) -> None:
        original_load(data)
        for name in _STREAM_STATE:
            getattr(dynamodb, f"_{name}").update(data.get(name, {}))
        lambda_svc._dynamodb_stream_positions.update(data.get("stream_places", {}))

    restoring = '_restore_esm_positions(_dynamodb_stream_positions, data.get("dynamodb_stream_positions", {}))'
    _rewrite(lambda_svc, "_restore_state", "29d435d6b656", (restoring, "pass"))
    original_get = _replace(dynamodb, "get_state", "ce90690a6033", get_state)
    original_load = _replace(dynamodb, "load_persisted_state", "6f58d9dc1e6e", load)


_STREAM_STATE = ("stream_records", "stream_trimmed")


# Step Functions


@mend("execution-start-delay")
def _execution_start_delay() -> None:
    """Every execution slept 150 ms before its first state."""
    _rewrite(states, "_run_execution", "996dff84e0e0", ("time.sleep(0.15)", "pass"))


@mend("uncatchable-errors")
def _uncatchable_errors() -> None:
    """States.ALL caught States.DataLimitExceeded and States.Runtime, which AWS lets pass to the execution."""

    def matches(names: list[str], error: str) -> bool:
        if error in ("States.DataLimitExceeded", "States.Runtime"):
            return error in names
        if error == "States.HeartbeatTimeout" and "States.Timeout" in names:
            return True
        return bool(original(names, error))

    original = _replace(states, "_error_matches", "519b9dc729c5", matches)


@mend("token-per-attempt")
def _token_per_attempt() -> None:
    """A retried task kept its task token; AWS draws a new one for every attempt."""
    _rewrite(
        states,
        "_execute_task",
        "53c818d247db",
        (
            "# Each attempt sees its own $$.State.RetryCount.\n",
            'if is_callback and retry_counts:\n            ctx["Task"] = {"Token": _spellcast.token()}\n',
        ),
    )


@mend("token-length")
def _token_length() -> None:
    """A task token had 36 characters, which makes the rows that hold one look cheaper than on AWS."""
    _rewrite(
        states,
        "_execute_task",
        "53c818d247db",
        ('ctx["Task"] = {"Token": new_uuid()}', 'ctx["Task"] = {"Token": _spellcast.token()}'),
    )


def token() -> str:
    return f"{uuid.uuid4().hex}-".ljust(TOKEN_CHARACTERS, "A")


@mend("task-deadlines")
def _task_deadlines() -> None:
    """TimeoutSeconds and HeartbeatSeconds as JSONata expression or by path were not evaluated."""
    _rewrite(
        states,
        "_execute_task",
        "53c818d247db",
        (
            '_add_event(execution, "TaskScheduled", {',
            "state_def = _spellcast.deadlines(state_def, raw_input, ctx)\n"
            '            _add_event(execution, "TaskScheduled", {',
        ),
    )


def deadlines(state: Any, value: Any, context: Any) -> Any:
    evaluated = {}
    for field in ("TimeoutSeconds", "HeartbeatSeconds"):
        if f"{field}Path" in state:
            evaluated[field] = states._resolve_path_or_ctx(state[f"{field}Path"], value, context)
        elif isinstance(state.get(field), str):
            evaluated[field] = states._jsonata_state_field(state, field, "number", value, context)
    return {**state, **evaluated}


@mend("callback-task")
def _callback_task() -> None:
    """A .waitForTaskToken task whose Lambda raised hung, its deadline began after the Lambda, heartbeats had none."""

    def invoke(resource: str, value: Any, task_token: str, state: Any) -> Any:
        plain = resource.replace(".waitForTaskToken", "")
        function = states._extract_lambda_ref(plain)
        if not function and "states:::lambda:invoke" in plain:
            function = states._resolve_lambda_function_ref(value.get("FunctionName", ""), optimized=True)
        if not function:
            return original(resource, value, task_token, state)
        task = {"event": threading.Event(), "result": None, "error": None, "execution": _running.get()}
        states._task_tokens[task_token] = task
        event = value.get("Payload", value) if isinstance(value, dict) else value
        call = contextvars.copy_context().run
        threading.Thread(target=call, args=(_call_for_token, function, event, task), daemon=True).start()
        try:
            _await_answer(task, state)
        finally:
            states._task_tokens.pop(task_token, None)
        if task["error"]:
            raise states._ExecutionError(task["error"]["Error"], task["error"]["Cause"])
        return json.loads(task["result"])

    original = _replace(states, "_invoke_with_callback", "bbb38423156a", invoke)


def _call_for_token(function: str, event: Any, task: Any) -> None:
    try:
        states._call_lambda(function, event)
    except states._ExecutionError as error:
        if not task["event"].is_set():  # an answer that was already given stands
            task["error"] = {"Error": error.error, "Cause": error.cause}
            task["event"].set()


def _await_answer(task: Any, state: Any) -> None:
    begun = time.monotonic()
    deadline, every = float(state.get("TimeoutSeconds", NEVER)), float(state.get("HeartbeatSeconds", NEVER))
    while True:
        now = time.monotonic()
        beaten = task.get("beat", begun)
        left = min(begun + deadline, beaten + every) - now
        if task["event"].wait(min(max(left, 0), threading.TIMEOUT_MAX)):
            return
        if time.monotonic() >= begun + deadline:
            raise states._ExecutionError("States.Timeout", "")
        if time.monotonic() >= task.get("beat", begun) + every:
            raise states._ExecutionError("States.HeartbeatTimeout", "")


@mend("first-answer-wins")
def _first_answer_wins() -> None:
    """A second answer to a task token replaced the first; AWS refuses it with TaskTimedOut."""

    def once(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def answer(data: Any) -> Any:
            task = states._task_tokens.get(data.get("taskToken"))
            if task and task["event"].is_set():
                return states.error_response_json("TaskTimedOut", "The task has been closed.", 400)
            return original(data)

        return answer

    def heartbeat(data: Any) -> Any:
        task = states._task_tokens.get(data.get("taskToken"))
        if task:
            task["beat"] = time.monotonic()
        return beat(data)

    for name, digest in (("_send_task_success", "12eff48bce57"), ("_send_task_failure", "c2a489b4ed33")):
        _replace(states, name, digest, once(getattr(states, name)))
    beat = _replace(states, "_send_task_heartbeat", "56879a4655d1", heartbeat)


@mend("state-hooks")
def _state_hooks() -> None:
    """States and retries could not be counted, and payloads over 256 KiB passed (AWS: States.DataLimitExceeded)."""
    for name, digest in (("_run_execution", "996dff84e0e0"), ("_run_sub_machine", "f8d844168b14")):
        line = 'ctx["State"] = {"Name": current_name, "EnteredTime": now_iso(), "RetryCount": 0}\n'
        _rewrite(
            states, name, digest, (line, f"{line}{' ' * (12 if name == '_run_execution' else 8)}"
                                         "_spellcast.enter(ctx, current_input)\n")
        )  # fmt: skip
    _rewrite(
        states,
        "_execute_task",
        "53c818d247db",
        (
            'ctx["State"]["RetryCount"] = sum(retry_counts.values())\n',
            'ctx["State"]["RetryCount"] = sum(retry_counts.values())\n'
            '        if ctx["State"]["RetryCount"]:\n'
            "            _spellcast.entered(ctx)\n",
        ),
        (
            '_add_event(execution, "TaskSucceeded", {',
            '_spellcast.limit(ctx, "result", task_result)\n            _add_event(execution, "TaskSucceeded", {',
        ),
    )
    for kind in ("pass", "task", "choice", "wait", "parallel", "map"):
        name = f"_execute_{kind}"
        setattr(states, name, _measured(getattr(states, name)))


def entered(context: Any) -> None:
    _hooks["entered"](context)


def enter(context: Any, value: Any) -> None:
    entered(context)
    limit(context, "input", value)


def limit(context: Any, direction: str, value: Any) -> None:
    size: int = _hooks["payload"](context, direction, value)
    if size > PAYLOAD_LIMIT:
        raise states._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task '{context['State']['Name']}' has a {direction} of {size} bytes, over 262144.",
        )


def _measured(execute: Callable[..., Any]) -> Callable[..., Any]:
    def measured(state: Any, value: Any, *rest: Any) -> Any:
        output, following = execute(state, value, *rest)
        limit(rest[-1], "output", output)
        return output, following

    return measured


@mend("machine-timeout")
def _machine_timeout() -> None:
    """A machine's TimeoutSeconds was ignored."""

    def run(arn: str) -> None:
        execution = states._executions.get(arn)
        if not execution:
            return
        _running.set(execution)
        machine = states._state_machines.get(execution["stateMachineArn"]) or {"definition": "{}"}
        seconds = json.loads(machine["definition"]).get("TimeoutSeconds")
        if seconds is None:
            original(arn)
            return
        timer = threading.Timer(float(seconds), contextvars.copy_context().run, (expire, execution))
        timer.daemon = True
        timer.start()
        original(arn)
        timer.cancel()

    def expire(execution: Any) -> None:
        if execution["status"] == "RUNNING":
            execution.update(status="TIMED_OUT", stopDate=states.now_iso(), error="States.Timeout", cause="")
            states._add_event(execution, "ExecutionTimedOut")
            states._emit_execution_status_event(execution)
            _release_tasks(execution)

    original = states._run_execution  # execution-start-delay has checked its digest
    states._run_execution = run


def _release_tasks(execution: Any) -> None:
    """Wake the tasks of an execution that has ended: their tokens die with it."""
    for task in list(states._task_tokens.values()):
        if task.get("execution") is execution and not task["event"].is_set():
            task["error"] = {"Error": "States.Runtime", "Cause": "The execution has ended."}
            task["event"].set()


@mend("execution-end")
def _execution_end() -> None:
    """A stopped execution kept its task tokens alive, and became FAILED when one of its tasks failed later."""

    def stop(data: Any) -> Any:
        answer = original_stop(data)
        if execution := states._executions.get(data.get("executionArn")):
            _release_tasks(execution)
        return answer

    def fail(execution: Any, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            original_fail(execution, error, cause)

    original_stop = _replace(states, "_stop_execution", "44d2d84ccd5c", stop)
    original_fail = _replace(states, "_fail_execution", "e6da895fa0b7", fail)


@mend("start-execution-idempotent")
def _start_execution_idempotent() -> None:
    """StartExecution of the name and input of a running execution was refused; AWS answers with that execution."""

    def start(data: Any) -> Any:
        answer = original(data)
        if answer[0] == 400 and b"ExecutionAlreadyExists" in answer[2] and data.get("name"):
            machine = data.get("stateMachineArn", "").replace(":stateMachine:", ":execution:")
            execution = states._executions.get(f"{machine}:{data['name']}")
            if execution and execution["status"] == "RUNNING" and execution["input"] == data.get("input", "{}"):
                return states.json_response(
                    {"executionArn": execution["executionArn"], "startDate": execution["startDate"]}
                )
        return answer

    original = _replace(states, "_start_execution", "9923282fc76c", start)

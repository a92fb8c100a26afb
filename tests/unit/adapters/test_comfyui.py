from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from spellcast.adapters.comfyui import ComfyUIAdapter
from spellcast.domain.errors import (
    InvalidSignature,
    InvalidStepInput,
    JobLost,
    OutcomeUnknown,
    ProviderAnswerInvalid,
    ProviderRefused,
    ProviderUnavailable,
    StepFailed,
)
from spellcast.domain.identifiers import job_uuid
from spellcast.domain.results import ToolResult
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Adapter, ProviderConfig, Request

GENERATION = "c4573.1.1"
RUN_ID = job_uuid(GENERATION)
ACCEPTED = {"prompt_id": RUN_ID, "number": 1, "node_errors": {}}
QUEUE: dict[str, list[Any]] = {"queue_running": [], "queue_pending": []}

Ask = Callable[..., Request]
CatalogTool = Callable[..., Tool]


def no_client() -> httpx.Client:
    raise AssertionError("nothing has to be fetched")


@pytest.fixture
def adapter(provider: Any) -> Adapter:
    client = provider.client()
    return ComfyUIAdapter(ProviderConfig("http://comfy.example:8188/base/"), lambda: client, no_client)


@pytest.fixture
def request_(ask: Ask, tool: CatalogTool) -> Request:
    return ask(tool("comfyui-text-to-image"), input_prompt="a fox", input_seed=7, input_width=640)


def html() -> httpx.Response:
    return httpx.Response(502, html="<html>Bad gateway at /srv/secret/path</html>")


def test_a_job_is_submitted_under_its_derived_id(adapter: Adapter, provider: Any, request_: Request) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    assert adapter.start_job(request_).run_id == RUN_ID == adapter.derived_run_id(GENERATION)
    assert provider.lines == ["POST /base/prompt"]
    sent = provider.requests[0]
    assert sent.headers["content-type"] == "application/json"
    assert "origin" not in sent.headers
    assert "authorization" not in sent.headers
    body = provider.body()
    assert body.keys() == {"prompt", "prompt_id", "client_id"}
    assert body["prompt_id"] == RUN_ID
    prompt = body["prompt"]
    assert prompt["6"]["inputs"]["text"] == "a fox"
    assert prompt["3"]["inputs"]["seed"] == 7
    assert prompt["5"]["inputs"] == {"width": 640, "height": 512, "batch_size": 1}
    assert request_.tool.metadata["workflow"]["6"]["inputs"]["text"] == "", "the definition is not changed"


def test_a_key_goes_to_the_operators_proxy(provider: Any, request_: Request) -> None:
    client = provider.client()
    provider.answers(httpx.Response(200, json=ACCEPTED))
    ComfyUIAdapter(ProviderConfig("https://comfy.example", "secret"), lambda: client, no_client).start_job(request_)
    assert provider.requests[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("seed", [None, -1, "", "-1"])
def test_a_seed_that_nobody_chose_is_derived(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, seed: Any
) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))

    def seed_of(generation_id: str) -> Any:
        adapter.start_job(
            ask(tool("comfyui-text-to-image"), generation_id=generation_id, input_prompt="x", input_seed=seed)
        )
        return provider.body(-1)["prompt"]["3"]["inputs"]["seed"]

    first, again, other = seed_of("c.1.1"), seed_of("c.1.1"), seed_of("c.1.2")
    assert isinstance(first, int)
    assert 0 <= first < 2**48
    assert first == again != other


def test_an_input_may_have_several_places(adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool) -> None:
    provider.answers(httpx.Response(200, json=ACCEPTED))
    places = {"input_prompt": [["6", "text"], ["7", "text"]]}
    adapter.start_job(ask(tool("comfyui-text-to-image", workflowInputs=places), input_prompt="both", input_seed=0))
    prompt = provider.body()["prompt"]
    assert prompt["6"]["inputs"]["text"] == prompt["7"]["inputs"]["text"] == "both"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"workflow": {}}, "no metadata.workflow"),
        ({"workflow": {"1": {"inputs": {}}}}, "not in API format"),
        ({"workflow": {"nodes": [], "links": []}}, r"ComfyUI's editor; export it for the API"),
        ({"workflow": None, "deploymentId": "d"}, "a tool of the service comfydeploy"),
        ({"workflowInputs": {"input_prompt": ["99", "text"]}}, "no node 99"),
    ],
)
def test_a_wrong_definition_is_told_before_a_call(
    adapter: Adapter, provider: Any, ask: Ask, tool: CatalogTool, metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidStepInput, match=message):
        adapter.start_job(ask(tool("comfyui-text-to-image", **metadata), input_prompt="x"))
    assert provider.requests == []


def test_node_errors_beside_an_accepted_job_are_no_failure(adapter: Adapter, provider: Any, request_: Request) -> None:
    provider.answers(httpx.Response(200, json={**ACCEPTED, "node_errors": {"12": {"errors": []}}}))
    assert adapter.start_job(request_).run_id == RUN_ID


def test_a_refusal_names_the_nodes_and_leaks_nothing(adapter: Adapter, provider: Any, request_: Request) -> None:
    refusal = {
        "error": {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "d",
        },
        "node_errors": {
            "4": {
                "class_type": "CheckpointLoaderSimple",
                "errors": [
                    {
                        "message": "Value not in list",
                        "details": "x: /opt/models",
                        "extra_info": {"input_name": "ckpt_name"},
                    },
                    {"message": "File\nmissing: /opt/comfy/models/x.bin", "details": ""},
                ],
            }
        },
    }
    provider.answers(httpx.Response(400, json=refusal))
    with pytest.raises(ProviderRefused) as caught:
        adapter.start_job(request_)
    assert caught.value.message == (
        "ComfyUI refused (400): Prompt outputs failed validation; node 4 (CheckpointLoaderSimple), ckpt_name: "
        "Value not in list; node 4 (CheckpointLoaderSimple): File missing: …"
    )


AMBIGUOUS = {
    "timeout": httpx.ReadTimeout("x"),
    "write timeout": httpx.WriteTimeout("x"),
    "reset after send": httpx.ReadError("reset"),
    "closed without an answer": httpx.RemoteProtocolError("closed"),
    "502 html": html(),
    "500 text": httpx.Response(500, text="Server got itself in trouble"),
    "408": httpx.Response(408),
    "truncated json": httpx.Response(200, content=b'{"prompt_id": "'),
    "200 with garbage": httpx.Response(200, content=b"\x89PNG"),
    "200 with a list": httpx.Response(200, json=[]),
    "200 without an id": httpx.Response(200, json={}),
    "deep json": httpx.Response(200, content=b"[" * 200_000),
    "a number that is none": httpx.Response(200, content=b'{"prompt_id": NaN}'),
    "an endless answer": httpx.Response(200, content=b" " * (10 * 1024 * 1024 + 1)),
    "compressed": httpx.Response(200, headers={"content-encoding": "br"}, content=b""),
}
CERTAIN: dict[str, tuple[Any, type[StepFailed]]] = {
    "refused connection": (httpx.ConnectError("x"), ProviderUnavailable),
    "connect timeout": (httpx.ConnectTimeout("x"), ProviderUnavailable),
    "429": (httpx.Response(429), ProviderUnavailable),
    "401": (httpx.Response(401, text="token r8_secret"), ProviderRefused),
    "403 of another origin": (httpx.Response(403), ProviderRefused),
    "404": (httpx.Response(404, text="no"), ProviderRefused),
    "redirect": (httpx.Response(307, headers={"location": "https://elsewhere.example"}), ProviderRefused),
    "413": (httpx.Response(413, text="too large"), ProviderRefused),
}


@pytest.mark.parametrize("answer", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_lost_answer_leaves_the_outcome_unknown(
    adapter: Adapter, provider: Any, request_: Request, answer: Any
) -> None:
    provider.answers(answer)
    with pytest.raises(OutcomeUnknown) as caught:
        adapter.start_job(request_)
    assert caught.value.run_id == RUN_ID
    assert len(provider.requests) == 1
    assert "comfy.example" not in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(("answer", "error"), CERTAIN.values(), ids=CERTAIN.keys())
def test_what_proves_that_nothing_was_started(
    adapter: Adapter, provider: Any, request_: Request, answer: Any, error: type[StepFailed]
) -> None:
    provider.answers(answer)
    with pytest.raises(error) as caught:
        adapter.start_job(request_)
    assert len(provider.requests) == 1
    assert "comfy.example" not in caught.value.message
    assert "secret" not in caught.value.message


# --- Polls ---


def entry(outputs: Any, *messages: Any, status: str = "success") -> httpx.Response:
    state = {
        "status_str": status,
        "completed": status == "success",
        "messages": [list(message) for message in messages],
    }
    return httpx.Response(200, json={RUN_ID: {"prompt": [], "outputs": outputs, "status": state}})


def poll(adapter: Adapter, tool: CatalogTool) -> ToolResult:
    return adapter.poll_job(RUN_ID, tool("comfyui-text-to-image"))


def test_a_finished_job(adapter: Adapter, provider: Any, tool: CatalogTool) -> None:
    provider.answers(
        entry(
            {
                "10": {"images": [{"filename": "b.webp", "subfolder": "", "type": "output"}], "animated": [False]},
                "9": {
                    "images": [
                        {"filename": "a b&c.png", "subfolder": "x/y", "type": "output"},
                        {"filename": "preview.png", "subfolder": "", "type": "temp"},
                    ]
                },
                "11": {
                    "gifs": [{"filename": "v.MP4", "subfolder": "", "type": "output", "fullpath": "/srv/out/v.mp4"}]
                },
                "12": {"audio": [{"filename": "s.flac", "subfolder": "", "type": "output"}]},
                "13": {"text": ["one", "two"]},
                "14": {"files": [{"filename": "mesh.glb", "subfolder": "3d", "type": "output"}, "stray", 7]},
                "15": None,
            },
            ("execution_start", {"timestamp": 1_700_000_000_000}),
            ("execution_cached", {"timestamp": 1_700_000_000_001, "nodes": []}),
            ("execution_success", {"timestamp": 1_700_000_004_321}),
        )
    )
    result = poll(adapter, tool)
    assert provider.lines == [f"GET /base/history/{RUN_ID}"]
    assert (result.status, result.duration_ms, result.cost_usd) == ("succeeded", 4321, None)
    kinds = [element["type"] for element in result.payload]
    assert kinds == ["image", "video", "audio", "file", "text"]
    images = result.payload[0]["data"]["images"]
    base = "http://comfy.example:8188/base/view"
    assert images == [
        {
            "url": f"{base}?filename=a+b%26c.png&subfolder=x%2Fy&type=output",
            "filename": "a b&c.png",
            "subfolder": "x/y",
            "type": "output",
            "mediaType": "image/png",
        },
        {
            "url": f"{base}?filename=b.webp&subfolder=&type=output",
            "filename": "b.webp",
            "subfolder": "",
            "type": "output",
            "mediaType": "image/webp",
        },
    ]
    assert result.payload[1]["data"]["files"][0]["mediaType"] == "video/mp4"
    assert "mediaType" not in result.payload[3]["data"]["files"][0]
    assert result.payload[4]["data"] == {"text": "one\ntwo"}
    assert "/srv/out" not in json.dumps(result.payload)


@pytest.mark.parametrize(
    ("queue", "live_status"),
    [
        ({**QUEUE, "queue_running": [[1, RUN_ID, {}, {}, []]]}, "running"),
        ({**QUEUE, "queue_pending": [[0, "other"], [1, RUN_ID, {}, {}, []]]}, "queued"),
    ],
)
def test_a_job_in_the_queue(adapter: Adapter, provider: Any, tool: CatalogTool, queue: Any, live_status: str) -> None:
    provider.answers(httpx.Response(200, json={}), httpx.Response(200, json=queue))
    result = poll(adapter, tool)
    assert (result.status, result.live_status) == ("processing", live_status)
    assert result.is_queued is (live_status == "queued")
    assert provider.lines == [f"GET /base/history/{RUN_ID}", "GET /base/queue"]


def test_a_job_that_ends_between_the_two_questions_is_not_lost(
    adapter: Adapter, provider: Any, tool: CatalogTool
) -> None:
    done = entry({"9": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]}})
    provider.answers(httpx.Response(200, json={}), httpx.Response(200, json=QUEUE), done)
    assert poll(adapter, tool).status == "succeeded"


def test_a_job_that_is_nowhere_is_lost(adapter: Adapter, provider: Any, tool: CatalogTool) -> None:
    empty = httpx.Response(200, json={})
    provider.answers(empty, httpx.Response(200, json=QUEUE), httpx.Response(200, json={}))
    with pytest.raises(JobLost):
        poll(adapter, tool)
    assert len(provider.requests) == 3


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            entry(
                {"9": {"images": [{"filename": "a.png", "type": "output"}]}},
                ("execution_start", {"timestamp": 1000}),
                (
                    "execution_error",
                    {
                        "timestamp": 3000,
                        "node_type": "KSampler",
                        "exception_message": "boom in /srv/comfy/x.py\nsecond",
                        "traceback": ["/srv/comfy/trace.py"],
                    },
                ),
                status="error",
            ),
            "JOB_FAILED",
            "ComfyUI: KSampler: boom in … second",
        ),
        (
            entry({}, ("execution_start", {"timestamp": 1000}), ("execution_interrupted", {}), status="error"),
            "JOB_CANCELLED",
            "The job was interrupted in ComfyUI",
        ),
        (entry({}, status="error"), "JOB_FAILED", "ComfyUI: the job failed"),
        (entry({}), "JOB_FAILED", "ComfyUI finished the job, but saved no output"),
        (
            entry({"9": {"images": [{"filename": "a.png", "type": "temp"}]}}),
            "JOB_FAILED",
            "ComfyUI finished the job, but saved no output",
        ),
    ],
)
def test_jobs_that_end_badly(
    adapter: Adapter, provider: Any, tool: CatalogTool, answer: httpx.Response, code: str, message: str
) -> None:
    provider.answers(answer)
    result = poll(adapter, tool)
    assert result.status == "failed"
    assert result.failure is not None
    assert (result.failure.code, result.failure.message) == (code, message)


def test_a_status_of_null_is_judged_by_the_outputs(adapter: Adapter, provider: Any, tool: CatalogTool) -> None:
    outputs = {"9": {"images": [{"filename": "a.png", "type": "output"}]}}
    provider.answers(httpx.Response(200, json={RUN_ID: {"outputs": outputs, "status": None}}))
    assert poll(adapter, tool).status == "succeeded"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.ConnectError("x"), ProviderUnavailable),
        (httpx.ReadTimeout("x"), ProviderUnavailable),
        (httpx.ReadError("x"), ProviderUnavailable),
        (html(), ProviderUnavailable),
        (httpx.Response(429), ProviderUnavailable),
        (httpx.Response(200, content=b'{"a":'), ProviderAnswerInvalid),
        (httpx.Response(200, html="<html>login</html>"), ProviderAnswerInvalid),
        (httpx.Response(200, json={RUN_ID: 1}), ProviderAnswerInvalid),
        (httpx.Response(200, content=b" " * (10 * 1024 * 1024 + 1)), ProviderAnswerInvalid),
        (httpx.Response(401), ProviderRefused),
        (httpx.Response(400, json={}), ProviderRefused),
    ],
)
def test_polls_that_fail(
    adapter: Adapter, provider: Any, tool: CatalogTool, answer: Any, error: type[StepFailed]
) -> None:
    provider.answers(answer)
    with pytest.raises(error):
        poll(adapter, tool)


# --- Cancellation ---


def test_cancelling(adapter: Adapter, provider: Any) -> None:
    provider.answers(httpx.Response(200, json={"cancelled": True}))
    adapter.cancel_job(RUN_ID)
    assert provider.lines == [f"POST /base/api/jobs/{RUN_ID}/cancel"]


@pytest.mark.parametrize("status", [404, 405])
def test_cancelling_at_an_older_server(adapter: Adapter, provider: Any, status: int) -> None:
    provider.answers(httpx.Response(status), httpx.Response(200), httpx.Response(200))
    adapter.cancel_job(RUN_ID)
    assert provider.lines[1:] == ["POST /base/queue", "POST /base/interrupt"]
    assert provider.body(1) == {"delete": [RUN_ID]}
    assert provider.body(2) == {"prompt_id": RUN_ID}, "without the id it would stop another's job"


def test_cancelling_at_a_server_that_is_down(adapter: Adapter, provider: Any) -> None:
    for answer in (httpx.ConnectError("x"), httpx.Response(503)):
        provider.answers(answer)
        with pytest.raises(ProviderUnavailable):
            adapter.cancel_job(RUN_ID)
    provider.answers(httpx.Response(401))
    with pytest.raises(ProviderRefused):
        adapter.cancel_job(RUN_ID)


def test_what_it_cannot_do(adapter: Adapter, request_: Request) -> None:
    assert not adapter.is_repeatable(request_)
    with pytest.raises(InvalidStepInput, match="async or webhook"):
        adapter.execute(request_)
    with pytest.raises(InvalidSignature):
        adapter.parse_webhook({}, b"{}", request_.tool, datetime.now(UTC))

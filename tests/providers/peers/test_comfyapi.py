"""Our adapter against comfy-api-proxy, the Comfy API v2 as its makers wrote it, before our ComfyUI fake."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from local.demo_provider.comfyui import ComfyUI
from local.demo_provider.switches import Switches
from spellcast.adapters.comfyapi import ComfyApiAdapter, build
from spellcast.adapters.exchange import provider_client
from spellcast.catalog import built_in_tools
from spellcast.domain.errors import InvalidStepInput, JobLost, OutcomeUnknown, ProviderRefused, ProviderUnavailable
from spellcast.domain.polling import MISSES_BEFORE_LOST
from spellcast.domain.results import Job, ToolResult
from spellcast.domain.tools import Tool, parse_tool
from spellcast.ports.adapter import ProviderConfig, Request
from tests.ports import free_port
from tests.providers.comfy_proxy import proxying
from tests.providers.comfydeploy import PNG
from tests.providers.serving import serving

TOKEN = "a static token"
DRAW = replace(built_in_tools()["comfyui-text-to-image"], service="comfyapi")
REPAINT = parse_tool(
    {
        "toolId": "repaint",
        "service": "comfyapi",
        "displayName": "Repaint",
        "deliveryMode": "async",
        "inputSchema": {"input_image": {"type": "image"}},
        "metadata": {
            "workflow": {
                "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
                "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "out"}},
            },
            "workflowInputs": {"input_image": ["1", "image"]},
        },
    }
)


@pytest.fixture(scope="module")
def switches() -> Switches:
    return Switches(0.05)


@pytest.fixture(scope="module")
def proxy(switches: Switches) -> Iterator[str]:
    fake = ComfyUI(switches, lambda text, seed, width, height: PNG)
    with serving(Starlette(routes=fake.routes())) as comfyui, proxying(sys.executable, comfyui, TOKEN) as url:
        yield url


@pytest.fixture
def adapter(proxy: str, switches: Switches) -> Iterator[ComfyApiAdapter]:
    switches.reset()
    with provider_client() as client:
        yield build(ProviderConfig(proxy, TOKEN), lambda: client, True)


def ask(tool: Tool, generation_id: str, **inputs: Any) -> Request:
    return Request(generation_id, tool, inputs)


def until(adapter: ComfyApiAdapter, run_id: str, wanted: Callable[[ToolResult], bool]) -> ToolResult:
    """As `PollJob` asks: a job is lost when it is missed several times in a row.

    The proxy calls a job expired that ends between its questions after the history and the queue.
    """
    deadline, misses = time.monotonic() + 10, 0
    while time.monotonic() < deadline:
        try:
            state = adapter.poll_job(run_id, DRAW)
        except JobLost:
            misses += 1
            if misses == MISSES_BEFORE_LOST:
                raise
        else:
            misses = 0
            if wanted(state):
                return state
        time.sleep(0.02)
    raise AssertionError("what was wanted did not come")


def ended(adapter: ComfyApiAdapter, run_id: str) -> ToolResult:
    return until(adapter, run_id, lambda state: state.is_final)


def submitted(adapter: ComfyApiAdapter, generation_id: str, prompt: str) -> Job:
    return adapter.start_job(ask(DRAW, generation_id, input_prompt=prompt))


def test_a_job_from_its_submission_to_its_picture(adapter: ComfyApiAdapter, switches: Switches) -> None:
    job = submitted(adapter, "c1.0.1", "a fox")
    assert not job.calls_back
    done = ended(adapter, job.run_id)
    assert done.status == "succeeded", done
    (image,) = done.payload[0]["data"]["images"]
    assert (image["mediaType"], image["filename"]) == ("image/png", "spellcast_00001_.png")
    assert httpx.get(image["url"], headers={"Authorization": f"Bearer {TOKEN}"}).content == PNG
    assert switches.counts["submits"] == 1


def test_a_second_submission_under_the_same_key_leads_to_the_first(
    adapter: ComfyApiAdapter, switches: Switches
) -> None:
    first = submitted(adapter, "c2.0.1", "once")
    with pytest.raises(OutcomeUnknown, match="had this job before") as again:
        submitted(adapter, "c2.0.1", "once")
    assert again.value.run_id == adapter.derived_run_id("c2.0.1")
    assert again.value.run_id is not None
    found = ended(adapter, again.value.run_id)
    assert found.payload == ended(adapter, first.run_id).payload
    assert switches.counts["submits"] == 1


@pytest.mark.parametrize("mark", ["[fault:broken]", "[fault:garbage]"])
def test_an_answer_that_the_proxy_itself_did_not_get(adapter: ComfyApiAdapter, switches: Switches, mark: str) -> None:
    """To the proxy any answer but a 200 is a rejection, and any 200 an acceptance."""
    if mark == "[fault:garbage]":
        assert ended(adapter, submitted(adapter, "c3.0.1", mark).run_id).status == "succeeded"
    else:
        with pytest.raises(ProviderRefused, match="Workflow rejected"):
            submitted(adapter, "c3.0.2", mark)
    assert switches.counts["submits"] == 1


def test_a_picture_is_uploaded_and_used(adapter: ComfyApiAdapter, switches: Switches) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    for generation_id in ("c4.0.1", "c4.0.2"):
        done = ended(adapter, adapter.start_job(ask(REPAINT, generation_id, input_image=picture)).run_id)
        (image,) = done.payload[0]["data"]["images"]
        headers = adapter.file_headers(image["url"])
        assert headers == {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(image["url"], headers=headers).content == b"\x89PNG\r\n\x1a\n"
        # As an input it is what any caller may have written: our token is not for that.
        with pytest.raises(InvalidStepInput, match="answered 401"):
            adapter.start_job(ask(REPAINT, f"{generation_id}.x", input_image=image["url"]))
    assert switches.counts["uploads"] == 1, "the proxy has the same bytes already"


def test_a_node_that_fails(adapter: ComfyApiAdapter) -> None:
    done = ended(adapter, submitted(adapter, "c5.0.1", "[fault:fail]").run_id)
    assert done.failure is not None
    assert (done.failure.code, done.failure.message) == ("JOB_FAILED", "ComfyUI: KSampler: CUDA out of memory, see …")


def test_a_refusal_names_its_nodes(adapter: ComfyApiAdapter) -> None:
    with pytest.raises(ProviderRefused) as refused:
        adapter.start_job(ask(DRAW, "c6.0.1", input_prompt="x", input_steps=0))
    assert refused.value.message == "The Comfy API refused (422): Prompt outputs failed validation (nodes 3)"


def test_cancelling_by_id_and_by_label(adapter: ComfyApiAdapter) -> None:
    for number, by_label in enumerate((False, True), 1):
        job = submitted(adapter, f"c7.0.{number}", "[fault:stall]")
        until(adapter, job.run_id, lambda state: state.live_status == "running")
        adapter.cancel_job(adapter.derived_run_id(f"c7.0.{number}") or "" if by_label else job.run_id)
        done = ended(adapter, job.run_id)
        assert done.failure is not None and done.failure.code == "JOB_CANCELLED"
        adapter.cancel_job(job.run_id)


@pytest.mark.parametrize("run_id", ["00000000-0000-4000-8000-000000000000", "spellcast-nothing", "no uuid"])
def test_a_job_that_nobody_knows(adapter: ComfyApiAdapter, run_id: str) -> None:
    with pytest.raises(JobLost):
        adapter.poll_job(run_id, DRAW)
    adapter.cancel_job(run_id)


def test_a_job_that_comfyui_lost(adapter: ComfyApiAdapter) -> None:
    with pytest.raises(JobLost, match="no longer has"):
        ended(adapter, submitted(adapter, "c8.0.1", "[fault:lose]").run_id)


def test_a_wrong_token(proxy: str) -> None:
    with provider_client() as client, pytest.raises(ProviderRefused, match="credentials"):
        submitted(build(ProviderConfig(proxy, "wrong"), lambda: client, True), "c9.0.1", "x")


def test_a_proxy_whose_comfyui_is_down() -> None:
    with proxying(sys.executable, f"http://127.0.0.1:{free_port()}") as url, provider_client() as client:
        adapter = build(ProviderConfig(url), lambda: client, True)
        with pytest.raises(OutcomeUnknown, match="503") as unknown:
            submitted(adapter, "c10.0.1", "x")
        assert unknown.value.run_id is not None
        with pytest.raises(JobLost):
            adapter.poll_job(unknown.value.run_id, DRAW)
        with pytest.raises(ProviderUnavailable):
            adapter.poll_job("00000000-0000-4000-8000-000000000000", DRAW)

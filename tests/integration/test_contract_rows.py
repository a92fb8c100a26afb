"""What is better here than in the original, on purpose: one test a row of contract §3, on the embedded cloud."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx

from spellcast.application.issue_api_key import IssueApiKey
from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.clock import SystemClock
from spellcast.aws.table import Table
from spellcast.domain.polling import WAITS
from spellcast.domain.tools import JOB_DEADLINE_SECONDS
from tests.cloud import TERMINAL, Cloud, Document, called, drawn, evaluated, wire, words


def static(value: object) -> Document:
    return {"type": "static", "value": value}


def waiting(cloud: Cloud, *steps: Document) -> Document:
    """A cast whose first step is a job that waits for somebody to complete it."""
    cast = cloud.cast(cloud.spell(called("[fault:stall]", node="job"), *steps))
    cloud.await_generation(f"{cast['castId']}.0.1", "processing")
    return cast


def test_row_01_exposed_inputs_are_the_casters_and_others_the_authors(cloud: Cloud) -> None:
    spell = cloud.spell(words("the author's"), exposedInputs=[{"nodeId": "words", "paramKey": "inputText"}])
    for inputs in ({"words_inputText": "mine", "appendText": "?"}, {"inputText": "mine", "words_appendText": "?"}):
        assert cloud.run(spell, inputs)["outputs"] == {"text": "mine!"}
    assert cloud.run(spell)["outputs"] == {"text": "the author's!"}


def test_row_02_an_alias_fills_what_is_required_and_leaves_defaults_alone(cloud: Cloud) -> None:
    spell = cloud.spell({"id": "draw", "toolIdentifier": "comfyui-text-to-image"})
    ended = cloud.run(spell, {"prompt": "a cat"})
    sent = ended["generations"][0]["requestPayload"]
    assert (sent["input_prompt"], sent["input_negative"]) == ("a cat", "blurry, low quality")


def test_row_03_a_falsy_output_of_the_wired_node_wins(cloud: Cloud) -> None:
    steps = [
        evaluated("0", "zero"),
        evaluated("7", "seven"),
        evaluated("input", "last", input=wire("zero", "result")),
    ]
    ended = cloud.run(cloud.spell(*steps))
    assert ended["generations"][2]["requestPayload"]["input"] == 0
    absent = [evaluated("7", "seven"), evaluated("input", "last", input=wire("seven", "gone"))]
    ended = cloud.run(cloud.spell(*absent), {"gone": "bare"})
    assert ended["generations"][1]["requestPayload"]["input"] == "bare", "only absence falls through"


def test_row_04_a_wire_named_by_type_takes_the_wired_nodes_output(cloud: Cloud) -> None:
    steps = [
        called("[fault:stall]", node="one"),
        called("[fault:stall]", node="two"),
        evaluated("input", "picture", input=wire("one", "image")),
        evaluated("input", "film", input=wire("two", "video")),
        evaluated("input", "whole", input=wire("picture", "output")),
    ]
    with cloud.listening() as listener:
        cast = cloud.cast(cloud.spell(*steps))
        for step, data in enumerate(
            ({"images": [{"url": "https://o/1.png"}]}, {"files": [{"url": "https://o/2.mp4", "format": "video/mp4"}]})
        ):
            cloud.await_generation(f"{cast['castId']}.{step}.1", "processing")
            cloud.put_on_bus(generationId=f"{cast['castId']}.{step}.1", status="succeeded", type="image", data=data)
        listener.until_ended(cast)
    given = [item["requestPayload"].get("input") for item in cloud.get_cast(cast)["generations"]]
    assert given[2:] == ["https://o/1.png", "https://o/2.mp4", "https://o/1.png"]


def test_row_05_all_elements_and_node_keyed_outputs_are_read(cloud: Cloud) -> None:
    images = [{"type": "image", "data": {"images": [{"url": f"https://o/{n}.png"}]}} for n in (1, 2)]
    film = {"type": "video", "data": {"files": [{"url": "https://o/3.mp4"}]}}
    keyed = {"9": {"node_meta": {}, "data": {"images": [{"url": "https://o/9.png"}]}}}
    for data, expression, found in (
        ([*images, film], "input.url ~> $join(' ')", "https://o/1.png https://o/2.png"),
        (keyed, "input.url", "https://o/9.png"),
    ):
        with cloud.listening() as listener:
            cast = waiting(cloud, evaluated(expression, "last", input=wire("job", "images")))
            cloud.put_on_bus(generationId=f"{cast['castId']}.0.1", status="succeeded", data=data)
            listener.until_ended(cast)
        ended = cloud.get_cast(cast)
        assert ended["outputs"] == {"text": found}
        context = cloud.api.get(f"/v1/generations/{cast['castId']}.1.1").json()["metadata"]["pipelineContext"]
        assert context["input_image"] == found.split()[0]
        assert context.get("input_video") == ("https://o/3.mp4" if data is not keyed else None)


def test_row_06_missing_inputs_are_named_when_saved_and_before_a_provider_is_asked(cloud: Cloud) -> None:
    cloud.provider.post("/control", json={"reset": True})
    spell = cloud.spell(words(), {"id": "enlarge", "toolIdentifier": "replicate-clarity-upscaler"})
    assert any("image" in warning["message"] and warning["path"] == "steps[1]" for warning in spell["warnings"])
    ended = cloud.run(spell)
    assert (ended["failure"]["code"], ended["failure"]["stepIndex"]) == ("MISSING_INPUTS", 1)
    assert "image" in ended["failureReason"] and "Clarity Upscaler" in ended["failureReason"]
    assert "submits" not in cloud.provider.get("/control/counts").json()["replicate"]


def test_row_07_every_failure_ends_the_cast_with_its_reason(cloud: Cloud) -> None:
    refused: Document = {
        "id": "n",
        "toolIdentifier": "http-request",
        "parameterMappings": {"url": static("https://10.0.0.1/")},
    }
    for step, code in (
        (refused, "ADDRESS_REFUSED"),
        (evaluated("$sum(", "n"), "EXPRESSION_FAILED"),
        (drawn("[fault:refuse]"), "PROVIDER_REFUSED"),
        (called("[fault:refuse]"), "PROVIDER_REFUSED"),
    ):
        ended = cloud.run(cloud.spell(step))
        assert (ended["status"], ended["failure"]["code"]) == ("failed", code)
        assert ended["failureReason"] and ended["generations"][0]["status"] == "failed"
    empty = cloud.api.post("/v1/spells", json={"name": "empty", "steps": []})
    assert (empty.status_code, empty.json()["error"]["details"][0]["path"]) == (400, "steps")


def test_row_08_terminal_states_absorb(cloud: Cloud) -> None:
    for first, then in (("failed", "succeeded"), ("succeeded", "failed")):
        with cloud.listening() as listener:
            cast = waiting(cloud)
            generation = f"{cast['castId']}.0.1"
            cloud.put_on_bus(generationId=generation, status=first, data={"text": "t"}, error="first")
            listener.until_ended(cast)
            before = cloud.get_cast(cast)
            cloud.put_on_bus(generationId=generation, status=then, data={"text": "late"}, error="late")
            # Events of one bus are taken in their order: when this one is through, so is the one before it.
            marker = waiting(cloud)
            cloud.put_on_bus(generationId=f"{marker['castId']}.0.1", status="failed")
            listener.until_ended(marker)
        after = cloud.get_cast(cast)
        # A late result of a failed job may add what it cost, and nothing else (contract I3).
        kept = ("status", "outputs", "failure", "completedAt", "failedAt")
        assert [after.get(key) for key in kept] == [before.get(key) for key in kept]
        assert after["generations"][0]["outputs"] == before["generations"][0]["outputs"]
        assert after["status"] == ("failed" if first == "failed" else "completed")


def test_row_09_two_completions_at_once_are_one(cloud: Cloud) -> None:
    cloud.provider.post("/control", json={"reset": True})
    with cloud.listening() as listener:
        cast = waiting(cloud, called("next", node="next"))
        generation = f"{cast['castId']}.0.1"
        with ThreadPoolExecutor(5) as pool:
            for number in range(5):
                pool.submit(
                    cloud.put_on_bus,
                    generationId=generation,
                    status="succeeded",
                    data={"text": str(number)},
                    costUsd="0.01",
                )
        listener.until_ended(cast)
    ended = cloud.get_cast(cast)
    assert ended["status"] == "completed" and len(ended["generations"]) == 2
    assert ended["generations"][0]["costUsd"] == "0.01"
    assert cloud.provider.get("/control/counts").json()["replicate"]["submits"] == 2


def test_row_10_costs_are_exact_and_each_record_keeps_its_own(cloud: Cloud) -> None:
    deltas = ["0.0000425", "0.08", "0.00444"]
    steps = [called("[fault:stall]", node=f"n{number}") for number in range(3)]
    with cloud.listening() as listener:
        cast = cloud.cast(cloud.spell(*steps))
        for step, delta in enumerate(deltas):
            cloud.await_generation(f"{cast['castId']}.{step}.1", "processing")
            cloud.put_on_bus(
                generationId=f"{cast['castId']}.{step}.1", status="succeeded", data={"text": "t"}, costUsd=delta
            )
        told = listener.until_ended(cast)
    ended = cloud.get_cast(cast)
    assert [item["costUsd"] for item in ended["generations"]] == deltas
    assert ended["costUsd"] == told["costUsd"] == str(sum(map(Decimal, deltas))) == "0.0844825"


def test_row_11_polls_wait_longer_each_time_and_a_failed_poll_is_none(cloud: Cloud) -> None:
    assert WAITS == (2, 3, 5, 7, 10, 15, 23, 30) and JOB_DEADLINE_SECONDS == 900
    cloud.provider.post("/control", json={"reset": True})
    ended = cloud.run(cloud.spell(drawn("[fault:hiccup]")))
    assert ended["status"] == "completed"
    # The failed poll asked the history only, the second one found the job there.
    assert cloud.provider.get("/control/counts").json()["comfyui"]["polls"] == 2
    # An overdue webhook that is made up for by a poll: tests/integration/test_completions.py.


def test_row_12_callbacks_are_signed_and_records_are_their_accounts(cloud: Cloud) -> None:
    forged = httpx.post(f"{cloud.outputs['httpUrl']}/v1/completions/forged", json={})
    assert (forged.status_code, forged.json()["error"]["code"]) == (401, "INVALID_TOKEN")
    ended = cloud.run(cloud.spell(words()))
    access = DynamoAccessStore(Table(cloud.aws("dynamodb"), cloud.outputs["tableName"]))
    headers = {"X-API-Key": IssueApiKey(access, SystemClock())("somebody else")}
    for path in (f"/v1/casts/{ended['castId']}", f"/v1/generations/{ended['castId']}.0.1"):
        answer = httpx.get(f"{cloud.outputs['httpUrl']}{path}", headers=headers)
        assert answer.status_code == 404
        assert httpx.get(f"{cloud.outputs['httpUrl']}{path}").status_code == 401


def test_row_13_a_failed_cast_is_told_with_step_code_and_message(cloud: Cloud) -> None:
    with cloud.listening() as listener:
        cast = cloud.cast(cloud.spell(words(), called("[fault:fail]")))
        told = listener.until_ended(cast)
    assert told["status"] == "failed"
    failure = told["failure"]
    assert (failure["stepIndex"], failure["stepId"], failure["code"]) == (1, "flux", "JOB_FAILED")
    assert told["failureReason"] == failure["message"]
    # The webhook `spell.failed`: tests/integration/test_casters_webhook.py.


def test_row_14_one_terminal_revision_a_record_and_a_message_for_the_cast(cloud: Cloud) -> None:
    with cloud.listening() as listener:
        cast = cloud.cast(cloud.spell(words(), called("[fault:duplicate]"), words(node="last")))
        listener.until_ended(cast)
        updates = listener.of(cast, "generationUpdate")
        casts = listener.of(cast, "castUpdate")
    terminal = {(item["generationId"], item["revision"]) for item in updates if item["status"] in TERMINAL}
    assert sorted(generation for generation, _ in terminal) == [f"{cast['castId']}.{step}.1" for step in range(3)]
    assert {item["revision"]: item["status"] for item in casts} == {1: "running", 2: "completed"}


def test_row_15_slugs_are_unique_also_at_once(cloud: Cloud) -> None:
    with ThreadPoolExecutor(6) as pool:
        spells = list(pool.map(lambda _: cloud.spell(words(), name="The same name"), range(6)))
    assert len({spell["slug"] for spell in spells}) == 6


def test_row_16_a_cast_runs_the_version_that_it_names(cloud: Cloud) -> None:
    spell = cloud.spell(called("[fault:stall]", node="job"), words("old"))
    with cloud.listening() as listener:
        cast = cloud.cast(spell)
        cloud.await_generation(f"{cast['castId']}.0.1", "processing")
        changed = {"name": spell["name"], "steps": [words("new")]}
        assert cloud.api.put(f"/v1/spells/{spell['spellId']}", json=changed).json()["version"] == 2
        cloud.put_on_bus(generationId=f"{cast['castId']}.0.1", status="succeeded", data={"text": "t"})
        told = listener.until_ended(cast)
    assert (told["version"], told["outputs"]) == (1, {"text": "old!"})
    assert cloud.run(spell)["outputs"] == {"text": "new!"}
    first = cloud.api.get(f"/v1/spells/{spell['slug']}?version=1").json()
    assert (first["version"], len(first["steps"])) == (1, 2)


def test_row_17_expressions_are_jsonata_line_by_line(cloud: Cloud) -> None:
    lines = "$split(input, ',')\n# how many there are\n$count(input)"
    ended = cloud.run(cloud.spell(words("a,b"), evaluated(lines, "count", input=wire("words", "text"))))
    assert ended["outputs"] == {"text": "2"}
    assert cloud.run(cloud.spell(evaluated("[1..10000000]", "n")))["failure"]["code"] == "EXPRESSION_FAILED"

"""Outputs are copied to the bucket: at once what a result holds, when the step is finished what it points to."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from spellcast.application.keep_outputs import MAX_ITEMS, PATIENCE
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.results import ToolResult
from spellcast.ports.media import MediaNotCopied
from tests.fakes.media import BUCKET_URL, PNG
from tests.fakes.world import World, make_tool

URL = "https://files.example/cat.gif"
JPEG = b"\xff\xd8\xff\xe0" + b"scan" * 300


@pytest.fixture
def world() -> World:
    made = World(
        make_tool("loose", "async", metadata={"keepOutputs": False}),
        make_tool("show", "async", inputSchema={"input_image": {"type": "image", "required": False}}),
    )
    made.media_source.contents[URL] = PNG
    return made


def pictures(*urls: str, **more: Any) -> ToolResult:
    return ToolResult("succeeded", ({"type": "image", "data": {"images": [{"url": url} for url in urls], **more}},))


def finished(world: World, result: ToolResult, *tools: str) -> Cast:
    """A cast whose first step had this result and was processed."""
    cast = world.cast(*(tools or ("polled",)))
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", result)
    world.process(cast)
    return cast


def images_of(world: World, cast: Cast, position: int = 0) -> Any:
    result = world.generation(cast, position).result
    assert result is not None
    return result.payload[0]["data"]["images"]


def test_an_output_lies_in_the_bucket_when_its_step_is_finished(world: World) -> None:
    cast = finished(world, pictures(URL))
    key = f"media/{cast.cast_id}/{cast.cast_id}.0.1/0.png"
    # Its type is what its bytes say, and not what its name does.
    assert world.media.objects == {key: (PNG, "image/png")}
    assert images_of(world, cast) == [{"url": f"s3:{key}", "mediaType": "image/png", "bytes": len(PNG)}]
    assert world.generation(cast, 0).status == "completed"


def test_the_raw_result_is_stored_before_anything_is_copied(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", pictures(URL))
    assert world.media_source.opened == []
    assert images_of(world, cast) == [{"url": URL}]


def test_a_process_that_dies_while_copying_is_followed_by_one_that_writes_the_same_objects(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", pictures(URL))
    world.media.failures.append(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.process(cast)
    assert world.generation(cast, 0).status == "processing"
    world.process(cast)
    assert world.generation(cast, 0).status == "completed"
    assert len(world.media.objects) == 1


def test_a_write_that_somebody_overtook_copies_nothing_again(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", pictures(URL))
    found = world.generation(cast, 0)
    world.store.meanwhile.append(lambda: world.store.save_generation(found.with_task_token("other"), found))
    world.process(cast)
    assert world.generation(cast, 0).status == "completed"
    assert world.media_source.opened == [URL]


def test_an_address_that_is_named_twice_is_copied_once(world: World) -> None:
    cast = finished(world, pictures(URL, URL, imageUrl=URL))
    first, second = images_of(world, cast)
    assert first == second
    assert world.generation(cast, 0).result.payload[0]["data"]["imageUrl"] == first["url"]  # type: ignore[union-attr]
    assert world.media_source.opened == [URL]


@pytest.mark.parametrize("may_pass", [True, False])
def test_an_output_that_cannot_be_copied_costs_nobody_the_step(world: World, may_pass: bool) -> None:
    world.media_source.contents[URL] = [MediaNotCopied("Its server answered 503.", may_pass=may_pass)]
    cast = finished(world, pictures(URL))
    generation = world.generation(cast, 0)
    assert (generation.status, str(generation.cost_usd)) == ("completed", "0.02")
    assert images_of(world, cast) == [{"url": URL, "kept": False, "reason": "Its server answered 503."}]
    assert len(world.media_source.opened) == (3 if may_pass else 1)


def test_nor_does_a_fault_of_our_own(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.media.failures.append(ValueError(f"odd: {URL}?token=t0k3n"))
    cast = finished(world, pictures(URL))
    assert world.generation(cast, 0).status == "completed"
    assert images_of(world, cast) == [{"url": URL, "kept": False, "reason": "It could not be copied."}]
    assert "t0k3n" not in caplog.text


def test_what_fails_once_is_tried_again(world: World) -> None:
    busy = MediaNotCopied("Its server answered 503.", may_pass=True)
    world.media_source.contents[URL] = [busy, b"", PNG]
    cast = finished(world, pictures(URL))
    assert images_of(world, cast)[0]["bytes"] == len(PNG)
    world.media.failures.append(MediaNotCopied("The bucket did not take it.", may_pass=True))
    world.media_source.contents[URL] = PNG
    assert images_of(world, finished(world, pictures(URL)))[0]["bytes"] == len(PNG)


def test_an_empty_output_is_not_kept(world: World) -> None:
    world.media_source.contents[URL] = b""
    assert images_of(world, finished(world, pictures(URL)))[0]["reason"] == "It is empty."


def test_copying_ends_before_the_function_does(world: World) -> None:
    def slow(url: str) -> None:
        world.clock.advance(PATIENCE.total_seconds() - 1)

    other = "https://files.example/dog.png"
    world.media_source.contents[other] = PNG
    opened = world.media_source.open

    def open_slowly(url: str, *arguments: Any, **more: Any) -> Any:
        slow(url)
        return opened(url, *arguments, **more)

    world.media_source.open = open_slowly  # type: ignore[method-assign]
    first, second, third = images_of(world, finished(world, pictures(URL, other, "https://files.example/3")))
    assert first["bytes"] == second["bytes"] == len(PNG)
    assert third["reason"] == "There was no time left to copy it."


def test_a_step_of_very_many_outputs_keeps_the_first_of_them(world: World) -> None:
    urls = [f"https://files.example/{number}" for number in range(MAX_ITEMS + 2)]
    world.media_source.contents.update(dict.fromkeys(urls, PNG))
    kept = images_of(world, finished(world, pictures(*urls)))
    assert [item.get("kept") for item in kept] == [None] * MAX_ITEMS + [False] * 2
    assert len(world.media.objects) == MAX_ITEMS


def test_a_tool_may_leave_its_outputs_where_they_are(world: World) -> None:
    assert images_of(world, finished(world, pictures(URL), "loose")) == [{"url": URL}]
    assert world.media.objects == {}


def test_only_the_providers_own_server_is_asked_with_its_headers(world: World) -> None:
    own, elsewhere = "https://own.example/view?filename=cat.png", "https://own.example/v1/webhooks/default/secret"
    world.media_source.contents |= {own: JPEG, elsewhere: JPEG}
    finished(world, pictures(URL, own, elsewhere))
    assert world.media_source.headers == [None, {"Authorization": "Bearer own"}, None]


def test_a_service_without_configuration_has_no_server_of_its_own(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    foreign = replace(world.generation(cast, 0), service_name="gone")
    world.keep_outputs(foreign, pictures("https://own.example/a.png"))
    assert world.media_source.headers == [None]


# --- base64 ---


@pytest.mark.parametrize(
    "item",
    [
        {"b64_json": base64.b64encode(JPEG).decode(), "mediaType": "image/png"},
        {"url": f"data:image/png;base64,{base64.b64encode(JPEG).decode()}"},
    ],
    ids=["b64_json", "data"],
)
def test_base64_goes_to_the_bucket_before_the_result_is_stored(world: World, item: Document) -> None:
    cast = world.cast("loose")
    world.execute(cast)
    world.complete_job(f"{cast.cast_id}.0.1", ToolResult("succeeded", ({"type": "image", "data": {"images": [item]}},)))
    ((key, stored),) = world.media.objects.items()
    assert key.startswith(f"media/{cast.cast_id}/{cast.cast_id}.0.1/0-")
    assert stored == (JPEG, "image/jpeg")
    assert images_of(world, cast) == [{"url": f"s3:{key}", "mediaType": "image/jpeg", "bytes": len(JPEG)}]
    world.process(cast)
    assert images_of(world, cast)[0]["url"] == f"s3:{key}"


def test_base64_of_a_second_result_does_not_touch_the_first_ones_object(world: World) -> None:
    cast = world.cast("polled")
    world.execute(cast)
    found = world.generation(cast, 0)

    def result(content: bytes) -> ToolResult:
        return ToolResult(
            "succeeded", ({"type": "image", "data": {"images": [{"b64_json": base64.b64encode(content).decode()}]}},)
        )

    world.store.meanwhile.append(lambda: world.complete_job(found.generation_id, result(PNG)))
    world.complete_job(found.generation_id, result(PNG + b"other"))
    pointer = images_of(world, cast)[0]["url"]
    assert world.media.objects[pointer.removeprefix("s3:")] == (PNG, "image/png")


def test_base64_that_is_none_or_that_the_bucket_does_not_take_stays_in_the_record(world: World) -> None:
    garbage = ToolResult("succeeded", ({"type": "image", "data": {"images": [{"b64_json": "%%%"}]}},))
    assert images_of(world, finished(world, garbage)) == [
        {"b64_json": "%%%", "kept": False, "reason": "It is not base64 of anything."}
    ]
    world.media.failures.append(MediaNotCopied("The bucket did not take it.", may_pass=True))
    text = base64.b64encode(PNG).decode()
    result = ToolResult("succeeded", ({"type": "image", "data": {"images": [{"b64_json": text}]}},))
    assert images_of(world, finished(world, result)) == [
        {"b64_json": text, "kept": False, "reason": "The bucket did not take it."}
    ]


# --- steps in place ---


def test_a_paid_step_in_place_is_stored_before_its_output_is_copied(world: World) -> None:
    world.adapter.on_execute = lambda request: (
        pictures(URL) if request.tool.tool_id == "paid" else ToolResult("succeeded")
    )
    cast = world.cast("paid", "free")
    world.media.failures.append(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        world.execute(cast)
    assert images_of(world, cast) == [{"url": URL}], "the result is not lost with the process"
    world.execute(cast)
    assert images_of(world, cast)[0]["url"].startswith("s3:media/")
    assert [request.tool.tool_id for request in world.adapter.executed] == ["paid", "free"]
    assert world.generation(cast, 0).status == "completed"


def test_a_free_step_in_place_is_one_write_all_the_same(world: World) -> None:
    world.adapter.on_execute = lambda request: pictures(URL)
    cast = world.cast("free", "free")
    world.store.writes.clear()
    world.execute(cast)
    assert [getattr(item, "status", "") for item in world.store.writes] == ["completed", "processing"]


def test_in_place_there_is_as_much_time_as_the_step_has_left(world: World) -> None:
    def late(request: Any) -> ToolResult:
        world.clock.advance(61)
        return pictures(URL)

    world.adapter.on_execute = late
    cast = world.cast("paid", "free")
    world.execute(cast)
    assert images_of(world, cast)[0]["reason"] == "There was no time left to copy it."
    assert timedelta(seconds=60) < PATIENCE


# --- links ---


def test_the_next_steps_provider_gets_a_link_and_the_record_a_pointer(world: World) -> None:
    cast = finished(world, pictures(URL), "polled", "show")
    world.execute(cast, 1)
    (pointer,) = (item["url"] for item in images_of(world, cast))
    assert world.generation(cast, 1).request_payload["input_image"] == pointer
    assert world.adapter.started[-1].inputs["input_image"] == world.media.link(pointer.removeprefix("s3:"))


def test_a_step_that_hands_a_link_on_has_the_same_object(world: World) -> None:
    cast = finished(world, pictures(URL), "polled", "show")
    world.execute(cast, 1)
    link = world.adapter.started[-1].inputs["input_image"]
    foreign = f"{BUCKET_URL}media/other/x.png?signature=s3cr3t"
    world.complete_job(f"{cast.cast_id}.1.1", pictures(link, foreign))
    world.process(cast, 1)
    own, other = images_of(world, cast, 1)
    assert own == {"url": images_of(world, cast)[0]["url"]}
    assert (other["url"], other["kept"]) == (foreign, False), "another cast's object is fetched like any address"


def test_a_text_that_is_a_link_is_stored_as_its_pointer_and_shown_as_a_link(world: World) -> None:
    cast = finished(world, pictures(URL), "polled", "show", "free")
    world.execute(cast, 1)
    link = world.adapter.started[-1].inputs["input_image"]
    texts = {"text": link, "result": {"said": f"It is at {link}"}}
    world.complete_job(f"{cast.cast_id}.1.1", ToolResult("succeeded", ({"type": "text", "data": texts},)))
    pointer = images_of(world, cast)[0]["url"]
    stored = world.generation(cast, 1).result
    assert stored is not None
    assert stored.payload[0]["data"] == {**texts, "text": pointer}
    world.process(cast, 1)
    assert world.find_casts.get("alice", cast.cast_id)["generations"][1]["outputs"] == {"text": link}


def test_a_pointer_that_a_provider_made_up_leads_to_nothing_of_others(world: World) -> None:
    victim = finished(world, pictures(URL))
    (stolen,) = (item["url"] for item in images_of(world, victim))
    cast = finished(world, pictures(stolen), "polled", "show")
    world.execute(cast, 1)
    assert world.adapter.started[-1].inputs["input_image"] == stolen
    shown = world.find_casts.get("alice", cast.cast_id)
    assert shown["generations"][0]["outputs"] == {"images": [{"url": stolen}]}


def test_whoever_reads_a_record_reads_links(world: World) -> None:
    cast = finished(world, pictures(URL))
    world.settle(cast)
    key = f"media/{cast.cast_id}/{cast.cast_id}.0.1/0.png"
    assert world.cast_of(cast).outputs["images"][0]["url"] == f"s3:{key}"  # type: ignore[index,call-overload]
    link = world.media.link(key)
    shown = world.find_casts.get("alice", cast.cast_id)
    assert shown["outputs"]["images"][0]["url"] == link
    assert shown["generations"][0]["responsePayload"][0]["data"]["images"][0]["url"] == link
    (listed,) = world.find_casts.list("alice", status=None, limit=1, cursor=None).items
    generation = world.find_casts.get_generation("alice", f"{cast.cast_id}.0.1")
    assert listed["outputs"] == generation["outputs"] == shown["outputs"]
    assert "s3:media" not in f"{shown}{listed}{generation}"

"""Documents over 200 KB: where they lie, who reads them, and what happens where the bucket does not have them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.documents import MAX_ROW_BYTES
from spellcast.domain.errors import DocumentLost, StorageUnavailable, WriteConflict
from spellcast.domain.results import ToolResult
from spellcast.domain.user_events import UserEvent
from tests.contract.deployment import BUCKET, stored_rows
from tests.contract.records import NOW, make_cast, make_generation, make_own_tool, make_spell
from tests.contract.stores import Cloud, Stores

LARGE = {"text": "é" * MAX_ROW_BYTES}
OTHER = {"text": "y" * (MAX_ROW_BYTES + 1)}


def of(size: int) -> dict[str, Any]:
    """A document whose JSON has exactly so many bytes, two of them for each of its characters."""
    empty = len('{"text":""}')
    return {"text": "é" * ((size - empty) // 2) + "x" * ((size - empty) % 2)}


def result_of(document: Any) -> ToolResult:
    return ToolResult("succeeded", ({"type": "text", "data": document},))


def keys(cloud: Cloud) -> list[str]:
    return [item["Key"] for item in cloud.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@contextmanager
def s3_calls(cloud: Cloud, on_call: Callable[[str], None]) -> Iterator[None]:
    """What happens just before each request to S3."""

    def before(event_name: str, **call: Any) -> None:
        on_call(event_name.rsplit(".", 1)[1])

    cloud.s3.meta.events.register("before-call.s3.*", before, unique_id="s3-calls")
    try:
        yield
    finally:
        cloud.s3.meta.events.unregister("before-call.s3.*", unique_id="s3-calls")


class TestUnread:
    """The fake and DynamoDB leave the same documents out."""

    def test_a_list_leaves_out_what_is_large_and_keeps_what_is_not(self, stores: Stores) -> None:
        cast = make_cast(inputs=LARGE, metadata={"cookId": "k"}, outputs={"text": "t"})
        small = make_cast(inputs={"prompt": "p"})
        for item in (cast, small):
            stores.casts.create_cast(item)
        page = stores.casts.list_casts("alice", status=None, limit=5, cursor=None)
        found = {item.cast_id: item for item in page.items}
        assert found[small.cast_id] == small
        listed = found[cast.cast_id]
        assert listed.unread.keys() == {"inputs"}
        assert replace(listed, unread={}) == replace(cast, inputs={})

    def test_a_cast_can_be_loaded_without_what_is_large(self, stores: Stores) -> None:
        cast = make_cast(cast_id="c1", inputs=LARGE, metadata=OTHER, settings=LARGE, overrides=LARGE, outputs=LARGE)
        generations = [
            make_generation("c1", 0, request_payload=LARGE, result=result_of("short")),
            make_generation("c1", 1, request_payload={"prompt": "p"}, result=result_of(LARGE), collection=LARGE),
            make_generation("c1", 2),
        ]
        stores.casts.create_cast(cast)
        for generation in generations:
            stores.casts.save_generation(generation, None)
        loaded = stores.casts.load_cast("c1", whole=False)
        assert loaded is not None
        found, of_it = loaded
        assert found.unread.keys() == {"inputs", "metadata", "settings", "overrides", "outputs"}
        assert (found.inputs, found.metadata, found.settings, found.overrides, found.outputs) == ({}, {}, {}, {}, None)
        assert [set(generation.unread) for generation in of_it] == [
            {"requestPayload"},
            {"responsePayload", "collection"},
            set(),
        ]
        assert of_it[0].result == result_of("short")
        assert of_it[1].request_payload == {"prompt": "p"}
        assert of_it[1].result == ToolResult("succeeded")
        assert of_it[2] == generations[2]
        assert stores.casts.load_cast("c1") == (cast, generations)

    def test_a_record_that_was_not_read_whole_is_written_whole(self, stores: Stores) -> None:
        cast = make_cast(cast_id="c1", inputs=LARGE, metadata={"cookId": "k"})
        generation = make_generation("c1", 0, request_payload=LARGE, result=result_of(OTHER))
        stores.casts.create_cast(cast)
        stores.casts.save_generation(generation, None)
        loaded = stores.casts.load_cast("c1", whole=False)
        assert loaded is not None
        found, (of_it,) = loaded
        changed = replace(found, outputs={"text": "t"}, revision=found.revision + 1)
        stores.casts.save_cast(changed, found)
        stores.casts.save_generation(replace(of_it, duration_ms=7, revision=of_it.revision + 1), of_it)
        assert stores.casts.load_cast("c1") == (
            replace(cast, outputs={"text": "t"}, revision=cast.revision + 1),
            [replace(generation, duration_ms=7, revision=generation.revision + 1)],
        )

    def test_it_is_written_on_the_same_condition(self, stores: Stores) -> None:
        cast = make_cast(cast_id="c1", inputs=LARGE)
        stores.casts.create_cast(cast)
        loaded = stores.casts.load_cast("c1", whole=False)
        assert loaded is not None
        stores.casts.save_cast(replace(cast, revision=2), cast)
        with pytest.raises(WriteConflict):
            stores.casts.save_cast(replace(loaded[0], revision=2), loaded[0])

    @pytest.mark.parametrize(("size", "unread"), [(MAX_ROW_BYTES - 1, 0), (MAX_ROW_BYTES, 0), (MAX_ROW_BYTES + 1, 1)])
    def test_the_limit_is_met_to_the_byte(self, stores: Stores, size: int, unread: int) -> None:
        stores.casts.create_cast(make_cast(cast_id="c1", inputs=of(size)))
        (listed,) = stores.casts.list_casts("alice", status=None, limit=1, cursor=None).items
        assert len(listed.unread) == unread

    def test_neither_a_list_nor_a_part_asks_the_bucket_and_nor_does_writing_what_was_not_read(
        self, cloud: Cloud
    ) -> None:
        cast = make_cast(cast_id="c1", inputs=LARGE, overrides=LARGE)
        generation = make_generation("c1", 0, result=result_of(LARGE))
        cloud.casts.create_cast(cast)
        cloud.casts.save_generation(generation, None)
        asked: list[str] = []
        with s3_calls(cloud, asked.append):
            cloud.casts.list_casts("alice", status=None, limit=5, cursor=None)
            loaded = cloud.casts.load_cast("c1", whole=False)
            assert loaded is not None
            cloud.casts.save_cast(replace(loaded[0], revision=2), loaded[0])
            cloud.casts.save_generation(replace(loaded[1][0], revision=generation.revision + 1), loaded[1][0])
        assert asked == []


def writers(cloud: Cloud) -> dict[str, Callable[[], object]]:
    """Everything that a large document can be a part of."""
    cast = make_cast(cast_id="c1", inputs=LARGE)
    spell, version = make_spell("a-cat", spell_id="s1")
    version = replace(version, content={**version.content, **LARGE})
    event = UserEvent(
        event_id="e1",
        account_id="alice",
        event_type="clicked",
        event_data=LARGE,
        source_platform="web",
        timestamp=NOW,
    )
    return {
        "cast": lambda: cloud.casts.create_cast(cast),
        "generation": lambda: cloud.casts.save_generation(make_generation("c1", 0, result=result_of(LARGE)), None),
        "spell": lambda: cloud.spells.create_spell(spell, version),
        "tool": lambda: cloud.tools.create_tool("alice", make_own_tool("mine", metadata=LARGE)),
        "settings": lambda: cloud.settings.put_settings("alice", AccountSettings({"mine": LARGE})),
        "event": lambda: cloud.events.create_event(event),
    }


def readers(cloud: Cloud) -> dict[str, Callable[[], object]]:
    return {
        "cast": lambda: cloud.casts.get_cast("c1"),
        "generation": lambda: cloud.casts.get_generation("c1.0.1"),
        "spell": lambda: cloud.spells.get_version("s1", 1),
        "tool": lambda: cloud.tools.get_tool("alice", "mine"),
        "settings": lambda: cloud.settings.get_settings("alice"),
        "event": lambda: cloud.events.get_event("e1"),
    }


ROWS = ["cast", "generation", "spell", "tool", "settings", "event"]


class Died(BaseException):
    """The process."""


@pytest.mark.parametrize("row", ROWS)
class TestFailures:
    def test_whoever_dies_between_the_object_and_the_row_has_written_nothing_and_can_do_it_again(
        self, cloud: Cloud, row: str
    ) -> None:
        def die(**call: Any) -> None:
            raise Died

        cloud.dynamodb.meta.events.register("before-call.dynamodb.*", die, unique_id="die")
        try:
            with pytest.raises(Died):
                writers(cloud)[row]()
        finally:
            cloud.dynamodb.meta.events.unregister("before-call.dynamodb.*", unique_id="die")
        assert stored_rows(cloud.dynamodb) == []
        orphans = keys(cloud)
        assert len(orphans) == 1
        writers(cloud)[row]()
        assert keys(cloud) == orphans
        assert readers(cloud)[row]() is not None

    @pytest.mark.parametrize(
        "error",
        [
            EndpointConnectionError(endpoint_url="https://s3.example"),
            ConnectTimeoutError(endpoint_url="https://s3.example"),
            ReadTimeoutError(endpoint_url="https://s3.example"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_a_bucket_that_does_not_answer_is_one_error_that_can_be_asked_again(
        self, cloud: Cloud, row: str, error: Exception
    ) -> None:
        def fail(operation: str) -> None:
            raise error

        with s3_calls(cloud, fail), pytest.raises(StorageUnavailable) as caught:
            writers(cloud)[row]()
        assert caught.value.retryable
        assert stored_rows(cloud.dynamodb) == []
        writers(cloud)[row]()
        with s3_calls(cloud, fail), pytest.raises(StorageUnavailable):
            replace_cache(cloud)[row]()
        assert replace_cache(cloud)[row]() is not None

    def test_an_object_that_is_gone_is_an_error_that_says_so(self, cloud: Cloud, row: str) -> None:
        writers(cloud)[row]()
        (key,) = keys(cloud)
        cloud.s3.delete_object(Bucket=BUCKET, Key=key)
        with pytest.raises(DocumentLost, match="is not in the bucket any more") as caught:
            replace_cache(cloud)[row]()
        assert key not in caught.value.message


def replace_cache(cloud: Cloud) -> dict[str, Callable[[], object]]:
    """The readers of another process."""
    spells = type(cloud.spells)(cloud.table, cloud.spells.documents)
    return readers(replace(cloud, spells=spells))


def test_an_object_is_shared_by_the_revisions_of_a_row_and_by_no_other_row(cloud: Cloud) -> None:
    cast = make_cast(cast_id="c1", inputs=LARGE, metadata=LARGE)
    cloud.casts.create_cast(cast)
    cloud.casts.save_cast(replace(cast, revision=2), cast)
    cloud.casts.create_cast(make_cast(cast_id="c2", inputs=LARGE))
    for attempt in (1, 2):
        cloud.casts.save_generation(make_generation("c1", 0, attempt, request_payload=LARGE), None)
    assert sorted(key.rpartition("-")[0] for key in keys(cloud)) == [
        "documents/c1/c1.0.1/requestPayload",
        "documents/c1/c1.0.2/requestPayload",
        "documents/c1/inputs",
        "documents/c1/metadata",
        "documents/c2/inputs",
    ]


def test_deleting_a_spell_or_a_tool_leaves_what_running_casts_read(cloud: Cloud) -> None:
    for row in ("spell", "tool"):
        writers(cloud)[row]()
    spell = cloud.spells.get_spell("s1")
    assert spell is not None
    assert cloud.spells.delete_spell(spell)
    assert cloud.tools.delete_tool("alice", "mine")
    assert replace_cache(cloud)["spell"]() is not None
    assert cloud.tools.recall_tool("alice", "mine") is not None


def test_no_row_is_too_large_for_dynamodb_whatever_its_documents(cloud: Cloud) -> None:
    """Just under the limit together: nothing leaves, and the row has its largest size."""
    part = of(MAX_ROW_BYTES // 3)
    generation = make_generation(
        "c1",
        0,
        request_payload=part,
        collection=part,
        result=ToolResult("succeeded", ({"type": "text", "data": of(MAX_ROW_BYTES // 3 - 30)},)),
        task_token="t" * 2_048,
        run_id="r" * 1_000,
    )
    cloud.casts.save_generation(generation, None)
    assert keys(cloud) == []
    (row,) = stored_rows(cloud.dynamodb)
    assert MAX_ROW_BYTES < len(json.dumps(row, ensure_ascii=False).encode()) < 400 * 1024

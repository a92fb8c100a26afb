"""What only DynamoDB's stores promise: the keys of the rows, and large documents in S3."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.aws.table import INDEX, OPEN_INDEX, Row, Table
from spellcast.aws.tool_store import DynamoToolStore
from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.budgets import Reservation
from spellcast.domain.casts import Closing
from spellcast.domain.documents import MAX_ROW_BYTES
from spellcast.domain.errors import WriteConflict
from spellcast.domain.identifiers import generation_id
from spellcast.domain.ledger import Entry, LedgerRow
from spellcast.domain.results import ToolResult
from spellcast.domain.spells import Permission
from spellcast.ports.store import Connection, Ticket
from tests.contract.deployment import BUCKET, properties, stored_rows
from tests.contract.records import NOW, a_run, make_cast, make_generation, make_own_tool, make_spell
from tests.contract.stores import Cloud

MAX_ITEM_BYTES = 400 * 1024


def document_of(size: int) -> dict[str, Any]:
    """A document whose JSON has exactly so many bytes."""
    empty = len(json.dumps({"text": ""}, separators=(",", ":")))
    return {"text": "x" * (size - empty)}


def objects(cloud: Cloud) -> list[str]:
    return [item["Key"] for item in cloud.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def item_bytes(item: dict[str, Any]) -> int:
    """An upper bound of an item's size: names and values as text."""
    return sum(len(name.encode()) + len(str(next(iter(value.values()))).encode()) for name, value in item.items())


class TestWritesThatAreSentAgain:
    """botocore sends a request again whose answer was lost, after the write was done."""

    @pytest.fixture
    def lost_answers(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        put_item = cloud.dynamodb.put_item

        def twice(**arguments: Any) -> Any:
            put_item(**arguments)
            return put_item(**arguments)

        monkeypatch.setattr(cloud.dynamodb, "put_item", twice)

    @pytest.mark.usefixtures("lost_answers")
    def test_they_are_no_conflict_with_themselves(self, cloud: Cloud) -> None:
        reserved = make_generation("c1", 0, 1)
        cloud.casts.save_generation(reserved, None)
        later = reserved.with_task_token("t2")
        cloud.casts.save_generation(later, reserved)
        assert cloud.casts.get_generation(later.generation_id) == later

    @pytest.mark.usefixtures("lost_answers")
    def test_of_two_that_write_the_same_row_one_goes_on(self, cloud: Cloud) -> None:
        reserved = make_generation("c1", 0, 1)
        cloud.casts.save_generation(reserved, None)
        with pytest.raises(WriteConflict):
            cloud.casts.save_generation(reserved, None)
        later = reserved.with_task_token("t2")
        cloud.casts.save_generation(later, reserved)
        with pytest.raises(WriteConflict):
            cloud.casts.save_generation(later, reserved)

    def test_whoever_was_overtaken_before_its_write_was_sent_again_is_told(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reserved = make_generation("c1", 0, 1)
        put_item = cloud.dynamodb.put_item

        def overtaken(**arguments: Any) -> Any:
            put_item(**arguments)
            monkeypatch.undo()
            cloud.casts.save_generation(reserved.with_task_token("t2"), reserved)
            return put_item(**arguments)

        monkeypatch.setattr(cloud.dynamodb, "put_item", overtaken)
        with pytest.raises(WriteConflict):
            cloud.casts.save_generation(reserved, None)


class TestKeys:
    """The shapes that the architecture's table of rows gives."""

    def test_each_record_is_at_its_place(self, cloud: Cloud) -> None:
        cast = make_cast(cast_id="c1")
        cloud.casts.create_cast(cast)
        cloud.casts.save_generation(make_generation("c1", 3, 2), None)
        cloud.spells.create_spell(*make_spell("a-cat", spell_id="s1"))
        cloud.spells.create_permission(Permission("s1", "bob", "alice", NOW))
        cloud.tools.create_tool("alice", make_own_tool("mine"))
        cloud.history.record_runs("alice", [a_run("built-in", 3), a_run("mine", 0)])
        cloud.settings.put_settings("alice", AccountSettings({"mine": {"x": 1}}))
        cloud.days.reserve("alice", "c1.0.1", Reservation("2026-01-31", Decimal(1)), Decimal(1))
        cloud.ledger.put_row(LedgerRow("alice", "c1#1", "c1", NOW, (Entry("settle", "c1.0.1", Decimal(1), 3),)))
        cloud.access.put_connection(Connection("k=", "alice", NOW, NOW + timedelta(hours=2)))
        cloud.access.put_ticket(Ticket("t", "alice", NOW))
        began = "2026-01-31T12:00:00.123Z"
        found = {
            (row["pk"]["S"], row["sk"]["S"]): (
                row["entity"]["S"],
                row.get("gsi1pk", {}).get("S"),
                row.get("gsi1sk", {}).get("S"),
            )
            for row in stored_rows(cloud.dynamodb)
        }
        ticket = "TICKET#e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8"
        assert found == {
            ("CAST#c1", "CAST"): ("CAST", "ACCOUNT#alice#CASTS", f"{began}#c1"),
            ("CAST#c1", "GENERATION#0003#0002"): ("GENERATION", None, None),
            ("SPELL#s1", "SPELL"): ("SPELL", "ACCOUNT#alice#SPELLS", f"{began}#s1"),
            ("SPELL#s1", "VERSION#00000001"): ("SPELL_VERSION", None, None),
            ("SPELL#s1", "PERMISSION#bob"): ("PERMISSION", None, None),
            ("SLUG#a-cat", "SLUG"): ("SLUG", None, None),
            ("ACCOUNT#alice", "TOOL#mine"): ("TOOL", None, None),
            ("HISTORY#built-in#3", "RUN"): ("RUN", None, None),
            ("HISTORY#alice/mine#0", "RUN"): ("RUN", None, None),
            ("ACCOUNT#alice", "SETTINGS"): ("SETTINGS", None, None),
            ("DAY#alice", "2026-01-31"): ("DAY", None, None),
            ("LEDGER#alice", f"{began}#c1#1"): ("LEDGER", None, None),
            ("ACCOUNT#alice", "CONNECTION#k="): ("CONNECTION", None, None),
            (ticket, "TICKET"): ("TICKET", None, None),
        }

    def test_the_templates_index_is_the_one_that_is_read(self) -> None:
        index, open_casts = properties("Table")["GlobalSecondaryIndexes"]
        assert (index["IndexName"], open_casts["IndexName"]) == (INDEX, OPEN_INDEX)
        # The list is filtered by status on the index itself.
        assert "status" in index["Projection"]["NonKeyAttributes"]

    def test_what_is_billed_while_a_cast_runs_writes_nothing_to_the_index_of_open_casts(self, cloud: Cloud) -> None:
        """Only a change of what it projects is a write."""
        cast = make_cast()
        cloud.casts.create_cast(cast)
        _, open_casts = properties("Table")["GlobalSecondaryIndexes"]
        projected = ["gsi2pk", "gsi2sk", *open_casts["Projection"]["NonKeyAttributes"]]
        [before] = stored_rows(cloud.dynamodb)
        cloud.casts.save_cast(cast.billed(cost_usd=Decimal(1), points=3, now=NOW + timedelta(seconds=5)), cast)
        [after] = stored_rows(cloud.dynamodb)
        assert [after.get(name) for name in projected] == [before.get(name) for name in projected]
        assert before["gsi2pk"]["S"].startswith("OPEN#")

    def test_what_expires_has_the_templates_time_to_live_in_seconds(self, cloud: Cloud) -> None:
        attribute = properties("Table")["TimeToLiveSpecification"]["AttributeName"]
        cloud.access.put_ticket(Ticket("t", "alice", NOW))
        cloud.access.put_connection(Connection("k=", "alice", NOW, NOW))
        assert [row[attribute] for row in stored_rows(cloud.dynamodb)] == [{"N": str(int(NOW.timestamp()))}] * 2

    def test_the_stream_carries_what_announces_a_record(self) -> None:
        assert properties("Table")["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}


class TestWriteUnits:
    def test_a_completed_cast_of_ten_steps_is_a_row_of_one(self, cloud: Cloud) -> None:
        cast = make_cast(
            status="completed",
            completed_at=NOW,
            request_fingerprint="f" * 64,
            step_count=10,
            outputs={"text": "a cat!"},
            closings=(Closing(1, ()),),
        )
        own = tuple(generation_id(cast.cast_id, step_index, 1) for step_index in range(10))
        cast = replace(cast, step_generation_ids=(*own, "697c0ffee0000000000000a1"))
        cloud.casts.create_cast(cast)
        [row] = stored_rows(cloud.dynamodb)
        assert item_bytes(row) <= 1024 - 100
        assert cloud.casts.get_cast(cast.cast_id) == cast


class TestLargeDocuments:
    @pytest.mark.parametrize(
        ("size", "in_bucket"), [(199_000, False), (MAX_ROW_BYTES, False), (MAX_ROW_BYTES + 1, True), (201_000, True)]
    )
    def test_a_cast_over_200_kb_leaves_its_document_in_the_bucket(
        self, cloud: Cloud, size: int, in_bucket: bool
    ) -> None:
        cast = make_cast(inputs=document_of(size))
        cloud.casts.create_cast(cast)
        (row,) = stored_rows(cloud.dynamodb)
        assert row["inputs"]["S"].startswith("s3:") == in_bucket
        assert len(objects(cloud)) == in_bucket
        assert cloud.casts.get_cast(cast.cast_id) == cast
        assert cloud.casts.load_cast(cast.cast_id) == (cast, [])
        (listed,) = cloud.casts.list_casts("alice", status=None, limit=5, cursor=None).items
        assert listed == (replace(cast, inputs={}, unread={"inputs": row["inputs"]["S"]}) if in_bucket else cast)

    def test_bytes_are_counted_and_not_characters(self, cloud: Cloud) -> None:
        cast = make_cast(inputs={"text": "é" * 150_000})
        cloud.casts.create_cast(cast)
        assert len(objects(cloud)) == 1
        assert cloud.casts.get_cast(cast.cast_id) == cast

    def test_the_largest_leave_until_the_rest_fits(self, cloud: Cloud) -> None:
        cast = make_cast(inputs=document_of(90_000), metadata=document_of(120_000), outputs=document_of(100_000))
        cloud.casts.create_cast(cast)
        (row,) = stored_rows(cloud.dynamodb)
        moved = {name for name in ("inputs", "metadata", "outputs") if row[name]["S"].startswith("s3:")}
        assert moved == {"metadata"}
        assert cloud.casts.get_cast(cast.cast_id) == cast

    def test_every_document_of_a_row_can_leave_and_the_row_stays_small(self, cloud: Cloud) -> None:
        large = document_of(900_000)
        result = ToolResult("succeeded", ({"type": "text", "data": large},))
        token, url = "t" * 2048, "https://example.com/" + "u" * 2000
        generation = make_generation(
            "c1", request_payload=large, result=result, collection=large, task_token=token, run_id="r" * 500
        )
        cast = make_cast(cast_id="c1", inputs=large, metadata=large, outputs=large, webhook_url=url)
        cloud.casts.create_cast(cast)
        cloud.casts.save_generation(generation, None)
        assert cloud.casts.load_cast("c1") == (cast, [generation])
        assert len(objects(cloud)) == 6
        for row in stored_rows(cloud.dynamodb):
            assert item_bytes(row) < MAX_ITEM_BYTES

    def test_the_largest_row_without_a_pointer_is_under_dynamodbs_limit(self, cloud: Cloud) -> None:
        cast = make_cast(
            inputs=document_of(MAX_ROW_BYTES),
            webhook_url="u" * 2048,
            webhook_secret="s" * 256,
            spell_name="é" * 200,
            spell_slug="s" * 80,
        )
        cloud.casts.create_cast(cast)
        (row,) = stored_rows(cloud.dynamodb)
        assert item_bytes(row) < MAX_ITEM_BYTES
        assert objects(cloud) == []

    def test_a_spell_and_a_tool_can_be_large(self, cloud: Cloud) -> None:
        spell, version = make_spell()
        version = replace(version, content={**version.content, **document_of(300_000)})
        cloud.spells.create_spell(spell, version)
        tool = make_own_tool("mine", metadata=document_of(300_000))
        cloud.tools.create_tool("alice", tool)
        assert cloud.spells.get_version(spell.spell_id, 1) == version
        assert cloud.tools.get_tool("alice", "mine") == tool
        assert len(objects(cloud)) == 2

    def test_writing_the_same_document_again_is_the_same_object(self, cloud: Cloud) -> None:
        cast = make_cast(inputs=document_of(300_000))
        cloud.casts.create_cast(cast)
        cloud.casts.save_cast(replace(cast, revision=2), cast)
        assert len(objects(cloud)) == 1

    def test_objects_of_two_casts_are_two(self, cloud: Cloud) -> None:
        for _ in range(2):
            cloud.casts.create_cast(make_cast(inputs=document_of(300_000)))
        assert len(objects(cloud)) == 2


def test_a_rare_status_is_found_without_asking_for_each_cast(cloud: Cloud) -> None:
    """The page's limit is also the number of rows that one question looks at."""
    cloud.casts.create_cast(make_cast(status="failed", started_at=NOW))
    for number in range(40):
        cloud.casts.create_cast(make_cast(started_at=NOW + timedelta(seconds=number + 1)))
    asked: list[str] = []
    cloud.dynamodb.meta.events.register(
        "before-call.dynamodb.Query", lambda **call: asked.append("query"), unique_id="count"
    )
    try:
        page = cloud.casts.list_casts("alice", status="failed", limit=1, cursor=None)
    finally:
        cloud.dynamodb.meta.events.unregister("before-call.dynamodb.Query", unique_id="count")
    assert [cast.status for cast in page.items] == ["failed"]
    assert len(asked) <= 5


class Stale:
    """The table as it was for whoever read before others wrote."""

    def __init__(self, table: Table, row: Row) -> None:
        self._row = row
        self.create, self.replace = table.create, table.replace

    def get(self, pk: str, sk: str) -> Row:
        return self._row


def stale(cloud: Cloud) -> DynamoToolStore:
    row = cloud.table.get("ACCOUNT#alice", "TOOL#mine")
    assert row is not None
    return replace(cloud.tools, table=Stale(cloud.table, row))  # type: ignore[arg-type]


def test_who_deletes_a_tool_that_was_defined_anew_meanwhile_does_not_bring_the_old_one_back(cloud: Cloud) -> None:
    cloud.tools.create_tool("alice", make_own_tool("mine", "Old"))
    late = stale(cloud)
    assert cloud.tools.delete_tool("alice", "mine")
    cloud.tools.create_tool("alice", make_own_tool("mine", "New"))
    assert not late.delete_tool("alice", "mine")
    assert cloud.tools.get_tool("alice", "mine") == make_own_tool("mine", "New")


def test_of_two_who_take_the_place_of_a_deleted_tool_one_does(cloud: Cloud) -> None:
    cloud.tools.create_tool("alice", make_own_tool("mine", "Old"))
    cloud.tools.delete_tool("alice", "mine")
    late = stale(cloud)
    cloud.tools.create_tool("alice", make_own_tool("mine", "New"))
    with pytest.raises(WriteConflict):
        late.create_tool("alice", make_own_tool("mine", "Newer"))
    assert cloud.tools.get_tool("alice", "mine") == make_own_tool("mine", "New")

"""Sockets that end at any moment: what a client knows in the end is what there is, in order, and each thing once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from spellcast.aws.table import from_item, to_item
from tests.chaos.conftest import Defends
from tests.chaos.sizes import SEED, size
from tests.chaos.witnesses import Watcher
from tests.cloud import Cloud, Document, called, words

DROPS = size(100, 1_000)
# With each cast the socket drops some times.
DROPS_A_CAST = 4
PATIENCE = 120.0
TWO_HOURS = 7_200
# MiniStack looks for rows that have expired once a minute.
SWEPT_SECONDS = 90.0


def connections(cloud: Cloud) -> list[Document]:
    """The account's rows."""
    answer = cloud.aws("dynamodb").query(
        TableName=cloud.outputs["tableName"],
        KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues=to_item({":pk": "ACCOUNT#local", ":sk": "CONNECTION#"}),
        ConsistentRead=True,
    )
    return [from_item(item) for item in answer["Items"]]


def awaited(probe: Any, patience: float = PATIENCE) -> Any:
    """The first truthy answer."""
    deadline = time.monotonic() + patience
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.fixture
def watcher(cloud: Cloud) -> Iterator[Watcher]:
    for left in connections(cloud):  # by tests whose sockets were closed from the other side
        key = to_item({name: left[name] for name in ("pk", "sk")})
        cloud.aws("dynamodb").delete_item(TableName=cloud.outputs["tableName"], Key=key)
    watcher = Watcher(cloud.outputs["httpUrl"], cloud.outputs["apiKey"])
    watcher.start()
    awaited(lambda: len(connections(cloud)) == 1)
    yield watcher
    watcher.stop()


def test_a_client_whose_socket_drops_at_random_misses_nothing(cloud: Cloud, watcher: Watcher, defends: Defends) -> None:
    draw = random.Random(SEED)
    spell = cloud.spell(words("one", "one"), called("two [seconds:0.5]", "two"))
    casts: list[Document] = []

    def cast() -> None:
        casts.append(begun := cloud.cast(spell))
        watcher.watch(begun["castId"])

    with ThreadPoolExecutor(1) as threads:
        for number in range(DROPS):
            if number % DROPS_A_CAST == 0:
                running = threads.submit(cast)
            before = watcher.connections
            # A moment between a cast's start and its end: before, in the middle of, or after its messages.
            time.sleep(draw.uniform(0, 0.2))
            watcher.drop(abruptly=number % 2 == 0)
            watcher.until_connected(before, PATIENCE)
            if number % DROPS_A_CAST == DROPS_A_CAST - 1:
                running.result()
    for begun in casts:
        told = watcher.until_known(begun["castId"], PATIENCE)
        found = cloud.get_cast(begun)
        same = ("status", "revision", "costUsd", "stepGenerationIds", "completedAt")
        assert {key: told[key] for key in same} == {key: found[key] for key in same}
    assert watcher.disorder == []
    assert watcher.repeats == 0
    for begun in casts:
        for generation in cloud.get_cast(begun)["generations"]:
            known = watcher.known[generation["generationId"]]
            assert (known["status"], known["revision"]) == (generation["status"], generation["revision"])
    awaited(lambda: len(connections(cloud)) == 1)
    defends("I7", "the socket drops at random, every other time without a goodbye", f"{watcher.connections - 1} drops")


def test_a_connection_that_is_gone_is_forgotten(cloud: Cloud, watcher: Watcher, defends: Defends) -> None:
    """Its row would otherwise cost a post with every message; one that is young may be about to be opened."""
    [row] = connections(cloud)
    gone = {**row, "sk": "CONNECTION#gone", "connectionId": "gone", "connectedAt": "2026-01-01T00:00:00.000Z"}
    cloud.aws("dynamodb").put_item(TableName=cloud.outputs["tableName"], Item=to_item(gone))
    begun = cloud.cast(cloud.spell(words()))
    watcher.watch(begun["castId"])
    watcher.until_known(begun["castId"], PATIENCE)
    awaited(lambda: [each["sk"] for each in connections(cloud)] == [row["sk"]])
    defends("I7", "a post to a connection that is gone", "its row is deleted by the first message")


def test_a_connection_lives_for_two_hours(cloud: Cloud, watcher: Watcher, defends: Defends) -> None:
    [row] = connections(cloud)
    opened = time.time() - (row["expiresAt"] - TWO_HOURS)
    assert -1 <= opened <= 600, "it expires two hours after it was opened"
    table = cloud.outputs["tableName"]
    expiry = cloud.aws("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "expiresAt")
    old = {**row, "sk": "CONNECTION#old", "connectionId": "old", "expiresAt": int(time.time()) - 1}
    cloud.aws("dynamodb").put_item(TableName=table, Item=to_item(old))
    awaited(lambda: [each["sk"] for each in connections(cloud)] == [row["sk"]], SWEPT_SECONDS)
    defends("I7", "a connection older than two hours", "its row is deleted by the table's time to live")

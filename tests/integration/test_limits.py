"""A provider's limits and its 429s, through the state machine: casts wait for their turn, and are completed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from spellcast.application.slots import Slots
from spellcast.aws.clock import SystemClock
from spellcast.aws.lease_store import DynamoLeaseStore
from spellcast.aws.table import Table
from spellcast.domain.errors import NoFreeSlot
from spellcast.domain.generations import Generation
from spellcast.domain.identifiers import generation_id
from spellcast.domain.limits import Limits
from tests.cloud import Cloud, called, drawn
from tests.fakes.adapters import FakeAdapters
from tests.fakes.records import a_generation

Limit = Callable[..., None]


@pytest.fixture
def limit(cloud: Cloud) -> Iterator[Limit]:
    """Sets the limits of ComfyUI for one test."""
    store, name = cloud.aws("secretsmanager"), "spellcast/local/comfyui"
    before = store.get_secret_value(SecretId=name)["SecretString"]

    def put(text: str) -> None:
        store.put_secret_value(SecretId=name, SecretString=text)
        httpx.post(f"{cloud.outputs['endpointUrl']}/_spellcast/renew").raise_for_status()

    yield lambda **limits: put(json.dumps({**json.loads(before), "limits": limits}))
    put(before)


def test_jobs_beyond_the_limit_wait_for_their_turn(cloud: Cloud, limit: Limit) -> None:
    limit(jobsInFlight=1)
    spell = cloud.spell(drawn("[seconds:0.2]"))
    with cloud.listening() as listener:
        casts = [cloud.cast(spell) for _ in range(3)]
        # Nobody is next: they end in any order.
        for _ in casts:
            listener.until(
                lambda message: message["type"] == "castUpdate" and message["payload"]["status"] == "completed", 60
            )
    [jobs] = zip(*(cloud.get_cast(cast)["generations"] for cast in casts), strict=True)
    spans = sorted((job["requestTimestamp"], job["responseTimestamp"]) for job in jobs)
    assert all(ended <= begun for (_, ended), (begun, _) in itertools.pairwise(spans)), spans
    assert {job["metadata"]["submission"] for job in jobs} == {"submitted"}


def test_a_place_costs_two_writes_and_whoever_finds_none_writes_nothing(cloud: Cloud, limit: Limit) -> None:
    limit(jobsInFlight=1)
    first, second = cloud.spell(drawn("[seconds:1]")), cloud.spell(drawn("[seconds:0.2]"))
    cloud.reset_counts()
    holder = cloud.cast(first)
    # Of two that want it at once, one would write in vain.
    cloud.await_generation(generation_id(holder["castId"], 0, 1), "processing")
    waiting = cloud.cast(second)
    for cast in (holder, waiting):
        assert cloud.await_cast(cast)["status"] == "completed"
    writes = cloud.counts()["writesByEntity"]
    assert writes["LEASES"]["requests"] == 2 * 2
    assert writes["GENERATION"]["requests"] == 4 * 2


def test_without_limits_nobody_writes_of_places(cloud: Cloud) -> None:
    cloud.reset_counts()
    assert cloud.run(cloud.spell(drawn()))["status"] == "completed"
    assert {"LEASES", "-"}.isdisjoint(cloud.counts()["writesByEntity"])
    assert Limits().of("jobs", "comfyui", "local") == ()


def test_of_many_who_want_a_place_at_once_as_many_have_one_as_there_are(cloud: Cloud) -> None:
    adapters = FakeAdapters({})
    adapters.configured = Limits(jobs=5)
    table = Table(cloud.aws("dynamodb"), cloud.outputs["tableName"])
    slots = Slots(DynamoLeaseStore(table, SystemClock()), adapters, SystemClock())
    now = SystemClock().now()
    wanting = [
        a_generation(cast_id=f"c{number}", service_name="crowded", deadline_at=now + timedelta(minutes=1))
        for number in range(24)
    ]

    def take(generation: Generation) -> bool:
        try:
            slots.take(generation, "jobs", now + timedelta(hours=1))
        except NoFreeSlot:
            return False
        return True

    with ThreadPoolExecutor(len(wanting)) as crowd:
        assert sum(crowd.map(take, wanting)) == 5
        assert len(slots.leases.get_leases("crowded#jobs").held) == 5
        list(crowd.map(lambda generation: slots.give_back(generation.generation_id, ["crowded#jobs"]), wanting))
    assert slots.leases.get_leases("crowded#jobs").held == {}


@pytest.mark.parametrize("step", [drawn(), called()], ids=["polled", "called"])
def test_a_429_is_waited_out(cloud: Cloud, step: dict[str, object]) -> None:
    busy = {"fault": "throttle", "times": 2}
    cloud.provider.post("/control", json={"reset": True, "comfyui": busy, "replicate": busy}).raise_for_status()
    ended = cloud.run(cloud.spell(step))
    counts = cloud.provider.get("/control/counts").json()
    cloud.provider.post("/control", json={"reset": True})
    assert ended["status"] == "completed", ended
    assert counts["comfyui"].get("submits", 0) + counts["replicate"].get("submits", 0) == 3

"""How many casts a second the embedded cloud runs, and what memory it takes, by how many are in flight."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from tests.bench.memory import megabytes
from tests.bench.times import PATIENCE, is_cast_end
from tests.cloud import Cloud, Document, called, words

IN_FLIGHT = (1, 10, 50, 100)
_CASTS = 60  # at least, and of many in flight three times as many: the rate is to be the one that lasts


@dataclass(frozen=True)
class Capacity:
    """Of casts of three immediate steps, `in_flight` at a time.

    `message_ms` is how long after its end a cast's last message came, `cast_ms` how long a cast took; medians.
    """

    in_flight: int
    casts: int
    casts_per_second: float
    cast_ms: float
    message_ms: float
    megabytes: float


def capacity(cloud: Cloud, in_flight: int) -> Capacity:
    """A new cast is begun whenever one is said to have ended."""
    spell = cloud.spell(*[words(node=f"n{number}") for number in range(3)])
    cloud.run(spell)
    told: dict[str, float] = {}
    memory: list[float] = []
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=[cloud, memory, done])
    with cloud.listening() as listener, ThreadPoolExecutor(8) as pool:
        watch.start()
        began, begun, wanted = time.time(), 0, max(_CASTS, 3 * in_flight)
        while len(told) < wanted:
            while begun < min(wanted, len(told) + in_flight):
                pool.submit(cloud.cast, spell)
                begun += 1
            message = listener.until(is_cast_end, PATIENCE)
            told.setdefault(message["payload"]["castId"], time.time())
        done.set()
        watch.join()
    casts = [cloud.get_cast({"castId": cast_id}) for cast_id in told]
    ends = [_seconds(cast["completedAt"]) for cast in casts]
    return Capacity(
        in_flight=in_flight,
        casts=len(casts),
        casts_per_second=len(casts) / (max(ends) - began),
        cast_ms=statistics.median(end - _seconds(cast["startedAt"]) for cast, end in zip(casts, ends, strict=True))
        * 1000,
        message_ms=statistics.median(told[cast["castId"]] - _seconds(cast["completedAt"]) for cast in casts) * 1000,
        megabytes=max(memory),
    )


def memory_of_waiting(cloud: Cloud, casts: int) -> float:
    """Megabytes of the cloud while so many casts wait for their jobs; they are cancelled afterwards."""
    spell = cloud.spell(called("[seconds:600]"))
    with ThreadPoolExecutor(8) as pool:
        started: list[Document] = list(pool.map(lambda _: cloud.cast(spell), range(casts)))
        for cast in started:
            cloud.await_generation(f"{cast['castId']}.0.1", "processing")
        found = megabytes(cloud.process)
        for cast in started:
            cloud.api.post(f"/v1/casts/{cast['castId']}/cancel").raise_for_status()
        for cast in started:
            cloud.await_cast(cast)
    return found


def _watch(cloud: Cloud, memory: list[float], done: threading.Event) -> None:
    while True:
        memory.append(megabytes(cloud.process))
        if done.wait(0.5):
            return


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()

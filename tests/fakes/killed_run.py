"""One cast of the use cases under kills, and what no crash may break of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from spellcast.application.cast_spell import CastOrder
from spellcast.domain.casts import Cast
from spellcast.domain.errors import ProviderUnavailable
from spellcast.domain.generations import Generation
from spellcast.domain.kept_media import media_items
from spellcast.domain.limits import Limits
from spellcast.ports.adapter import Request
from tests.fakes.adapters import lost
from tests.fakes.crashes import Chokepoint, Provider, StepFunctions, When
from tests.fakes.media import PNG
from tests.fakes.world import ACCOUNT, World, make_tool

# Tools, whether a job's id is derived, and whether there are pictures.
SPELLS: dict[str, tuple[tuple[str, ...], bool, bool]] = {
    "free, polled, called": (("free", "polled", "called"), False, False),
    "free, polled by a derived id, called": (("free", "polled", "called"), True, False),
    "paid, called, free": (("paid", "called", "free"), False, False),
    "paid, paid, free": (("paid", "paid", "free"), False, False),
    "paid, polled, called, with pictures": (("paid", "polled", "called"), False, True),
}
RATES = {"free": Decimal(0), "paid": Decimal("0.01"), "polled": Decimal("0.02"), "called": Decimal("0.03")}
# The second provider's, for steps whose first tool's provider begins nothing.
FALLBACK_RATES = {"paid-b": Decimal("0.05"), "polled-b": Decimal("0.07"), "called-b": Decimal("0.09")}
MODES = {"paid-b": "immediate", "polled-b": "async", "called-b": "webhook"}
RATES |= FALLBACK_RATES
# What may end a cast after a crash: an answer that was lost, or a request of which nobody knows whether it was sent.
UNAVOIDABLE = {"OUTCOME_UNKNOWN", "JOB_LOST"}
NO_LIMITS = Limits()


class Run:
    """One cast under the given kills, with what is left of it."""

    def __init__(
        self,
        tools: tuple[str, ...],
        derived: bool,
        draws: bool = False,
        kills: Collection[tuple[int, When]] = (),
        limits: Limits = NO_LIMITS,
        falls_back: bool = False,
    ) -> None:
        self.chokepoint = Chokepoint()
        others = (make_tool(id, MODES[id], str(rate), service="other") for id, rate in FALLBACK_RATES.items())
        self.world = World(*others, through=self.chokepoint)
        self.world.adapter.derives_run_ids = self.world.other.derives_run_ids = derived
        self.world.adapters.configured = limits
        self.falls_back = falls_back
        # What a reader is told of the first step's submission at the moment of the crash.
        self.seen: list[str | None] = []
        self.seen_tools: list[str] = []
        self.chokepoint.on_kill = self._look
        self.provider = Provider(self.world, draws=draws, adapter=self.world.other if falls_back else None)
        if falls_back:
            self.world.adapter.on_start = self.world.adapter.on_execute = busy
            self.world.adapter.on_poll = lost
        steps = [
            {"id": f"n{position}", "toolIdentifier": tool}
            | ({"fallbackTool": f"{tool}-b"} if falls_back and tool != "free" else {})
            for position, tool in enumerate(tools)
        ]
        # The spell exists before the first crash.
        spell, _, _ = self.world.create_spell(ACCOUNT, "spell", "private", {"steps": steps})
        self.chokepoint.arm(kills)
        step_functions = StepFunctions(self.world, self.provider)
        order = CastOrder(spell=spell.spell_id, fingerprint="f", inputs={"prompt": "a cat"}, idempotency_key="k")
        cast, _ = step_functions.again(lambda: self.world.cast_spell(ACCOUNT, order))
        self.cast = step_functions.run(cast.cast_id)
        loaded = self.world.store.load_cast(cast.cast_id)
        assert loaded is not None
        self.generations = loaded[1]
        self.told = f"killed: {self.chokepoint.killed}"

    def _look(self) -> None:
        found = [self._first_generation(cast_id) for cast_id in self.world.machine.casts]
        self.seen += [generation.submission for generation in found if generation]
        self.seen_tools += [generation.tool_id for generation in found if generation]

    def _first_generation(self, cast_id: str) -> Generation | None:
        return self.world.store.get_generation(f"{cast_id}.0.1")

    def check(self, tools: tuple[str, ...]) -> None:
        """The invariants that no crash may break (contract §7)."""
        writes = self.world.store.writes
        assert self.cast.is_terminal, self.told
        assert self.cast == self.world.store.get_cast(self.cast.cast_id), self.told
        assert [item.is_terminal for item in writes if isinstance(item, Cast)].count(True) == 1, self.told
        # I1: asked at most once an attempt, but for what is free to be asked again.
        asked = Counter(id for id in self.provider.asked if tools[int(id.split(".")[1])] != "free")
        assert all(count == 1 for count in asked.values()), self.told
        for generation in self.generations:
            revisions = [
                item
                for item in writes
                if isinstance(item, Generation) and item.generation_id == generation.generation_id
            ]
            assert [item.is_terminal for item in revisions].count(True) == 1, self.told
            assert [item.revision for item in revisions] == sorted({item.revision for item in revisions}), self.told
        # I5: each completed step at its rate, and the cast as their sum.
        for generation in self.generations:
            rate = RATES[generation.tool_id] if generation.status == "completed" else Decimal(0)
            assert generation.cost_usd == rate, self.told
            # What a completed step made lies in the bucket, whoever was killed while it was copied.
            result = generation.result
            if result is not None and generation.status == "completed":
                for _, item in media_items(result.payload):
                    assert self.world.media.objects[item["url"].removeprefix("s3:")] == (PNG, "image/png"), self.told
        assert self.cast.cost_usd == sum((item.cost_usd for item in self.generations), Decimal(0)), self.told
        if self.cast.status == "completed":
            used = [f"{tool}-b" if self.falls_back and tool != "free" else tool for tool in tools]
            assert self.cast.cost_usd == sum(RATES[tool] for tool in used), self.told
            assert self.cast.outputs, self.told
        else:
            assert self.cast.failure is not None
            assert self.cast.failure.code in UNAVOIDABLE, (self.told, self.cast.failure)


def calls_of(tools: tuple[str, ...], derived: bool, draws: bool = False) -> list[str]:
    return Run(tools, derived, draws).chokepoint.calls


def busy(request: Request) -> Any:
    """A provider that proves, as often as it is asked, that it begins nothing."""
    raise ProviderUnavailable("Not now.", nothing_started=True)

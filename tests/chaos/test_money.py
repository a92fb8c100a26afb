"""Money is exact to the last of twelve places, and no more of it is spent than somebody has allowed."""

from __future__ import annotations

import random
import typing
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from spellcast.api import bodies
from spellcast.application.resume_cast import ResumeOrder
from spellcast.domain import documents, money
from spellcast.domain.budgets import Day, day_of
from spellcast.domain.casts import Cast
from spellcast.domain.completions import parse_completion
from spellcast.domain.costing import parse_costing
from spellcast.domain.errors import InvalidCompletion
from spellcast.domain.generations import Generation
from spellcast.domain.ledger import balances
from spellcast.domain.pricing import PricingPolicy, parse_pricing
from spellcast.domain.resources import cast_resource, generation_resource
from spellcast.domain.results import Failure
from tests.chaos.bank import Bank, as_result
from tests.chaos.conftest import Defends
from tests.chaos.plain import Answer
from tests.chaos.sizes import SEED, size
from tests.fakes.world import ACCOUNT, World, make_tool

DEAR = make_tool("dear", amount="1.00")
CASTS_OF_AN_ACCOUNT = 10


class Spending:
    """An account whose casts cost what is drawn: failed steps, refused ones, retries and late bills among them."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.bank = Bank(answers=self._answers())
        tools = make_tool("mail", "async", "0.0000001"), make_tool("cent", amount="0.01")
        pricing = PricingPolicy(refund_failed=True)
        self.world = World(*tools, pricing=pricing, daily_budget_usd=Decimal(10**12), adapter=self.bank)
        # What was said of each generation, in its order.
        self.told: defaultdict[str, list[Answer]] = defaultdict(list)
        self.costs: list[Fraction] = []

    def cast(self) -> None:
        """One cast, run again as its caster likes."""
        tools = [self.draw.choice(("cent", "cent", "mail")) for _ in range(self.draw.randrange(1, 7))]
        cast = self._run(self.world.cast(*tools))
        for number in range(self.draw.randrange(3)):
            order = ResumeOrder(fingerprint=f"{number}")
            if cast.status != "completed":
                cast = self._run(self.world.resume_cast(ACCOUNT, cast.cast_id, order))
            else:
                last = self.draw.choice(cast.step_generation_ids)
                cast = self._run(self.world.retry_step(ACCOUNT, last, {}, order))
        for generation in self._generations(cast):
            for _ in range(self.draw.randrange(3)):
                self._tell(generation.generation_id)
        self._check(self.world.cast_of(cast))

    def check(self) -> None:
        """Ledger and day say what the casts say, and nothing is left in either of them."""
        booked = balances(self.world.store.all_rows(ACCOUNT, start="2000", end=None))
        assert Fraction(booked.spent_usd) == sum(self.costs)
        day = self.world.store.get_day(ACCOUNT, day_of(self.world.clock.now()))
        assert day == Day(booked.spent_usd, {})
        casts = self.world.store.list_casts(ACCOUNT, status=None, limit=CASTS_OF_AN_ACCOUNT, cursor=None).items
        assert booked.points_spent == sum(cast.points_spent for cast in casts)
        given_back = [item for cast in casts for item in self._generations(cast) if item.status != "completed"]
        assert booked.points_refunded == sum(item.points_spent for item in given_back)

    def _run(self, cast: Cast) -> Cast:
        for number, segment in enumerate(self.world.segments(cast)):
            token = f"{cast.execution_name}/{number}"
            asked = len(self.bank.asked)
            self.world.execute(cast, number, token)
            for request in self.bank.asked[asked:]:
                if request.tool_id == "cent":
                    self.told[request.generation_id].append(request.answer)
            if token not in self.world.machine.answers:
                if self.draw.random() < 0.2:
                    return self.world.settle(cast, Failure("TIMED_OUT", "Nobody has heard of the job.", True))
                self._tell(self.world.generation(cast, segment.last, segment.attempt).generation_id)
            refused = self.world.machine.answers[token]
            if isinstance(refused, Failure):
                return self.world.settle(cast, refused)
            if self.world.process(cast, number).is_terminal:
                return self.world.cast_of(cast)
        return self.world.settle(cast)

    def _tell(self, generation_id: str) -> None:
        answer = next(self.bank.answers)
        self.told[generation_id].append(answer)
        self.world.complete_job(generation_id, as_result(answer))

    def _check(self, cast: Cast) -> None:
        generations = self._generations(cast)
        costs = [self._cost(item) for item in generations]
        assert [Fraction(item.cost_usd) for item in generations] == costs
        assert Fraction(cast.cost_usd) == sum(costs)
        self.costs += costs
        shown = cast_resource(cast, generations)
        amounts = [(shown["costUsd"], cast.cost_usd), *((_shown(item), item.cost_usd) for item in generations)]
        for amount, cost in amounts:
            assert isinstance(amount, str) and "E" not in amount and Decimal(amount) == cost

    def _cost(self, generation: Generation) -> Fraction:
        """The first word of who did the work; of what failed, the first that names a price."""
        bills = [answer.bill or money.ZERO for answer in self.told[generation.generation_id]]
        if generation.status == "completed":
            return Fraction(bills[0])
        return Fraction(next((bill for bill in bills if bill > 0), money.ZERO))

    def _generations(self, cast: Cast) -> list[Generation]:
        loaded = self.world.store.load_cast(cast.cast_id)
        assert loaded is not None
        return loaded[1]

    def _answers(self) -> Iterator[Answer]:
        while True:
            yield Answer(self.draw.random() < 0.8, drawn_amount(self.draw))


def drawn_amount(draw: random.Random) -> Decimal:
    """Nothing, a single 1e-7 or 1e-12, or as much as a million."""
    places = draw.choice((0, 2, 7, 7, 12))
    whole, parts = draw.choice((0, 0, 1, 10**6)), draw.choice((0, 1, 10**places - 1, draw.randrange(10**places)))
    return Decimal(whole) + Decimal(parts).scaleb(-places)


def _shown(generation: Generation) -> object:
    return generation_resource(generation)["costUsd"]


def test_a_cast_costs_the_exact_sum(defends: Defends) -> None:
    casts, generations = size(10_000, 100_000), 0
    draw = random.Random(SEED)
    for _ in range(casts // CASTS_OF_AN_ACCOUNT):
        spending = Spending(draw)
        for _ in range(CASTS_OF_AN_ACCOUNT):
            spending.cast()
        spending.check()
        generations += len(spending.costs)
    fault = "bills from 1e-12 to 1e6, of steps that failed, were refused, run again, or billed late"
    defends("I5", fault, f"{casts:,} lists of costs of {generations:,} generations")


# --- no binary fraction becomes money ---

BINARY = [0.1, 1.0, 1e-7, 1, True, float("nan")]


def money_fields() -> list[tuple[type[BaseModel], str]]:
    """Every field of every body in which a caller names an amount."""
    models = [kind for kind in vars(bodies).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [
        (model, name)
        for model in models
        for name, kind in typing.get_type_hints(model, include_extras=True).items()
        if bodies.Money in (kind, *typing.get_args(kind))
    ]


@pytest.mark.parametrize(("model", "name"), money_fields(), ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("amount", [*BINARY, "1e-7", "-1", "NaN", " 1", ""])
def test_an_amount_that_a_caller_names_is_a_decimal_text(model: type[BaseModel], name: str, amount: Any) -> None:
    alias = model.model_fields[name].alias or name
    with pytest.raises(ValidationError) as refusal:
        model.model_validate({alias: amount})
    assert [fault["loc"] for fault in refusal.value.errors() if fault["loc"][0] == alias] == [(alias,)]


def test_all_amounts_of_the_api_are_looked_at() -> None:
    assert len(money_fields()) >= 3


@pytest.mark.parametrize("amount", BINARY)
def test_what_a_provider_billed_is_a_decimal_text(amount: Any) -> None:
    with pytest.raises(InvalidCompletion, match="costUsd"):
        parse_completion({"generationId": "c1.0.1", "status": "failed", "costUsd": amount})


@pytest.mark.parametrize("text", ["0.1", "0.0000001", "0.123456789012", "999999999999"])
def test_a_number_of_the_platforms_prices_is_read_as_it_is_written(text: str) -> None:
    assert parse_pricing(f'{{"floorUsd": {text}}}').floor_usd == Decimal(text)


def test_a_number_in_a_tools_definition_is_the_figure_that_its_author_wrote(defends: Defends) -> None:
    draw = random.Random(SEED)
    rounds = size(2_000, 20_000)
    for _ in range(rounds):
        text = f"{draw.randrange(10**3)}.{draw.randrange(10**7):07}"
        definition = documents.from_text(
            f'{{"rateSource": "static", "staticCost": {{"amount": {text}, "unit": "run"}}}}'
        )
        costing = parse_costing(definition, {})
        assert costing is not None
        assert costing.amount == Decimal(text)
    defends(
        "I5", "prices written as JSON numbers", f"{rounds:,} definitions; {len(BINARY)} numbers at each edge refused"
    )


# --- a budget and everybody at once ---


def test_of_fifty_steps_at_once_exactly_ten_start(defends: Defends) -> None:
    rounds = size(20, 500)
    for _ in range(rounds):
        world = World(DEAR, daily_budget_usd=Decimal("10.00"))
        casts = [world.cast("dear") for _ in range(50)]

        def run(number: int, world: World = world, casts: list[Cast] = casts) -> str:
            world.execute(casts[number], token=f"t{number}")
            world.process(casts[number])
            return world.settle(casts[number]).status

        with ThreadPoolExecutor(16) as crowd:
            statuses = list(crowd.map(run, range(50)))
        assert (statuses.count("completed"), statuses.count("failed")) == (10, 40)
        assert len(world.adapter.executed) == 10
        assert world.store.get_day(ACCOUNT, day_of(world.clock.now())) == Day(Decimal(10), {})
        assert balances(world.store.all_rows(ACCOUNT, start="2000", end=None)).spent_usd == 10
    defends("I5", "50 steps of 1.00 at once under a cap of 10.00", f"{rounds} rounds: exactly 10 start")

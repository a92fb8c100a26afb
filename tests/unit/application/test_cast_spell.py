from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from spellcast.application.cast_spell import CastOrder, CastSpell, CastStart
from spellcast.domain.account_settings import AccountSettings
from spellcast.domain.casts import Cast
from spellcast.domain.errors import Fault, IdempotencyKeyReused, InvalidInput, SpellNotFound
from spellcast.domain.resources import cast_resource
from spellcast.domain.results import Failure
from spellcast.domain.segments import Segment
from spellcast.domain.spells import Spell
from tests.fakes.records import text_result
from tests.fakes.world import ACCOUNT, World, make_tool


@pytest.fixture
def world() -> World:
    return World()


def a_spell(
    world: World, *tools: str, account: str = ACCOUNT, name: str = "A spell", visibility: Any = "private"
) -> Spell:
    steps = [{"toolIdentifier": tool} for tool in tools or ("free",)]
    spell: Spell = world.create_spell(account, name, visibility, {"steps": steps})[0]
    return spell


def order(of: Spell, /, **more: Any) -> CastOrder:
    return CastOrder(**{"spell": of.spell_id, "fingerprint": "f", **more})


def casts_written(world: World) -> list[Cast]:
    return [item for item in world.store.writes if isinstance(item, Cast)]


def test_a_cast_is_written_with_what_was_asked_for_and_its_machine_started(world: World) -> None:
    spell = a_spell(world, "free", "polled", "free")
    cast, is_new = world.cast_spell(
        ACCOUNT,
        order(
            spell,
            inputs={"prompt": "a cat"},
            webhook_url="https://me.example/hook",
            webhook_secret="s3cr3t",
            budget_usd=Decimal(1),
            metadata={"cookId": "k"},
        ),
    )
    assert is_new
    assert cast == Cast(
        cast_id=cast.cast_id,
        account_id=ACCOUNT,
        spell_id=spell.spell_id,
        spell_slug="a-spell",
        spell_name="A spell",
        version=1,
        inputs={"prompt": "a cat", "input_prompt": "a cat"},
        step_count=3,
        started_at=world.clock.now(),
        updated_at=world.clock.now(),
        deadline_at=world.clock.now() + timedelta(seconds=975 + 75 + 3 * 300),
        request_fingerprint="f",
        metadata={"cookId": "k"},
        budget_usd=Decimal(1),
        webhook_url="https://me.example/hook",
        webhook_secret="s3cr3t",
    )
    assert world.cast_of(cast) == cast
    assert world.machine.casts == {cast.cast_id: [Segment(0, 1, 1, 975), Segment(2, 2, 1, 75)]}


def test_without_a_key_every_request_is_a_cast(world: World) -> None:
    spell = a_spell(world)
    assert world.cast_spell(ACCOUNT, order(spell))[0].cast_id != world.cast_spell(ACCOUNT, order(spell))[0].cast_id


@pytest.mark.parametrize("reference", ["a-spell", "A spell", "id"])
def test_the_spell_is_named_by_slug_name_or_id(world: World, reference: str) -> None:
    spell = a_spell(world)
    named = spell.spell_id if reference == "id" else reference
    assert world.cast_spell(ACCOUNT, order(spell, spell=named))[0].spell_id == spell.spell_id


def test_the_order_does_not_show_the_webhook_secret() -> None:
    assert "s3cr3t" not in repr(CastOrder(spell="s", fingerprint="f", webhook_secret="s3cr3t"))


# --- the Idempotency-Key ---


def test_the_same_key_and_body_is_the_same_cast(world: World) -> None:
    same = order(a_spell(world), idempotency_key="k")
    first, is_new = world.cast_spell(ACCOUNT, same)
    assert is_new
    world.clock.advance(60)
    assert world.cast_spell(ACCOUNT, same) == (first, False)
    assert len(casts_written(world)) == 1


def test_the_same_key_and_another_body_is_refused(world: World) -> None:
    same = order(a_spell(world), idempotency_key="k")
    cast, _ = world.cast_spell(ACCOUNT, same)
    with pytest.raises(IdempotencyKeyReused):
        world.cast_spell(ACCOUNT, replace(same, fingerprint="other"))
    assert world.cast_of(cast) == cast


def test_another_accounts_key_is_another_cast(world: World) -> None:
    same = order(a_spell(world, visibility="public"), idempotency_key="k")
    mine, _ = world.cast_spell(ACCOUNT, same)
    theirs, is_new = world.cast_spell("bob", replace(same, fingerprint="other"))
    assert is_new
    assert (mine.cast_id != theirs.cast_id, theirs.account_id) == (True, "bob")


def test_a_start_that_was_lost_is_repeated_with_the_request(world: World) -> None:
    same = order(a_spell(world), idempotency_key="k")
    cast, _ = world.cast_spell(ACCOUNT, same)
    started = world.machine.casts.pop(cast.cast_id)
    assert world.cast_spell(ACCOUNT, same) == (cast, False)
    assert world.machine.casts == {cast.cast_id: started}


def test_a_cast_that_has_ended_is_not_started_again(world: World) -> None:
    same = order(a_spell(world), idempotency_key="k")
    cast, _ = world.cast_spell(ACCOUNT, same)
    closed = world.settle(cast)
    world.machine.casts.clear()
    assert world.cast_spell(ACCOUNT, same) == (closed, False)
    assert world.machine.casts == {}


def test_two_requests_at_once_are_one_cast(world: World) -> None:
    same = order(a_spell(world), idempotency_key="k")
    faster: list[tuple[Cast, bool]] = []
    world.store.meanwhile.append(lambda: faster.append(world.cast_spell(ACCOUNT, same)))
    cast, is_new = world.cast_spell(ACCOUNT, same)
    assert (faster, is_new) == ([(cast, True)], False)
    assert len(casts_written(world)) == 1


def test_two_requests_at_once_with_different_bodies_are_one_cast_and_one_refusal(world: World) -> None:
    same = order(a_spell(world), idempotency_key="k")
    world.store.meanwhile.append(lambda: world.cast_spell(ACCOUNT, replace(same, fingerprint="other")))
    with pytest.raises(IdempotencyKeyReused):
        world.cast_spell(ACCOUNT, same)
    assert [cast.request_fingerprint for cast in casts_written(world)] == ["other"]


def test_a_repeat_names_the_version_that_runs(world: World) -> None:
    # Whatever the spell has become since: the cast's own version is planned again.
    same = order(a_spell(world, "free", "polled"), idempotency_key="k")
    cast, _ = world.cast_spell(ACCOUNT, same)
    world.machine.casts.clear()
    world.cast_spell(ACCOUNT, same)
    assert [segment.last for segment in world.segments(cast)] == [1]


def test_a_repeat_answers_the_cast_though_a_tool_was_deleted_since(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    same = order(a_spell(world, "own"), idempotency_key="k")
    cast, _ = world.cast_spell(ACCOUNT, same)
    world.store.delete_tool(ACCOUNT, "own")
    assert world.cast_spell(ACCOUNT, same) == (cast, False)


def test_a_start_that_was_lost_is_mended_though_a_tool_was_deleted_since(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own", "async"))
    same = order(a_spell(world, "free", "own"), idempotency_key="k")
    cast, _ = world.cast_spell(ACCOUNT, same)
    world.machine.casts.clear()
    world.store.delete_tool(ACCOUNT, "own")
    world.cast_spell(ACCOUNT, same)
    world.execute(cast)
    assert isinstance(failure := world.machine.answers["token"], Failure)
    assert world.settle(cast, failure).status == "failed"


@pytest.mark.parametrize("key", [None, "k"])
def test_a_cast_whose_machine_cannot_be_started_does_not_stay_running(world: World, key: str | None) -> None:
    class Unstartable:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.machine, name)

        def start_cast(self, cast: Cast, segments: Sequence[Segment]) -> None:
            raise ConnectionError("Step Functions is throttled.")

    cast_spell = replace(world.cast_spell, machine=Unstartable())
    with pytest.raises(ConnectionError):
        cast_spell(ACCOUNT, order(a_spell(world), idempotency_key=key))
    (written,) = {cast.cast_id for cast in casts_written(world)}
    found = world.store.get_cast(written)
    assert found is None or found.is_terminal


# --- the usage count ---


def usage(world: World, spell: Spell) -> int:
    found = world.store.get_spell(spell.spell_id)
    assert found is not None
    return found.usage_count


def test_every_new_cast_is_counted(world: World) -> None:
    spell = a_spell(world, visibility="public")
    for account in (ACCOUNT, "bob", "bob"):
        world.cast_spell(account, order(spell))
    assert usage(world, spell) == 3


def test_a_repeat_is_not_counted(world: World) -> None:
    spell = a_spell(world)
    same = order(spell, idempotency_key="k")
    world.store.meanwhile.append(lambda: world.cast_spell(ACCOUNT, same))
    for _ in range(3):
        world.cast_spell(ACCOUNT, same)
    with pytest.raises(IdempotencyKeyReused):
        world.cast_spell(ACCOUNT, replace(same, fingerprint="other"))
    assert usage(world, spell) == 1


def test_what_was_refused_or_could_not_be_started_is_not_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    spell = a_spell(world)
    with pytest.raises(SpellNotFound):
        world.cast_spell(ACCOUNT, order(spell, version=2))

    def fail(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(world.machine, "start_cast", fail)
    with pytest.raises(ConnectionError):
        world.cast_spell(ACCOUNT, order(spell))
    assert usage(world, spell) == 0


def test_a_count_that_fails_leaves_the_cast_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(spell_id: str) -> None:
        assert world.machine.casts, "the machine is started first"
        raise ConnectionError

    monkeypatch.setattr(world.store, "count_usage", fail)
    cast, is_new = world.cast_spell(ACCOUNT, order(a_spell(world)))
    assert is_new
    assert world.cast_of(cast).status == "running"
    assert "A cast could not be counted" in caplog.text


def test_a_new_version_keeps_the_casts_that_were_counted_meanwhile(world: World) -> None:
    spell = a_spell(world)
    world.store.meanwhile.append(lambda: world.store.count_usage(spell.spell_id))
    world.update_spell(ACCOUNT, spell.slug, "A spell", "private", {"steps": [{"toolIdentifier": "free"}]})
    assert usage(world, spell) == 1


# --- what the caster sent ---


def exposing(world: World) -> Spell:
    sized = make_tool("sized", inputSchema={"size": {"type": "integer", "required": False}})
    world.store.create_tool(ACCOUNT, sized)
    steps = [{"id": "n0", "toolIdentifier": "sized"}]
    content = {"steps": steps, "exposedInputs": [{"nodeId": "n0", "paramKey": "size"}]}
    spell: Spell = world.create_spell(ACCOUNT, "Sized", "private", content)[0]
    return spell


@pytest.mark.parametrize("key", ["size", "n0_size"])
def test_a_value_that_an_exposed_input_cannot_take_starts_nothing(world: World, key: str) -> None:
    error = refused(world, InvalidInput, order(exposing(world), inputs={key: "wide"}))
    assert error.faults == (Fault(f"inputs.{key}", "is not a whole number"),)


def test_inputs_that_nothing_takes_come_back_as_warnings(world: World) -> None:
    spell = exposing(world)
    wanted = order(spell, inputs={"n0_size": "7", "colour": "red"}, idempotency_key="k")
    started = world.cast_spell.start(ACCOUNT, wanted)
    assert started.warnings == [Fault("inputs.colour", "no step of the spell can take it")]
    assert world.cast_spell.start(ACCOUNT, wanted) == CastStart(started.cast, is_new=False)


# --- the caster's settings ---


def test_a_cast_keeps_what_its_caster_had_set_for_its_tools(world: World) -> None:
    world.store.put_settings(
        ACCOUNT, AccountSettings({"paid": {"prompt": "a cat"}, "polled": {"text": "t"}, "called": {"text": "no"}})
    )
    cast, _ = world.cast_spell(ACCOUNT, order(a_spell(world, "paid", "Polled", "free")))
    assert cast.settings == {"paid": {"prompt": "a cat"}, "polled": {"text": "t"}}
    world.store.put_settings(ACCOUNT, AccountSettings({}))
    assert world.cast_of(cast).settings == cast.settings


def test_the_settings_are_the_casters_and_not_the_authors(world: World) -> None:
    world.store.put_settings(ACCOUNT, AccountSettings({"free": {"prompt": "the author's"}}))
    spell = a_spell(world, visibility="public")
    assert world.cast_spell("bob", order(spell))[0].settings == {}
    world.store.put_settings("bob", AccountSettings({"free": {"prompt": "bob's"}}))
    assert world.cast_spell("bob", order(spell))[0].settings == {"free": {"prompt": "bob's"}}


def test_settings_are_internal(world: World) -> None:
    world.store.put_settings(ACCOUNT, AccountSettings({"free": {"prompt": "a private default"}}))
    cast, _ = world.cast_spell(ACCOUNT, order(a_spell(world)))
    assert "a private default" not in str(cast_resource(cast))


# --- what is refused, and changes nothing ---


def refused(world: World, error: type[Exception], wanted: CastOrder, account: str = ACCOUNT) -> Any:
    with pytest.raises(error) as caught:
        world.cast_spell(account, wanted)
    assert (world.store.writes, world.machine.casts) == ([], {})
    return caught.value


def test_an_unknown_spell(world: World) -> None:
    assert refused(world, SpellNotFound, CastOrder(spell="nope", fingerprint="f")).message == 'Spell "nope" not found.'


@pytest.mark.parametrize("visibility", ["private", "listed"])
@pytest.mark.parametrize("reference", ["a-spell", "A spell", "id"])
def test_i8_another_accounts_spell_does_not_exist(world: World, visibility: str, reference: str) -> None:
    spell = a_spell(world, visibility=visibility)
    named = spell.spell_id if reference == "id" else reference
    refused(world, SpellNotFound, order(spell, spell=named), account="bob")


def test_a_public_spell_is_everyones(world: World) -> None:
    spell = a_spell(world, visibility="public")
    assert world.cast_spell("bob", order(spell))[0].account_id == "bob"


def test_a_version_that_does_not_exist(world: World) -> None:
    refused(world, SpellNotFound, order(a_spell(world), version=2))


def test_a_tool_that_is_gone(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    spell = a_spell(world, "free", "own")
    world.store.forget_tool(ACCOUNT, "own")
    error = refused(world, InvalidInput, order(spell))
    assert error.faults == (Fault("spell.steps[1].toolIdentifier", "there is no tool 'own' any more"),)


def test_a_public_spell_whose_tool_is_its_authors_own(world: World) -> None:
    world.store.create_tool(ACCOUNT, make_tool("own"))
    spell = a_spell(world, "own", visibility="public")
    refused(world, InvalidInput, order(spell), account="bob")


def test_a_webhook_address_that_must_not_be_called(world: World) -> None:
    cast_spell: CastSpell = replace(world.cast_spell, refusal_of=lambda url: f"{url} is private")
    with pytest.raises(InvalidInput) as caught:
        cast_spell(ACCOUNT, order(a_spell(world), webhook_url="https://10.0.0.1/"))
    assert caught.value.faults == (Fault("webhookUrl", "https://10.0.0.1/ is private"),)
    assert world.store.writes == []


# --- from the order to the end ---


@pytest.mark.parametrize(
    ("tools", "cost"),
    [
        (["free"], "0"),
        (["paid"], "0.01"),
        (["polled"], "0.02"),
        (["called"], "0.03"),
        (["free", "polled", "called", "paid"], "0.06"),
    ],
)
def test_every_kind_of_cast_comes_to_its_end(world: World, tools: list[str], cost: str) -> None:
    cast, _ = world.cast_spell(ACCOUNT, order(a_spell(world, *tools)))
    for number, segment in enumerate(world.segments(cast)):
        world.execute(cast, number, f"t{number}")
        if tools[segment.last] in ("polled", "called"):
            world.complete_job(f"{cast.cast_id}.{segment.last}.1", text_result())
        assert world.machine.answers[f"t{number}"] == f"{cast.cast_id}.{segment.last}.1"
        world.process(cast, number)
    closed = world.settle(cast)
    assert (closed.status, closed.cost_usd) == ("completed", Decimal(cost))
    assert closed.step_generation_ids == tuple(f"{cast.cast_id}.{position}.1" for position in range(len(tools)))

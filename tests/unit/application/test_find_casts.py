from __future__ import annotations

import pytest

from spellcast.domain import documents
from spellcast.domain.errors import CastNotFound, GenerationNotFound
from spellcast.domain.segments import Segment
from tests.fakes.records import a_cast
from tests.fakes.world import ACCOUNT, World


@pytest.fixture
def world() -> World:
    return World()


def test_the_one_cast_comes_with_its_generations(world: World) -> None:
    cast = world.cast("free", "polled", inputs={"prompt": "a cat"})
    world.execute(cast)
    resource = world.find_casts.get(ACCOUNT, cast.cast_id)
    assert (resource["castId"], resource["status"]) == (cast.cast_id, "running")
    assert [item["status"] for item in resource["generations"]] == ["completed", "processing"]
    assert resource["stepGenerationIds"] == [f"{cast.cast_id}.0.1"]


def test_a_generation_is_read_with_the_metadata_that_the_original_had(world: World) -> None:
    cast = world.cast("free", "polled", inputs={"prompt": "a cat"})
    world.execute(cast)
    resource = world.find_casts.get_generation(ACCOUNT, f"{cast.cast_id}.1.1")
    metadata = resource["metadata"]
    assert (metadata["isSpell"], metadata["stepIndex"], metadata["run_id"]) == (True, 1, "job-1")
    assert metadata["pipelineContext"] == {
        "prompt": "a cat",
        "input_prompt": "a cat",
        "n0_text": "<a cat>",
        "text": "<a cat>",
    }
    assert [step["toolIdentifier"] for step in metadata["spell"]["steps"]] == ["free", "polled"]
    assert metadata["originalContext"]["parameterOverrides"] == {"prompt": "a cat", "input_prompt": "a cat"}


def test_i8_another_accounts_records_do_not_exist(world: World) -> None:
    cast = world.cast("free")
    world.execute(cast)
    with pytest.raises(CastNotFound):
        world.find_casts.get("bob", cast.cast_id)
    with pytest.raises(GenerationNotFound):
        world.find_casts.get_generation("bob", f"{cast.cast_id}.0.1")
    assert list(world.find_casts.list("bob", status=None, limit=9, cursor=None).items) == []


@pytest.mark.parametrize("reference", ["", "nobody", "nobody.0.1", "{}.7.1", "{}.0.2", "{}"])
def test_what_does_not_exist_is_not_found(world: World, reference: str) -> None:
    cast = world.cast("free")
    world.execute(cast)
    with pytest.raises(GenerationNotFound):
        world.find_casts.get_generation(ACCOUNT, reference.format(cast.cast_id))
    with pytest.raises(CastNotFound):
        world.find_casts.get(ACCOUNT, f"{cast.cast_id}x")


def test_no_answer_holds_the_webhook_secret_or_a_task_token(world: World) -> None:
    spell, _, _ = world.create_spell(ACCOUNT, "s", "private", {"steps": [{"id": "n0", "toolIdentifier": "polled"}]})
    cast = a_cast(spell_id=spell.spell_id)
    world.store.create_cast(cast)
    world.execute_step(cast.cast_id, Segment(0, 0, 1, 915), "t0ken", cast.execution_name)
    told = documents.to_text(
        [
            world.find_casts.get(ACCOUNT, cast.cast_id),
            list(world.find_casts.list(ACCOUNT, status=None, limit=9, cursor=None).items),
            world.find_casts.get_generation(ACCOUNT, f"{cast.cast_id}.0.1"),
        ]
    )
    for secret in ("s3cr3t", "webhookSecret", "t0ken", "v1/completions"):
        assert secret not in told


def test_a_list_holds_the_accounts_casts_latest_first_by_status(world: World) -> None:
    casts = []
    for _ in range(3):
        casts.append(world.cast("free"))
        world.clock.advance(1)
    world.settle(casts[1])
    first = world.find_casts.list(ACCOUNT, status=None, limit=2, cursor=None)
    assert [item["castId"] for item in first.items] == [casts[2].cast_id, casts[1].cast_id]
    rest = world.find_casts.list(ACCOUNT, status=None, limit=2, cursor=first.cursor)
    assert [item["castId"] for item in rest.items] == [casts[0].cast_id]
    running = world.find_casts.list(ACCOUNT, status="running", limit=9, cursor=None)
    assert [item["castId"] for item in running.items] == [casts[2].cast_id, casts[0].cast_id]
    assert all("generations" not in item for item in running.items)

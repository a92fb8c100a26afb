from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain import identifiers
from spellcast.domain.identifiers import GenerationKey

CAST_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


def test_an_execution_is_named_after_its_cast_and_from_the_second_on_by_its_number() -> None:
    assert [identifiers.cast_execution_name("c1", execution) for execution in (1, 2, 10)] == ["c1", "c1-2", "c1-10"]


@given(CAST_IDS, st.integers(0, 9999), st.integers(1, 9999))
def test_a_generation_id_is_read_as_it_was_made(cast_id: str, step_index: int, attempt: int) -> None:
    text = identifiers.generation_id(cast_id, step_index, attempt)
    assert identifiers.parse_generation_id(text) == GenerationKey(cast_id, step_index, attempt)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c1",
        "c1.0",
        "c1.0.1.2",
        ".0.1",
        "c1..1",
        "c1.0.",
        "c1.a.1",
        "c1.-1.1",
        "c1.0.1\n",
        " c1.0.1",
        "c#1.0.1",
        "c1.00000.1",
        "c1.0.10000",
        "c" * 65 + ".0.1",
        "c1.0.1|9",
        "c1/0.0.1",
        "é.0.1",
    ],
)
def test_other_texts_are_no_generation_ids(text: str) -> None:
    assert identifiers.parse_generation_id(text) is None


@pytest.mark.parametrize("text", ["c1.00.1", "c1.0.01", "c1.0.0", "c1.٣.1", "c1.0.１"])
def test_a_generation_has_only_one_id(text: str) -> None:
    assert identifiers.parse_generation_id(text) is None


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    identifiers.parse_generation_id(text)


@given(CAST_IDS, st.integers(0, 9999), st.integers(0, 9999), st.integers(1, 9999))
def test_a_pollings_name_is_one_that_step_functions_takes(
    cast_id: str, step_index: int, attempt: int, execution: int
) -> None:
    name = identifiers.polling_name(identifiers.generation_id(cast_id, step_index, attempt), execution)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name)


def test_polling_is_named_after_its_generation_and_a_later_execution_of_the_cast() -> None:
    assert [identifiers.polling_name("c1.0.12", execution) for execution in (1, 2)] == ["c1-0-12", "c1-0-12-2"]


@given(CAST_IDS, st.integers(1, 16))
def test_a_casts_shard_is_one_of_them_and_always_the_same(cast_id: str, shards: int) -> None:
    shard = identifiers.shard_of(cast_id, shards)
    assert shard == identifiers.shard_of(cast_id, shards)
    assert shard in range(shards)


def test_casts_are_spread_over_the_shards() -> None:
    found = [identifiers.shard_of(f"cast-{number}", 8) for number in range(8_000)]
    assert all(900 < found.count(shard) < 1_100 for shard in range(8))


def test_drawn_ids_differ() -> None:
    assert len({identifiers.new_id() for _ in range(100)}) == 100


def test_an_accounts_key_always_leads_to_the_same_cast_and_another_accounts_to_another() -> None:
    own = identifiers.cast_id_for("alice", "key")
    assert own == identifiers.cast_id_for("alice", "key")
    assert re.fullmatch(r"[0-9a-f]{32}", own)
    assert len({own, identifiers.cast_id_for("bob", "key"), identifiers.cast_id_for("alice", "key2")}) == 3
    assert identifiers.cast_id_for("al", "icekey") != identifiers.cast_id_for("alice", "key")


def test_an_accounts_copy_of_a_spell_always_has_the_same_id_which_is_no_casts() -> None:
    own = identifiers.spell_id_for("alice", "s1")
    assert identifiers.is_id(own)
    assert own == identifiers.spell_id_for("alice", "s1")
    others = {identifiers.spell_id_for("bob", "s1"), identifiers.spell_id_for("alice", "s2")}
    assert len({own, *others, identifiers.cast_id_for("alice", "s1")}) == 4


def test_a_job_id_is_a_canonical_uuid_that_is_the_generations_own() -> None:
    job = identifiers.job_uuid("c1.0.1")
    assert str(uuid.UUID(job)) == job == identifiers.job_uuid("c1.0.1") != identifiers.job_uuid("c1.0.2")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("A cat, painted!", "a-cat-painted"),
        ("  Ünïcode 7 ", "n-code-7"),
        ("猫", "spell"),
        ("---", "spell"),
        ("a" * 100, "a" * 60),
        ("!" + "a" * 60, "a" * 60),
        ("0123456789abcdef" * 2, "spell-0123456789abcdef0123456789abcdef"),
    ],
)
def test_a_slug_is_made_of_the_name(name: str, slug: str) -> None:
    assert identifiers.slug_base(name) == slug


@given(st.text(min_size=1, max_size=200))
def test_any_name_has_a_slug(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", identifiers.slug_base(name))


def test_a_long_names_slug_does_not_end_in_a_hyphen() -> None:
    assert not identifiers.slug_base("a" * 59 + " bc").endswith("-")


def test_a_fingerprint_is_sha_256() -> None:
    assert identifiers.fingerprint("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("65f0a1b2c3d4e5f600001020", True),
        ("65F0A1B2C3D4E5F600001020", True),
        ("65f0a1b2c3d4e5f60000102", False),
        ("x" * 24, False),
    ],
)
def test_ids_of_the_original_are_told_by_their_form(text: str, is_one: bool) -> None:
    assert identifiers.is_object_id(text) is is_one
    assert not identifiers.is_object_id(identifiers.new_id())


@given(st.text())
def test_an_account_has_one_share_of_a_hundred(account_id: str) -> None:
    assert 0 <= identifiers.share_of(account_id) < 100
    assert identifiers.share_of(account_id) == identifiers.share_of(account_id)


def test_shares_are_spread() -> None:
    assert len({identifiers.share_of(f"account {number}") for number in range(2_000)}) == 100
    assert identifiers.share_of("alice") == int(identifiers.fingerprint("alice"), 16) % 100

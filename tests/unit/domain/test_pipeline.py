from __future__ import annotations

from spellcast.domain.generations import Generation
from spellcast.domain.pipeline import assembled_metadata, context_before
from spellcast.domain.results import Failure
from spellcast.domain.spells import SpellVersion
from tests.fakes.clock import START
from tests.fakes.records import a_cast, a_generation, text_result

VERSION = SpellVersion(
    spell_id="s1",
    version=1,
    name="s",
    content={"steps": [{"id": f"n{number}", "toolIdentifier": "tool"} for number in range(3)]},
    created_at=START,
)


def done(step_index: int, text: str, attempt: int = 1) -> Generation:
    return a_generation(step_index=step_index, attempt=attempt, status="completed", result=text_result(text))


def test_a_step_finds_the_inputs_and_the_outputs_of_the_steps_before_it() -> None:
    generations = [done(1, "two"), done(0, "one"), done(2, "three")]
    context = context_before(2, a_cast(), VERSION, generations)
    assert context == {"prompt": "a cat", "n0_text": "one", "n1_text": "two", "text": "two"}


def test_the_first_step_finds_the_inputs_alone() -> None:
    assert context_before(0, a_cast(), VERSION, []) == {"prompt": "a cat"}


def test_only_the_latest_attempt_at_a_step_counts_and_only_if_it_is_completed() -> None:
    retried = [
        a_generation(status="failed", failure=Failure("JOB_FAILED", "No."), result=text_result("first")),
        a_generation(attempt=2, status="completed", result=text_result("second")),
        a_generation(step_index=1, status="processing", result=text_result("not yet processed")),
    ]
    assert context_before(2, a_cast(), VERSION, retried) == {
        "prompt": "a cat",
        "n0_text": "second",
        "text": "second",
    }


def test_the_casters_inputs_are_not_changed() -> None:
    cast = a_cast()
    context_before(1, cast, VERSION, [a_generation(status="completed", result=text_result("one"))])
    assert cast.inputs == {"prompt": "a cat"}


def test_a_cast_without_a_webhook_has_none_in_its_original_context() -> None:
    metadata = assembled_metadata(a_generation(), a_cast(webhook_url=None), VERSION, [])
    assert "webhookUrl" not in metadata["originalContext"]

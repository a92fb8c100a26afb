from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from spellcast.domain import errors
from spellcast.domain.errors import (
    Fault,
    InvalidInput,
    OutcomeUnknown,
    ProviderUnavailable,
    SpellcastError,
    StepFailed,
    WebhookNotDelivered,
)


def family(root: type[SpellcastError]) -> Iterator[type[SpellcastError]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


CLOSED_LIST = [kind for kind in family(SpellcastError) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", CLOSED_LIST)
def test_every_class_has_a_code_of_its_own(kind: type[SpellcastError]) -> None:
    assert "code" in vars(kind)
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", kind.code)
    assert kind.__doc__


def test_no_code_stands_twice_but_the_two_of_an_unknown_tool() -> None:
    by_code: dict[str, set[str]] = defaultdict(set)
    for kind in CLOSED_LIST:
        by_code[kind.code].add(kind.__name__)
    twice = {code: names for code, names in by_code.items() if len(names) > 1}
    # A caller who asks for the tool, and a step that cannot find it any more.
    assert twice == {"TOOL_NOT_FOUND": {"ToolNotFound", "StepToolNotFound"}}


def test_the_list_is_closed() -> None:
    modules = {kind.__module__ for kind in family(SpellcastError)}
    assert {module for module in modules if module.startswith("spellcast.")} == {errors.__name__}


def test_these_may_be_asked_again() -> None:
    assert {kind.code for kind in CLOSED_LIST if kind.retryable} == {
        "PROVIDER_UNAVAILABLE",
        "FILE_UNAVAILABLE",
        "NO_FREE_SLOT",
        "LIMIT_REACHED",
        "TIMED_OUT",
        "CAST_INTERRUPTED",
        "WEBHOOK_NOT_DELIVERED",
        "WRITE_CONFLICT",
        "FLAGS_UNREADABLE",
        "ORIGINAL_UNAVAILABLE",
        "STORAGE_UNAVAILABLE",
    }


@pytest.mark.parametrize(
    "kind", [kind for kind in CLOSED_LIST if issubclass(kind, StepFailed) and kind is not StepFailed]
)
def test_a_steps_code_is_recognised_when_the_machine_brings_it_back(kind: type[StepFailed]) -> None:
    # `interruption_of` tells our codes from Step Functions' own by their form.
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)+", kind.code)


def test_an_invalid_input_names_every_fault() -> None:
    error = InvalidInput([Fault("a", "is bad"), Fault("b[0]", "is worse")])
    assert error.faults == (Fault("a", "is bad"), Fault("b[0]", "is worse"))
    assert error.message == str(error) == "a: is bad; b[0]: is worse"


def test_an_unknown_outcome_may_name_the_job() -> None:
    assert OutcomeUnknown("lost").run_id is None
    assert OutcomeUnknown("lost", "r1").run_id == "r1"


def test_an_unavailable_provider_has_proved_nothing_unless_it_is_said() -> None:
    error = ProviderUnavailable("Not now.")
    assert (error.message, str(error), error.nothing_started, error.retry_after) == (
        "Not now.",
        "Not now.",
        False,
        None,
    )
    error = ProviderUnavailable("Not now.", nothing_started=True, retry_after=1.5)
    assert (error.nothing_started, error.retry_after) == (True, 1.5)


def test_an_unknown_outcome_says_what_happened() -> None:
    error = OutcomeUnknown("The answer was lost.", "r1")
    assert error.message == str(error) == "The answer was lost."


def test_a_webhook_that_was_not_taken_may_have_been_answered() -> None:
    error = WebhookNotDelivered("Webhook returned 500", 500)
    assert (error.message, str(error), error.status) == ("Webhook returned 500", "Webhook returned 500", 500)
    assert WebhookNotDelivered("Timed out").status is None

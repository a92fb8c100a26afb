"""What of two answers is compared, and of which events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sam_local import ROOT
from tests.sam_local.events import LEFT_OUT, files, gist, plain
from tests.sam_local.records import BEGIN_AN_EXECUTION


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"at": "2026-01-31T12:00:00.123Z"}, {"at": "2027-02-28T01:02:03Z"}),
        ({"id": "0d9c1c5c6b7f4e7f9d1a2b3c4d5e6f70.1.1"}, {"id": "9a1e4d7c2b3f4a5d8e6f7a8b9c0d1e2f.1.1"}),
        ({"url": "http://127.0.0.1:4599/a?X-Amz-Date=1&b=2"}, {"url": "http://172.29.93.1:4600/a?X-Amz-Date=3&b=2"}),
        ({"body": '{"a":1,"b":2}'}, {"body": '{"b": 2, "a": 1}'}),
        (
            {"errorType": "CastNotFound", "errorMessage": "no", "stackTrace": ["x"], "requestId": "1"},
            {"errorType": "CastNotFound", "errorMessage": "no", "stackTrace": []},
        ),
    ],
)
def test_what_differs_from_call_to_call_is_not_compared(one: Any, other: Any) -> None:
    assert plain(one) == plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, {}),
        ({"statusCode": 200}, {"statusCode": 201}),
        ({"body": '{"status":"running"}'}, {"body": '{"status":"failed"}'}),
        ({"errorType": "CastNotFound", "errorMessage": "no"}, {"errorType": "KeyError", "errorMessage": "no"}),
        ({"url": "http://127.0.0.1:4599/a?b=1"}, {"url": "http://127.0.0.1:4599/a?b=2"}),
        ({"url": "https://example.com/a"}, {"url": "https://example.org/a"}),
    ],
)
def test_everything_else_is_compared(one: Any, other: Any) -> None:
    assert plain(one) != plain(other)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "null"),
        ({"statusCode": 404}, "404"),
        ({"statusCode": 200, "body": '{"a":1}'}, "200"),
        ({"statusCode": 401, "body": '{"error":{"code":"INVALID_TOKEN"}}'}, "401 INVALID_TOKEN"),
        ({"errorType": "CastNotFound", "errorMessage": "no"}, "CastNotFound"),
        ({"finished": False, "generationId": "x", "waitSeconds": 2}, '{"finished": false, "generationId": "...'),
    ],
)
def test_an_answer_is_said_in_a_few_words(answer: Any, words: str) -> None:
    assert gist(plain(answer)) == words


def test_every_event_is_invoked_but_those_of_the_check_of_a_deployment() -> None:
    every = {file.name for file in (ROOT / "events").iterdir()}
    assert every - {file.name for file in files()} == {f"{LEFT_OUT}.before_traffic.json"}
    assert {file.stem for file in files("resume")} == {"cast_api.resume_cast"}
    assert set(BEGIN_AN_EXECUTION) <= {file.stem for file in files()}

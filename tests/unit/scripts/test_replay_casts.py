"""What an operator reads, and the exit code that a script of theirs reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.replay_casts.__main__ import main

SAMPLE = Path(__file__).parents[2] / "fixtures" / "original_export.json"


def changed(tmp_path: Path, text: str) -> str:
    file = tmp_path / "export.json"
    file.write_text(text)
    return str(file)


def test_an_export_whose_differences_all_have_their_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(SAMPLE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert '65f0a1b2c3d4e5f600000104 step 0 prompt: recorded "A dog", ours "A cat" [row 1]' in lines
    assert lines[-1] == "7 casts, 16 steps: 36 differences, 0 unexplained"


def test_a_difference_that_nobody_expected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = json.loads(SAMPLE.read_text())
    export["generationOutputs"][0]["requestPayload"]["imageUrl"] = "https://o/" + "x" * 500
    assert main([changed(tmp_path, json.dumps(export))]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.endswith('…, ours "https://o/1.png" [UNEXPLAINED]')
    assert len(first) < 300
    assert last.endswith("37 differences, 1 unexplained")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "export.json: "),
        ("[]", "export: is not an object"),
        ('{"tools": [], "spells": [], "casts": [{}], "generationOutputs": []}', "casts[0]._id: is missing"),
        ('{"tools": [], "spells": [], "casts": [NaN], "generationOutputs": []}', "NaN is not JSON"),
    ],
)
def test_an_export_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert main([changed(tmp_path, text)]) == 2
    answer = capsys.readouterr()
    assert said in answer.err
    assert answer.out == ""


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err

from __future__ import annotations

from typing import Any

import pytest

from local.demo import progress_label


@pytest.mark.parametrize(
    ("payload", "label"),
    [
        ({"status": "running", "progress": 0.47, "liveStatus": "Sampling…"}, "Sampling… 47%"),
        ({"status": "running", "progress": 0.1, "liveStatus": None}, "Running… 10%"),
        ({"status": "queued", "progress": 0}, "Queued… 0%"),
        ({"status": "running", "progress": 1}, "Running… 100%"),
        ({"status": "running", "progress": 0.125}, "Running… 13%"),
        ({"status": "running", "progress": None, "liveStatus": "processing"}, "processing"),
        ({"status": "queued", "progress": None, "liveStatus": ""}, "Queued…"),
    ],
)
def test_the_label_of_progress(payload: dict[str, Any], label: str) -> None:
    assert progress_label(payload) == label

"""Every file of events/ at the embedded cloud's own Lambda and by `sam local invoke`: the answers are the same."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.cloud import Cloud
from tests.sam_local import ROOT
from tests.sam_local.records import Records
from tests.sam_local.sam import Sam

# The check of a deployment answers CodeDeploy, which the embedded cloud does not have, and so not the function either.
LEFT_OUT = "check_deployment"
# What differs from call to call, or by where the function runs.
_DIFFERENT = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<id>"),
    (re.compile(r"(X-Amz-\w+|Signature|Expires)=[^&\"\\]+"), r"\1=<signed>"),
    (re.compile(r"http://(127\.0\.0\.1|localhost|172\.\d+\.\d+\.\d+):\d+"), "<cloud>"),
)


def files(only: str = "") -> list[Path]:
    """Those that are invoked: all, or those with these words in their names."""
    found = sorted((ROOT / "events").glob("*.json"))
    return [file for file in found if not file.name.startswith(LEFT_OUT) and only in file.name]


def plain(answer: Any) -> Any:
    """An answer without what differs from call to call; of an exception, its type and message."""
    if isinstance(answer, dict) and "errorType" in answer:
        answer = {name: answer.get(name) for name in ("errorType", "errorMessage")}
    text = json.dumps(_read(answer), sort_keys=True)
    for pattern, word in _DIFFERENT:
        text = pattern.sub(word, text)
    return json.loads(text)


def _read(answer: Any) -> Any:
    """JSON in an answer's body is compared as what it says, whatever its spaces are."""
    if isinstance(answer, dict) and isinstance(answer.get("body"), str):
        try:
            return {**answer, "body": json.loads(answer["body"])}
        except ValueError:
            pass  # a page
    return answer


def gist(answer: Any) -> str:
    """An answer in a few words."""
    if isinstance(answer, dict) and "errorType" in answer:
        return str(answer["errorType"])
    if isinstance(answer, dict) and "statusCode" in answer:
        body = answer.get("body")
        code = body.get("error", {}).get("code", "") if isinstance(body, dict) else ""
        return f"{answer['statusCode']} {code}".strip()
    text = json.dumps(answer)
    return text if len(text) <= 40 else f"{text[:37]}..."


def compare(
    cloud: Cloud, sam: Sam, names: dict[str, str], chosen: list[Path], say: Callable[[str], None]
) -> Iterator[str]:
    """Differences, one a line; says a line for each event."""
    records, client = Records(cloud), cloud.aws("lambda")
    for file in chosen:
        function = file.name.partition(".")[0]
        records.put(file.stem)
        asked = client.invoke(FunctionName=f"spellcast-local-{function}", Payload=file.read_bytes())
        here = plain(json.loads(asked["Payload"].read()))
        left_here = records.statuses()
        records.put(file.stem)
        begun = time.monotonic()
        there = plain(sam.invoke(names[function], file))
        seconds = time.monotonic() - begun
        left_there = records.statuses()
        is_same = (here, left_here) == (there, left_there)
        say(f"{'same' if is_same else 'DIFFERENT':<10}{file.stem:<40}{gist(there):<42}{seconds:5.1f} s")
        if here != there:
            yield f"{file.stem}: {json.dumps(there)} in the container, {json.dumps(here)} at the embedded cloud"
        if left_here != left_there:
            yield f"{file.stem}: leaves {left_there} from the container, {left_here} at the embedded cloud"

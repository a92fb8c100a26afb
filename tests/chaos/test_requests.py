"""Schemathesis asks the running API whatever its OpenAPI document allows, and what it forbids (contract I10)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import Defends
from tests.chaos.sizes import SEED, size
from tests.cloud import Cloud, evaluated, started, words

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = ROOT / ".local" / "schemathesis" / "venv" / "bin" / "schemathesis"
CASES_OF_A_ROUTE = size(15, 200)
# What it asserts of every answer. Left out: what a document cannot say is refused all the same (a tool that does not
# exist, a cursor of another list); and 404, rather than 405, for methods that a path has not, as API Gateway has it.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "use_after_free",
    "ignored_auth",
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One of its own: what it is asked is hardly what other tests would find in theirs."""
    if not SCHEMATHESIS.exists():
        pytest.fail("its environment is not set up: make .local/schemathesis/venv")
    with started(tmp_path_factory.mktemp("cloud"), {"SPELLCAST_DEMO_JOB_SECONDS": "0.3"}) as cloud:
        yield cloud


def names_of(cloud: Cloud) -> dict[str, list[str]]:
    """Things that exist, by the path parameter that names them: some of them are deleted soon."""
    spells = [cloud.spell(words(), name=f"spell {number}", visibility="listed") for number in range(4)]
    broken = cloud.spell(evaluated("$error('as it should')", "bad"), name="broken")
    for spell in spells:
        cloud.api.put(f"/v1/spells/{spell['spellId']}/permissions/bob").raise_for_status()
    casts = [cloud.cast(spell) for spell in (*spells, broken)]
    casts = [cloud.await_cast(cast) for cast in casts]
    tools = [
        cloud.tool({"toolId": f"tool-{number}", "service": "http", "displayName": f"Tool {number}"})
        for number in range(3)
    ]
    own_key = cloud.api.get("/v1/accounts/me/keys").raise_for_status().json()["keys"][0]["keyId"]
    keys = [
        cloud.api.post(f"/v1/accounts/me/keys/{own_key}/rotate", json={"validForSeconds": 604_800}).json()["keyId"]
        for _ in range(3)
    ]
    return {
        "spell": [spell["spellId"] for spell in (*spells, broken)] + [spells[0]["slug"]],
        "cast_id": [cast["castId"] for cast in casts],
        "generation_id": [cast["generations"][0]["generationId"] for cast in casts],
        "tool_id": [*(tool["toolId"] for tool in tools), "string-primitive", "expression"],
        "key_id": keys,
        "account_id": ["bob"],
    }


def configuration(names: dict[str, list[str]]) -> str:
    """Half of all paths name something that exists, and so do some of the texts in bodies."""
    words = json.dumps(sorted({name for found in names.values() for name in found}))
    lines = [
        f"hooks = {json.dumps(str(ROOT / 'tests' / 'schemathesis' / 'hooks.py'))}",
        'auth.openapi.apiKey.api_key = "${SPELLCAST_API_KEY}"',
        'generation.dictionaries.string = { dictionary = "words", probability = 0.2 }',
        f"dictionaries.words.values = {words}",
        *(f"dictionaries.{name}.values = {json.dumps(found)}" for name, found in names.items()),
        "[parameters]",
        *(f'"path.{name}" = {{ dictionary = "{name}", probability = 0.5 }}' for name in names),
    ]
    return "\n".join(lines) + "\n"


def test_whatever_is_asked_the_answer_is_one_that_the_document_promises(
    cloud: Cloud, tmp_path: Path, defends: Defends
) -> None:
    config, report = tmp_path / "schemathesis.toml", tmp_path / "report.json"
    config.write_text(configuration(names_of(cloud)))
    url = cloud.outputs["httpUrl"]
    done = subprocess.run(
        [
            *(str(SCHEMATHESIS), "--config-file", str(config), "run", f"{url}/openapi.json"),
            *("--checks", ",".join(CHECKS)),
            *("--seed", str(SEED), "--max-examples", str(CASES_OF_A_ROUTE), "--continue-on-failure"),
            # A machine under load is no fault of the API's.
            *("--request-timeout", "60", "--suppress-health-check", "all"),
            *("--generation-database", "none", "--report", "json", "--report-json-path", str(report), "--no-color"),
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "SPELLCAST_API_KEY": cloud.outputs["apiKey"]},
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(report.read_text())
    assert found["operations"]["tested"] == found["operations"]["selected"] >= 30
    assert cloud.api.get("/v1/accounts/me/keys").is_success, "its key was ended, and nothing more was asked"
    assert done.returncode == 0, re.sub(r".*=+ (ERRORS|FAILURES) =+", "", done.stdout, count=1, flags=re.DOTALL)
    defends(
        "I10",
        "whatever the OpenAPI document allows or forbids, asked of the running API by Schemathesis",
        f"{found['test_cases']['generated']} requests to {found['operations']['tested']} routes, no 5xx, "
        f"every answer as documented",
    )

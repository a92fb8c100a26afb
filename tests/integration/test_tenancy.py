"""No account sees or touches another's."""

from __future__ import annotations

import httpx
import pytest

from spellcast.application.issue_api_key import IssueApiKey
from spellcast.aws.access_store import DynamoAccessStore
from spellcast.aws.clock import SystemClock
from spellcast.aws.table import Table
from tests.cloud import Cloud, words


@pytest.fixture(scope="module")
def stranger(cloud: Cloud) -> httpx.Client:
    """The same API with the key of another account."""
    access = DynamoAccessStore(Table(cloud.aws("dynamodb"), cloud.outputs["tableName"]))
    return httpx.Client(
        base_url=cloud.outputs["httpUrl"],
        headers={"X-API-Key": IssueApiKey(access, SystemClock())("a stranger")},
        timeout=30,
    )


def test_what_is_private_does_not_exist_for_others(cloud: Cloud, stranger: httpx.Client) -> None:
    spell = cloud.spell(words())
    ended = cloud.run(spell)
    for path in (
        f"/v1/spells/{spell['spellId']}",
        f"/v1/spells/{spell['slug']}",
        f"/v1/casts/{ended['castId']}",
        f"/v1/generations/{ended['generations'][0]['generationId']}",
    ):
        answer = stranger.get(path)
        assert answer.status_code == 404, f"{path}: {answer.text}"
        assert ended["castId"] not in str(answer.json().get("error", {}).get("details", ""))
    assert stranger.post("/v1/casts", json={"spell": spell["spellId"]}).status_code == 404
    assert stranger.get("/v1/casts").json() == {"casts": []}
    assert stranger.get("/v1/spells").json() == {"spells": []}
    stranger.close()


def test_a_public_spell_is_cast_by_others_and_their_casts_are_theirs(cloud: Cloud) -> None:
    access = DynamoAccessStore(Table(cloud.aws("dynamodb"), cloud.outputs["tableName"]))
    spell = cloud.spell(words(), visibility="public")
    headers = {"X-API-Key": IssueApiKey(access, SystemClock())("a guest")}
    with cloud.listening() as listener:
        answer = httpx.post(
            f"{cloud.outputs['httpUrl']}/v1/casts", json={"spell": spell["slug"]}, headers=headers, timeout=30
        )
        assert answer.status_code == 202
        theirs = answer.json()
        own = cloud.cast(spell)
        listener.until_ended(own)
        assert not listener.of(theirs, "castUpdate")
    assert cloud.api.get(f"/v1/casts/{theirs['castId']}").status_code == 404


def test_a_listed_spell_is_for_those_to_whom_it_was_granted_and_its_casts_are_counted(cloud: Cloud) -> None:
    access = DynamoAccessStore(Table(cloud.aws("dynamodb"), cloud.outputs["tableName"]))
    spell = cloud.spell(words(), visibility="listed")
    path = f"/v1/spells/{spell['spellId']}"
    headers = {"X-API-Key": IssueApiKey(access, SystemClock())("grantee-1")}
    with httpx.Client(base_url=cloud.outputs["httpUrl"], headers=headers, timeout=30) as grantee:
        body = {"spell": spell["slug"]}
        assert grantee.post("/v1/casts", json=body).status_code == 404
        assert cloud.api.put(f"{path}/permissions/grantee-1").status_code == 200
        assert grantee.post("/v1/casts", json=body).status_code == 202
        changed = {"name": "a spell", "steps": [words()], "visibility": "listed"}
        assert cloud.api.put(path, json=changed).status_code == 200
        assert grantee.post("/v1/casts", json=body).json()["version"] == 2
        assert cloud.api.get(path).json()["usageCount"] == 2
        assert grantee.get(f"{path}/permissions").status_code == 404
        assert cloud.api.delete(f"{path}/permissions/grantee-1").status_code == 204
        assert grantee.get(path).status_code == 404

"""Which API is asked, with which key, and who can read the file in which that is kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from spellcast_client.profiles import NoProfile, Profiles, chosen

ENVIRONMENT = {"SPELLCAST_URL": "https://env.example", "SPELLCAST_API_KEY": "env key"}


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    found = Profiles.load(tmp_path / "spellcast" / "config.json")
    found.put("other", "https://other.example", "other key")
    found.put("own", "https://own.example", "own key")
    return found


def asked(profiles: Profiles, environment: dict[str, str], name: str | None = None) -> tuple[str, str | None]:
    target = chosen(profiles, environment, name)
    return target.url, target.api_key


@pytest.mark.parametrize(
    ("environment", "name", "url", "key"),
    [
        ({}, None, "https://own.example", "own key"),
        ({}, "other", "https://other.example", "other key"),
        (ENVIRONMENT, None, "https://env.example", "env key"),
        (ENVIRONMENT, "other", "https://other.example", "other key"),
        ({"SPELLCAST_API_KEY": " new key\n"}, None, "https://own.example", "new key"),
        ({"SPELLCAST_URL": "https://own.example/"}, None, "https://own.example/", "own key"),
        ({"SPELLCAST_URL": "https://evil.example"}, None, "https://evil.example", None),
    ],
)
def test_a_key_goes_only_where_it_belongs(
    profiles: Profiles, environment: dict[str, str], name: str | None, url: str, key: str | None
) -> None:
    assert asked(profiles, environment, name) == (url, key)


def test_it_is_kept_for_its_owner_only(profiles: Profiles) -> None:
    profiles.save()
    profiles.save()
    assert stat.S_IMODE(profiles.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(profiles.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in profiles.path.parent.iterdir()] == ["config.json"]
    again = Profiles.load(profiles.path)
    assert (again.current, again.known) == ("own", profiles.known)


def test_a_file_that_others_could_read_is_replaced_by_one_that_they_cannot(profiles: Profiles) -> None:
    profiles.save()
    profiles.path.chmod(0o644)
    profiles.save()
    assert stat.S_IMODE(profiles.path.stat().st_mode) == 0o600


def test_what_fails_leaves_the_old_file(profiles: Profiles) -> None:
    profiles.save()
    profiles.current = object()  # type: ignore[assignment]
    with pytest.raises(TypeError):
        profiles.save()
    assert Profiles.load(profiles.path).current == "own"
    assert [path.name for path in profiles.path.parent.iterdir()] == ["config.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"profiles": {"a": {}}}', '{"profiles": {"a": "secret"}}', "\x00"])
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(NoProfile, match="spellcast login") as raised:
        Profiles.load(path)
    assert "secret" not in str(raised.value)


def test_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(NoProfile, match="spellcast login"):
        chosen(Profiles(tmp_path / "config.json"), {})


def test_a_name_that_is_not_there(profiles: Profiles) -> None:
    with pytest.raises(NoProfile, match="there are: other, own"):
        chosen(profiles, {}, "gone")


def test_no_text_has_the_key_or_a_password(profiles: Profiles) -> None:
    target = chosen(profiles, {**ENVIRONMENT, "SPELLCAST_URL": "https://user:pass@env.example/x"})
    assert "env key" not in repr(target)
    assert (target.address, target.source) == ("https://env.example/x", "SPELLCAST_URL and SPELLCAST_API_KEY")

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.callback_tokens import sign, verify
from spellcast.domain.errors import InvalidCallbackToken
from tests.fakes.clock import START
from tests.fakes.records import GENERATION_ID, in_seconds

SECRET = "a signing key"
TOKEN = sign(GENERATION_ID, START, SECRET)


def refused(token: str, secret: str = SECRET) -> None:
    with pytest.raises(InvalidCallbackToken, match=r"^The callback token is not valid\.$"):
        verify(token, START, secret)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}\.[0-9]{1,4}\.[0-9]{1,4}", fullmatch=True))
def test_a_token_names_its_generation(generation_id: str) -> None:
    assert verify(sign(generation_id, START, SECRET), START, SECRET) == generation_id


def test_a_token_fits_a_path_as_it_is() -> None:
    assert TOKEN.replace("-", "").replace("_", "").replace(".", "").isalnum()
    assert TOKEN.count(".") == 1


def test_a_token_is_good_until_a_day_after_the_deadline() -> None:
    last = START + timedelta(hours=24)
    assert verify(TOKEN, last - timedelta(seconds=1), SECRET) == GENERATION_ID
    with pytest.raises(InvalidCallbackToken, match=r"^The callback token has expired\.$"):
        verify(TOKEN, last, SECRET)


def test_a_token_of_another_secret_is_refused() -> None:
    refused(TOKEN, "another key")


def test_the_expiry_cannot_be_moved() -> None:
    mac = TOKEN.partition(".")[2]
    body = base64.urlsafe_b64encode(f"{GENERATION_ID}|9999999999".encode()).rstrip(b"=").decode()
    refused(f"{body}.{mac}")


def test_the_generation_cannot_be_exchanged() -> None:
    other = sign("c2.0.1", START, SECRET)
    refused(f"{other.partition('.')[0]}.{TOKEN.partition('.')[2]}")


@given(st.integers(0, len(TOKEN) - 1))
def test_a_truncated_token_is_refused(length: int) -> None:
    refused(TOKEN[:length])


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="utf-8"))
def test_a_token_with_any_character_changed_is_refused(position: int, character: str) -> None:
    if TOKEN[position] != character:
        refused(TOKEN[:position] + character + TOKEN[position + 1 :])


@given(st.text(min_size=1, max_size=20))
def test_a_token_with_anything_behind_it_is_refused(more: str) -> None:
    refused(TOKEN + more.encode("utf-8", "replace").decode())


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_garbage_is_refused_and_nothing_else(garbage: str) -> None:
    refused(garbage)


def signed(body: str) -> str:
    mac = hmac.digest(SECRET.encode(), body.encode(), hashlib.sha256)
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@given(st.text(st.characters(codec="ascii", exclude_characters="."), max_size=40))
def test_a_body_that_was_signed_here_but_is_no_token_is_refused(body: str) -> None:
    # As another use of the same key might have signed it.
    refused(signed(body))


@pytest.mark.parametrize(
    "content", [b"", b"c1.0.1", b"c1.0.1|", b"c1.0.1|soon", b"|\xff", b"c1.0.1|9e9", b"c1.0.1|9999999999|9999999999"]
)
def test_a_signed_content_that_is_no_token_is_refused(content: bytes) -> None:
    refused(signed(base64.urlsafe_b64encode(content).rstrip(b"=").decode()))


def test_the_signed_part_ends_at_the_first_dot() -> None:
    # The decoder would pass over a dot.
    body = sign("c1.0.10", START, SECRET).partition(".")[0]
    refused(signed(f"{body[:4]}.{body[4:]}"))


@pytest.mark.parametrize("token", ["", ".", "..", "a.b", "é.é", "\x00.\x00", f"{TOKEN}.", f".{TOKEN}"])
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)


@pytest.mark.parametrize("token", ["\ud800", "\ud800.a", "a.\ud800"])
def test_a_lone_surrogate_is_refused_like_all_other_garbage(token: str) -> None:
    refused(token)


def test_the_message_does_not_repeat_the_token() -> None:
    with pytest.raises(InvalidCallbackToken) as caught:
        verify(TOKEN + "x", START, SECRET)
    assert TOKEN[:10] not in caught.value.message


def test_the_deadline_is_that_of_the_generation() -> None:
    token = sign(GENERATION_ID, in_seconds(3600), SECRET)
    assert verify(token, START + timedelta(hours=24, minutes=59), SECRET) == GENERATION_ID

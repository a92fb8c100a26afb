from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellcast.domain.errors import InvalidSignature
from spellcast.domain.standard_webhooks import sign, verify
from tests.fakes.clock import START
from tests.fakes.records import in_seconds

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
BODY = b'{"status":"succeeded"}'
SIGNED = sign(SECRET, "msg_1", START, BODY)


def refused(headers: Mapping[str, str], *, body: bytes = BODY, secret: str = SECRET, seconds: float = 0) -> None:
    with pytest.raises(InvalidSignature):
        verify(secret, headers, body, in_seconds(seconds))


def test_the_published_vector_of_standard_webhooks_is_met() -> None:
    # The example of the specification's reference libraries (standardwebhooks.com).
    headers = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        START.fromtimestamp(1614265330, START.tzinfo),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.text(min_size=1).filter(lambda text: not text.startswith("whsec_")), st.binary())
def test_what_is_signed_verifies(secret: str, body: bytes) -> None:
    secret = secret.encode("utf-8", "replace").decode()
    verify(secret, sign(secret, "msg_1", START, body), body, START)


@pytest.mark.parametrize("secret", [SECRET, SECRET.rstrip("="), "any text", "whsec"])
def test_a_secret_is_base64_behind_its_prefix_and_otherwise_taken_as_it_stands(secret: str) -> None:
    verify(secret, sign(secret, "msg_1", START, BODY), BODY, START)


@given(st.binary())
def test_another_body_is_refused(body: bytes) -> None:
    if body != BODY:
        refused(SIGNED, body=body)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 299, 300])
def test_a_signature_is_good_for_five_minutes(seconds: float) -> None:
    verify(SECRET, SIGNED, BODY, in_seconds(seconds))


@pytest.mark.parametrize("seconds", [-301, 300.5, 301, 10**6])
def test_a_stale_signature_and_one_from_the_future_are_refused(seconds: float) -> None:
    refused(SIGNED, seconds=seconds)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": ""},
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": str(int(START.timestamp()) + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "٣"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": "1e9"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": SIGNED["webhook-signature"].replace("v1,", "v2,")},
        {"webhook-signature": SIGNED["webhook-signature"].replace("v1,", "")},
        {"webhook-signature": SIGNED["webhook-signature"][:-2]},
    ],
)
def test_a_header_that_is_not_as_it_was_signed_is_refused(changes: dict[str, str]) -> None:
    refused({**SIGNED, **changes})


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_a_missing_header_is_refused(name: str) -> None:
    refused({key: value for key, value in SIGNED.items() if key != name})


@pytest.mark.parametrize(
    "signatures",
    [
        f"v1,AAAA v1a,{'A' * 88} {SIGNED['webhook-signature']}",
        f"{SIGNED['webhook-signature']} v1,AAAA",
    ],
)
def test_one_good_signature_among_several_is_enough(signatures: str) -> None:
    verify(SECRET, {**SIGNED, "webhook-signature": signatures}, BODY, START)


UNSIGNED = "The callback carries no signature"
UNTIMED = "The callback's time cannot be read"
STALE = "The callback is too old, or from the future"
WRONG = "The callback's signature is wrong"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"webhook-id": None}, UNSIGNED),
        ({"webhook-timestamp": None}, UNSIGNED),
        ({"webhook-signature": None}, UNSIGNED),
        ({"webhook-id": ""}, UNSIGNED),
        ({"webhook-timestamp": "soon"}, UNTIMED),
        ({"webhook-timestamp": "٣"}, UNTIMED),
        ({"webhook-timestamp": "9" * 13}, UNTIMED),
        ({"webhook-timestamp": "9" * 12}, STALE),
        ({"webhook-timestamp": "0"}, STALE),
        ({"webhook-signature": "v1,AAAA"}, WRONG),
    ],
)
def test_a_refusal_says_what_is_wrong(changes: dict[str, str | None], reason: str) -> None:
    headers = {key: value for key, value in {**SIGNED, **changes}.items() if value is not None}
    with pytest.raises(InvalidSignature, match=f"^{reason}$"):
        verify(SECRET, headers, BODY, START)


def test_a_secret_that_is_not_configured_is_named_before_all_else() -> None:
    reason = "^The provider's webhook secret is not configured, so its callbacks are refused$"
    with pytest.raises(InvalidSignature, match=reason):
        verify("", {}, BODY, START)


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("whsec_" + base64.b64encode(b"k" * 16).decode(), b"k" * 16),
        ("whsec_" + base64.b64encode(b"k" * 16).decode().rstrip("="), b"k" * 16),
        ("whsec_" + base64.b64encode(b"k" * 17).decode().rstrip("="), b"k" * 17),
        ("whsec_" + base64.b64encode(b"k" * 18).decode(), b"k" * 18),
        ("whsec_my own words", b"whsec_my own words"),
        ("whsec_abcd!!!!", b"whsec_abcd!!!!"),
        ("whsec_a", b"whsec_a"),
        ("my own words", b"my own words"),
        ("bXkgb3duIHdvcmRz", b"bXkgb3duIHdvcmRz"),
    ],
)
def test_the_key_is_what_the_secret_encodes_or_else_its_text(secret: str, key: bytes) -> None:
    content = f"msg_1.{int(START.timestamp())}.".encode() + BODY
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    assert sign(secret, "msg_1", START, BODY)["webhook-signature"] == f"v1,{signature}"


@pytest.mark.parametrize("secret", ["", "another", "whsec_", "whsec_!!!"])
def test_another_secret_refuses(secret: str) -> None:
    refused(SIGNED, secret=secret)


def test_without_a_secret_nothing_is_let_in() -> None:
    refused(sign("", "msg_1", START, BODY), secret="")

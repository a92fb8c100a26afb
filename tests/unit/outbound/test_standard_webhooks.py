"""Our signatures against the specification's own test vector, and against another implementation where it is there."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from spellcast.domain.errors import InvalidSignature
from spellcast.outbound.standard_webhooks import sign, verify

# The test vector of the Standard Webhooks specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT_AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_specifications_vector() -> None:
    assert sign(SECRET, MESSAGE_ID, SENT_AT, BODY) == {
        "webhook-id": MESSAGE_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_what_is_signed_is_verified() -> None:
    for secret in (SECRET, SECRET.rstrip("="), "chosen freely", "ключ", "whsec_" + base64.b64encode(b"k").decode()):
        verify(secret, sign(secret, "m", SENT_AT, BODY), BODY, SENT_AT)


def test_one_good_signature_among_several_is_enough() -> None:
    headers = sign(SECRET, MESSAGE_ID, SENT_AT, BODY)
    headers["webhook-signature"] = f"v1a,zzz v1,AAAA {SIGNATURE} v1,"
    verify(SECRET, headers, BODY, SENT_AT)


@pytest.mark.parametrize("secret", ["whsec_not base64!", "whsec_é"])
def test_a_secret_that_is_none(secret: str) -> None:
    with pytest.raises(InvalidSignature, match="not base64"):
        verify(secret, sign(SECRET, MESSAGE_ID, SENT_AT, BODY), BODY, SENT_AT)


@pytest.mark.parametrize("signatures", ["", " ", "v1", "v1,", ",", "g0hM9SsE", "V1," + SIGNATURE[3:], "v1,é"])
def test_signatures_that_are_none(signatures: str) -> None:
    headers = {**sign(SECRET, MESSAGE_ID, SENT_AT, BODY), "webhook-signature": signatures}
    with pytest.raises(InvalidSignature):
        verify(SECRET, headers, BODY, SENT_AT)

"""Who asks: on every route of the OpenAPI document, and nobody sees another's things (contract I8)."""

from __future__ import annotations

import hmac
import json
import time
from http.client import IncompleteRead
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from spellcast.api.bearer import JwtVerifier
from tests.fakes.world import ACCOUNT, World
from tests.unit.api.caller import KEY, OPEN, OTHERS_KEY, Caller, documented_routes, unclosed_files

ISSUER, AUDIENCE = "https://issuer.example/", "spellcast"
PRIVATE = ec.generate_private_key(ec.SECP256R1())
CLOSED = [route for route in documented_routes() if route not in OPEN]


class KeySet(jwt.PyJWKClient):
    """The issuer's published keys, without an issuer."""

    def __init__(self, document: Any) -> None:
        super().__init__("https://issuer.example/.well-known/jwks.json")
        self.document = document
        self.fetched = 0

    def fetch_data(self) -> Any:
        self.fetched += 1
        if isinstance(self.document, Exception):
            raise self.document
        if self.jwk_set_cache is not None:
            self.jwk_set_cache.put(self.document)
        return self.document


def published(key: ec.EllipticCurvePrivateKey = PRIVATE, kid: str = "k1") -> dict[str, Any]:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return {"keys": [{**public, "kid": kid, "use": "sig", "alg": "ES256"}]}


def token(key: Any = PRIVATE, algorithm: str = "ES256", kid: str | None = "k1", **changes: Any) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": ACCOUNT, "exp": int(time.time()) + 600, **changes}
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm, headers)


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


@pytest.fixture
def keys() -> KeySet:
    return KeySet(published())


@pytest.fixture
def trusting(world: World, keys: KeySet) -> Caller:
    return Caller(world, JwtVerifier(ISSUER, AUDIENCE, keys))


class TestRoutes:
    def test_the_matrix_has_the_routes(self) -> None:
        assert ("POST", "/v1/casts") in CLOSED
        assert len(CLOSED) >= 11

    @pytest.mark.parametrize(("method", "path"), CLOSED)
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"x-api-key": ""},
            {"x-api-key": "wrong"},
            {"x-api-key": KEY + " "},
            {"x-api-key": "a" * 10_000},
            {"authorization": ""},
            {"authorization": "Bearer"},
            {"authorization": "Bearer "},
            {"authorization": f"Bearer {KEY}"},
            {"authorization": f"Basic {KEY}"},
            {"authorization": KEY},
            {"cookie": f"x-api-key={KEY}"},
        ],
        ids=str,
    )
    def test_without_credentials_nothing_is_answered(
        self, call: Caller, method: str, path: str, headers: dict[str, str]
    ) -> None:
        # A body that would be refused, and one that would be taken: credentials come first.
        for text in ("{", None):
            reply = call(method, path, text=text, headers=headers, key=None)
            assert (reply.status, reply.code) == (401, "UNAUTHORIZED")
            assert set(reply.json["error"]) == {"code", "message"}
            assert not call.has_written

    @unclosed_files
    @pytest.mark.parametrize(("method", "path"), sorted(OPEN))
    def test_the_open_routes_need_none(self, call: Caller, method: str, path: str) -> None:
        assert call(method, path, key=None).status == 200

    @pytest.mark.parametrize("path", ["/v1/health/", "/docs/", "/openapi.json/x", "//v1/health", "/v1/casts/../health"])
    def test_a_path_like_an_open_one_is_closed(self, call: Caller, path: str) -> None:
        assert call("GET", path, key=None).status == 401

    def test_credentials_are_not_taken_from_the_query(self, call: Caller) -> None:
        assert call("GET", "/v1/casts", query={"x-api-key": KEY}, key=None).status == 401

    @pytest.mark.parametrize("name", ["x-api-key", "X-Api-Key", "X-API-KEY"])
    def test_names_of_headers_have_no_case(self, call: Caller, name: str) -> None:
        assert call("GET", "/v1/casts", headers={name: KEY}, key=None).status == 200
        assert call("GET", "/v1/casts", headers={name: "wrong"}, key=None).status == 401

    def test_the_account_before_is_forgotten(self, call: Caller) -> None:
        assert call("POST", "/v1/casts", text="{").status == 400
        assert call("GET", "/v1/casts", key=None).status == 401
        body = {"name": "x", "steps": [{"id": "n0", "toolIdentifier": "free"}]}
        assert call("POST", "/v1/spells", body, key=OTHERS_KEY).json["ownedBy"] == "bob"


class TestOtherAccounts:
    @pytest.fixture
    def private(self, world: World) -> str:
        """A finished cast of a private spell of alice's."""
        cast = world.cast("free")
        world.execute(cast)
        world.process(cast)
        world.settle(cast)
        return cast.cast_id

    def test_their_records_do_not_exist(self, call: Caller, world: World, private: str) -> None:
        tool = {"toolId": "mine", "service": "http", "displayName": "Mine"}
        call("POST", "/v1/tools", tool)
        spell_id = world.store._casts[private].spell_id
        paths = {
            f"/v1/casts/{private}": "CAST_NOT_FOUND",
            f"/v1/generations/{private}.0.1": "GENERATION_NOT_FOUND",
            f"/v1/spells/{spell_id}": "SPELL_NOT_FOUND",
            "/v1/spells/free": "SPELL_NOT_FOUND",
            "/v1/tools/mine": "TOOL_NOT_FOUND",
            "/v1/tools/Mine": "TOOL_NOT_FOUND",
        }
        for path, code in paths.items():
            assert call("GET", path).status == 200
            reply = call("GET", path, key=OTHERS_KEY)
            assert (reply.status, reply.code) == (404, code)
            unknown = call("GET", path.replace("mine", "none").replace("Mine", "None"), key=OTHERS_KEY)
            assert unknown.code == code

    def test_their_lists_are_empty(self, call: Caller, private: str) -> None:
        assert call("GET", "/v1/casts", key=OTHERS_KEY).json == {"casts": []}
        assert call("GET", "/v1/spells", key=OTHERS_KEY).json == {"spells": []}

    def test_a_private_spell_is_not_quoted_to_others(self, call: Caller, private: str) -> None:
        assert call("POST", "/v1/spells/free/quote").status == 200
        for reference in ("free", "none"):
            reply = call("POST", f"/v1/spells/{reference}/quote", key=OTHERS_KEY)
            assert (reply.status, reply.code) == (404, "SPELL_NOT_FOUND")

    def test_a_private_spell_is_not_cast_by_others(self, call: Caller, world: World, private: str) -> None:
        before = len(world.store.writes)
        reply = call("POST", "/v1/casts", {"spell": "free"}, key=OTHERS_KEY)
        assert (reply.status, reply.code) == (404, "SPELL_NOT_FOUND")
        assert len(world.store.writes) == before

    @pytest.mark.parametrize(("visibility", "status"), [("public", 202), ("listed", 404), ("private", 404)])
    def test_only_a_public_spell_is(self, call: Caller, visibility: str, status: int) -> None:
        steps = [{"id": "n0", "toolIdentifier": "free"}]
        call("POST", "/v1/spells", {"name": "shared", "steps": steps, "visibility": visibility})
        reply = call("POST", "/v1/casts", {"spell": "shared"}, key=OTHERS_KEY)
        assert reply.status == status
        if status == 202:
            assert call("GET", f"/v1/casts/{reply.json['castId']}").status == 404


class TestBearer:
    def test_a_good_token_speaks_for_its_subject(self, trusting: Caller, world: World) -> None:
        cast = world.cast("free")
        reply = trusting("GET", "/v1/casts", headers=bearer(token()), key=None)
        assert [item["castId"] for item in reply.json["casts"]] == [cast.cast_id]
        others = trusting("GET", "/v1/casts", headers=bearer(token(sub="bob")), key=None)
        assert others.json["casts"] == []

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
    def test_the_scheme_is_read_as_http_says(self, trusting: Caller, scheme: str) -> None:
        reply = trusting("GET", "/v1/casts", headers={"authorization": f"{scheme} {token()}"}, key=None)
        assert reply.status == 200

    def test_an_audience_among_several_will_do(self, trusting: Caller) -> None:
        reply = trusting("GET", "/v1/casts", headers=bearer(token(aud=["other", AUDIENCE])), key=None)
        assert reply.status == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"exp": 1},
            {"exp": None},
            {"nbf": 4_000_000_000},
            {"iss": "https://elsewhere.example/"},
            {"iss": None},
            {"aud": "elsewhere"},
            {"aud": None},
            {"sub": None},
            {"sub": 7},
            {"sub": ""},
            {"sub": "a" * 256},
            {"sub": ["alice"]},
            {"exp": "soon"},
            {"exp": float("inf")},
            {"exp": -1},
            {"nbf": "never"},
            {"iat": 4_000_000_000},
            {"iat": []},
            {"aud": []},
            {"aud": {"aud": AUDIENCE}},
            {"aud": [[AUDIENCE]]},
            {"aud": AUDIENCE + " "},
            {"iss": ISSUER.rstrip("/")},
        ],
        ids=str,
    )
    def test_wrong_claims_are_refused(self, trusting: Caller, changes: dict[str, Any]) -> None:
        assert self.status(trusting, token(**changes)) == 401

    def test_another_key_is_refused(self, trusting: Caller) -> None:
        assert self.status(trusting, token(ec.generate_private_key(ec.SECP256R1()))) == 401

    def test_an_unknown_key_is_refused(self, trusting: Caller) -> None:
        assert self.status(trusting, token(kid="k2")) == 401
        assert self.status(trusting, token(kid=None)) == 401

    def test_a_token_without_a_signature_is_refused(self, trusting: Caller) -> None:
        assert self.status(trusting, token("", "none")) == 401
        head, claims, _ = token().split(".")
        assert self.status(trusting, f"{head}.{claims}.") == 401

    def test_the_public_key_is_no_shared_secret(self, trusting: Caller) -> None:
        public = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head = jwt.utils.base64url_encode(b'{"alg":"HS256","typ":"JWT","kid":"k1"}').decode()
        signed = f"{head}.{token().split('.')[1]}"
        mac = hmac.digest(public, signed.encode(), "sha256")
        assert self.status(trusting, f"{signed}.{jwt.utils.base64url_encode(mac).decode()}") == 401

    def test_another_algorithm_than_the_keys_is_refused(self, trusting: Caller) -> None:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert self.status(trusting, token(other, "RS256")) == 401

    @pytest.mark.parametrize(
        "head",
        [
            {"alg": None},
            {"alg": 7},
            {"alg": ["ES256"]},
            {"alg": {}},
            {"alg": "none"},
            {"alg": "NONE"},
            {"alg": "es256"},
            {"alg": "HS512"},
            {"kid": 1},
            {"kid": ["k1"]},
            {"kid": {}},
            {"kid": None},
            {"kid": "../../k1"},
            {"crit": ["exp"], "exp": 1},
            {"b64": False, "crit": ["b64"]},
            {"jku": "https://elsewhere.example/keys", "kid": "k2"},
            {"jwk": published()["keys"][0], "kid": "k2"},
            {"x5u": "https://elsewhere.example/cert", "kid": "k2"},
        ],
        ids=str,
    )
    def test_a_head_that_leads_elsewhere_is_refused(self, trusting: Caller, head: dict[str, Any]) -> None:
        """Signed with the issuer's own key, so that the head alone is at fault."""
        assert self.status(trusting, self.signed({"alg": "ES256", "typ": "JWT", "kid": "k1", **head})) == 401

    def test_the_same_with_a_good_head_is_let_in(self, trusting: Caller) -> None:
        assert self.status(trusting, self.signed({"alg": "ES256", "typ": "JWT", "kid": "k1"})) == 200

    @pytest.mark.parametrize("part", [0, 1])
    @pytest.mark.parametrize("levels", [100, 2_000, 100_000])
    def test_deep_json_is_refused(self, trusting: Caller, part: int, levels: int) -> None:
        parts = token().split(".")
        deep = b'{"alg":"ES256","kid":"k1","x":' + b"[" * levels + b"]" * levels + b"}"
        parts[part] = jwt.utils.base64url_encode(deep).decode()
        assert self.status(trusting, ".".join(parts)) == 401

    @pytest.mark.parametrize("text", ["x", "a.b.c", "....", "e30.e30.e30", "ünï", "null"])
    def test_garbage_is_refused(self, trusting: Caller, text: str) -> None:
        assert self.status(trusting, text) == 401

    def test_the_keys_are_fetched_once(self, trusting: Caller, keys: KeySet) -> None:
        assert {self.status(trusting, token()) for _ in range(3)} == {200}
        assert keys.fetched == 1

    def test_an_issuer_that_is_away_lets_nobody_in(self, trusting: Caller, keys: KeySet) -> None:
        keys.document = jwt.PyJWKClientConnectionError("no answer")
        assert self.status(trusting, token()) == 401

    @pytest.mark.parametrize(
        "document",
        [
            json.JSONDecodeError("x", "x", 0),
            ConnectionResetError("x"),
            TimeoutError("x"),
            IncompleteRead(b"x"),
            RecursionError("x"),
            None,
            [],
            {},
            {"keys": None},
            {"keys": [None]},
            {"keys": [{"kid": "k1"}]},
            {"keys": [{"kid": "k1", "kty": "oct", "k": "a2V5", "alg": "HS256"}]},
            {"keys": [{**published()["keys"][0], "alg": "RS256"}]},
            {"keys": [{**published()["keys"][0], "x": "%"}]},
        ],
        ids=repr,
    )
    def test_an_issuer_that_answers_nonsense_lets_nobody_in(
        self, trusting: Caller, keys: KeySet, document: Any
    ) -> None:
        keys.document = document
        assert self.status(trusting, token()) in (401, 503)

    def test_without_an_issuer_no_token_is_good(self, call: Caller) -> None:
        assert self.status(call, token()) == 401

    def test_a_key_that_is_wrong_is_not_mended_by_a_token(self, trusting: Caller) -> None:
        assert trusting("GET", "/v1/casts", headers=bearer(token()), key="wrong").status == 401

    def signed(self, head: dict[str, Any]) -> str:
        claims = token().split(".")[1]
        text = f"{jwt.utils.base64url_encode(json.dumps(head).encode()).decode()}.{claims}"
        signature = jwt.algorithms.ECAlgorithm(SHA256).sign(text.encode(), PRIVATE)
        return f"{text}.{jwt.utils.base64url_encode(signature).decode()}"

    def status(self, caller: Caller, text: str) -> int:
        reply = caller("GET", "/v1/casts", headers=bearer(text), key=None)
        if reply.status == 401:
            assert reply.code == "UNAUTHORIZED"
        return reply.status

"""While the original still runs: a real flag in AppConfig moves an account, and a rollback moves it back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from scripts.deploy_flags import delete, deploy
from tests.cloud import Cloud, words

DATA = "/internal/v1/data"
THEIRS = "65f0a1b2c3d4e5f60718293a"
Move = Callable[[str], None]


class Node(BaseHTTPRequestHandler):
    """The original: it answers everything with what it was asked."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = {"method": self.command, "path": self.path, "key": self.headers["X-Internal-Client-Key"]}
        content = json.dumps({**asked, "body": body.decode()}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: Any) -> None: ...


def renew(cloud: Cloud) -> None:
    """New workers: warm ones would keep the secret for five minutes, and the flags for half a minute."""
    httpx.post(f"{cloud.outputs['endpointUrl']}/_spellcast/renew").raise_for_status()


@pytest.fixture
def original(cloud: Cloud) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Node)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    secrets, name = cloud.aws("secretsmanager"), "spellcast/local/original"
    content = {"url": f"http://127.0.0.1:{server.server_port}", "key": "node-key"}
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps(content))
    renew(cloud)
    try:
        yield
    finally:
        secrets.put_secret_value(SecretId=name, SecretString="{}")
        renew(cloud)
        server.shutdown()
        server.server_close()


@pytest.fixture
def move(cloud: Cloud) -> Iterator[Move]:
    """Deploys flags that move one account."""
    stack = cloud.aws("cloudformation").describe_stacks(StackName="spellcast-local")["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    application, environment, profile_id = outputs["Flags"].split("/")
    profile = {"ApplicationId": application, "ConfigurationProfileId": profile_id}
    appconfig = cloud.aws("appconfig")

    def deploy_for(account: str) -> None:
        condition = {"action": "IN", "key": "account", "value": [account]}
        rules = {"one by one": {"when_match": True, "conditions": [condition]}}
        flags = json.dumps({"cast_here": {"default": False, "rules": rules}}).encode()
        assert deploy(appconfig, profile, environment, outputs["FlagsStrategy"], flags) == "COMPLETE"
        renew(cloud)

    yield deploy_for
    deploy_for("nobody")
    assert delete(appconfig, profile) > 0


def test_an_account_moves_by_its_flag_and_back_and_its_casts_end_where_they_began(
    cloud: Cloud, original: None, move: Move
) -> None:
    spell = cloud.spell(words())
    account, headers = spell["ownedBy"], {"X-Internal-Client-Key": cloud.outputs["internalKey"]}
    order = {"slug": spell["slug"], "context": {"masterAccountId": account}}
    with httpx.Client(base_url=cloud.outputs["httpUrl"] + DATA, headers=headers, timeout=30) as internal:
        passed = internal.post("/spells/cast", json=order)
        assert (passed.status_code, passed.headers["content-type"]) == (201, "application/json; charset=utf-8")
        asked = passed.json()
        assert (asked["method"], asked["path"], asked["key"]) == ("POST", f"{DATA}/spells/cast", "node-key")
        assert json.loads(asked["body"]) == order

        move(account)
        here = internal.post("/spells/cast", json=order)
        assert (here.status_code, here.json()["status"]) == (200, "running")
        other = {"slug": spell["slug"], "context": {"masterAccountId": "another"}}
        assert internal.post("/spells/cast", json=other).status_code == 201
        theirs = internal.get(f"/spells/casts/{THEIRS}", params={"a": "1"}).json()
        assert theirs["path"] == f"{DATA}/spells/casts/{THEIRS}?a=1"
        assert internal.get("/users/moved").json()["path"] == f"{DATA}/users/moved"

        move("nobody")
        assert internal.post("/spells/cast", json=order).status_code == 201
        kept = internal.get(f"/spells/casts/{here.json()['castId']}")
        assert (kept.status_code, kept.json()["castId"]) == (200, here.json()["castId"])

"""The console's files, as the browser gets them."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import pytest

from functions.console import app
from tests.contract.deployment import ROOT
from tests.functions.scene import Scene, load_event

PAGE = ROOT / "functions" / "console" / "page"
MAX_BYTES = 250_000
# As npm has it: `npm pack htm@3.1.1`, preact/standalone.module.js.
LIBRARY = ("vendor/htm-preact-3.1.1.js", "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7")


def asked(file: str) -> dict[str, Any]:
    answer: dict[str, Any] = app.lambda_handler({**load_event("console.page"), "pathParameters": {"file": file}}, None)
    return answer


def page() -> dict[str, Any]:
    answer: dict[str, Any] = app.lambda_handler(load_event("console.page"), None)
    return answer


def loaded() -> list[str]:
    """What the page names, as the rest of its addresses."""
    return re.findall(r'(?:href|src)="console/([^"]+)"', page()["body"])


def test_the_page_is_asked_for_anew_and_its_files_are_kept(scene: Scene) -> None:
    assert page()["statusCode"] == 200
    assert page()["headers"]["content-type"] == "text/html; charset=utf-8"
    assert page()["headers"]["cache-control"] == "no-cache"
    for file in loaded():
        answer = asked(file)
        assert answer["statusCode"] == 200, file
        assert answer["headers"]["cache-control"] == "public, max-age=31536000, immutable"
    kinds = {file.rpartition(".")[2]: asked(file)["headers"]["content-type"].partition(";")[0] for file in loaded()}
    assert kinds == {"svg": "image/svg+xml", "css": "text/css", "js": "text/javascript"}


def test_every_module_is_named_by_the_page_and_loads_what_exists(scene: Scene) -> None:
    named = {file.partition("/")[2] for file in loaded()}
    modules = {path.relative_to(PAGE).as_posix(): path.read_text("utf-8") for path in PAGE.rglob("*.js")}
    assert modules.keys() == {name for name in named if name.endswith(".js")}
    for source in modules.values():
        assert set(re.findall(r'from "\./([^"]+)"', source)) <= modules.keys()


@pytest.mark.parametrize(
    "file", ["x/console.js", "{}/none.js", "{}/index.html", "{}/../app.py", "{}", "/", "{}/vendor"]
)
def test_there_is_nothing_else(scene: Scene, file: str) -> None:
    version = loaded()[0].partition("/")[0]
    if file == "/":
        file = "//"
        assert asked(file)["body"] == page()["body"]
        return
    answer = asked(file.replace("{}", version))
    assert (answer["statusCode"], answer["headers"]["cache-control"]) == (404, "no-store")


def test_a_file_of_another_version_is_not_kept_by_anybody(scene: Scene) -> None:
    answer = app.lambda_handler(load_event("console.outdated_file"), None)
    assert (answer["statusCode"], answer["headers"]["cache-control"]) == (404, "no-store")
    assert "load it again" in answer["body"]


def test_the_page_runs_nothing_but_its_own_files_and_calls_nobody_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert " http:;" in page()["headers"]["content-security-policy"], "pictures of the embedded cloud"
    monkeypatch.setenv("SPELLCAST_ALLOW_LOOPBACK", "false")
    policy = dict(part.strip().split(" ", 1) for part in page()["headers"]["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' wss://socket.example"
    assert "unsafe" not in str(policy)
    assert "http:" not in policy["img-src"].split()
    body = page()["body"]
    assert not re.search(r"<script(?![^>]*\bsrc=)", body)
    assert not re.search(r"\son\w+=|style=|javascript:", body)


def test_no_module_makes_markup_of_texts(scene: Scene) -> None:
    for path in PAGE.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", path.read_text("utf-8")
        )


def test_it_weighs_little(scene: Scene) -> None:
    assert sum(len(asked(file)["body"].encode()) for file in loaded()) + len(page()["body"]) <= MAX_BYTES


def test_the_library_is_what_was_published(scene: Scene) -> None:
    name, digest = LIBRARY
    assert sha256((PAGE / name).read_bytes()).hexdigest() == digest
    assert "Apache License" in (PAGE / "vendor" / "LICENSES.txt").read_text("utf-8")

"""What keeps the console quick, as counts; how long it takes says `make console-times`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.many import key_of, many_casts
from tests.browser.seen import Console
from tests.cloud import Cloud, words

MAX_BYTES = 250_000
CASTS = 1_000
# Every run of scripts that changes the page, once.
COUNTED = """
window.renders = 0;
new MutationObserver(() => { renders++; })
  .observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
"""


@pytest.fixture(scope="module")
def busy(cloud: Cloud) -> str:
    """The key of an account that has cast much."""
    many_casts(cloud, "busy", CASTS)
    return key_of(cloud, "busy")


class Heard:
    """What a page asks for, and the socket that it listens on."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self._socket: WebSocketRoute | None = None
        page.on("request", lambda request: self.asked.append(request.url) if "/v1/" in request.url else None)
        page.route_web_socket(re.compile("/realtime"), self._pass_on)

    def _pass_on(self, socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        self._socket = socket

    def tell(self, kind: str, payload: dict[str, Any]) -> None:
        assert self._socket is not None
        self._socket.send(json.dumps({"type": kind, "payload": payload}))


class TestManyCasts:
    def test_the_first_view_weighs_little_and_asks_for_one_page(
        self, opened: Callable[..., Console], busy: str
    ) -> None:
        console = opened()
        loaded: dict[str, int] = {}
        console.page.on("requestfinished", lambda asked: loaded.update({asked.url: asked.sizes()["responseBodySize"]}))
        console.sign_in(busy)
        expect(console.page.locator("table.list tbody tr")).to_have_count(25)
        console.page.wait_for_load_state("networkidle")
        assert min(loaded.values()) > 0
        assert 50_000 < sum(loaded.values()) <= MAX_BYTES, loaded
        assert len([url for url in loaded if "/v1/casts" in url]) == 1

    def test_pages_come_as_they_are_asked_for_and_are_found_again(
        self, opened: Callable[..., Console], busy: str
    ) -> None:
        console = opened()
        page = console.page
        heard = Heard(page)
        console.sign_in(busy)
        first = page.locator("table.list tbody tr").first
        expect(first).to_contain_text(f"Cast {CASTS - 1} ")
        console.link("Older").click()
        expect(first).to_contain_text(f"Cast {CASTS - 26} ")
        expect(console.heading("Casts")).to_be_focused()
        console.link("Older").click()
        expect(first).to_contain_text(f"Cast {CASTS - 51} ")
        # The first page twice where it came before the socket was open: nothing is missed in between.
        assert len({url for url in heard.asked if "/v1/casts" in url}) == 3
        first.get_by_role("link").click()
        expect(console.heading(f"Cast {CASTS - 51}")).to_be_visible()
        page.go_back()
        expect(first).to_contain_text(f"Cast {CASTS - 51} ")
        console.link("Newer").click()
        expect(first).to_contain_text(f"Cast {CASTS - 26} ")
        page.reload()
        expect(first).to_contain_text(f"Cast {CASTS - 26} ")
        console.link("Newest").click()
        expect(first).to_contain_text(f"Cast {CASTS - 1} ")

    def test_a_message_changes_the_list_once_and_asks_for_nothing(
        self, opened: Callable[..., Console], busy: str, cloud: Cloud
    ) -> None:
        console = opened()
        page = console.page
        page.clock.install()
        page.add_init_script(COUNTED)
        heard = Heard(page)
        console.sign_in(busy)
        expect(page.locator("table.list tbody tr")).to_have_count(25)
        page.wait_for_load_state("networkidle")
        newest = httpx.get(f"{cloud.outputs['httpUrl']}/v1/casts", headers={"X-API-Key": busy}).json()["casts"][0]
        asked, rendered = len(heard.asked), page.evaluate("renders")
        told = {**newest, "castId": "f" * 32, "spellName": "Told", "revision": 1, "status": "running"}
        heard.tell("castUpdate", told)
        row = page.locator("table.list tbody tr").first
        expect(row).to_contain_text("Told")
        assert page.evaluate("renders") - rendered <= 1
        heard.tell("castUpdate", {**told, "revision": 2, "status": "completed"})
        expect(row.locator(".status")).to_have_text("completed")
        assert page.evaluate("renders") - rendered <= 2
        # One that is known already changes nothing, and whatever waits for a moment has its moment.
        heard.tell("castUpdate", told)
        page.clock.run_for(2_000)
        expect(row.locator(".status")).to_have_text("completed")
        assert page.evaluate("renders") - rendered <= 2
        assert heard.asked[asked:] == []


def test_a_message_changes_a_cast_once_and_asks_nothing_over_http(opened: Callable[..., Console], cloud: Cloud) -> None:
    cast = cloud.run(cloud.spell(words(), name="Told of"))
    console = opened()
    page = console.page
    page.clock.install()
    page.add_init_script(COUNTED)
    heard = Heard(page)
    console.sign_in()
    console.go(f"#/casts/{cast['castId']}")
    expect(page.locator(".step .text")).to_have_text("a cat!")
    expect(page.locator("#total-cost")).to_be_visible()
    page.wait_for_load_state("networkidle")
    asked, rendered = len(heard.asked), page.evaluate("renders")
    heard.tell("castUpdate", {**cast, "generations": None, "revision": cast["revision"] + 5, "costUsd": "7.5"})
    expect(page.locator("#total-cost")).to_have_text("$7.5")
    page.clock.run_for(2_000)
    assert page.evaluate("renders") - rendered <= 1
    assert heard.asked[asked:] == []

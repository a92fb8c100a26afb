"""The console as its user sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.cloud import Cloud

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@dataclass
class Console:
    """What a test may do behind its back is the cloud's and the page's."""

    page: Page
    cloud: Cloud

    @property
    def url(self) -> str:
        return f"{self.cloud.outputs['httpUrl']}/console"

    def sign_in(self, key: str | None = None) -> Console:
        """By the link that `make up` prints, or one with the key of another account."""
        self.page.goto(f"{self.url}#key={key or self.cloud.outputs['apiKey']}")
        expect(self.page.locator(".live.live")).to_have_text("Live")
        return self

    def sockets(self) -> list[WebSocketRoute]:
        """Those that the page opens from now on, as they come. What they carry is passed on; a test may close them."""
        opened: list[WebSocketRoute] = []

        def pass_on(socket: WebSocketRoute) -> None:
            socket.connect_to_server()
            opened.append(socket)

        self.page.route_web_socket(re.compile("/realtime"), pass_on)
        return opened

    def go(self, place: str) -> None:
        self.page.evaluate("place => { location.hash = place; }", place)

    def heading(self, text: str) -> Locator:
        return self.page.get_by_role("heading", name=text, exact=True)

    def status(self, status: str) -> None:
        """Waits until the cast that is shown has it."""
        expect(self.page.locator(".head .status")).to_have_text(status)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name, exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def add_step(self, tool: str) -> Locator:
        """The new step's form."""
        number = self.page.locator(".step").count()
        self.page.get_by_label("First step" if number == 0 else "Next step").select_option(label=tool)
        self.button("Add the step").click()
        form = self.page.locator(f".step[data-step='{number}']")
        expect(form).to_be_visible()
        return form

    def shown_cast(self) -> dict[str, Any]:
        """The cast that is shown, from the API."""
        cast_id = self.page.url.rpartition("/")[2]
        return self.cloud.get_cast({"castId": cast_id})

    def total(self) -> str:
        return self.page.locator("#total-cost").inner_text()

    def faults(self) -> list[str]:
        """What axe-core finds serious, and what is wider than the screen."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate(
            "async () => (await axe.run()).violations.filter(each => ['serious', 'critical'].includes(each.impact))"
            ".map(each => `${each.id}: ${each.nodes.map(node => node.html).join(' ')}`)"
        )
        overhang = self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        return [*found, *([f"{overhang} px too wide"] if overhang > 0 else [])]

"""`make console-times`: how long the console takes on this machine, beside its budgets."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from tests.browser.chromium import ARGUMENTS, chromium
from tests.browser.many import key_of, many_casts
from tests.browser.seen import Console
from tests.cloud import Cloud, drawn, started, words

CASTS = 1_000
VIEWS = 7
# When the first row of a list was drawn; and from the arrival of a message to the frame that shows what it changed.
TIMED = """
window.took = [];
let arrived = null;
const drawn = then => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => then(performance.now());
  port2.postMessage(null);
});
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", () => { arrived = performance.now(); });
  }
};
new MutationObserver(() => {
  if (!window.listed && document.querySelector("table.list tbody tr")) drawn(now => { window.listed ??= now; });
  if (arrived === null) return;
  const began = arrived;
  arrived = null;
  drawn(now => took.push(now - began));
}).observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    expect.set_options(timeout=60_000)
    with tempfile.TemporaryDirectory() as name, started(Path(name)) as cloud:
        many_casts(cloud, "busy", CASTS)
        key = key_of(cloud, "busy")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            _show_views(browser, cloud, key)
            _show_messages(browser, cloud)
            browser.close()


def _show_views(browser: Browser, cloud: Cloud, key: str) -> None:
    """Each in a browser that has nothing of the console yet."""
    painted, listed = [], []
    weights: list[int] = []
    for _ in range(VIEWS + 1):
        page = _opened(browser)
        answers = _answers(page)
        Console(page, cloud).sign_in(key)
        expect(page.locator("table.list tbody tr")).to_have_count(25)
        page.wait_for_load_state("networkidle")
        painted.append(page.evaluate(PAINTED))
        listed.append(page.evaluate("listed"))
        weights.append(sum(len(answer.body()) for answer in answers))
        page.context.close()
    # The first one waited for the functions to be started, and for the stream of what was written.
    _say(f"The list of {CASTS:,} casts, nothing cached", painted[1:], "first paint")
    _say("", listed[1:], "its first page is on the screen", "≤ 1,000 ms")
    sys.stdout.write(f"{'':<44}{max(weights):>8,} bytes loaded  ≤ 250,000\n")


def _show_messages(browser: Browser, cloud: Cloud) -> None:
    spell = cloud.spell(*[words(node=f"n{number}") for number in range(5)], drawn("[seconds:1]"))
    for title, place in (("A message on the list", "#/casts"), ("A message on a cast that runs", "#/casts/{castId}")):
        page = _opened(browser)
        console = Console(page, cloud).sign_in()
        page.wait_for_load_state("networkidle")
        page.evaluate("took.length = 0")
        for _ in range(4):
            cast = cloud.cast(spell)
            console.go(place.format(**cast))
            cloud.await_cast(cast)
        _say(title, page.evaluate("took"), "from arrival to the screen", "≤ 100 ms")
        page.context.close()


def _opened(browser: Browser) -> Page:
    page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
    page.add_init_script(TIMED)
    return page


def _answers(page: Page) -> list[Response]:
    """What the page will have loaded."""
    found: list[Response] = []
    page.on("response", lambda answer: found.append(answer))
    return found


def _say(title: str, took: list[Any], what: str, budget: str = "") -> None:
    line = f"{title:<44}{statistics.median(took):>8.0f} ms {what}, at most {max(took):.0f} ms ({len(took)} times)"
    sys.stdout.write(f"{line}  {budget}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

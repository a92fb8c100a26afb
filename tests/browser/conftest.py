"""The console in Debian's Chromium, on an embedded cloud of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, expect, sync_playwright

from tests.browser.chromium import ARGUMENTS, chromium
from tests.browser.seen import Console
from tests.cloud import Cloud, started

PATIENCE_MS = 30_000
SIZES = {"wide": (1200, 900), "narrow": (390, 844)}


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with started(tmp_path_factory.mktemp("cloud"), {"SPELLCAST_DEMO_JOB_SECONDS": "0.5"}) as cloud:
        yield cloud


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return SIZES[request.param]


@pytest.fixture
def opened(browser: Browser, cloud: Cloud) -> Iterator[Callable[..., Console]]:
    """Consoles of a size and a colour scheme, each in a tab of its own; a script's error fails the test."""
    errors: list[str] = []
    contexts = []

    def note(dialog: Dialog) -> None:
        if dialog.type == "beforeunload":  # the browser's own question, which is meant
            return dialog.accept()
        errors.append(dialog.message)
        dialog.dismiss()

    def open_console(size: tuple[int, int] = SIZES["wide"], scheme: Any = "light") -> Console:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("dialog", note)
        return Console(page, cloud)

    yield open_console
    for context in contexts:
        context.close()
    cloud.provider.post("/control", json={"reset": True})
    assert errors == []


@pytest.fixture
def console(opened: Callable[..., Console]) -> Console:
    return opened().sign_in()

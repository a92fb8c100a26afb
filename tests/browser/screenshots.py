"""`make screenshots`: the console's pictures in docs/images, of a cloud that is started for them."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chromium import ARGUMENTS, chromium
from tests.browser.seen import Console
from tests.cloud import Cloud, drawn, started, words

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDE, NARROW = (1100, 780), (390, 780)


def main() -> None:
    """Every picture anew."""
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        started(Path(name), {"SPELLCAST_DEMO_JOB_SECONDS": "2"}) as cloud,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        take(browser, cloud)
        browser.close()


def take(browser: Browser, cloud: Cloud) -> None:
    """Compose, cast, watch, fail, resume: what a newcomer sees."""
    expect.set_options(timeout=60_000)
    console = opened(browser, cloud, WIDE)
    page = console.page
    console.go("#/spells/new")
    page.get_by_label("Name", exact=True).fill("A painted cat")
    first = console.add_step("String")
    first.get_by_label("Where appendText comes from").select_option(label="A value")
    first.get_by_label("appendText").last.fill(", oil on canvas")
    draw = console.add_step("ComfyUI Text to Image")
    console.add_step("Clarity Upscaler")
    draw.get_by_label("Where input_width comes from").select_option(label="A value")
    draw.get_by_label("input_width").last.fill("wide")
    expect(draw.locator(".message")).to_be_visible()
    draw.evaluate("form => scrollTo(0, form.offsetTop - 80)")
    keep(console, "compose")
    draw.get_by_label("input_width").last.fill("768")
    expect(page.locator(".lint")).to_have_text("Nothing is wrong with it.")
    console.button("Save the spell").click()
    expect(console.heading("A painted cat")).to_be_visible()
    page.get_by_label("inputText").fill("a cat who reads the newspaper")
    expect(page.locator("img.drawing")).to_be_visible()
    expect(page.locator(".quote")).to_contain_text("$")
    keep(console, "spell")
    console.button("Cast").click()
    expect(page.locator(".bar[data-step='1'] rect.running")).to_be_visible()
    keep(console, "running")
    console.status("completed")
    cast_id = console.shown_cast()["castId"]
    expect(page.get_by_role("img", name="Step 3, Clarity Upscaler, image 1")).to_be_visible()
    keep(console, "cast")
    dark = opened(browser, cloud, WIDE, "dark")
    dark.go(f"#/casts/{cast_id}")
    expect(dark.page.get_by_role("img", name="Step 3, Clarity Upscaler, image 1")).to_be_visible()
    keep(dark, "cast-dark")
    cloud.provider.post("/control", json={"replicate": {"fault": "fail", "times": 1}})
    console.page.get_by_role("link", name="Cast again…").click()
    console.button("Cast").click()
    console.status("failed")
    keep(console, "failed")
    phone = opened(browser, cloud, NARROW)
    phone.go(f"#/casts/{console.shown_cast()['castId']}")
    phone.status("failed")
    keep(phone, "phone")
    fill(cloud)
    console.go("#/casts")
    expect(page.locator("table.list tbody tr")).to_have_count(7)
    expect(page.locator(".status.cancelled")).to_be_visible()
    keep(console, "casts")


def fill(cloud: Cloud) -> None:
    """Casts of other spells: some ended, one was cancelled, one runs."""
    for name in ("The day's headline", "A caption", "A caption in capitals"):
        cloud.run(cloud.spell(words(), name=name))
    for name, ends in (("A poster", True), ("A frame of a film", False)):
        cast = cloud.cast(cloud.spell(drawn("[fault:stall]"), name=name))
        cloud.await_generation(f"{cast['castId']}.0.1", "processing")
        if ends:
            cloud.api.post(f"/v1/casts/{cast['castId']}/cancel").raise_for_status()
            cloud.await_cast(cast)


def opened(browser: Browser, cloud: Cloud, size: tuple[int, int], scheme: str = "light") -> Console:
    """A console that is signed in."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
    )
    return Console(context.new_page(), cloud).sign_in()


def keep(console: Console, name: str) -> None:
    """The picture, in as many colours as it takes to look the same."""
    console.page.wait_for_load_state("networkidle")
    content = console.page.screenshot(animations="disabled")
    picture = Image.open(io.BytesIO(content)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()

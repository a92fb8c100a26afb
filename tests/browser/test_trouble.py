"""What is odd, large, broken or gone: there is always a sentence that says what to do next, and never a blank page."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.many import key_of
from tests.browser.seen import Console
from tests.cloud import Cloud, drawn, words

ELSEWHERE = "https://films.example/"
# Half a second of a white square, as Chromium itself records it.
FILMED = """
async () => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const pen = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm" });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise(resolve => { recorder.onstop = resolve; });
  recorder.start();
  for (let frame = 0; frame < 10; frame++) {
    pen.fillRect(0, 0, 64, 6 * frame);
    await new Promise(requestAnimationFrame);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  recorder.stop();
  await ended;
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return btoa(String.fromCharCode(...bytes));
}
"""


def sound() -> bytes:
    """A tenth of a second of silence."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    return content.getvalue()


def made(cloud: Cloud, kind: str, name: str) -> dict[str, Any]:
    """An ended cast whose step made a file of this kind, which lies elsewhere."""
    cast = cloud.cast(cloud.spell(drawn("[fault:stall]"), name=f"Makes {kind}"))
    generation = f"{cast['castId']}.0.1"
    cloud.await_generation(generation, "processing")
    data = {"files": [{"url": f"{ELSEWHERE}{name}", "filename": name}]}
    cloud.put_on_bus(generationId=generation, status="succeeded", type=kind, data=data)
    return cloud.await_cast(cast)


class TestFilmsAndSounds:
    @pytest.mark.parametrize(("kind", "name"), [("video", "1.webm"), ("audio", "1.wav")])
    def test_they_are_played_and_where_they_are_gone_it_is_said(
        self, console: Console, cloud: Cloud, kind: str, name: str
    ) -> None:
        page = console.page
        cast = made(cloud, kind, name)
        content = base64.b64decode(page.evaluate(FILMED)) if kind == "video" else sound()
        media_type = f"{kind}/{name.partition('.')[2]}"
        page.route(f"{ELSEWHERE}**", lambda route: route.fulfill(body=content, content_type=media_type))
        console.go(f"#/casts/{cast['castId']}")
        player = page.locator(f".step {kind}")
        expect(player).to_have_js_property("error", None)
        expect(player).to_have_attribute("aria-label", f"Step 1, ComfyUI Text to Image, {kind} 1")
        player.evaluate("player => player.readyState || new Promise(done => { player.onloadedmetadata = done; })")
        assert console.faults() == []
        page.unroute(f"{ELSEWHERE}**")
        page.route(f"{ELSEWHERE}**", lambda route: route.fulfill(status=404))
        page.reload()
        expect(page.locator(".gone")).to_contain_text("Run the step again to make it anew.")
        expect(player).to_have_count(0)


class TestWhatIsGone:
    def test_a_page_whose_scripts_do_not_come_says_so(self, opened: Callable[..., Console]) -> None:
        console = opened()
        console.page.route("**/console.js", lambda route: route.abort())
        console.page.goto(console.url)
        expect(console.page.get_by_text("The console did not start. Load the page again")).to_be_visible()

    @pytest.mark.parametrize("place", ["#/casts", "#/spells", "#/spells/new", "#/casts/x", "#/spells/x"])
    def test_a_server_that_went_before_the_page_was_loaded_again(
        self, opened: Callable[..., Console], place: str
    ) -> None:
        console = opened().sign_in()
        console.page.route("**/v1/**", lambda route: route.abort())
        console.go(place)
        console.page.reload()
        expect(console.page.locator("main").get_by_role("alert")).to_contain_text("The server does not answer")
        expect(console.button("Try again")).to_be_visible()

    def test_a_server_that_goes_while_one_watches_leaves_what_is_known(self, console: Console, cloud: Cloud) -> None:
        cast = cloud.run(cloud.spell(words(), name="Stays"))
        page = console.page
        console.go(f"#/casts/{cast['castId']}")
        expect(page.locator(".step .text")).to_have_text("a cat!")
        page.route("**/v1/**", lambda route: route.abort())
        console.button("Run again… (step 1)").click()
        console.button("Run again").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("The server does not answer")
        page.keyboard.press("Escape")
        expect(page.locator(".step .text")).to_have_text("a cat!")

    def test_a_server_that_is_stopped_and_started_again(self, opened: Callable[..., Console], cloud: Cloud) -> None:
        console = opened()
        page, sockets = console.page, console.sockets()
        console.sign_in()
        cast = cloud.cast(cloud.spell(drawn("[fault:stall]"), name="Goes on"))
        console.go(f"#/casts/{cast['castId']}")
        expect(page.locator(".bar[data-step='0'] rect.running")).to_be_visible()
        page.route("**/v1/**", lambda route: route.abort())
        sockets[-1].close()
        expect(page.locator(".banner")).to_contain_text("start it with “make up”")
        expect(page.get_by_text("nothing was heard since")).to_be_visible()
        length = page.locator(".bar[data-step='0'] .number")
        shown = length.inner_text()
        console.button("Cancel").click()
        expect(page.locator("main").get_by_role("alert")).to_contain_text("The server does not answer")
        assert length.inner_text() == shown
        page.unroute("**/v1/**")
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator(".live.live")).to_have_text("Live")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(length).not_to_have_text(shown)

    def test_a_cast_and_a_spell_of_another_account_do_not_exist(
        self, opened: Callable[..., Console], cloud: Cloud
    ) -> None:
        cast = cloud.run(cloud.spell(words(), name="Secret"))
        console = opened().sign_in(key_of(cloud, "somebody else"))
        for place, sentence in {
            f"#/casts/{cast['castId']}": "There is no such cast for your key",
            f"#/spells/{cast['spellId']}": "There is no such spell for your key",
            f"#/spells/{cast['spellId']}?from={cast['castId']}": "There is no such spell for your key",
            f"#/spells/{cast['spellId']}/edit": "There is no such spell for your key",
        }.items():
            console.go(place)
            expect(console.page.get_by_role("alert")).to_contain_text(sentence)
        assert "Secret" not in console.page.content()

    def test_a_cast_outlives_its_spell(self, console: Console, cloud: Cloud) -> None:
        cast = cloud.run(cloud.spell(words(), name="Goes"))
        cloud.api.delete(f"/v1/spells/{cast['spellId']}").raise_for_status()
        console.go(f"#/casts/{cast['castId']}")
        expect(console.page.locator(".facts")).to_contain_text("which is gone")
        expect(console.page.locator(".step .text")).to_have_text("a cat!")
        expect(console.link("Cast again…")).to_have_count(0)

    def test_a_page_of_the_list_that_never_was(self, console: Console) -> None:
        console.go("#/casts?cursor=nonsense")
        expect(console.page.get_by_role("alert")).to_contain_text("cursor")
        console.link("The newest casts").click()
        expect(console.page.get_by_role("alert")).to_have_count(0)


class TestWhatIsOdd:
    @pytest.mark.parametrize("place", ["#/casts/%E0%A4%A", "#/spells/%", "#/casts?status=asleep", "#/spells/new?x=%"])
    def test_addresses(self, console: Console, place: str) -> None:
        console.go(place)
        console.page.reload()
        expect(console.page.get_by_role("heading", level=1)).to_be_visible()
        expect(console.page.locator("main")).not_to_be_empty()

    def test_a_key_that_is_no_text(self, opened: Callable[..., Console]) -> None:
        console = opened()
        console.page.goto(f"{console.url}#key=%E0%A4%A")
        expect(console.page.get_by_role("alert")).to_contain_text("This key is not accepted")

    def test_answers_of_another_kind_than_ever(self, console: Console) -> None:
        console.page.route("**/v1/tools", lambda route: route.fulfill(json={"tools": [{"toolId": 7}, None]}))
        console.go("#/spells/new")
        expect(console.page.get_by_role("alert")).to_contain_text("Load the page again")
        console.link("All casts").click()
        expect(console.heading("Casts")).to_be_visible()

    def test_every_fault_of_a_spell_is_shown(self, console: Console, cloud: Cloud) -> None:
        spell = cloud.spell(words(), drawn(), name="Faulty")
        paths = ["name", "steps", "steps[0]", "steps[0].id", "steps[0].toolIdentifier", "steps[0].fallbackTool"]
        paths += [
            "steps[1].parameterMappings",
            "steps[1].parameterMappings.input_prompt",
            "steps[9].id",
            "connections[0]",
        ]
        paths += ["steps[1].parameterMappings.input_prompt.outputKey", "steps[1].parameterMappings.nobody", "tags[0]"]
        paths += ["exposedInputs[0].nodeId", "steps[0].parameterMappings.inputText.value", "description"]
        faults = [{"path": path, "message": f"fault {number}!"} for number, path in enumerate(paths)]

        def refuse(route: Route) -> None:
            route.fulfill(status=400, json={"error": {"code": "INVALID_INPUT", "message": "No.", "details": faults}})

        console.page.route("**/v1/spells?dryRun=true", refuse)
        console.go(f"#/spells/{spell['spellId']}/edit")
        expect(console.page.locator(".lint")).to_contain_text(f"{len(paths)} faults have to be mended")
        shown = console.page.locator("main").inner_text()
        assert [fault for fault in faults if fault["message"] not in shown] == []
        assert console.faults() == []

    def test_a_real_spell_with_many_faults(self, console: Console) -> None:
        page = console.page
        console.go("#/spells/new")
        console.add_step("String")
        second = console.add_step("String")
        second.get_by_label("Where inputText comes from").select_option(label="Step 1, text → text")
        console.add_step("ComfyUI Text to Image")
        console.button("Move Step 2 up").click()
        for number in range(3):
            form = page.locator(f".step[data-step='{number}']")
            form.get_by_text("More settings").click()
            form.get_by_label("Id of the step").fill("same")
        expect(page.locator(".lint.fault")).to_contain_text("have to be mended")
        expect(page.locator(".step .message").first).to_be_visible()
        console.button("Save the spell").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("name")
        expect(alert).to_contain_text("steps[")


class TestWhatIsLarge:
    def test_fifty_steps_on_the_narrowest_phone(self, opened: Callable[..., Console], cloud: Cloud) -> None:
        cast = cloud.run(
            cloud.spell(*[words(f"cat {n}", node=f"n{n}") for n in range(50)], name="Fifty " + "long" * 40)
        )
        console = opened((320, 640)).sign_in()
        page = console.page
        console.go(f"#/casts/{cast['castId']}")
        console.status("completed")
        expect(page.locator(".bar[data-step]")).to_have_count(50)
        expect(page.locator(".step.completed")).to_have_count(50)
        expect(page.locator(".cost tbody tr")).to_have_count(50)
        assert console.faults() == []
        for place, ready in {
            "#/casts": page.locator("table.list"),
            "#/spells": page.locator(".grid .card").first,
            f"#/spells/{cast['spellId']}": page.locator("img.drawing"),
            f"#/spells/{cast['spellId']}/edit": page.locator(".step").nth(49),
        }.items():
            console.go(place)
            expect(ready).to_be_visible()
            assert overhang(page) <= 0, place

    def test_a_large_text(self, opened: Callable[..., Console], cloud: Cloud) -> None:
        text = "x" * 150_000
        cast = cloud.run(cloud.spell(words("<b>" + text), name="Large"))
        console = opened((390, 844)).sign_in()
        console.go(f"#/casts/{cast['castId']}")
        console.status("completed")
        shown = console.page.locator(".step .text")
        expect(shown).to_have_text(f"<b>{text}!")
        # Its inputs were too large to come with it.
        console.button("Show what is large").click()
        console.page.get_by_text("Inputs of this step").click()
        expect(console.page.locator(".step .values")).to_contain_text(text)
        expect(shown).to_have_count(1)
        assert overhang(console.page) <= 0
        assert shown.bounding_box()["height"] < 500  # type: ignore[index]

    def test_forty_tools_are_found_by_name_and_what_they_do(self, console: Console, cloud: Cloud) -> None:
        known = cloud.api.get("/v1/tools").json()["tools"]
        more = [{**known[0], "toolId": f"own-{n}", "displayName": f"Own tool {n % 20}"} for n in range(40)]
        console.page.route("**/v1/tools", lambda route: route.fulfill(json={"tools": [*known, *more]}))
        console.go("#/spells/new")
        picker = console.page.get_by_label("First step")
        expect(picker).to_be_visible()
        names = picker.locator("option").all_inner_texts()
        assert len(names) == len(known) + 40 + 1
        assert len(set(names)) == len(names), "two tools have the same name, and nobody can tell them apart"
        # One that is made elsewhere is there as soon as one chooses.
        console.page.unroute("**/v1/tools")
        new = {**known[0], "toolId": "newest", "displayName": "Newest tool"}
        console.page.route("**/v1/tools", lambda route: route.fulfill(json={"tools": [*known, new]}))
        picker.focus()
        expect(picker.locator("option", has_text="Newest tool")).to_have_count(1)


def overhang(page: Page) -> int:
    found: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return found

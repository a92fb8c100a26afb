"""What a newcomer does with the console, on a desk's screen and on a phone's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, WebSocketRoute, expect

from tests.browser.seen import Console
from tests.cloud import Cloud, drawn, wire, words

HOSTILE = "<img src=x onerror=alert(1)> & “cats”"


def loads(picture: Locator) -> None:
    """A picture that is drawn, and not only named."""
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 0


def enlarged(node: str = "enlarge") -> dict[str, Any]:
    return {
        "id": node,
        "toolIdentifier": "replicate-clarity-upscaler",
        "parameterMappings": {"image": wire("draw", "image")},
    }


class TestTheWayOfASpell:
    def test_compose_lint_cast_watch_look_and_pay(self, opened: Callable[..., Console], size: tuple[int, int]) -> None:
        console = opened(size).sign_in()
        page = console.page
        page.get_by_role("link", name="Cast a spell").click()
        page.get_by_role("link", name="New spell").click()
        page.get_by_label("Name", exact=True).fill("A painted cat")
        console.add_step("String")
        draw = console.add_step("ComfyUI Text to Image")
        expect(draw.get_by_label("Where input_prompt comes from")).to_have_value('["text","text"]')
        # A lint error appears as one types, and goes as it is mended.
        draw.get_by_label("Where input_width comes from").select_option(label="A value")
        draw.get_by_label("input_width").last.fill("wide")
        expect(draw.locator(".message")).to_have_text("input_width is not a whole number")
        expect(draw.get_by_label("input_width").last).to_have_attribute("aria-invalid", "true")
        expect(page.locator(".lint.fault")).to_contain_text("A fault has to be mended")
        draw.get_by_label("input_width").last.fill("256")
        expect(page.locator(".lint")).to_have_text("Nothing is wrong with it.")
        console.button("Save the spell").click()
        expect(console.heading("A painted cat")).to_be_visible()
        loads(page.locator("img.drawing"))
        page.get_by_label("inputText").fill("a cat who reads")
        expect(page.locator(".quote")).to_contain_text(re.compile(r"Expected: \$0\.00\d+"))
        console.button("Cast").click()
        # It is watched from here on: nothing is loaded again.
        console.status("running")
        expect(page.locator(".bar[data-step='1'] rect.running")).to_be_visible()
        console.status("completed")
        expect(page.locator(".step.completed")).to_have_count(2)
        expect(page.locator(".step .text").first).to_have_text("a cat who reads")
        loads(page.get_by_role("img", name="Step 2, ComfyUI Text to Image, image 1"))
        cast = console.shown_cast()
        assert console.total() == f"${cast['costUsd']}" != "$0"
        assert console.faults() == []

    def test_a_provider_fails_the_cause_is_read_and_the_cast_resumed(
        self, opened: Callable[..., Console], size: tuple[int, int], cloud: Cloud
    ) -> None:
        console = opened(size).sign_in()
        page = console.page
        cloud.provider.post("/control", json={"replicate": {"fault": "fail", "times": 1}})
        name = f"Fails once, {size[0]} px wide"
        cast = cloud.cast(cloud.spell(drawn(), enlarged(), name=name))
        page.locator("table.list").get_by_role("link", name=name).click()
        console.status("failed")
        cause = page.locator(".trouble")
        expect(cause).to_contain_text("Step 2 (enlarge) failed.")
        expect(cause).to_contain_text("JOB_FAILED")
        assert cloud.get_cast(cast)["failure"]["message"] in cause.inner_text()
        assert console.faults() == []
        console.button("Resume…").click()
        page.get_by_label("Budget in US dollars").fill("2.50")
        console.button("Resume").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        console.status("completed")
        expect(console.heading("Attempt 2")).to_be_visible()
        expect(page.locator(".facts")).to_contain_text("Budget $2.5")
        expect(cause).to_have_count(0)
        loads(page.get_by_role("img", name="Step 2, Clarity Upscaler, image 1"))
        ended = console.shown_cast()
        assert (ended["castId"], ended["status"]) == (cast["castId"], "completed")
        assert console.total() == f"${ended['costUsd']}"

    def test_a_step_is_run_again_with_other_inputs(self, console: Console, cloud: Cloud) -> None:
        spell = cloud.spell(words("a cat"), name="Again")
        cast = cloud.run(spell)
        console.go(f"#/casts/{cast['castId']}")
        expect(console.page.locator(".step .text")).to_have_text("a cat!")
        console.button("Run again… (step 1)").click()
        dialog = console.page.get_by_role("dialog")
        expect(dialog.get_by_label("inputText")).to_have_value("a cat")
        dialog.get_by_label("inputText").fill("a dog")
        dialog.get_by_role("button", name="Run again").click()
        expect(console.page.locator(".step .text")).to_have_text("a dog!")
        console.status("completed")
        assert console.shown_cast()["stepOverrides"] == {"words": {"inputText": "a dog"}}

    def test_a_cast_that_takes_too_long_is_cancelled(self, console: Console, cloud: Cloud) -> None:
        cast = cloud.cast(cloud.spell(drawn("[fault:stall]"), name="Stalls"))
        cloud.await_generation(f"{cast['castId']}.0.1", "processing")
        console.go(f"#/casts/{cast['castId']}")
        console.button("Cancel").click()
        console.status("cancelled")
        expect(console.page.locator(".step.cancelled")).to_be_visible()
        expect(console.button("Resume…")).to_be_visible()

    def test_a_new_version_is_saved_and_its_difference_shown(self, console: Console, cloud: Cloud) -> None:
        spell = cloud.spell(words("a cat"), drawn(), name="Grows", tags=["kept"])
        console.go(f"#/spells/{spell['spellId']}/edit")
        page = console.page
        first = page.locator(".step[data-step='0']")
        first.get_by_label("inputText").last.fill("a dog")
        # Wires follow a step that gets another name.
        second = page.locator(".step[data-step='1']")
        second.get_by_label("Where input_prompt comes from").select_option(label="Step 1, words → text")
        first.get_by_text("More settings").click()
        first.get_by_label("Id of the step").fill("start")
        expect(page.locator(".lint")).to_have_text("Nothing is wrong with it.")
        console.button("Save as version 2").click()
        expect(page.locator(".diff .added").filter(has_text='"value": "a dog"')).to_be_visible()
        expect(page.locator(".diff .removed").filter(has_text='"value": "a cat"').first).to_be_visible()
        saved = cloud.api.get(f"/v1/spells/{spell['spellId']}").json()
        assert (saved["version"], saved["tags"]) == (2, ["kept"])
        assert saved["steps"][1]["parameterMappings"]["input_prompt"] == wire("start", "text")

    def test_spells_that_came_from_elsewhere_are_edited_without_a_loss(self, console: Console, cloud: Cloud) -> None:
        step = {**words("a cat"), "outputMappings": {"text": "caption"}, "toolVersion": "2.0.0"}
        spell = cloud.spell(step, exposedInputs=[{"nodeId": "words", "paramKey": "inputText"}], name="Kept")
        console.go(f"#/spells/{spell['spellId']}/edit")
        console.page.get_by_label("Name", exact=True).fill("Kept and renamed")
        console.button("Save as version 2").click()
        expect(console.heading("Kept and renamed")).to_be_visible()
        saved = cloud.api.get(f"/v1/spells/{spell['spellId']}").json()
        assert (saved["steps"][0]["outputMappings"], saved["steps"][0]["toolVersion"]) == ({"text": "caption"}, "2.0.0")
        assert saved["exposedInputs"] == [
            {"nodeId": "words", "paramKey": "inputText", "paramType": "string", "defaultValue": "a cat"}
        ]


class TestTheList:
    def test_casts_are_listed_by_status_page_by_page_and_live(self, console: Console, cloud: Cloud) -> None:
        spell = cloud.spell(words(), name="Many")
        casts = [cloud.cast(spell) for _ in range(26)]
        page = console.page
        rows = page.locator("table.list tbody tr")
        expect(rows.filter(has_text="Many")).to_have_count(26)
        for cast in casts:
            cloud.await_cast(cast)
        page.reload()
        expect(rows).to_have_count(25)
        console.link("Older").click()
        expect(page).to_have_url(re.compile("cursor="))
        expect(rows.first).to_be_visible()
        console.link("Newer").click()
        page.get_by_role("link", name="completed", exact=True).click()
        expect(rows).to_have_count(25)
        newest = cloud.run(cloud.spell(words(), name="Newest"))
        expect(rows.first.get_by_role("link")).to_have_text("Newest")
        expect(rows.first.locator(".status")).to_have_text("completed")
        expect(rows.first.locator("td").last).to_have_text(f"${newest['costUsd']}")
        page.get_by_role("link", name="cancelled", exact=True).click()
        expect(rows.filter(has_text="Newest")).to_have_count(0)

    def test_what_comes_live_fits_status_and_spell_and_stands_where_it_began(
        self, console: Console, cloud: Cloud
    ) -> None:
        slow, quick = cloud.spell(drawn("[fault:stall]"), name="Slow"), cloud.spell(words(), name="Quick")
        first, _ = cloud.cast(slow), cloud.run(quick)
        page = console.page
        names = page.locator("table.list tbody tr td:first-child a")
        console.go("#/casts?status=completed")
        expect(names.first).to_have_text("Quick")
        cloud.await_generation(f"{first['castId']}.0.1", "processing")
        cloud.put_on_bus(generationId=f"{first['castId']}.0.1", status="succeeded", type="text", data={"text": "late"})
        expect(names.nth(1)).to_have_text("Slow")
        expect(names.first).to_have_text("Quick")
        console.go(f"#/spells/{quick['spellId']}")
        console.link("Its casts").click()
        expect(page.get_by_text("Only those of “Quick”")).to_be_visible()
        expect(names).to_have_text(["Quick"])
        cloud.run(cloud.spell(words(), name="Another"))
        cloud.run(quick)
        expect(names).to_have_text(["Quick", "Quick"])
        console.link("failed").click()
        expect(page.get_by_text("No cast of this spell is failed.")).to_be_visible()
        console.link("All spells").click()
        expect(console.link("failed")).to_have_attribute("aria-current", "page")


class TestTheConnection:
    def test_a_dropped_connection_catches_up_without_a_gap(self, opened: Callable[..., Console], cloud: Cloud) -> None:
        sockets: list[WebSocketRoute] = []
        console = opened()
        page = console.page

        def pass_on(socket: WebSocketRoute) -> None:
            socket.connect_to_server()
            sockets.append(socket)

        page.route_web_socket(re.compile("/realtime"), pass_on)
        console.sign_in()
        cast = cloud.cast(cloud.spell(drawn("[fault:stall]"), name="Unseen"))
        console.go(f"#/casts/{cast['castId']}")
        cloud.await_generation(f"{cast['castId']}.0.1", "processing")
        expect(page.locator(".step .status")).to_have_text("running")
        page.route("**/v1/**", lambda route: route.abort())
        sockets[-1].close()
        expect(page.locator(".banner")).to_contain_text("nothing is missed")
        cloud.put_on_bus(
            generationId=f"{cast['castId']}.0.1", status="succeeded", type="text", data={"text": "told while away"}
        )
        cloud.await_cast(cast)
        console.status("running")
        console.button("Try now").click()
        page.unroute("**/v1/**")
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator(".live.live")).to_have_text("Live")
        console.status("completed")
        expect(page.locator(".step .text")).to_have_text("told while away")
        assert len(sockets) >= 2

    def test_an_expired_ticket_is_replaced_by_a_fresh_one(self, opened: Callable[..., Console], cloud: Cloud) -> None:
        console = opened()
        asked: list[str] = []

        def expire_the_first(route: Route) -> None:
            asked.append(route.request.url)
            if len(asked) > 1:
                return route.continue_()
            ticket = route.fetch().json()
            return route.fulfill(json={**ticket, "url": ticket["url"].partition("=")[0] + "=expired"})

        console.page.route("**/v1/realtime/ticket", expire_the_first)
        console.sign_in()
        assert len(asked) >= 2


class TestWhatGoesWrong:
    @pytest.mark.parametrize("key", ["sk_wrong", "schlüssel", " "])
    def test_a_wrong_key(self, opened: Callable[..., Console], key: str) -> None:
        console = opened()
        console.page.goto(console.url)
        console.page.get_by_label("API key").fill(key)
        console.button("Sign in").click()
        expect(console.page.get_by_role("alert")).to_contain_text("This key is not accepted")
        expect(console.heading("Spellcast")).to_be_visible()

    def test_a_wrong_key_in_the_address(self, opened: Callable[..., Console]) -> None:
        console = opened()
        console.page.goto(f"{console.url}#key=%F0%9F%90%88")
        expect(console.page.get_by_role("alert")).to_contain_text("This key is not accepted")

    def test_a_key_that_is_revoked_while_one_works(self, console: Console) -> None:
        console.page.evaluate("sessionStorage.setItem('spellcast.key', 'sk_revoked')")
        console.go("#/spells")
        expect(console.page.get_by_role("alert")).to_contain_text("Sign in with another one")

    def test_the_key_is_neither_in_the_address_nor_kept_after_signing_out(self, console: Console) -> None:
        key = console.cloud.outputs["apiKey"]
        assert key not in console.page.url
        console.button("Sign out").click()
        expect(console.page.get_by_label("API key")).to_have_value("")
        kept = console.page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])")
        assert key not in kept

    @pytest.mark.parametrize(
        ("place", "sentence", "back"),
        [
            ("#/casts/0123456789abcdef0123456789abcdef", "There is no such cast", "All casts"),
            ("#/spells/0123456789abcdef0123456789abcdef", "There is no such spell", "All spells"),
            ("#/spells/0123456789abcdef0123456789abcdef/edit", "There is no such spell", "All spells"),
        ],
    )
    def test_what_was_deleted(self, console: Console, place: str, sentence: str, back: str) -> None:
        console.go(place)
        expect(console.page.get_by_role("alert")).to_contain_text(sentence)
        console.page.get_by_role("link", name=back).click()
        expect(console.page.get_by_role("alert")).to_have_count(0)

    def test_an_address_that_leads_nowhere(self, console: Console) -> None:
        console.go("#/cats")
        expect(console.page.get_by_role("link", name="Go to the casts.")).to_be_visible()

    def test_a_server_that_is_gone(self, console: Console) -> None:
        console.page.route("**/v1/**", lambda route: route.abort())
        console.go("#/spells")
        expect(console.page.get_by_role("alert")).to_contain_text("The server does not answer")
        console.page.unroute("**/v1/**")
        console.button("Try again").click()
        expect(console.page.get_by_role("alert")).to_have_count(0)

    @pytest.mark.parametrize(("status", "body"), [(502, "<html>Bad gateway"), (500, '{"error": {"code": "DEFECT"}}')])
    def test_a_server_that_fails(self, console: Console, status: int, body: str) -> None:
        console.page.route("**/v1/spells**", lambda route: route.fulfill(status=status, body=body))
        console.go("#/spells")
        expect(console.page.get_by_role("alert")).to_contain_text("The server failed")

    def test_pictures_that_no_longer_load(self, console: Console, cloud: Cloud) -> None:
        cast = cloud.run(cloud.spell(drawn(), name="Fades"))
        broken = re.compile(r"/media/")
        console.page.route(broken, lambda route: route.fulfill(status=403))
        console.go(f"#/casts/{cast['castId']}")
        expect(console.page.locator(".gone")).to_contain_text("This does not load")
        console.page.unroute(broken)
        console.button("Get a fresh link").click()
        loads(console.page.get_by_role("img", name="image 1"))

    def test_a_spell_that_is_wrong_is_refused_with_its_faults(self, console: Console) -> None:
        console.go("#/spells/new")
        console.add_step("String")
        console.button("Save the spell").click()
        expect(console.page.get_by_role("alert")).to_contain_text("name")

    def test_inputs_that_are_no_json(self, console: Console, cloud: Cloud) -> None:
        spell = cloud.spell(words(), name="Asks")
        console.go(f"#/spells/{spell['spellId']}")
        console.page.get_by_text("Budget and other inputs").click()
        console.page.get_by_label("Other inputs").fill("{a cat}")
        expect(console.page.get_by_text("This is no JSON object.")).to_be_visible()
        expect(console.button("Cast")).to_be_disabled()
        console.page.get_by_label("Other inputs").fill("")
        console.page.get_by_label("Budget in US dollars").fill("much")
        console.button("Cast").click()
        expect(console.page.get_by_role("alert")).to_contain_text("budgetUsd")

    def test_names_and_texts_are_shown_as_they_are(self, console: Console, cloud: Cloud) -> None:
        cast = cloud.run(cloud.spell(words(HOSTILE, node="<b>"), name=HOSTILE))
        page = console.page
        expect(page.locator("table.list").get_by_role("link", name=HOSTILE).first).to_be_visible()
        console.go(f"#/casts/{cast['castId']}")
        expect(console.heading(HOSTILE)).to_be_visible()
        expect(page.locator(".step .text")).to_have_text(f"{HOSTILE}!")
        page.get_by_text("How its steps are wired").click()
        loads(page.locator("img.drawing"))
        assert page.locator("main img:not(.drawing), main b, main script").count() == 0


class TestForEverybody:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_no_view_has_a_serious_fault(
        self, opened: Callable[..., Console], size: tuple[int, int], scheme: str, cloud: Cloud
    ) -> None:
        spell = cloud.spell(words(), drawn("a cat [fault:fail]"), name="Looked at", visibility="private")
        cloud.api.put(
            f"/v1/spells/{spell['spellId']}", json={"name": "Looked at", "steps": spell["steps"], "tags": ["x"]}
        ).raise_for_status()
        cast = cloud.run(spell)
        console = opened(size, scheme)
        page = console.page
        page.goto(console.url)
        expect(console.heading("Spellcast")).to_be_visible()
        found = {"sign in": console.faults()}
        console.sign_in()
        for place, ready in {
            "#/casts": page.locator("table.list"),
            "#/spells": page.locator(".grid .card").first,
            f"#/spells/{spell['spellId']}": page.locator(".diff"),
            f"#/spells/{spell['spellId']}/edit": page.locator(".lint:not(:has-text('Checking'))"),
            f"#/casts/{cast['castId']}": page.locator(".timeline"),
        }.items():
            console.go(place)
            expect(ready).to_be_visible()
            found[place] = console.faults()
        for name in ("Resume…", "Run again… (step 1)"):
            console.button(name).click()
            expect(page.get_by_role("dialog")).to_be_visible()
            found[name] = console.faults()
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
        assert {place: faults for place, faults in found.items() if faults} == {}

    def test_the_keyboard_suffices(self, opened: Callable[..., Console], cloud: Cloud) -> None:
        cast = cloud.run(cloud.spell(words(), name="By keyboard"))
        console = opened()
        page = console.page
        page.goto(console.url)
        expect(page.get_by_label("API key")).to_be_visible()
        page.keyboard.press("Tab")
        page.keyboard.type(cloud.outputs["apiKey"])
        page.keyboard.press("Enter")
        expect(console.heading("Casts")).to_be_focused()
        expect(page.get_by_role("link", name="By keyboard").first).to_be_visible()
        press_until(page, "By keyboard")
        page.keyboard.press("Enter")
        expect(console.heading("By keyboard")).to_be_focused()
        assert console.shown_cast()["castId"] == cast["castId"]
        press_until(page, "Run again… (step 1)")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


def press_until(page: Page, name: str) -> None:
    """Tab after tab, until what has this name has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        label = page.evaluate("(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim()")
        if label == name:
            return
    raise AssertionError(f"{name} is not reached by Tab")

"""What a newcomer does with the console, on a desk's screen and on a phone's."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, WebSocketRoute, expect

from tests.browser.seen import Console
from tests.cloud import Cloud, drawn, wire, words

HOSTILE = "<img src=x onerror=alert(1)> & “cats”"


# As after a lost connection: the list is read again.
RECONNECT = """
async () => {
  const { live } = await import(document.querySelector("link[href$='/live.js']").href);
  live.stop();
  live.start();
}
"""


def is_end(message: dict[str, Any], kind: str, name: str) -> bool:
    payload = message.get("payload") or {}
    return (message["type"], payload.get("spellName"), payload.get("status")) == (kind, name, "completed")


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Waits for what the page's own events bring."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        page.evaluate("new Promise(requestAnimationFrame)")


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
        source = draw.get_by_label("Where input_prompt comes from").locator("option:checked")
        expect(source).to_have_text("Step 1, text → text")
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

    def test_a_budget_that_was_too_small_is_not_offered_again(self, console: Console, cloud: Cloud) -> None:
        cast = cloud.run(cloud.spell(drawn(), name="Poor"), budgetUsd="0.000001")
        console.go(f"#/casts/{cast['castId']}")
        console.button("Resume…").click()
        dialog = console.page.get_by_role("dialog")
        budget = dialog.get_by_label("Budget in US dollars")
        expect(budget).to_have_value("")
        expect(dialog).to_contain_text("is expected to cost $")
        dialog.get_by_role("button", name="Resume").click()
        expect(budget).to_be_focused()
        budget.fill("1")
        dialog.get_by_role("button", name="Resume").click()
        console.status("completed")

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
        expect(console.heading("Changed since for step words")).to_be_visible()

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

    def test_what_is_not_touched_is_saved_as_it_was(self, console: Console, cloud: Cloud) -> None:
        static = [{"type": "static", "value": value} for value in (5, {"a": 1}, None, "", True)]
        first = {
            **words("a cat"),
            "outputMappings": {"text": "caption"},
            "toolVersion": "2.0.0",
            "displayName": "Words",
        }
        first["parameterMappings"] |= {
            "appendText": static[3],
            "input": static[2],
            "num": static[0],
            "other": static[1],
            "yes": static[4],
        }
        second = {
            "stepId": 2,
            "toolIdentifier": "Expression",
            "parameterOverrides": {"expression": "input & '!'", "deep": {"b": [1, None]}, "empty": ""},
            "parameterMappings": {"input": {**wire("words", "text"), "paramKey": "caption"}},
        }
        exposed: list[dict[str, Any]] = [
            {"nodeId": "2", "paramKey": "expression", "paramType": "text"},
            {"nodeId": "words", "paramKey": "num", "defaultValue": 7},
            {"nodeId": "words", "paramKey": "inputText"},
        ]
        spell = cloud.spell(first, second, exposedInputs=exposed, name="Kept")
        console.go(f"#/spells/{spell['spellId']}/edit")
        page = console.page
        page.get_by_label("Name", exact=True).fill("Kept and renamed")
        console.button("Save as version 2").click()
        expect(console.heading("Kept and renamed")).to_be_visible()
        saved = cloud.api.get(f"/v1/spells/{spell['spellId']}").json()
        for key in ("steps", "exposedInputs", "connections", "tags"):
            assert saved.get(key) == spell.get(key), key
        # And where something is touched, nothing else changes, nor the kind of what a tool does not declare.
        console.go(f"#/spells/{spell['spellId']}/edit")
        page.locator(".step").first.get_by_label("num").last.fill("8")
        console.button("Save as version 3").click()
        expect(page.get_by_text("Version 3", exact=True)).to_be_visible()
        saved = cloud.api.get(f"/v1/spells/{spell['spellId']}").json()
        assert saved["exposedInputs"] == [exposed[0], {**exposed[1], "defaultValue": 8}, exposed[2]]
        assert saved["steps"][1] == spell["steps"][1]

    def test_an_id_that_is_typed_passes_through_others(self, console: Console, cloud: Cloud) -> None:
        steps = [words(node="text"), words(node="image"), drawn(node="a"), drawn(node="b")]
        steps[2]["parameterMappings"]["input_prompt"] = wire("text", "text")
        steps[3]["parameterMappings"]["input_prompt"] = wire("image", "text")
        spell = cloud.spell(*steps, name="Renamed")
        console.go(f"#/spells/{spell['spellId']}/edit")
        page = console.page
        form = page.locator(".step").nth(1)
        form.get_by_text("More settings").click()
        field = form.get_by_label("Id of the step")
        field.fill("")
        field.press_sequentially("text-b")
        source = page.locator(".step").nth(3).get_by_label("Where input_prompt comes from")
        expect(source.locator("option:checked")).to_have_text("Step 2, text-b → text")
        console.button("Save as version 2").click()
        expect(console.heading("Renamed")).to_be_visible()
        saved = cloud.api.get(f"/v1/spells/{spell['spellId']}").json()["steps"]
        assert [step["parameterMappings"].get("input_prompt") for step in saved[2:]] == [
            wire("text", "text"),
            wire("text-b", "text"),
        ]

    def test_resuming_and_running_again_are_other_wishes_once_they_are_changed(
        self, console: Console, cloud: Cloud
    ) -> None:
        page = console.page
        keys: list[str] = []

        def lose(route: Route) -> None:
            keys.append(route.request.headers["idempotency-key"])
            route.abort()

        page.route(re.compile("/(resume|retry)$"), lose)
        cast = cloud.run(cloud.spell(words(), drawn("[fault:fail]"), name="Wished for"))
        console.go(f"#/casts/{cast['castId']}")
        for button, label, send in (
            ("Resume…", "Budget in US dollars", "Resume"),
            ("Run again… (step 1)", "inputText", "Run again"),
        ):
            keys.clear()
            console.button(button).click()
            dialog = page.get_by_role("dialog")
            for text in ("2", "2", "3"):
                dialog.get_by_label(label).fill(text)
                dialog.get_by_role("button", name=send, exact=True).click()
                expect(dialog.get_by_role("alert")).to_contain_text("The server does not answer")
            assert len(keys) == 3
            assert keys[0] == keys[1] != keys[2]
            page.keyboard.press("Escape")


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


class TestAnswersThatComeLate:
    @pytest.mark.parametrize("of", ["list", "cast"])
    def test_messages_that_come_before_them_are_kept(
        self, opened: Callable[..., Console], cloud: Cloud, of: str
    ) -> None:
        console = opened()
        page = console.page
        told: list[dict[str, Any]] = []
        held: list[tuple[Route, APIResponse]] = []
        name = f"Late in a {of}"
        kind = "castUpdate" if of == "list" else "castSnapshot"

        def is_told() -> bool:
            return any(is_end(message, kind, name) for message in told)

        def pass_on(socket: WebSocketRoute) -> None:
            server = socket.connect_to_server()

            def note(message: str | bytes) -> None:
                # The first that tells of the end is the last that the page hears.
                if not is_told():
                    told.append(json.loads(message))
                    socket.send(message)

            server.on_message(note)

        def hold(route: Route) -> None:
            held.append((route, route.fetch()))

        page.route_web_socket(re.compile("/realtime"), pass_on)
        console.sign_in()
        cast = cloud.cast(cloud.spell(drawn("[fault:stall]"), name=name))
        generation = f"{cast['castId']}.0.1"
        cloud.await_generation(generation, "processing")
        console.go("#/spells")
        expect(console.heading("Spells")).to_be_visible()
        # The answer is from before the message, and comes after it.
        page.route(re.compile("/v1/casts[?]" if of == "list" else f"/v1/casts/{cast['castId']}$"), hold)
        console.go("#/casts" if of == "list" else f"#/casts/{cast['castId']}")
        until(page, lambda: bool(held))
        cloud.put_on_bus(generationId=generation, status="succeeded", type="text", data={"text": "done"})
        until(page, is_told)
        while held:
            route, answer = held.pop()
            route.fulfill(response=answer)
        if of == "list":
            row = page.locator("table.list tbody tr").filter(has_text=name)
            expect(row.locator(".status")).to_have_text("completed")
        else:
            console.status("completed")
            expect(page.locator(".step .text")).to_have_text("done")

    def test_they_lower_no_revision_that_is_shown(self, console: Console, cloud: Cloud) -> None:
        page = console.page
        cast = cloud.cast(cloud.spell(drawn("[fault:stall]"), name="Lowered"))
        cloud.await_generation(f"{cast['castId']}.0.1", "processing")
        old = cloud.api.get("/v1/casts").json()
        status = page.locator("table.list tbody tr").filter(has_text="Lowered").locator(".status")
        expect(status).to_have_text("running")
        cloud.put_on_bus(generationId=f"{cast['castId']}.0.1", status="succeeded", type="text", data={"text": "done"})
        expect(status).to_have_text("completed")
        page.route(re.compile("/v1/casts[?]"), lambda route: route.fulfill(json=old))
        with page.expect_response(re.compile("/v1/casts[?]")) as answered:
            page.evaluate(RECONNECT)
        answered.value.finished()
        expect(page.locator(".live.live")).to_have_text("Live")
        page.evaluate("new Promise(requestAnimationFrame)")
        expect(status).to_have_text("completed")


class TestTheConnection:
    def test_a_dropped_connection_catches_up_without_a_gap(self, opened: Callable[..., Console], cloud: Cloud) -> None:
        console = opened()
        page, sockets = console.page, console.sockets()
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
        alert = console.page.get_by_role("alert")
        expect(alert).to_contain_text("This key is not accepted")
        expect(console.heading("Spellcast")).to_be_visible()
        assert console.page.evaluate("sessionStorage.length") == 0
        beside = console.page.context.new_page()
        beside.goto(console.url)
        expect(beside.get_by_label("API key")).to_be_visible()
        expect(beside.get_by_role("alert")).to_have_count(0)
        console.page.get_by_label("API key").fill("")
        console.button("Sign in").click()
        expect(alert).to_have_count(0)

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

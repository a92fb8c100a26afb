"""How one goes about the console: from page to page and back, in two tabs, by keyboard, with something unsaved."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.many import key_of
from tests.browser.seen import Console
from tests.cloud import Cloud, drawn, wire, words

# Step, phase, begin and milliseconds, as the page works them out of the API's answer.
TIMELINE = """
async cast => {
  const { timeline } = await import(document.querySelector("link[href$='/records.js']").href);
  return timeline({ cast, progress: {} }, Date.now()).flatMap(({ bars }) => bars.flatMap(({ generation, phases }) =>
    phases.map(([name, from, to]) => [generation.stepIndex + 1, name, from, to - from].map(String))));
}
"""


def in_a_new_tab(page: Page, link: str) -> Page:
    """Opened with the Control key held."""
    with page.context.expect_page() as opening:
        page.get_by_role("link", name=link, exact=True).first.click(modifiers=["Control"])
    return opening.value


class TestAddresses:
    def test_every_view_is_there_again_after_it_was_loaded_again_and_one_goes_back(
        self, console: Console, cloud: Cloud
    ) -> None:
        spell = cloud.spell(words(), name="Walked to")
        cast = cloud.run(spell)
        page = console.page
        places = {
            "#/casts?status=completed": "Casts",
            "#/spells": "Spells",
            f"#/spells/{spell['spellId']}": "Walked to",
            f"#/spells/{spell['spellId']}/edit": "Edit a spell",
            "#/spells/new": "New spell",
            f"#/casts/{cast['castId']}": "Walked to",
        }
        for place, heading in places.items():
            console.go(place)
            expect(console.heading(heading)).to_be_focused()
            page.reload()
            expect(console.heading(heading)).to_be_visible()
            expect(page.locator(".live.live")).to_be_visible()
        for heading in [*places.values()][-2::-1]:
            page.go_back()
            expect(console.heading(heading)).to_be_focused()

    def test_a_choice_within_a_view_leaves_one_where_one_is(self, console: Console, cloud: Cloud) -> None:
        spell = cloud.spell(*[words(node=f"n{n}") for n in range(8)], name="Compared")
        for tag in ("a", "b"):
            body = {"name": "Compared", "steps": spell["steps"], "tags": [tag]}
            cloud.api.put(f"/v1/spells/{spell['spellId']}", json=body).raise_for_status()
        console.go(f"#/spells/{spell['spellId']}")
        chooser = console.page.get_by_label("From version")
        expect(chooser).to_have_value("2")
        chooser.focus()
        chooser.select_option("1")
        expect(console.page).to_have_url(re.compile("versions=1-3"))
        expect(console.page.locator(".diff .added").filter(has_text='"b"')).to_be_visible()
        expect(chooser).to_be_focused()

    def test_times_are_those_of_the_person(self, browser: Browser, cloud: Cloud) -> None:
        cast = cloud.run(cloud.spell(words(), name="Timed"))
        context = browser.new_context(timezone_id="Asia/Kathmandu", locale="en-GB")
        console = Console(context.new_page(), cloud).sign_in()
        ago = console.page.locator("table.list time").first
        expect(ago).to_have_text("just now")
        console.go(f"#/casts/{cast['castId']}")
        time = console.page.locator(".facts time").first
        local = console.page.evaluate(
            "at => new Date(at).toLocaleTimeString('en-GB', { timeZone: 'Asia/Kathmandu' })", cast["startedAt"]
        )
        expect(time).to_contain_text(local)
        context.close()


class TestTabs:
    def test_a_tab_opened_beside_has_the_key_and_leaves_with_it(self, console: Console, cloud: Cloud) -> None:
        cloud.run(cloud.spell(words(), name="Beside"))
        beside = in_a_new_tab(console.page, "Beside")
        expect(beside.get_by_role("heading", name="Beside", exact=True)).to_be_visible()
        expect(beside.locator(".live.live")).to_be_visible()
        beside.get_by_role("button", name="Sign out").click()
        for page in (beside, console.page):
            expect(page.get_by_label("API key")).to_have_value("")
        beside.reload()
        expect(beside.get_by_label("API key")).to_be_visible()

    def test_a_cast_that_ends_while_its_page_is_not_looked_at_says_so_in_the_tab(
        self, console: Console, cloud: Cloud
    ) -> None:
        cast = cloud.cast(cloud.spell(drawn("[fault:stall]"), name="Unseen"))
        page = console.page
        console.go(f"#/casts/{cast['castId']}")
        expect(page).to_have_title("running: Unseen – Spellcast")
        other = page.context.new_page()
        other.bring_to_front()
        cloud.await_generation(f"{cast['castId']}.0.1", "processing")
        cloud.put_on_bus(generationId=f"{cast['castId']}.0.1", status="succeeded", type="text", data={"text": "done"})
        cloud.await_cast(cast)
        expect(page).to_have_title("completed: Unseen – Spellcast")
        page.bring_to_front()
        expect(page.locator(".step .text")).to_have_text("done")


class TestWhatIsNotSaved:
    @pytest.mark.parametrize("edits", [False, True], ids=["new", "edited"])
    def test_it_is_there_again(self, console: Console, cloud: Cloud, edits: bool) -> None:
        page = console.page
        place = f"#/spells/{cloud.spell(words(), name='Edited')['spellId']}/edit" if edits else "#/spells/new"
        console.go(place)
        name = page.get_by_label("Name", exact=True)
        name.fill("Half done")
        console.add_step("ComfyUI Text to Image")
        number = page.locator(".step").count()
        console.link("Casts").click()
        expect(console.heading("Casts")).to_be_visible()
        page.go_back()
        expect(name).to_have_value("Half done")
        page.reload()
        expect(name).to_have_value("Half done")
        expect(page.locator(".step")).to_have_count(number)
        expect(page.get_by_text("This is what you had not saved.")).to_be_visible()
        console.add_step("String")
        expect(page.locator(".step")).to_have_count(number + 1)
        console.button("Start anew").click()
        expect(name).to_have_value("Edited" if edits else "")
        name.fill("Discarded")
        console.link("Discard").click()
        expect(name).to_have_count(0)  # the editor is left
        console.go(place)
        expect(name).to_have_value("Edited" if edits else "")

    def test_what_was_saved_is_not(self, console: Console) -> None:
        page = console.page
        console.go("#/spells/new")
        page.get_by_label("Name", exact=True).fill("Saved")
        console.add_step("String")
        console.button("Save the spell").click()
        expect(console.heading("Saved")).to_be_visible()
        console.go("#/spells/new")
        expect(page.get_by_label("Name", exact=True)).to_have_value("")
        assert "Saved" not in page.evaluate("JSON.stringify(sessionStorage)")

    def test_it_is_for_the_key_it_was_made_with_and_outlives_signing_out(self, console: Console, cloud: Cloud) -> None:
        page = console.page
        name = page.get_by_label("Name", exact=True)
        console.go("#/spells/new")
        name.fill("Mine")
        beside = page.context.new_page()
        beside.goto(f"{console.url}#/spells")
        beside.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        console.sign_in(key_of(cloud, "the next one"))
        console.go("#/spells/new")
        expect(name).to_have_value("")
        console.button("Sign out").click()
        console.sign_in()
        console.go("#/spells/new")
        expect(name).to_have_value("Mine")

    def test_it_is_offered_where_another_version_was_saved_since(self, console: Console, cloud: Cloud) -> None:
        spell = cloud.spell(words(), name="Edited twice")
        page = console.page
        name = page.get_by_label("Name", exact=True)
        console.go(f"#/spells/{spell['spellId']}/edit")
        name.fill("Mine")
        body = {"name": "Theirs", "steps": spell["steps"]}
        cloud.api.put(f"/v1/spells/{spell['spellId']}", json=body).raise_for_status()
        page.reload()
        expect(name).to_have_value("Theirs")
        offer = page.get_by_text("Your unsaved changes are of version 1; the spell is now at 2.")
        console.button("Take them up").click()
        expect(offer).to_have_count(0)
        expect(name).to_have_value("Mine")
        page.reload()
        expect(name).to_have_value("Mine")
        console.button("Save as version 3").click()
        expect(console.heading("Mine")).to_be_visible()
        assert "Mine" not in page.evaluate("JSON.stringify(sessionStorage)")


class TestByKeyboard:
    def test_the_focus_goes_with_the_step(self, console: Console) -> None:
        page = console.page
        console.go("#/spells/new")
        for tool in ("String", "Expression"):
            form = console.add_step(tool)
            expect(form.get_by_role("heading", level=2)).to_be_focused()
        console.button("Move Step 2 up").press("Enter")
        expect(page.locator(".step[data-step='0'] h2")).to_be_focused()
        console.button("Move Step 1 down").press("Enter")
        expect(page.locator(".step[data-step='1'] h2")).to_be_focused()
        console.button("Remove Step 2").press("Enter")
        expect(page.get_by_label("Next step")).to_be_focused()


def test_ids_and_documents_are_taken_along(opened: Callable[..., Console], cloud: Cloud) -> None:
    cast = cloud.run(cloud.spell(words(), name="Copied"))
    console = opened()
    page = console.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    console.sign_in()
    console.go(f"#/casts/{cast['castId']}")
    console.button("Copy the cast's id").click()
    expect(page.get_by_text("Copied", exact=True).first).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == cast["castId"]
    page.get_by_text("As the API has it").click()
    expect(page.locator("details .json").last).to_contain_text(f'"castId": "{cast["castId"]}"')


def test_the_timeline_is_that_of_the_apis_pictures(console: Console, cloud: Cloud) -> None:
    upscaled = {
        "id": "enlarge",
        "toolIdentifier": "replicate-clarity-upscaler",
        "parameterMappings": {"image": wire("draw", "image")},
    }
    cloud.provider.post("/control", json={"replicate": {"fault": "fail", "times": 1}})
    failed = cloud.run(cloud.spell(words(), drawn(), upscaled, name="Drawn twice"))
    assert failed["status"] == "failed"
    with cloud.listening() as listener:
        cloud.api.post(f"/v1/casts/{failed['castId']}/resume").raise_for_status()
        listener.until_ended(failed)
    cast = cloud.get_cast(failed)
    picture = cloud.api.get(f"/v1/casts/{cast['castId']}/graph", params={"view": "gantt", "format": "mermaid"}).text
    wanted = re.findall(r"(\d+) [^,\n]+, (\w+) :(?:\w+, )?(\d+), (\d+)ms", picture)
    shown = console.page.evaluate(TIMELINE, cast)
    assert len(wanted) > 6
    assert shown == [list(phase) for phase in wanted]

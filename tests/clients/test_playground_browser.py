"""The playground in a real Chromium, by Playwright, against the real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="make test-clients installs playwright"
)
from playwright.sync_api import (  # noqa: E402
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Route,
    expect,
)

from serving import Running, serving  # noqa: E402

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "scripts/playground"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
Open = Callable[..., Page]
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=OPTIONS
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server: Running) -> Iterator[Open]:
    """Open the playground; at the end nothing may have been fetched from elsewhere, thrown, or
    blocked by the page's policy."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def opened(url: str = server.url, **options: Any) -> Page:
        size = {"width": 1200, "height": 760}
        contexts.append(browser.new_context(**{"viewport": size, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)

        def note(message: ConsoleMessage) -> None:
            if message.type == "error" and "Failed to load" not in message.text:
                faults.append(message.text)

        def fetched(request: Request) -> None:
            if not request.url.startswith(url):
                faults.append(request.url)

        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", note)
        page.on("request", fetched)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(open_page: Open) -> Page:
    """The playground with its first suggestion."""
    page = open_page()
    expect(ghost(page)).to_be_visible()
    return page


def ghost(page: Page) -> Locator:
    return page.locator(".cm-ghost")


def shown(page: Page) -> str:
    """The ghost text, exactly."""
    text: str = ghost(page).evaluate("element => element.textContent")
    return text


def around(page: Page) -> tuple[str, str]:
    """What the page says stands before and after the cursor."""
    before, after = page.locator("#sent .before"), page.locator("#sent .after")
    return before.evaluate("e => e.textContent"), after.evaluate("e => e.textContent")


def asked(page: Page) -> list[dict[str, Any]]:
    """Bodies of the requests for completions from now on."""
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda request: bodies.append(request.post_data_json)
            if request.url.endswith("/v1/completions") else None)  # fmt: skip
    return bodies


def choose(page: Page, field: str, value: str) -> None:
    """Fill a field of the settings and leave it."""
    page.fill(field, value)
    page.locator(field).blur()


def says(text: str, **more: Any) -> Callable[[Route], None]:
    """A reply with one choice."""
    reply = {"choices": [{"index": 0, "text": text, "finish_reason": "stop"}], **more}
    return lambda route: route.fulfill(json=reply)


# -------------------------------------------------------------------------------- suggestions


def test_a_suggestion_appears_by_itself_and_tab_accepts_it(page: Page) -> None:
    text, (before, _) = shown(page), around(page)
    assert before.endswith("if name not in self.items:\n            ") and text.strip()
    expect(page.locator("#status")).to_contain_text(re.compile(r"server\s*[\d.]+ ms"))
    expect(page.locator("#status")).to_contain_text("round trip")
    expect(page.locator("#status")).to_contain_text("stopped")
    expect(page.locator("#model")).to_contain_text("codegen25")
    page.keyboard.press("Tab")
    assert around(page)[0].endswith(before[-40:] + text)


def test_the_suggestion_is_announced(page: Page) -> None:
    expect(page.locator("#announcement")).to_have_text(
        f"Suggestion: {shown(page).strip()}. Tab accepts."
    )
    expect(ghost(page)).to_have_attribute("aria-hidden", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#announcement")).to_be_empty()


def test_typing_along_asks_no_more(page: Page) -> None:
    text, bodies = shown(page), asked(page)
    for typed in range(1, 4):
        page.keyboard.type(text[typed - 1])
        assert shown(page) == text[typed:]
    page.wait_for_timeout(400)
    assert not bodies and shown(page) == text[3:]


def test_words_are_accepted_one_by_one(page: Page) -> None:
    text, bodies = shown(page), asked(page)
    word = re.match(r"\s*\w+", text)
    assert word and len(word[0]) < len(text)
    page.keyboard.press("Control+ArrowRight")
    assert around(page)[0].endswith(word[0]) and shown(page) == text[len(word[0]) :]
    page.get_by_role("button", name="Accept a word").click()
    assert len(shown(page)) < len(text) - len(word[0])
    assert not bodies


def test_escape_dismisses_until_something_is_typed_or_asked(page: Page) -> None:
    bodies = asked(page)
    page.keyboard.press("Escape")
    expect(ghost(page)).to_have_count(0)
    page.wait_for_timeout(400)
    assert not bodies
    page.keyboard.press("Alt+\\")
    expect(ghost(page)).to_be_visible()
    assert len(bodies) == 1 and bodies[0]["session"] is True


def test_moving_the_cursor_asks_nothing(page: Page) -> None:
    bodies = asked(page)
    page.keyboard.press("ArrowUp")
    expect(ghost(page)).to_have_count(0)
    page.wait_for_timeout(400)
    assert not bodies


def test_the_latest_question_wins(page: Page) -> None:
    held: list[Route] = []

    def answer(route: Route) -> None:
        prompt = route.request.post_data_json["prompt"]
        held.append(route) if prompt.endswith("q") else says("!")(route)

    page.route("**/v1/completions", answer)
    with page.expect_request_finished(lambda r: r.url.endswith("/v1/completions")):
        with page.expect_event("requestfailed") as failed:
            with page.expect_request("**/v1/completions"):
                page.keyboard.type("q")
            page.keyboard.type("z")
        assert failed.value.post_data_json["prompt"].endswith("q")
    expect(ghost(page)).to_have_text("!")


def test_an_answer_that_typing_agreed_with_meanwhile_is_shown(page: Page) -> None:
    held: list[Route] = []
    page.route("**/v1/completions", lambda route: held.append(route))
    with page.expect_request("**/v1/completions"):
        page.keyboard.type("q")
    page.uncheck("#automatic")  # else a slow machine asks again before the answer is there
    page.locator(".cm-content").focus()
    page.keyboard.type("u")
    says("ueue")(held[0])
    expect(ghost(page)).to_have_text("eue")


def test_alternatives_are_cycled_through(page: Page) -> None:
    expect(page.locator("#cycling")).to_be_hidden()
    choose(page, "#n", "4")
    expect(page.locator("#n-says")).to_be_visible()
    choose(page, "#temperature", "1.2")
    expect(page.locator("#position")).to_have_text(re.compile(r"1 of [234]"))
    first = shown(page)
    page.locator(".cm-content").focus()
    page.keyboard.press("Alt+]")
    expect(page.locator("#position")).to_have_text(re.compile(r"2 of"))
    assert shown(page) != first
    page.keyboard.press("Alt+[")
    assert shown(page) == first
    page.get_by_role("button", name="Next alternative").click()
    second = shown(page)
    page.keyboard.press("Tab")
    assert around(page)[0].endswith(second)


# ---------------------------------------------------------------------------------- the panel


def test_probabilities_under_the_pointer_and_by_keyboard(page: Page) -> None:
    token = page.locator(".cm-ghost-token").nth(1)
    token.hover()
    expect(page.locator("#tooltip")).to_be_visible()
    expect(page.locator("#tooltip .own")).to_have_text(token.inner_text().replace(" ", "␣"))
    expect(page.locator("#tooltip")).to_contain_text("%")
    page.mouse.move(5, 5)
    expect(page.locator("#tooltip")).to_be_hidden()
    page.locator("#tokens button").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tokens button").nth(1)).to_be_focused()
    expect(page.locator("#token-detail .own")).to_have_count(1)
    page.uncheck("#probabilities")
    expect(page.locator("#tokens button")).to_have_count(0)
    expect(page.locator(".cm-ghost-token")).to_have_count(0)


def test_settings_are_sent(page: Page) -> None:
    layouts = page.locator("#layout option").evaluate_all("all => all.map(each => each.value)")
    assert {"plain", "anchored", "causal"} <= set(layouts)
    bodies = asked(page)
    page.select_option("#layout", "causal")
    expect(page.locator("#sent .after")).to_have_class("after unsent")
    choose(page, "#max-tokens", "7")
    page.check("#single-line")
    page.wait_for_timeout(300)
    last = bodies[-1]
    assert (last["layout"], last["max_tokens"], last["single_line"]) == ("causal", 7, True)
    page.get_by_text("The request").click()
    expect(page.locator("#request")).to_contain_text('"layout": "causal"')


def test_suggesting_while_typing_can_be_switched_off(page: Page) -> None:
    page.uncheck("#automatic")
    bodies = asked(page)
    page.locator(".cm-content").focus()
    page.keyboard.type("zz")
    page.wait_for_timeout(400)
    assert not bodies
    page.get_by_role("button", name="Ask").click()
    page.wait_for_timeout(200)
    assert len(bodies) == 1


def test_other_files_are_opened(page: Page) -> None:
    page.select_option("#sample", "stack")
    expect(page.locator(".cm-content")).to_contain_text("class Stack")
    expect(ghost(page)).to_be_visible()
    page.select_option("#sample", "empty")
    assert around(page) == ("", "")


# ------------------------------------------------------------------------------------- trouble


def test_a_full_server_is_asked_again(page: Page) -> None:
    replies = iter([
        lambda route: route.fulfill(
            status=503, headers={"Retry-After": "1"}, json={"error": {"message": "9 are waiting"}}
        ),
        says("done"),
    ])  # fmt: skip
    page.route("**/v1/completions", lambda route: next(replies)(route))
    page.keyboard.type("q")
    expect(page.locator("#problem")).to_contain_text(
        "The server is busy; the page asks again in 1 s"
    )
    expect(ghost(page)).to_have_text("done")
    expect(page.locator("#problem")).to_be_hidden()


def test_a_refusal_is_told_in_the_servers_words(page: Page) -> None:
    page.evaluate("document.getElementById('max-tokens').max = '100000'")
    choose(page, "#max-tokens", "100000")
    expect(page.get_by_role("alert")).to_contain_text(
        "The server refused the request (400). It says"
    )
    choose(page, "#max-tokens", "16")
    expect(page.locator("#problem")).to_be_hidden()


def test_a_server_that_is_gone_is_said_so(open_page: Open) -> None:
    with serving() as running:
        page = open_page(running.url)
        expect(ghost(page)).to_be_visible()
    page.keyboard.type("q")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")


def test_a_key_is_asked_for_and_kept_for_the_tab(open_page: Open) -> None:
    with serving(keys=("secret",)) as running:
        page = open_page(running.url)
        expect(page.locator("#key")).to_be_focused()
        page.keyboard.type("wrong\n")
        expect(page.get_by_role("alert")).to_contain_text("does not know this API key")
        page.fill("#key", "secret")
        page.keyboard.press("Enter")
        expect(ghost(page)).to_be_visible()
        expect(page.locator("#key-form")).to_be_hidden()
        page.reload()
        expect(ghost(page)).to_be_visible()
        assert page.evaluate("Object.values(localStorage).includes('secret')") is False


# ----------------------------------------------------------------------------- how it is used


def test_the_policy_is_strict(page: Page) -> None:
    response = page.request.get(page.url)
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy


def test_everything_is_reached_and_named_by_keyboard(page: Page) -> None:
    page.keyboard.press("Escape")
    names, kinds = [], set()
    for _ in range(30):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const e = document.activeElement;
                const name = e.ariaLabel || e.labels?.[0]?.innerText || e.innerText;
                return [e.tagName, name?.trim() ?? "", getComputedStyle(e).outlineStyle];
            }"""
        )
        if found[0] == "BODY":
            break
        names.append(found[1])
        kinds.add(found[0])
        assert found[1] and found[2] != "none", found
    assert {"Ask", "Layout", "Temperature", "Alternatives", "Single line", "Keys"} <= set(names)
    assert {"BUTTON", "SELECT", "INPUT", "SUMMARY", "PRE"} <= kinds


def test_light_and_dark(open_page: Open) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = open_page(color_scheme="light"), open_page(color_scheme="dark")
    light_ground, dark_ground = light.evaluate(ground), dark.evaluate(ground)
    assert light_ground != dark_ground
    light.select_option("#theme", "dark")
    assert light.evaluate(ground) == dark_ground
    light.reload()
    assert light.evaluate(ground) == dark_ground
    light.select_option("#theme", "")
    assert light.evaluate(ground) == light_ground


def test_a_phone_shows_it_without_scrolling_sideways(open_page: Open) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    expect(ghost(page)).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    text = shown(page)
    page.get_by_role("button", name="Accept", exact=True).tap()
    assert around(page)[0].endswith(text)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_editor_is_what_its_build_writes(tmp_path: Path) -> None:
    work = tmp_path / "scripts/playground"
    shutil.copytree(BUNDLE, work, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(["npm", "ci"], cwd=work, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm could not install: {done.stderr.strip().splitlines()[-1:]}")
    subprocess.run(["node", "build.mjs", tmp_path], cwd=work, check=True, timeout=60)
    for name in ("editor.js", "LICENSES.txt"):
        kept = ROOT / "src/codegen25/serve/playground" / name
        assert (tmp_path / name).read_bytes() == kept.read_bytes()
    assert json.loads((work / "package-lock.json").read_text())["lockfileVersion"] >= 2

"""The playground's files: they need no network, bend no policy, and can be read and reached."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src/codegen25/serve/playground"
BUNDLE = ROOT / "scripts/playground"
OURS = sorted(each for each in PAGE.glob("*.js") if each.name != "editor.js")
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}
"""Addresses that are names: nothing is fetched from there."""


class Page(HTMLParser):
    """The elements of index.html with their attributes, and text inside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.inline = ""
        self.labelled: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.elements.append((tag, values))
        if tag not in ("input", "meta", "link"):
            self.open.append(tag)
        if tag in ("input", "select") and "label" in self.open:
            self.labelled.add(values["id"])
        if tag == "label" and "for" in values:
            self.labelled.add(values["for"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.inline += data.strip()


@pytest.fixture(scope="module")
def page() -> Page:
    return Page((PAGE / "index.html").read_text())


def test_the_page_is_small() -> None:
    assert sum(each.stat().st_size for each in PAGE.iterdir()) < 600_000


@pytest.mark.parametrize("name", sorted(each.name for each in PAGE.iterdir()))
def test_nothing_comes_from_elsewhere(name: str) -> None:
    if name == "LICENSES.txt":
        return
    addresses = re.findall(r"""(?:https?:|wss?:)//[^\s"'`<>)\\]*""", (PAGE / name).read_text())
    assert set(addresses) <= NAMESPACES


def test_the_html_is_fit_for_a_strict_policy(page: Page) -> None:
    assert not page.inline and not page.open
    for tag, values in page.elements:
        assert tag not in ("style", "iframe", "object", "base")
        assert "style" not in values and not any(name.startswith("on") for name in values)
        for address in (values.get("src"), values.get("href")):
            if address is not None:
                assert address.startswith("playground/")
                assert (PAGE / address.removeprefix("playground/")).is_file()


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_scripts_are_fit_for_a_strict_policy(path: Path) -> None:
    text = path.read_text()
    assert not re.search(
        r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write|setAttribute\(.style",
        text,
    )
    for module in re.findall(r"""(?:from|import)\s*\(?["']([^"']+)["']""", text):
        assert module.startswith("./") and (PAGE / module).is_file()


def test_the_style_sheet_fetches_nothing() -> None:
    assert not re.search(r"url\(|@import", (PAGE / "style.css").read_text())


def test_what_the_scripts_look_for_is_on_the_page(page: Page) -> None:
    ids = [values["id"] for _, values in page.elements if "id" in values]
    assert len(ids) == len(set(ids))
    wanted = {
        name
        for path in OURS
        for name in re.findall(r"""\$\(["']([\w-]+)["']\)""", path.read_text())
    }
    assert wanted <= set(ids) and len(wanted) > 20


def test_every_field_has_a_label(page: Page) -> None:
    fields = {values["id"] for tag, values in page.elements if tag in ("input", "select")}
    assert fields and fields <= page.labelled


def test_the_bundles_licences_are_beside_it() -> None:
    licences = (PAGE / "LICENSES.txt").read_text()
    imported = re.findall(r'from "((?:@[^/]+/)?[^/"]+)', (BUNDLE / "editor.mjs").read_text())
    locked = json.loads((BUNDLE / "package-lock.json").read_text())["packages"]
    assert imported
    for name in {*imported, "style-mod", "@lezer/common", "@lezer/python"}:
        version = locked[f"node_modules/{name}"]["version"]
        assert re.search(rf"^{re.escape(name)} {re.escape(version)} \(MIT\)$", licences, re.M)
    assert licences.count("Permission is hereby granted") == licences.count("(MIT)")


# ------------------------------------------------------------------------------------- contrast


def colours() -> dict[str, tuple[str, str]]:
    """Name -> light and dark colour."""
    pattern = r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)"
    return {name: (a, b) for name, a, b in re.findall(pattern, (PAGE / "style.css").read_text())}


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2, 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXT = ["text", "soft", "faint", "ghost", *(f"code-{each}" for each in (
    "keyword", "string", "comment", "number", "name", "call"))]  # fmt: skip
PAIRS = [
    *((text, ground, 4.5) for text in TEXT for ground in ("paper", "line")),
    *((text, "page", 4.5) for text in ("text", "soft")),
    *((text, ground, 4.5) for text in ("text",) for ground in ("before", "after", "match")),
    ("problem-text", "problem", 4.5),
    *((mark, "paper", 3.0) for mark in ("focus", "accent", "unsure", "doubtful")),
]


@pytest.mark.parametrize(("front", "ground", "least"), PAIRS)
def test_text_and_marks_stand_out(front: str, ground: str, least: float) -> None:
    for one, other in zip(colours()[front], colours()[ground], strict=True):
        assert contrast(one, other) >= least


# ------------------------------------------------------------------------------------ the logic


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_pure_part_in_node() -> None:
    done = subprocess.run(
        ["node", "--test", BUNDLE / "suggest.test.mjs"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout

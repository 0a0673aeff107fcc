from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from codegen25.serve.api_page import routes
from codegen25.serve.dialects import page


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, page.File]]:
    """A page of two files, in place of the real one."""
    (tmp_path / "index.html").write_text("<!doctype html><p>hello")
    (tmp_path / "app.js").write_text("export {};")
    (tmp_path / "secret.key").write_text("no")
    found = page.page(tmp_path)
    monkeypatch.setattr(page, "page", lambda: found)
    yield found


def test_the_page_and_its_files(client: httpx.Client, files: dict[str, page.File]) -> None:
    assert set(files) == {"index.html", "app.js"}
    index = client.get("/")
    assert index.text.endswith("hello") and index.headers["content-type"].startswith("text/html")
    policy = index.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    script = client.get("/playground/app.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["x-content-type-options"] == "nosniff"
    assert client.head("/").status_code == 200 and client.head("/").text == ""


def test_it_is_sent_once(client: httpx.Client, files: dict[str, page.File]) -> None:
    first = client.get("/playground/app.js")
    tag = first.headers["etag"]
    assert tag == files["app.js"].tag and first.headers["cache-control"] == "no-cache"
    for known in (tag, f'"other", W/{tag}'):
        again = client.get("/playground/app.js", headers={"if-none-match": known})
        assert again.status_code == 304 and again.content == b""
    assert client.get("/", headers={"if-none-match": tag}).status_code == 200


@pytest.mark.parametrize(
    "name", ["secret.key", "../page.py", "..%2Fpage.py", "%2e%2e%2fapp.py", "/etc/passwd", "a/b.js"]
)
def test_no_path_from_a_request(
    client: httpx.Client, files: dict[str, page.File], name: str
) -> None:
    assert client.get(f"/playground/{name}").status_code == 404


def test_without_a_page_it_says_so(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "page", dict)
    response = client.get("/")
    assert response.status_code == 404 and "playground" in response.json()["error"]["message"]


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]


def test_the_routes_are_listed_and_nothing_comes_from_elsewhere(client: httpx.Client) -> None:
    response = client.get("/docs")
    parser = Links()
    parser.feed(response.text)
    assert all(each.startswith("/") for each in parser.found) and "script" not in parser.tags
    for path in ("/infill", "/v1/completions", "/api/generate", "/v1/chat/completions", "/health"):
        assert path in response.text
    assert client.get("/openapi.json").json()["info"]["title"] == "codegen25"


def test_descriptions_are_text() -> None:
    route = {"get": {"summary": "<script>", "tags": ["a&b"]}}
    html = routes({"paths": {"/{x}": route}, "info": {"title": "t", "version": "1"}})
    assert "<script>" not in html and "a&amp;b" in html

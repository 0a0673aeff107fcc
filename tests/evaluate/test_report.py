from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.errors import UserError
from codegen25.evaluate import published, report
from codegen25.evaluate.report import endings, figure, folders, plain, problems, tables, text

HOSTILE = (
    "    return 1</script><script>alert(1)</script>\n"
    "    '\x00\x1b[31m\u202e\r' & <img src=x onerror=alert(1)> \"'`| \udc80\n"
)
VOID = {"meta", "input", "circle", "path", "polyline", "br"}


def write(folder: Path, rows: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in rows.items():
        lines = content if name.endswith(".jsonl") else [content]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def humaneval_run(tmp_path: Path) -> Path:
    """Two problems, four samples each: one passes twice, the other never and is hostile."""
    samples, verdicts = [], []
    for problem in range(2):
        for sample in range(4):
            key = {"task_id": f"HumanEval/{problem}", "sample": sample, "temperature": 0.2}
            body = HOSTILE if problem else f"    return {sample % 2}\n"
            samples.append(
                {**key, "raw": body + "\nprint(2)", "completion": body, "stop_reason": "length",
                 "tokens": 9}
            )  # fmt: skip
            passed = not problem and sample % 2
            status = "passed" if passed else "timeout" if problem and sample else "failed"
            detail = "" if passed else "AssertionError: <b>1 != 2</b>"
            verdicts.append({**key, "form": "truncated", "status": status, "detail": detail})
            verdicts.append({**key, "form": "emitted", "status": "failed", "detail": "NameError"})
    metrics = {
        "pass@1": {"value": 0.25, "low": 0.1234, "high": 0.5, "temperature": 0.2},
        "pass@10": {"value": 0.5, "low": None, "high": None},
    }
    return write(
        tmp_path / "he",
        {
            "run.json": {"model": "tiny <&>", "n": 4, "temperatures": [0.2], "isolation": "filters",
                         "parameters": 4262144, "versions": {"python": "3.11"}},
            "scores.json": {"benchmark": "humaneval", "model": "tiny <&>", "tasks": 2,
                            "metrics": metrics},
            "samples.jsonl": samples,
            "verdicts.jsonl": verdicts,
        },
    )  # fmt: skip


@pytest.fixture
def infill_run(tmp_path: Path) -> Path:
    key = {"task_id": "SingleLineInfilling/HumanEval/0/L0", "sample": 0, "temperature": 0.0}
    metrics = {"pass@1": {"value": 0.1075, "low": 0.0854, "high": 0.1313},
               "bits_per_byte": {"value": 0.9123, "low": 0.9, "high": 0.93}}  # fmt: skip
    return write(
        tmp_path / "infill",
        {
            "scores.json": {"benchmark": "HumanEval-SingleLineInfilling", "model": "tiny",
                            "tasks": 1, "metrics": metrics},
            "samples.jsonl": [{**key, "raw": "    x = 1\n    y\n", "completion": "    x = 1\n"}],
            "verdicts.jsonl": [{**key, "form": "emitted", "status": "failed"},
                               {**key, "form": "oracle", "status": "passed"}],
        },
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {"task_id": "HumanEval/1", "prompt": "def hostile():</pre><b>\n"},
        {"task_id": "SingleLineInfilling/HumanEval/0/L0", "prompt": "def before():\n",
         "suffix": "    return x\n", "canonical_solution": "    x = 2\n"},
    ]  # fmt: skip
    path = tmp_path / "data" / "tasks.jsonl.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


@pytest.fixture
def training(tmp_path: Path) -> Path:
    log = [{"step": i, "epoch": i / 10, "loss": 2.0, "bits_per_byte": 1 + 1 / i, "tokens": 1000 * i}
           for i in range(1, 31)]  # fmt: skip
    return write(tmp_path / "first <run>", {"log.jsonl": log})


@pytest.fixture
def page(humaneval_run: Path, infill_run: Path, data: Path, training: Path, tmp_path: Path) -> Path:
    """A report of all of it."""
    return report.run([humaneval_run, infill_run], tmp_path / "out", data, [training])[0]


class Page(HTMLParser):
    """Tags with their attributes, the text of each kind of element; complains of a wrong end."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data


def test_the_page_is_whole_and_loads_nothing(page: Path) -> None:
    parsed = Page(page.read_text(encoding="utf-8"))
    names = [tag for tag, _ in parsed.tags]
    assert names.count("script") == names.count("style") == names.count("h1") == 1
    assert not {"img", "link", "iframe", "object", "base", "image", "use"} & set(names)
    for _, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert not {"src", "srcset", "action", "data", "poster"} & set(attributes)
        assert str(attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", page.read_text(encoding="utf-8"))
    (policy,) = [a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a]
    assert policy and policy.startswith("default-src 'none'")
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"] for t, a in parsed.tags if t == "a"]
    assert targets and all((target or "")[1:] in ids for target in targets)


def test_tables_have_headers_and_the_numbers(page: Path) -> None:
    parsed = Page(page.read_text(encoding="utf-8"))
    scopes = [attributes.get("scope") for tag, attributes in parsed.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}
    cells = parsed.texts["td"]
    for number in ("25.00 [12.34, 50.00] at T 0.2", "50.00", "10.75 [8.54, 13.13]",
                   "0.912 [0.900, 0.930]", "4.26M", "28.36", "82.71", "70.97", "2.61"):  # fmt: skip
        assert number in cells
    rows = parsed.texts["tr"]
    (ours,) = [row for row in rows if row.startswith("tiny <&>") and "25.00" in row]
    assert "measured here" in ours and "isolation: filters" in ours and "n = 4" in ours
    assert any("CodeGen2.5-7B-mono" in row and "published: announcement" in row for row in rows)
    assert any("GPT-Neo125M" in row and "unverified" in row for row in rows)
    kinds = [attributes.get("class") for tag, attributes in parsed.tags if tag == "tr"]
    assert kinds.count("measured") == 2 and kinds.count("published") > 40
    (ended,) = [r for r in rows if "tiny <&>" in r and "cut at the end of the block" in r]
    assert ended.endswith("8233filters")  # samples, passed, failed, timeout, isolation


def test_what_a_model_wrote_is_shown_and_never_obeyed(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    parsed = Page(source)
    assert "alert(1)" not in parsed.texts["script"][0] and source.count("</script>") == 1
    (shown,) = [each for each in parsed.texts["pre"] if each.startswith("def hostile():</pre><b>")]
    assert "</script><script>alert(1)</script>" in shown and "<img src=x" in shown
    for odd in ("U+0000", "U+001B", "U+202E", "U+000D", "U+DC80"):
        assert f"⟨{odd}⟩" in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", source)


def test_a_task_shows_where_its_answer_stands(page: Path) -> None:
    parsed = Page(page.read_text(encoding="utf-8"))
    # What counts of an infill is what was emitted; the other form stands by itself.
    assert "def before():\n    x = 1\n    y\n    return x\n" in parsed.texts["pre"]
    assert "    x = 1\n    y\n" in parsed.texts["ins"]
    assert {"\n    x = 1\n", "\n    return 1\n\nprint(2)"} <= set(parsed.texts["pre"])
    lines = parsed.texts["summary"]
    assert "HumanEval/02 of 4 failed: AssertionError: <b>1 != 2</b>" in lines
    assert "HumanEval/10 of 4 timeout: AssertionError: <b>1 != 2</b>" in lines
    inside = "".join(parsed.texts["div"])
    assert "2 samples alike" in inside and "ended at the limit" in inside
    assert "cut to the length of the reference: passed" in inside


def test_the_figure_marks_epochs(page: Path, training: Path) -> None:
    parsed = Page(page.read_text(encoding="utf-8"))
    classes = [attributes.get("class") or "" for _, attributes in parsed.tags]
    assert sum(name.startswith("epoch") for name in classes) == 3
    assert sum(name.startswith("line") for name in classes) == 1
    assert "first <run>: 2.000 after 1 k tokens, 1.033 after 30 k" in parsed.texts["figcaption"][0]
    with pytest.raises(UserError, match="no log of a run"):
        figure.figure([training.parent])


def test_pass_rates_come_before_bits_per_byte(tmp_path: Path) -> None:
    log = [{"step": i, "tokens": 10 * i, "bits_per_byte": 1.0, "pass_at_1": 0.0} for i in (1, 2)]
    drawn = figure.figure([write(tmp_path / "a", {"log.jsonl": log})])
    assert drawn.measure == "pass_at_1" and "nan" not in figure.svg(drawn)


def test_markdown_says_the_same(page: Path) -> None:
    written = page.with_name("report.md").read_text(encoding="utf-8")
    assert "**tiny \\<&\\>**" in written and "25.00 [12.34, 50.00]".replace("[", "\\[") in (
        written.replace("\\]", "]")
    )
    assert "| HumanEval/0 | 2 of 4 | failed: AssertionError: \\<b\\>1 != 2\\</b\\> |" in written
    for line in written.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
    tables_ = re.findall(r"(?:^\|.*\n)+", written, re.MULTILINE)
    for each in tables_:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in each.splitlines()}) == 1
    assert not list(page.parent.glob(".*"))


@given(st.text())
def test_nothing_escapes(wild: str) -> None:
    parsed = Page(f'<pre title="{text.escape(wild)}">\n{text.escape(wild)}</pre>')
    assert [tag for tag, _ in parsed.tags] == ["pre"]
    assert parsed.texts["pre"] == ["\n" + text.visible(wild)]
    assert parsed.tags[0][1]["title"] == text.visible(wild)
    text.escape(wild).encode()
    cell = text.markdown(wild)
    assert "\n" not in cell and not re.search(r"(?<!\\)(?:\\\\)*[|<`]", cell)


def test_long_text_is_shortened_with_a_word() -> None:
    long = "a" * 50 + "b" * 50
    assert text.shortened(long, 100) == long
    assert text.shortened(long, 20) == "a" * 10 + "\n… 80 characters left out …\n" + "b" * 10


def test_a_journal_is_read_as_it_is_appended(humaneval_run: Path) -> None:
    journal = humaneval_run / "verdicts.jsonl"
    key = {"task_id": "HumanEval/0", "sample": 0, "temperature": 0.2, "form": "truncated"}
    with journal.open("a") as file:
        file.write(json.dumps({**key, "status": "passed", "detail": ""}) + "\n")
        file.write('{"task_id": "HumanEval/0", "sam')
    run = folders.read(humaneval_run)
    assert len(run.answers) == 8 and run.form == "truncated" and run.model == "tiny <&>"
    assert problems.problems(run, {})[0].passes == 3
    journal.write_text("{\n" + journal.read_text())
    with pytest.raises(UserError, match="line 1 is not JSON"):
        folders.read(humaneval_run)


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("HumanEval-SingleLineInfilling.jsonl.gz", "single-line"),
        ("multi_line", "multi-line"),
        ("HumanEval-RandomSpanInfillingLight", "random-span-light"),
        ("random-span", "random-span"),
        ("HumanEval.jsonl.gz", "humaneval"),
        ("humaneval-instruct", "humaneval-instruct"),
        ("HumanEvalPlus", "humaneval-plus"),
        ("HumanEvalPlus-instruct", "humaneval-plus-instruct"),
        ("Mbpp-instruct", "Mbpp-instruct"),
        ("HumanEval-shell-instruct", "HumanEval-shell-instruct"),
        ("mbpp", "mbpp"),
    ],
)
def test_benchmarks_have_one_spelling(name: str, one: str) -> None:
    assert folders.benchmark(name) == one


def test_a_benchmark_that_nobody_published_stands_too(tmp_path: Path) -> None:
    scores = {"benchmark": "mbpp", "model": "m", "metrics": {"pass@1": {"value": 0.5}}}
    folder = write(tmp_path / "m", {"scores.json": scores})
    report.run([folder], folder)
    assert "## mbpp" in (folder / "report.md").read_text()
    assert endings.statuses([folders.read(folder)]) is None


def test_more_inputs_are_another_benchmark(tmp_path: Path) -> None:
    """What evalplus's inputs decide does not stand among rows of HumanEval."""
    scores = {"benchmark": "HumanEvalPlus", "model": "m", "metrics": {"pass@1": {"value": 0.5}}}
    folder = write(tmp_path / "m", {"scores.json": scores})
    report.run([folder], folder)
    before, title, after = (folder / "report.md").read_text().partition("## HumanEval+\n")
    assert title and "**m**" not in before and "**m**" in after


def test_published_rows_say_where_they_are_from() -> None:
    assert {row.mark for row in published.ROWS} == set(published.MARKS)
    for row in published.ROWS:
        assert row.values and all(0 <= value <= 100 for value in row.values.values())
        assert row.benchmark in tables.TITLES
    assert [row.model for row in published.rows("humaneval")][:2] == [
        "CodeGen2.5-7B-multi", "CodeGen2.5-7B-mono",
    ]  # fmt: skip
    assert not [row for row in published.ROWS if row.mark == "unverified" and row.verified]


def test_the_announced_tables_are_numbered(tmp_path: Path, humaneval_run: Path) -> None:
    scores = {"benchmark": "multi-line", "model": "m", "metrics": {"pass@1": {"value": 0.5}}}
    other = write(tmp_path / "m", {"scores.json": scores})
    html, text_ = report.run([other, humaneval_run], tmp_path / "out")
    heads = re.findall(r"^## (.*)", text_.read_text(encoding="utf-8"), re.MULTILINE)
    assert heads[:4] == [
        "Table 1: HumanEval", "Table 2: Single-line infilling",
        "Table 3: HumanEval by instruction", "Multi-line infilling",
    ]  # fmt: skip
    parsed = Page(html.read_text(encoding="utf-8"))
    assert [each for each in parsed.texts["caption"] if each.startswith("Table")] == heads[:3]
    for model in ("CodeGen2.5-7B-multi", "CodeGen2.5-7B-mono", "CodeGen2.5-7B-instruct"):
        [row] = [each for each in parsed.texts["tr"] if each.startswith(model)]
        assert "published" in row and "measured" not in row
    assert any("CodeGen2.5-7B7B70.97" in each for each in parsed.texts["tr"])


def test_mistakes(tmp_path: Path, humaneval_run: Path) -> None:
    for given_, said in (
        ({"folders": [tmp_path]}, "no run folder"),
        ({"folders": []}, "nothing to report"),
        ({"folders": [humaneval_run], "data": tmp_path / "none.jsonl"}, "no tasks"),
    ):
        with pytest.raises(UserError, match=said):
            report.run(out=tmp_path / "out", **given_)  # type: ignore[arg-type]
    (humaneval_run / "scores.json").write_text("[]")
    with pytest.raises(UserError, match="no JSON object"):
        report.run([humaneval_run], tmp_path / "out")


def test_a_cell_cannot_end_itself() -> None:
    assert plain.table(tables.Table("", ("a|b",), (tables.Row(("`c`",)),))).count("\n") == 3


class Browser:
    """Chromium, spoken to over its debugging pipe."""

    def __init__(self, binary: str, profile: str) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def prepare() -> None:
            copies = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(copies[0], 3)
            os.dup2(copies[1], 4)

        self.process = subprocess.Popen(
            [binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=prepare, close_fds=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self.reader, self.writer = os.fdopen(ours_in, "rb", 0), os.fdopen(ours_out, "wb", 0)
        self.rest, self.number, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.writer.write(json.dumps(message).encode() + b"\0")
        while (reply := self.next()).get("id") != self.number:
            self.events.append(reply)
        assert "error" not in reply, reply
        return dict(reply["result"])

    def next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            part = self.reader.read(1 << 16)
            assert part, "the browser went away"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return dict(json.loads(message))

    def show(self, url: str, width: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.next())

    def value(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self) -> None:
        self.session = ""
        self.call("Browser.close")
        self.process.wait(30)
        self.reader.close()
        self.writer.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if not binary:
        pytest.skip("no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        opened = Browser(binary, profile)
        try:
            yield opened
        finally:
            with contextlib.suppress(AssertionError):
                opened.close()
            if opened.process.poll() is None:
                opened.process.kill()
                opened.process.wait(30)


@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_and_filters_it(page: Path, browser: Browser, width: int) -> None:
    browser.show(page.as_uri(), width)
    assert browser.value("document.documentElement.scrollWidth") <= width
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert browser.value("document.documentElement.scrollWidth") <= width
    # Both filters are there; a word and an outcome leave what they should.
    assert browser.value("document.querySelectorAll('form.filter:not([hidden])').length") == 2
    sieve = """(() => {{ const form = document.querySelector('form.filter');
        const box = form.querySelector('{0}'); box.value = '{1}';
        box.dispatchEvent(new Event('input', {{bubbles: true}}));
        return form.querySelector('output').value; }})()"""
    assert browser.value(sieve.format("select", "")) == "2 of 2 tasks"
    assert browser.value(sieve.format("select", "timeout")) == "1 of 2 tasks"
    assert browser.value(sieve.format("input", "humaneval/0")) == "0 of 2 tasks"
    assert browser.value(sieve.format("select", "some")) == "1 of 2 tasks"
    assert (
        browser.value("getComputedStyle(document.querySelector('tr.measured th')).fontWeight")
        == "650"
    )
    asked = {event["params"]["request"]["url"] for event in browser.events
             if event.get("method") == "Network.requestWillBeSent"}  # fmt: skip
    assert asked == {page.as_uri()}
    complaints = ("Log.entryAdded", "Runtime.exceptionThrown")
    assert not [event for event in browser.events if event.get("method") in complaints]


def test_what_another_run_of_the_model_has_is_not_said_to_be_missing(tmp_path: Path) -> None:
    def made(name: str, model: str, metric: str, *notes: str) -> folders.Run:
        scores = {"benchmark": "humaneval", "model": model, "metrics": {metric: {"value": 0.5}},
                  "notes": list(notes)}  # fmt: skip
        return folders.read(write(tmp_path / name, {"scores.json": scores}))

    needs = "pass@100 needs 100 samples of every task; HumanEval/0 has 20"
    runs = [made("few", "m", "pass@1", needs, "slow"), made("many", "m", "pass@100")]
    assert tables.results("humaneval", runs).note.endswith("164 problems. m: slow.")
    others = [runs[0], made("other", "n", "pass@100")]
    assert f"m: {needs}." in tables.results("humaneval", others).note

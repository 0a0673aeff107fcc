from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.evaluate import report, typing
from codegen25.evaluate.typing import command
from codegen25.evaluate.typing.completers import OfEngine
from codegen25.evaluate.typing.curve import curve
from codegen25.evaluate.typing.curve import table as curve_table
from codegen25.evaluate.typing.measures import measures, quantile
from codegen25.evaluate.typing.replay import (
    ACCEPTS,
    TRIGGERS,
    Piece,
    Replay,
    Show,
    agreement,
    counted,
    replay,
    taken_of,
)
from codegen25.evaluate.typing.surroundings import MODES, blocks, suffix
from codegen25.evaluate.typing.texts import of_corpus, of_files
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from conftest import Run

SOURCE = '''\
import os


class Shelf:
    """Books."""

    @property
    def size(self):
        def inner():
            return 1

        return len(self.books) + inner()

    colour = "red"

    def add(self, book):
        self.books.append(book)


def after():
    return 2
'''


def oracle(text: str, length: int | None = None) -> Any:
    """A completer that knows the file."""

    def ask(prefix: str, suffix: str) -> str:
        assert text.startswith(prefix) and text.endswith(suffix)
        rest = text[len(prefix) :]
        return rest[:length] if length else rest.partition("\n")[0]

    return ask


def nothing(text: str) -> Any:
    return suffix(text, "none")


def test_a_completer_that_says_nothing_saves_nothing() -> None:
    done = replay(SOURCE, lambda prefix, suffix: "", suffix(SOURCE, "block"))
    one = measures([done], [])
    assert done.text == SOURCE and not done.shows
    assert one.saved == one.completed == one.shown == 0 and one.keys == one.characters
    lines = SOURCE.split("\n")
    assert one.characters == sum(len(line.strip()) for line in lines) + len(lines) - 1


def test_savings_of_an_oracle_can_be_computed_by_hand() -> None:
    text = "ab = cd\n    efg\n"
    # "ab = cd" and "efg" are accepted, a key each; the two newlines are typed; 4 blanks are free.
    done = replay(text, oracle(text), nothing(text))
    one = measures([done], [4.0, 2.0, 8.0])
    assert (one.characters, one.keys, one.requests) == (12, 4, 2)
    assert one.saved == pytest.approx(8 / 12) and one.completed == pytest.approx(10 / 12)
    assert (one.shown, one.accepted, one.wrong) == (2, 2, 0)
    assert (one.p50_ms, one.p95_ms) == (4.0, 8.0)
    assert [(p.kind, p.text) for p in done.pieces] == [
        ("accepted", "ab = cd"), ("typed", "\n"), ("indented", "    "), ("accepted", "efg"),
        ("typed", "\n"),
    ]  # fmt: skip


def test_a_whole_suggestion_is_taken_with_its_lines_but_indentation_is_free() -> None:
    text = "if a:\n    b()\n"
    done = replay(text, oracle(text, 99), nothing(text))
    assert [p.text for p in done.pieces] == ["if a:\n    b()", "\n"]
    assert (done.completed, done.typed, done.characters) == (9, 1, 10)


@pytest.mark.parametrize(
    ("suggestion", "rest", "taken"),
    [
        ("foo(a)", "foo(a)\n", "foo(a)"),
        ("foo(a)\nbar", "foo(a)\nbaz", "foo(a)"),  # the first line only
        ("foo(a)\nbar", "foo(a)\nbar", "foo(a)\nbar"),
        ("foo", "foobar", ""),  # would end inside a word
        ("foo(", "foo(a)", "foo("),
        ("foo(b)", "foo(a)", ""),
        ("x", "x\n", ""),  # saves nothing
        ("\n  xy", "\n  xy\n", "\n  xy"),
        ("foo  \nbar", "foo\nbaz", "foo"),
    ],
)
def test_what_of_a_suggestion_is_taken(suggestion: str, rest: str, taken: str) -> None:
    assert agreement(suggestion, "> " + rest, 2) == taken


@pytest.mark.parametrize(
    ("suggestion", "rest", "taken"),
    [
        ("foo(a)", "foo(a)\n", ["foo(a)"]),  # all of it is one key
        ("foo = bar(b)", "foo = bar(a)\n", ["foo", " =", " bar"]),  # "(" is a key either way
        ("foo.bar", "foo.barn\n", ["foo"]),  # "bar" would end inside a word
        ("a.b", "a.c\n", []),  # saves nothing
        ("a.foo()", "a.foo(1)\n", ["a", ".", "foo"]),
        ("foo(a)\nbar", "foo(b)\nbar", ["foo"]),
        ("foo", "bar", []),
    ],
)
def test_words_are_taken_a_key_each(suggestion: str, rest: str, taken: list[str]) -> None:
    assert taken_of(suggestion, "> " + rest, 2, "words") == taken
    assert taken_of(suggestion, "> " + rest, 2, "lines") == (taken if taken == [suggestion] else [])


def test_words_save_keys_by_hand() -> None:
    text = "self.shelf = shelf\n"
    done = replay(text, lambda p, s: "self.shelf = book" if not p else "", nothing(text),
                  accept="words")  # fmt: skip
    kinds = [(p.kind, p.text) for p in done.pieces]
    assert kinds[:4] == [("accepted", w) for w in ("self", ".", "shelf", " =")]
    assert {kind for kind, _ in kinds[4:]} == {"typed"} and done.text == text
    one = measures([done], [])
    # 19 characters; 4 keys for the 12 accepted, 7 for the rest.
    assert (one.characters, one.keys, one.shown, one.accepted, one.wrong) == (19, 11, 1, 1, 0)
    assert done.shows[0].accepted == "self.shelf =" and done.shows[0].saved == 8


def test_wrong_suggestions_are_counted_and_stay_while_typing_agrees() -> None:
    text = "a.b(c)\n"
    asked = []

    def ask(prefix: str, suffix: str) -> str:
        asked.append(prefix)
        return "a.b(zz)" if not prefix else ""

    done = replay(text, ask, nothing(text))
    # "a.b(" agrees, so neither "." nor "(" asks again.
    assert asked == [""] and len(done.shows) == 1 and done.shows[0].accepted == ""
    assert done.text == text and measures([done], []).wrong == 1


def test_where_is_asked() -> None:
    text = "x = f(a.b)\n\n    y\n"
    asked: list[str] = []
    replay(text, lambda prefix, suffix: asked.append(prefix) or "", nothing(text))  # type: ignore[func-returns-value]
    ends = [prefix.rpartition("\n")[2] for prefix in asked]
    # Of the last line nothing is sent: the editor indents what comes back.
    assert ends == ["", "x = ", "x = f(", "x = f(a.", "", ""]
    every: list[str] = []
    replay(text, lambda p, s: every.append(p) or "", nothing(text), trigger="every")  # type: ignore[func-returns-value]
    assert len(every) == len(text) - 4 and set(asked) < set(every)


def test_the_limit_ends_the_replay() -> None:
    done = replay(SOURCE, lambda prefix, suffix: "", nothing(SOURCE), limit=3)
    assert done.requests == 3 and SOURCE.startswith(done.text) and done.text != SOURCE


def test_a_function_is_written_into_the_finished_rest() -> None:
    after = suffix(SOURCE, "block")
    inner = after(SOURCE.index("return 1"))
    assert inner == SOURCE[SOURCE.index('\n\n    colour = "red"') :]
    assert after(SOURCE.index("@property")) == inner  # its decorator belongs to it
    assert after(0) == SOURCE[len("import os") :]
    assert after(SOURCE.index("class")) == SOURCE[SOURCE.index('\n    """Books') :]
    assert after(SOURCE.index("return 2")) == "\n"
    assert suffix("x = 1", "block")(3) == ""
    assert suffix(SOURCE, "line")(SOURCE.index("self.books.append")).startswith("\n\n\ndef after")


def test_other_languages_are_cut_at_blank_lines() -> None:
    text = "int f() {\n  return 1;\n}\n\nint g() {\n}\n"
    assert blocks(text)[:4] == [2, 2, 2, 3]
    assert suffix(text, "block")(4) == "\n\nint g() {\n}\n"


sources = st.lists(
    st.sampled_from(["def f(a):\n", "    return a\n", "\n", "x = f(1)\n", "class A:\n", "é.", "(",
                     "\r\n", "\t", " = ", "\x0c", "'''", "@d\n", "    "])
).map("".join)  # fmt: skip


@given(
    sources, st.sampled_from(MODES), st.sampled_from(TRIGGERS), st.sampled_from(ACCEPTS), st.data()
)
def test_replaying_loses_and_changes_nothing(
    text: str, mode: str, trigger: str, accept: str, data: st.DataObject
) -> None:
    def ask(prefix: str, suffix: str) -> str:
        assert text.startswith(prefix) and text[len(prefix) :].endswith(suffix)
        rest = text[len(prefix) :]
        right = rest[: data.draw(st.integers(0, 12))]
        return data.draw(st.sampled_from([right, right + "?", "wrong", "", rest, "\n" + right]))

    done = replay(text, ask, suffix(text, mode), trigger=trigger, accept=accept)
    assert done.text == text
    assert done.characters == counted("\n" + text) - 1
    one = measures([done], [])
    assert one.keys <= one.characters and 0 <= one.saved <= one.completed <= 1
    assert sum(show.saved for show in done.shows) == one.characters - one.keys
    for show in done.shows:
        assert show.saved > 0 or not show.accepted
        assert text.startswith(show.accepted, show.offset) and show.text.startswith(show.accepted)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_quantiles_are_values_that_occurred(values: list[float]) -> None:
    p50, p95 = quantile(values, 0.5), quantile(values, 0.95)
    assert p50 in values and p95 in values and p50 <= p95 <= max(values)
    assert sum(value <= p95 for value in values) >= 0.95 * len(values)


class Server(BaseHTTPRequestHandler):
    asked: ClassVar[list[dict[str, Any]]] = []
    replies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append({"path": self.path, **body})
        reply = self.replies[0] if self.replies else b'{"choices": [{"text": "os, sys"}]}'
        self.send_response(500 if reply == b"broken" else 200)
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Server.asked.clear()
    Server.replies.clear()
    with HTTPServer(("127.0.0.1", 0), Server) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_server_is_asked_with_prefix_and_suffix(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.py"
    file.write_text("import os, sys\n")
    out = tmp_path / "run"
    typing.run(of_files([file]), "m", server + "/v1", out, 5, None, False, trigger="every")
    assert Server.asked[0] == {
        "path": "/v1/completions", "model": "m", "prompt": "", "suffix": "\n", "max_tokens": 5,
        "temperature": 0, "top_p": 0.95, "n": 1, "seed": 0,
    }  # fmt: skip
    said = capsys.readouterr().out
    # Asked before each of "import " but the "r", which the "o" let stand; then accepted; again.
    assert "| a.py | 15 | 40.0% | 46.7% | 8 | 8 | 1 | 7 |" in said and "every" in said
    shows = [json.loads(line) for line in (out / "shows.jsonl").read_text().splitlines()]
    assert shows[6] == {"file": "a.py", "offset": 7, "shown": "os, sys", "accepted": "os, sys",
                        "keys": 1}  # fmt: skip
    scores = json.loads((out / "scores.json").read_text())
    assert scores["metrics"]["saved"]["value"] == pytest.approx(0.4)
    assert json.loads((out / "run.json").read_text())["benchmark"] == "typing"


@pytest.mark.parametrize("reply", [b"broken", b"{}", b'{"choices": [{"text": 3}]}', b"not json"])
def test_a_server_that_fails_is_one_line(server: str, tmp_path: Path, reply: bytes) -> None:
    (tmp_path / "a.py").write_text("x\n")
    Server.replies.append(reply)
    with pytest.raises(UserError, match="answer"):
        typing.run(of_files([tmp_path / "a.py"]), "m", server, None, 5, None, False)


def test_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x\n")
    (tmp_path / "b.py").write_bytes(b"\xff")
    (tmp_path / "empty.py").write_text("")

    def call(files: list[Path], limit: int | None = None, **fields: Any) -> None:
        typing.run(of_files(files), "default", None, None, 5, limit, False, **fields)

    for files, fields, said in (
        ([tmp_path / "none"], {}, "none"),
        ([tmp_path / "b.py"], {}, "no UTF-8"),
        ([tmp_path / "empty.py"], {}, "nothing to type"),
        ([file], {"trigger": "never"}, "pauses, every"),
        ([file], {"accept": "letters"}, "lines, words"),
        ([file], {"context": "all"}, "block, line, none"),
        ([file], {"limit": 0}, "at least 1"),
    ):
        with pytest.raises(UserError, match=said):
            call(files, **fields)
    with pytest.raises(UserError, match="is a server running there"):
        typing.run(of_files([file]), "m", "http://127.0.0.1:9", None, 5, None, False)
    with pytest.raises(UserError, match="begins with http"):
        typing.run(of_files([file]), "m", "127.0.0.1:9", None, 5, None, False)


def test_a_model_types_the_same_twice(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.py"
    file.write_text(SOURCE)
    made = []
    for _ in range(2):
        typing.run(of_files([file, file]), str(model_dir), None, tmp_path / "o", 3, 6, True)
        made.append(json.loads(capsys.readouterr().out))
    assert (tmp_path / "o/shows.jsonl").exists()
    for one in made:
        assert one["total"]["requests"] == 6 and one["layout"] == "plain"
        del one["total"]["p50_ms"], one["total"]["p95_ms"], one["by_file"], one["date"]
    assert made[0] == made[1]


def test_the_held_out_files_of_a_corpus_are_typed(
    corpus: Path, model_dir: Path, tmp_path: Path, run: Run
) -> None:
    texts = of_corpus(corpus)
    held = TextShard(corpus, "heldout")
    assert [each.text for each in texts] == sorted(held, key=[t.text for t in texts].index)
    assert all(each.name.startswith(f"{each.group}/") for each in texts)
    assert len(of_corpus(corpus, 1)) == len({each.group for each in texts})
    out = tmp_path / "run"
    code, said, _ = run(
        "eval", "typing", "--corpus", corpus, "--each", 1, "--model", model_dir, "--limit", 2,
        "--max-tokens", 2, "--out", out, "--accept", "words", "--trigger", "every",
    )  # fmt: skip
    conditions = json.loads((out / "run.json").read_text())
    assert (conditions["accept"], conditions["trigger"]) == ("words", "every")
    assert code == 0 and texts[0].group in said
    code, _, error = run("eval", "typing", "--model", model_dir)
    assert code == 2 and "name files" in error
    for wrong in (["a.py", "--each", 1], ["--corpus", corpus, "--each", 0]):
        code, _, error = run("eval", "typing", *wrong)
        assert code == 2 and "--each" in error


def test_shares_of_several_groups_have_intervals() -> None:
    rows = [measures([Replay((Piece(kind, "word"),), (), 0)], []) for kind in ("typed", "accepted")]
    found = command._intervals(["a", "b"], rows)
    total = measures([Replay((Piece("typed", "word"), Piece("accepted", "word")), (), 0)], [])
    assert found["completed"].value == pytest.approx(total.completed)
    assert found["completed"].low < found["completed"].value < found["completed"].high
    assert command._intervals(["a", "a"], rows) == {}
    nothing = measures([Replay((), (), 0)], [])
    assert command._intervals(["a", "b", "c"], [*rows, nothing]) == found
    assert command._intervals(["a", "c"], [rows[0], nothing]) == {}


def test_an_empty_replay_measures_nothing() -> None:
    assert measures([Replay((), (), 0)], []).saved == 0


def shows(*given_: tuple[str, float]) -> list[tuple[Show, float]]:
    return [
        (Show(0, "abcd", taken, i, bool(taken)), sure) for i, (taken, sure) in enumerate(given_)
    ]


def test_the_curve_by_hand() -> None:
    made = shows(("abcd", -0.1), ("", -0.2), ("ab", -1.0), ("", -2.0))
    found = curve(made, 100)
    assert [p.threshold for p in found] == [-0.1, -0.2, -1.0, -2.0]
    assert [(p.shown, p.accepted, p.wrong) for p in found] == [
        (1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 2, 2),
    ]  # fmt: skip
    assert [p.saved for p in found] == pytest.approx([0.03, 0.03, 0.04, 0.04])
    assert found[0].probability == pytest.approx(0.9048, abs=1e-4)
    assert curve([], 100) == [] and "| ≥ -0.10 | 0.90 | 1 | 1 | 0 | 3.0% |" in curve_table(found)


@given(st.lists(st.tuples(st.sampled_from(["", "ab", "abcd"]), st.floats(-9, 0)), min_size=1))
def test_a_lower_threshold_shows_more_and_the_last_shows_all(
    given_: list[tuple[str, float]],
) -> None:
    found = curve(shows(*given_), 1000)
    assert 1 <= len(found) <= 10 and found[-1].shown == len(given_)
    assert found[-1].threshold == min(sure for _, sure in given_)
    for one, other in itertools.pairwise(found):
        assert one.threshold > other.threshold and one.shown < other.shown
        assert one.wrong <= other.wrong and one.saved <= other.saved
    for each in found:
        assert each.shown == sum(sure >= each.threshold for _, sure in given_)


def test_a_models_confidence_is_its_tokens_mean(model_dir: Path) -> None:
    engine = Engine.load(model_dir)
    ask = OfEngine(engine, 6, None)
    text = ask(SOURCE[:20], SOURCE[40:])
    answer = engine.infill(SOURCE[:20], SOURCE[40:], max_tokens=6, sampling=Sampling(logprobs=1))
    each = [token.logprob for token in answer.logprobs]
    assert text == engine.infill(SOURCE[:20], SOURCE[40:], max_tokens=6).text
    assert ask.confidence == pytest.approx(sum(each) / len(each)) and ask.confidence < 0


class Knowing:
    """Knows every second line, and is surer of these."""

    confidence: float | None = None

    def __call__(self, prefix: str, suffix: str) -> str:
        line = SOURCE[len(prefix) :].partition("\n")[0]
        right = SOURCE.count("\n", 0, len(prefix)) % 2 == 0
        self.confidence = -0.1 - len(prefix) / 1000 if right else -3.0
        return line if right else "nonsense()"


def test_the_curve_is_printed_kept_and_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "of_model", lambda *_: (Knowing(), {"model": "knowing"}))
    (tmp_path / "a.py").write_text(SOURCE)
    out = tmp_path / "run"
    typing.run(of_files([tmp_path / "a.py"]), "default", None, out, 6, None, False)
    said = capsys.readouterr().out
    assert "| mean token log-probability | probability | shown |" in said
    rows = [json.loads(line) for line in (out / "shows.jsonl").read_text().splitlines()]
    assert all((row["confidence"] == -3.0) == (not row["accepted"]) for row in rows)
    scores = json.loads((out / "scores.json").read_text())
    first, last = scores["curve"][0], scores["curve"][-1]
    assert last["shown"] == scores["metrics"]["shown"]["value"] == len(rows)
    assert last["saved"] == pytest.approx(scores["metrics"]["saved"]["value"])
    assert first["wrong"] == 0 < last["wrong"] and first["saved"] > 0
    page, text = report.run([out], tmp_path / "report")
    drawn = page.read_text()
    assert drawn.count('class="dot c0"') == len(scores["curve"]) and "Keys saved" in drawn
    assert f"| at least {last['threshold']:.2f} |" in text.read_text()

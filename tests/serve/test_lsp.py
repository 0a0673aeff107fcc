"""The language server as an editor sees it, over standard input and output, and its parts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pygls", reason="the language server's own packages are not installed")

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

from codegen25.errors import UserError
from codegen25.models import DEFAULT, resolve
from codegen25.sample.engine import Engine
from codegen25.sample.request import Completion
from codegen25.sample.session import Options
from codegen25.serve.lsp import command
from codegen25.serve.lsp.asking import Asking
from codegen25.serve.lsp.items import ACCEPTED, at_cursor, at_word, listed_item, shown
from codegen25.serve.lsp.languages import language
from codegen25.serve.lsp.notes import Notes
from codegen25.serve.lsp.settings import Settings
from codegen25.serve.lsp.text import Text

T = TypeVar("T")
START = (sys.executable, "-m", "codegen25", "lsp")
STACK = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items."""
AUTOMATIC = types.InlineCompletionTriggerKind.Automatic
INVOKED = types.InlineCompletionTriggerKind.Invoked


def position(text: str) -> types.Position:
    """Of the end of a text, in UTF-16 units."""
    line = text.rpartition("\n")[2]
    return types.Position(text.count("\n"), len(line.encode("utf-16-le")) // 2)


# ------------------------------------------------------------------------------------------ parts

WIDTHS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
texts = st.text(st.sampled_from("ab\n\r\f\u2028é漢😀 "), max_size=30)


@given(texts, st.sampled_from(sorted(WIDTHS)), st.data())
def test_positions_are_where_the_protocol_says(
    text: str, encoding: str, data: st.DataObject
) -> None:
    lines = re.split("\r\n|\r|\n", text)
    number = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[number])))
    name, width = WIDTHS[encoding]
    units = len(lines[number][:column].encode(name)) // width
    start = re.split("(\r\n|\r|\n)", text)[: 2 * number]
    at = sum(map(len, start)) + column
    assert Text(text, encoding).offset(types.Position(number, units)) == at


def test_positions_beyond_the_text_and_within_a_character() -> None:
    text = Text("a😀b\nc")
    assert text.offset(types.Position(0, 2)) == 1
    assert text.offset(types.Position(0, 99)) == 3
    assert text.offset(types.Position(9, 0)) == 5


@given(texts, st.data())
def test_edits_are_what_slicing_does(text: str, data: st.DataObject) -> None:
    text = text.replace("\r", "")
    cuts = sorted(data.draw(st.tuples(*2 * [st.integers(0, len(text))])))
    where = types.Range(position(text[: cuts[0]]), position(text[: cuts[1]]))
    new = data.draw(texts)
    assert Text(text).replace(where, new).content == text[: cuts[0]] + new + text[cuts[1] :]
    assert Text(text).replace(None, new).content == new


def test_options_are_taken_or_complained_about() -> None:
    settings, complaints = Settings().updated({"max_tokens": 9, "multi_line": False, "model": "x"})
    assert (settings.max_tokens, settings.multi_line, settings.model) == (9, False, "x")
    assert not complaints and Settings().updated(None) == (Settings(), [])
    for sure in (0.25, 1):
        assert Settings().updated({"sure": sure}) == (Settings(sure=sure), [])
    for wrong in (2, "much", True):
        assert Settings().updated({"sure": wrong})[1]
    bad = {"max_tokens": 0, "threads": True, "weights": 8, "multi_line": 1, "tokens": 3}
    settings, complaints = Settings().updated(bad)
    assert settings == Settings() and len(complaints) == len(bad)
    assert "1 and 4096" in complaints[0] and "max_tokens" in complaints[-1]
    assert Settings().updated([])[1]


def test_a_place_behind_a_selected_item_replaces_its_range() -> None:
    text = Text("import os\nos.pa\r\nx")
    cursor = types.Position(1, 5)
    where = types.Range(types.Position(1, 3), cursor)
    place = at_cursor(text, cursor, types.SelectedCompletionInfo(where, "path"))
    assert (place.prefix, place.suffix) == ("import os\nos.path", "\nx")
    assert (place.head, place.range) == ("path", where)
    elsewhere = types.Range(types.Position(0, 0), types.Position(0, 1))
    place = at_cursor(text, cursor, types.SelectedCompletionInfo(elsewhere, "path"))
    assert (place.prefix, place.head) == ("import os\nos.pa", "")


def test_an_entry_of_the_list_begins_with_the_word_at_the_cursor() -> None:
    place = at_word(Text("😀 = retu\n"), types.Position(0, 9))
    assert (place.head, place.range.start.character) == ("retu", 5)
    item = listed_item(place, "rn 1\nx = 2", 7)
    assert (
        isinstance(item.text_edit, types.TextEdit) and item.text_edit.new_text == "return 1\nx = 2"
    )
    assert (item.label, item.filter_text, item.preselect) == ("return 1", "retu", True)


def test_what_was_cut_off_ends_with_a_whole_line() -> None:
    place = at_cursor(Text(""), types.Position(0, 0))
    cut = Completion("a = 1\nb = ", "time", 9, 9, 0.0, 0.0)
    assert shown(cut, place) == "a = 1"
    assert shown(Completion("a = ", "length", 9, 9, 0.0, 0.0), place) == "a ="
    assert shown(Completion("\n  \n", "end", 9, 9, 0.0, 0.0), place) == ""
    before = at_cursor(Text("x = 1"), types.Position(0, 0))
    assert shown(Completion("y = 2\n", "end", 9, 9, 0.0, 0.0), before) == "y = 2\n"


def test_names_of_languages() -> None:
    assert language("python") == "python" and language("typescriptreact") == "typescript"
    assert language("shellscript") == "shell" and language("csharp") == "c-sharp"
    assert language("secret project") == ""


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_notes_hold_lengths_and_times(tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    notes = Notes(path)
    first = notes.show("a", "python", "x = ", "\n", "secret()\n", 12.34)
    assert notes.show("a", "python", "x = se", "\n", "cret()\n", 0.1) == first
    notes.tell(first, "accepted")
    notes.tell(first, "accepted")
    (row,) = read(path)
    assert "secret" not in path.read_text() and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (row["event"], row["language"], row["characters"], row["lines"]) == (
        "accepted", "python", 9, 2,
    )  # fmt: skip
    assert row["latency_ms"] == 12.3


def test_notes_judge_by_the_text_where_an_editor_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    notes = Notes(path)
    notes.show("a", "", "x = ", "", "1", 1.0)
    notes.show("a", "", "x = 1\ny = ", "", "2", 1.0)
    notes.leave("a", "x = 1\ny")  # a glimpse, and gone: nobody decided anything
    assert [row["event"] for row in read(path)] == ["accepted"]
    notes.show("a", "", "x = ", "", "1", 1.0)
    monkeypatch.setattr("codegen25.serve.lsp.notes.GLIMPSE", 0.0)
    notes.leave("a", "x = 2")
    assert [row["event"] for row in read(path)] == ["accepted", "dismissed"]
    blocked = Notes(path / "below-a-file")
    blocked.tell(blocked.show("a", "", "", "", "1", 1.0), "accepted")


def test_without_pygls_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("codegen25.serve.lsp.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pygls", None)
    with pytest.raises(UserError, match=r"pip install 'codegen25\[lsp\]'"):
        command.run()


# ---------------------------------------------------------------------------------------- asking


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine.load(resolve(DEFAULT))
    engine.start()
    yield engine
    engine.close()


def ask(asking: Asking, prefix: str, suffix: str = "\n") -> asyncio.Task[Completion | None]:
    return asyncio.ensure_future(asking.answer(prefix, suffix, budget=9.0, single_line=False))


def long_prefix() -> str:
    return Path(__file__).read_text()[:6000] + "\n\n\ndef other("


def test_cancelling_ends_the_engines_request(engine: Engine) -> None:
    async def main() -> None:
        asking = Asking(engine, Options(max_tokens=100))
        task = ask(asking, long_prefix())
        await asyncio.sleep(0)
        assert asking._running is not None
        handle = asking._running[2]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(handle.wait, 9)
        assert handle.result().stop_reason == "cancelled"

    asyncio.run(main())


def test_the_latest_request_wins(engine: Engine) -> None:
    async def main() -> None:
        asking = Asking(engine, Options(max_tokens=20))
        first = ask(asking, long_prefix())
        await asyncio.sleep(0)
        assert asking._running is not None
        handle = asking._running[2]
        second = ask(asking, STACK)
        assert await first is None
        answer = await second
        assert handle.cancelled and answer is not None and answer.text.startswith("append")

    asyncio.run(main())


def test_an_answer_under_way_is_not_asked_for_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = []
    submit = engine.submit
    monkeypatch.setattr(engine, "submit", lambda *a: submitted.append(a) or submit(*a))

    async def main() -> None:
        asking = Asking(engine, Options(max_tokens=20))
        first = ask(asking, STACK)
        await asyncio.sleep(0)
        second = ask(asking, STACK + "app")
        assert await first is None
        answer = await second
        assert answer is not None and answer.text.startswith("end") and len(submitted) == 1
        third = ask(asking, STACK + "x")
        await asyncio.sleep(0)
        fourth = ask(asking, STACK + "xq")
        assert await third is None and await fourth is not None
        assert 2 <= len(submitted) <= 3

    asyncio.run(main())


def test_idle_time_prepares_what_comes_after_accepting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codegen25.serve.lsp.asking.PREFETCH_SECONDS", 30.0)

    async def main() -> None:
        asking = Asking(engine, Options(max_tokens=20))
        answer = await ask(asking, STACK, "")
        assert answer is not None
        handles = asking.prefetch(STACK, "")
        assert handles and all([await asyncio.to_thread(each.wait, 9) for each in handles])
        after = await ask(asking, STACK + answer.text, "")
        assert after is not None and (after.rule == "typed through" or not after.text)
        asking.close()

    asyncio.run(main())


# -------------------------------------------------------------------------------------- the wire


class Editor:
    """A client of pygls, driven from a thread that is not its event loop's."""

    def __init__(self, cache: Path, *, ghost_text: bool, **options: object) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.client = LanguageClient("test", "1")
        self.messages: list[str] = []
        self.progress: list[str] = []
        self.client.feature("window/showMessage")(lambda p: self.messages.append(p.message))
        self.client.feature("window/workDoneProgress/create")(lambda p: None)
        self.client.feature("$/progress")(lambda p: self.progress.append(p.value["message"]))
        env = os.environ | {"CODEGEN25_CACHE": str(cache)}
        self.run(self.client.start_io(*START, env=env))
        document = types.TextDocumentClientCapabilities()
        if ghost_text:
            document.inline_completion = types.InlineCompletionClientCapabilities()
        window = types.WindowClientCapabilities(work_done_progress=True)
        params = types.InitializeParams(
            capabilities=types.ClientCapabilities(text_document=document, window=window),
            initialization_options={"budget_ms": 20_000, **options},
        )
        self.can = self.run(self.client.initialize_async(params)).capabilities
        self.call(self.client.initialized, types.InitializedParams())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def call(self, function: Any, *arguments: Any) -> Any:
        async def called() -> Any:
            return function(*arguments)

        return self.run(called())

    def ready(self) -> None:
        for _ in range(600):
            if len(self.progress) > 1 or self.messages:
                return
            time.sleep(0.05)
        raise AssertionError("the server was not ready in 30 s")

    def open(self, uri: str, text: str, name: str = "python") -> None:
        item = types.TextDocumentItem(uri, name, 1, text)
        self.call(self.client.text_document_did_open, types.DidOpenTextDocumentParams(item))

    def edit(self, uri: str, *changes: tuple[types.Position, types.Position, str]) -> None:
        params = types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(2, uri),
            [
                types.TextDocumentContentChangePartial(types.Range(start, end), new)
                for start, end, new in changes
            ],
        )
        self.call(self.client.text_document_did_change, params)

    def inline(
        self, uri: str, at: types.Position, kind: types.InlineCompletionTriggerKind = AUTOMATIC,
        selected: types.SelectedCompletionInfo | None = None,
    ) -> list[types.InlineCompletionItem]:  # fmt: skip
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(kind, selected), types.TextDocumentIdentifier(uri), at
        )
        answer = self.run(self.client.text_document_inline_completion_async(params))
        assert isinstance(answer, (list, tuple))
        return list(answer)

    def suggestion(self, uri: str, text: str) -> str:
        """What is suggested at the end of a new document."""
        self.open(uri, text)
        (item,) = self.inline(uri, position(text))
        assert isinstance(item.insert_text, str)
        return item.insert_text

    def quit(self) -> None:
        self.run(self.client.shutdown_async(None))
        self.call(self.client.exit, None)
        self.run(self.client.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def editor(cache: Path) -> Iterator[Editor]:
    editor = Editor(cache, ghost_text=True, max_tokens=32)
    editor.ready()
    yield editor
    editor.quit()


def test_capabilities(editor: Editor) -> None:
    can = editor.can
    assert can.inline_completion_provider == types.InlineCompletionOptions()
    assert can.completion_provider is None  # nothing is suggested twice
    assert can.position_encoding == types.PositionEncodingKind.Utf16
    assert isinstance(can.text_document_sync, types.TextDocumentSyncOptions)
    assert can.text_document_sync.change == types.TextDocumentSyncKind.Incremental
    assert can.execute_command_provider and ACCEPTED in can.execute_command_provider.commands
    assert editor.progress == ["loading the model default", "ready (int8 weights)"]


def test_a_suggestion_is_inserted_at_the_cursor(editor: Editor) -> None:
    editor.open("file:///stack.py", STACK + "\n")
    (item,) = editor.inline("file:///stack.py", position(STACK))
    assert item.insert_text == "append(item)"
    assert item.range == types.Range(position(STACK), position(STACK))


def test_characters_are_counted_in_utf_16(editor: Editor) -> None:
    before = STACK.replace("self.items.", "s = '😀😀😀'; self.items.")
    editor.open("file:///eight.py", before + " # 2345678\n")
    assert editor.inline("file:///eight.py", position(before))
    editor.open("file:///nine.py", before + " # 23456789\n")  # one more, and it is crowded
    assert not editor.inline("file:///nine.py", position(before))


def test_edits_are_followed(editor: Editor) -> None:
    wanted = editor.suggestion("file:///fresh.py", STACK)
    broken = STACK.replace("push", "😀put").replace("items = []", "things = [1]")
    editor.open("file:///edited.py", broken)
    things = types.Position(2, 13), types.Position(2, 25)
    put = types.Position(4, 8), types.Position(4, 13)
    editor.edit("file:///edited.py", (*things, "items = []"), (*put, "push"))
    (item,) = editor.inline("file:///edited.py", position(STACK))
    assert item.insert_text == wanted
    whole = types.TextDocumentContentChangeWholeDocument("x")
    params = types.DidChangeTextDocumentParams(
        types.VersionedTextDocumentIdentifier(3, "file:///edited.py"), [whole]
    )
    editor.call(editor.client.text_document_did_change, params)
    assert not any(
        item.insert_text == wanted for item in editor.inline("file:///edited.py", position("x"))
    )


def test_what_is_typed_through_stays_the_same_suggestion(editor: Editor) -> None:
    uri = "file:///through.py"
    editor.open(uri, STACK)
    (first,) = editor.inline(uri, position(STACK))
    assert isinstance(first.insert_text, str)
    for n in range(1, 5):
        end = position(STACK + first.insert_text[: n - 1])
        editor.edit(uri, (end, end, first.insert_text[n - 1]))
        (item,) = editor.inline(uri, position(STACK + first.insert_text[:n]))
        assert item.insert_text == first.insert_text[n:]
        assert item.command == first.command


def test_a_cancelled_request_is_over(editor: Editor) -> None:
    uri = "file:///long.py"
    editor.open(uri, long_prefix())
    at = position(long_prefix())

    def both() -> Future[Any]:
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(INVOKED), types.TextDocumentIdentifier(uri), at
        )
        future = editor.client.protocol.send_request(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, params, msg_id="cancelled"
        )
        editor.client.cancel_request(types.CancelParams("cancelled"))
        return future

    with pytest.raises(JsonRpcException) as raised:
        editor.call(both).result(30)
    assert raised.value.code == types.LSPErrorCodes.RequestCancelled
    assert editor.inline(uri, at, INVOKED)


def test_nobody_is_bothered_in_the_middle_of_a_line(editor: Editor) -> None:
    before = "def area(width, height):\n    return "
    editor.open("file:///middle.py", before + "  # width times height\n")
    assert not editor.inline("file:///middle.py", position(before), AUTOMATIC)
    assert editor.inline("file:///middle.py", position(before), INVOKED)
    assert not editor.inline("file:///never-opened.py", position(before), INVOKED)


def test_a_selected_entry_is_extended(editor: Editor) -> None:
    before = STACK + "ap"
    editor.open("file:///selected.py", before)
    where = types.Range(position(STACK), position(before))
    info = types.SelectedCompletionInfo(where, "append")
    (item,) = editor.inline("file:///selected.py", position(before), AUTOMATIC, info)
    assert item.range == where and item.insert_text == "append(item)"


def test_lone_surrogates_and_odd_line_ends_are_no_trouble(editor: Editor) -> None:
    editor.open("file:///odd.py", STACK.replace("\n", "\r\n").replace("item", "\fitem", 1))
    assert editor.inline("file:///odd.py", position(STACK))
    editor.open("file:///lone.py", "x = '\ud800")
    assert not editor.inline("file:///lone.py", types.Position(0, 6))
    assert "surrogate" in editor.messages[-1]


def test_accepting_is_noted_without_code(editor: Editor, cache: Path) -> None:
    uri = "file:///noted.py"
    editor.open(uri, STACK)
    (item,) = editor.inline(uri, position(STACK))
    assert item.command is not None and item.command.command == ACCEPTED
    params = types.ExecuteCommandParams(ACCEPTED, list(item.command.arguments or ()))
    editor.run(editor.client.workspace_execute_command_async(params))
    rows = read(cache / "events.jsonl")
    assert rows[-1]["event"] == "accepted" and rows[-1]["language"] == "python"
    assert rows[-1]["characters"] == len("append(item)")
    text = (cache / "events.jsonl").read_text()
    assert not any(word in text for word in ("append", "items", "Stack", "noted.py"))


def test_editors_without_ghost_text_get_an_entry_of_the_list(cache: Path) -> None:
    editor = Editor(cache, ghost_text=False, model="nowhere", weights=8)
    try:
        assert editor.can.completion_provider is not None
        at = types.CompletionParams(
            types.TextDocumentIdentifier("file:///a.py"), position(STACK + "app")
        )
        editor.open("file:///a.py", STACK + "app")
        answer = editor.run(editor.client.text_document_completion_async(at))
        assert answer == types.CompletionList(is_incomplete=True, items=())
        editor.ready()
        for _ in range(1200):
            if len(editor.messages) > 1:
                break
            time.sleep(0.05)
        assert any("weights is a string" in message for message in editor.messages)
        assert any("model 'nowhere' is unknown" in message for message in editor.messages)
    finally:
        editor.quit()
    editor = Editor(cache, ghost_text=False)
    try:
        editor.ready()
        editor.open("file:///a.py", STACK + "app")
        answer = editor.run(editor.client.text_document_completion_async(at))
        assert isinstance(answer, types.CompletionList) and answer.is_incomplete
        (item,) = answer.items
        assert item.preselect and item.label == "append(item)"
        where = types.Range(position(STACK), position(STACK + "app"))
        assert item.text_edit == types.TextEdit(where, "append(item)")
    finally:
        editor.quit()


# ------------------------------------------------------------------------------------- the process


def frame(method: str, params: object = None, number: int | None = None) -> bytes:
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if number is not None:
        message["id"] = number
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


HELLO = frame("initialize", {"capabilities": {}, "processId": None, "rootUri": None}, 1)


def start() -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(START, stdin=pipe, stdout=pipe, stderr=pipe)


def test_the_server_leaves_when_told_though_the_input_is_open() -> None:
    asked, told = start(), start()
    for server, frames in (
        (asked, (HELLO, frame("shutdown", None, 2), frame("exit"))),
        (told, (frame("exit"),)),
    ):
        assert server.stdin is not None
        server.stdin.write(b"".join(frames))
        server.stdin.flush()
    with asked, told:
        assert asked.wait(60) == 0
        assert told.wait(60) == 1  # it was not shut down first


def test_nothing_but_the_protocol_is_printed_and_no_code_is_logged() -> None:
    uri, secret = "file:///a.py", "SECRET"
    item = {"uri": uri, "languageId": "python", "version": 1, "text": secret}
    change = {"textDocument": {"uri": uri, "version": "two"}, "contentChanges": [{"text": secret}]}
    frames = (
        HELLO,
        frame("initialized", {}),
        frame("textDocument/didOpen", {"textDocument": item}),
        frame("textDocument/didChange", change),
        frame("textDocument/didChange", {"contentChanges": secret}),
        frame("textDocument/inlineCompletion", {"textDocument": {"uri": secret}}, 5),
        frame("workspace/executeCommand", {"command": ACCEPTED, "arguments": [secret]}, 6),
        frame("workspace/executeCommand", {"command": secret, "arguments": []}, 7),
        b'Content-Length: 9\r\n\r\n{"SECRET"',
        frame("shutdown", None, 2),
    )
    with start() as server:
        rest, errors = server.communicate(b"".join(frames), 60)
    assert server.returncode == 0  # the end of the input is enough
    assert b"SECRET" not in errors
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        (size,) = re.findall(rb"Content-Length: (\d+)", head)
        json.loads(rest[: int(size)])
        rest = rest[int(size) :]


def test_the_command_is_there_without_pygls() -> None:
    code = "import sys, codegen25.serve.lsp.command; sys.exit('pygls' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

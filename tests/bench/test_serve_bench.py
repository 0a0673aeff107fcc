"""The bench of serving, with few people and no peer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from codegen25.bench import serve
from codegen25.bench.keystrokes import Place
from codegen25.bench.serving import bodies, goals, hurt
from codegen25.bench.serving.bare import Bare
from codegen25.bench.serving.http import Answer, Target
from codegen25.bench.serving.typists import STAYS, Seen, leave, one_by_one, type_all
from codegen25.sample.engine import Engine, Settings
from conftest import Run


def cells(out: str, head: str) -> dict[str, str]:
    """The first row of the table whose head begins so."""
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"| {head}"))
    names, row = (lines[i].strip("| ").split(" | ") for i in (at, at + 2))
    return dict(zip(names, row, strict=False))


@pytest.mark.slow
def test_people_who_type_are_answered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "WARM_SECONDS", 0.5)
    monkeypatch.setattr(hurt, "LEAVE_SECONDS", 0.5)
    monkeypatch.setattr(hurt, "READERS", 1)
    code, out, _ = run(
        "bench", "serve", "--typists", "3", "--seconds", "2.5", "--interval", "0.5",
        "--threads", "1", "--peers-python", "/nowhere/python",
    )  # fmt: skip
    assert code == 0
    typed = cells(out, "server")
    assert typed["server"] == "ours" and typed["errors"] == typed["refused"] == "0"
    assert float(typed["asked/s"]) > 0 and float(typed["memory, MB"]) > 0
    assert "llama.cpp Q8_0 (not run:" in out
    after = cells(out, "requests left")
    assert after["requests left"] == after["requests left then"] == "0"
    assert after["slots left"] == after["slots left then"] == after["unanswered"] == "0"
    assert float(after["hung up a second"]) > 0 and int(after["amid an answer, in all"]) > 0
    assert after["streams held up"] in ("1", "still computing")
    alone = cells(out, "questions")
    assert float(alone["engine alone, p50 ms"]) > 0 and alone["other answers"] == "0"
    assert cells(out, "goal") == {"goal": "errors at most 0", "measured": "0", "met": "yes"}


@pytest.mark.slow
def test_a_bench_that_is_ended_takes_its_server_along() -> None:
    command = [sys.executable, "-m", "codegen25", "bench", "serve", "--seconds", "5"]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        servers: list[psutil.Process] = []
        while not servers:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.1)
            servers = [each for each in process.children() if _serves(each)]
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
        psutil.wait_procs(servers, timeout=30)
        assert not any(each.is_running() for each in servers)
    finally:
        process.kill()


def _serves(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "serve" in process.cmdline() and "bench" not in process.cmdline()
    return False


GOOD = {
    "errors": 0, "memory growth %": 2.0, "HTTP beyond the engine, p50 ms": 1.5, "requests left": 0,
    "waiting left": 0, "slots left": 0, "hung up a second": 240.0, "unanswered": 0,
    "requests left then": 0, "waiting left then": 0, "slots left then": 0,
}  # fmt: skip


def missed(found: dict[str, object]) -> list[str]:
    rows = goals.checked(found)
    assert all(row["met"] in ("yes", "no") for row in rows)
    return [row["goal"] for row in rows if row["met"] == "no"]


def test_goals_are_met_or_missed() -> None:
    assert missed(GOOD) == []
    for figure, bad in (
        ("memory growth %", 2.1), ("errors", 1), ("errors", "3 OSError"), ("slots left then", 1),
        ("HTTP beyond the engine, p50 ms", float("nan")), ("hung up a second", 199.0),
        ("memory growth %", ""), ("unanswered", 2),
    ):  # fmt: skip
        [goal] = missed({**GOOD, figure: bad})
        assert goal.startswith(figure)
    assert len(missed({})) == len(GOOD)
    [row] = [row for row in goals.checked(GOOD) if "hung up" in row["goal"]]
    assert row == {"goal": "hung up a second at least 200", "measured": 240.0, "met": "yes"}


PLACE = Place("import os\n", "def f(x):", "\n\nprint(f(1))\n")


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Engine:
    return Engine.load(model_dir, Settings("cpu", "float32", 1))


def test_long_questions_have_nothing_in_common(engine: Engine) -> None:
    asked = [json.loads(body) for body in bodies.distinct(engine, PLACE, 40)]
    assert len({each["prompt"].partition("\n")[0] for each in asked}) == 40
    assert {each.get("stream") for each in asked} == {True, False}
    streams = [json.loads(body) for body in bodies.large(engine, PLACE, 3)]
    assert {each["n"] for each in streams} == {bodies.MANY}
    for each in (*asked, *streams):
        assert each["max_tokens"] == 128 and not {"session", "suffix"} & set(each)
        assert set(each["logit_bias"]) == {str(token) for token in engine.form.ends_of_span}


@contextlib.asynccontextmanager
async def listening(answer):  # type: ignore[no-untyped-def]
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield Target("127.0.0.1", server.sockets[0].getsockname()[1], "/")
    server.close()


def test_those_who_leave_have_asked_each_something_else() -> None:
    came: list[bytes] = []

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b""
        with contextlib.suppress(OSError):
            while part := await reader.read(1000):
                said += part
                writer.write(b"data: x")
        came.append(said)
        writer.close()

    async def run() -> tuple[float, int]:
        async with listening(read) as target:
            left = await leave(target, [b"%d" % i for i in range(1000)], 200, 0.3)
            await asyncio.sleep(0.1)
        return left

    rate, amid = asyncio.run(run())
    whole = [said for said in came if said]  # some are gone before a byte of theirs was read
    assert 0 < rate <= 210 and len(set(whole)) == len(whole) >= amid >= len(came) // len(STAYS) > 0


def test_questions_go_to_both_in_turn(engine: Engine) -> None:
    order: list[str] = []
    answers = [b'{"choices":[{"text":"a"}]}', b'{"choices":[{"text":"b"}]}']

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for text in answers:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1)
            order.append("server")
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text)
            writer.write(head + text)

    async def run() -> list[Answer]:
        async with listening(answer) as target:
            return await one_by_one(target, [b"1", b"2"], lambda body: order.append(body.decode()))

    found = asyncio.run(run())
    assert order == ["server", "1", "server", "2"] and [each.status for each in found] == [200, 200]
    bare = Bare(engine)
    for body in bodies.typed(PLACE, stream=False)[:2]:
        bare.ask(body)
    bare.texts[0] = "a"
    bare.ms = [1000 * each.whole - 3.0 for each in found]
    row = bare.row(found)
    assert row["HTTP beyond the engine, p50 ms"] == pytest.approx(3.0)
    assert (row["questions"], row["other answers"]) == (2, 1)


def test_a_stopped_reader_takes_next_to_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made: list[socket.socket] = []

        def begin() -> None:
            made.append(server.accept()[0])
            made[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            made[0].recv(1000)
            made[0].sendall(b"x")

        thread = threading.Thread(target=begin)
        thread.start()
        reader = hurt._stopped(Target("127.0.0.1", server.getsockname()[1], "/"), b"{}")
        thread.join()
        assert psutil.Process(reader.pid).status() == psutil.STATUS_STOPPED
        made[0].settimeout(0.2)
        with pytest.raises(TimeoutError):
            made[0].sendall(b"y" * 100_000)
        reader.kill()
        reader.wait()
        made[0].close()


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE, END = b"1\r\nx\r\n", b"0\r\n\r\n"


def seen(*answers: tuple[bytes, float, bytes]) -> Seen:
    """What somebody sees whose questions are answered so: bytes, a pause, bytes."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while left:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                first, pause, rest = left.pop(0)
                writer.write(first)
                await asyncio.sleep(pause)
                writer.write(rest)
                await writer.drain()
        writer.close()

    async def look() -> Seen:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await type_all(Target("127.0.0.1", port, "/"), [[b"{}"]], 0.8, 0.4)
        server.close()
        return found

    return asyncio.run(look())


def test_late_answers_count_in_the_quantiles() -> None:
    whole = seen((HEAD + PIECE, 0.0, PIECE + END))
    assert (whole.answered, whole.late, len(whole.firsts), len(whole.wholes)) == (1, 0, 1, 1)
    begun = seen((HEAD + PIECE, 9.0, END))
    assert (begun.answered, begun.late) == (0, 1)
    assert begun.firsts[0] < begun.wholes[0]
    silent = seen((b"", 9.0, b""))
    assert silent.late == 1 and silent.firsts == silent.wholes


def test_the_refused_are_counted_apart() -> None:
    refused = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}"
    found = seen((refused, 0.0, b""))
    assert (found.busy, found.firsts, found.wholes) == (1, [], [])
    row = serve._row("ours", found, 1.0, [50.0, 100.0, 110.0, 105.0])
    assert row["refused"] == row["asked/s"] == 1 and row["answered/s"] == 0
    assert row["memory growth %"] == pytest.approx(10)


def test_nonsense_is_refused(run: Run) -> None:
    code, _, err = run("bench", "serve", "--typists", "0")
    assert code == 2 and "typists" in err

"""The bench of serving, with few people and no peer."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from codegen25.bench import serve
from codegen25.bench.serving.http import Target
from codegen25.bench.serving.typists import Seen, type_all
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
    monkeypatch.setattr(serve, "LEAVE_SECONDS", 0.5)
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
    assert float(after["hung up a second"]) > 0


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
        found = await type_all(Target("127.0.0.1", port, "/"), [[b"{}"]], 0.4, 0.4)
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
    row = serve._row("ours", found, 1.0, [110.0, 100.0, 105.0])
    assert row["refused"] == row["asked/s"] == 1 and row["answered/s"] == 0
    assert row["its growth %"] == pytest.approx(10)


def test_nonsense_is_refused(run: Run) -> None:
    code, _, err = run("bench", "serve", "--typists", "0")
    assert code == 2 and "typists" in err

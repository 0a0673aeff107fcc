"""`codegen25 eval typing`: files, a completer, a table; with --out a run folder."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codegen25 import __version__
from codegen25.errors import UserError
from codegen25.evaluate.statistics import Rate, clustered_ratio
from codegen25.evaluate.typing.completers import Timed, of_endpoint, of_model
from codegen25.evaluate.typing.curve import curve
from codegen25.evaluate.typing.curve import table as curve_table
from codegen25.evaluate.typing.measures import Measures, measures
from codegen25.evaluate.typing.replay import ACCEPTS, TRIGGERS, Replay, replay
from codegen25.evaluate.typing.surroundings import MODES, suffix
from codegen25.evaluate.typing.texts import Text
from codegen25.models import DEFAULT


def run(
    texts: Sequence[Text],
    model: str,
    endpoint: str | None,
    out: Path | None,
    max_tokens: int,
    limit: int | None,
    as_json: bool,
    layout: str | None = None,
    trigger: str = "pauses",
    context: str = "block",
    sure: float = 0.0,
    accept: str = "lines",
) -> None:
    """Type every text once more and print what completions saved; rules in `replay`.

    `limit` is the most requests a file may make; `context` says what stands after the cursor,
    `accept` what a key takes.
    """
    if not any(each.text for each in texts):
        raise UserError("nothing to type: name files that hold some text")
    if trigger not in TRIGGERS:
        raise UserError(f"trigger {trigger!r} is unknown; there are {', '.join(TRIGGERS)}")
    if context not in MODES:
        raise UserError(f"context {context!r} is unknown; there are {', '.join(MODES)}")
    if accept not in ACCEPTS:
        raise UserError(f"accept {accept!r} is unknown; there are {', '.join(ACCEPTS)}")
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: at least 1 request a file")
    if endpoint and (layout or sure):
        raise UserError("--layout and --sure go with a model; an --endpoint has its own ways")
    if endpoint:
        ask, name = of_endpoint(endpoint, None if model == DEFAULT else model, max_tokens)
        facts: dict[str, str | int] = {"model": f"{name} at {endpoint}"}
    else:
        ask, facts = of_model(model, max_tokens, layout, sure)
    rows: list[tuple[str, Replay, Measures]] = []
    times: list[float] = []
    surety: list[list[float | None]] = []
    for each in texts:
        _progress(each.name, len(rows) + 1, len(texts))
        timed = Timed(ask)
        done = replay(
            each.text, timed, suffix(each.text, context),
            trigger=trigger, accept=accept, limit=limit,
        )  # fmt: skip
        rows.append((each.name, done, measures([done], timed.milliseconds)))
        times += timed.milliseconds
        surety.append(timed.confidences)
    _progress("", 0, 0)
    total = measures([done for _, done, _ in rows], times)
    known = [
        (show, confidence)
        for (_, done, _), each in zip(rows, surety, strict=True)
        for show in done.shows
        if (confidence := each[show.request]) is not None
    ]
    points = curve(known, total.characters)
    conditions = {
        "benchmark": "typing",
        **facts,
        "max_tokens": max_tokens,
        "temperature": 0,
        "trigger": trigger,
        "accept": accept,
        "context": context,
        "limit": limit,
        "sure": sure or None,
        "files": {each.name: _digest(each.text) for each in texts},
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "codegen25": __version__,
    }
    if out is not None:
        intervals = _intervals([each.group for each in texts], [one for *_, one in rows])
        _write(out, conditions, rows, total, intervals, [asdict(each) for each in points], surety)
    if as_json:
        by_file = {name: vars(one) for name, _, one in rows}
        made = {"total": vars(total), "by_file": by_file, "curve": [asdict(p) for p in points]}
        print(json.dumps({**conditions, **made}))
    else:
        print(table([(name, one) for name, _, one in rows], total, conditions), end="")
        if points:
            print(f"\nShown only above a confidence:\n\n{curve_table(points)}", end="")


def table(rows: Sequence[tuple[str, Measures]], total: Measures, conditions: dict[str, Any]) -> str:
    """The measures as Markdown, the conditions above."""
    head = (
        "| file | characters | saved | by completion | requests | shown | accepted | wrong shows "
        "| p50 ms | p95 ms |\n|---|---|---|---|---|---|---|---|---|---|\n"
    )
    shown = [*rows, ("together", total)] if len(rows) > 1 else rows
    named = (
        "model",
        "layout",
        "max_tokens",
        "trigger",
        "accept",
        "context",
        "limit",
        "sure",
        "threads",
        "machine",
        "date",
    )
    said = "; ".join(
        f"{name.replace('_', ' ')} {conditions[name]}"
        for name in named
        if conditions.get(name) is not None
    )
    return f"{said}; greedy\n\n{head}" + "".join(
        f"| {name} | {m.characters} | {m.saved:.1%} | {m.completed:.1%} | {m.requests} | {m.shown} "
        f"| {m.accepted} | {m.wrong} | {m.p50_ms:.0f} | {m.p95_ms:.0f} |\n"
        for name, m in shown
    )


def _write(
    out: Path, conditions: dict[str, Any], rows: list[tuple[str, Replay, Measures]],
    total: Measures, intervals: Mapping[str, Rate], points: list[dict[str, Any]],
    surety: list[list[float | None]],
) -> None:  # fmt: skip
    """A run folder: conditions, what was shown where, scores."""
    out.mkdir(parents=True, exist_ok=True)
    shows = [
        {
            "file": name,
            "offset": show.offset,
            "shown": show.text,
            "accepted": show.accepted,
            "keys": show.keys,
        }
        | ({} if each[show.request] is None else {"confidence": each[show.request]})
        for (name, done, _), each in zip(rows, surety, strict=True)
        for show in done.shows
    ]
    metrics = {
        name: asdict(intervals[name]) if name in intervals else {"value": value}
        for name, value in vars(total).items()
    }
    scores = {
        "benchmark": "typing",
        "model": conditions["model"],
        "tasks": len(rows),
        "samples": total.requests,
        "metrics": metrics,
        "by_file": {name: vars(one) for name, _, one in rows},
        "curve": points,
    }
    for file, text in (
        ("run.json", json.dumps(conditions, indent=1) + "\n"),
        ("shows.jsonl", "".join(json.dumps(show) + "\n" for show in shows)),
        ("scores.json", json.dumps(scores, indent=1) + "\n"),
    ):
        staging = out / f".{file}.new"
        staging.write_text(text, encoding="utf-8")
        staging.replace(out / file)


def _intervals(groups: Sequence[str], rows: Sequence[Measures]) -> dict[str, Rate]:
    """The shares of the characters with their intervals, which redraw groups of texts."""
    some = [(group, each) for group, each in zip(groups, rows, strict=True) if each.characters]
    if len({group for group, _ in some}) < 2:
        return {}
    return {
        name: clustered_ratio([
            (group, getattr(each, name) * each.characters, float(each.characters))
            for group, each in some
        ])
        for name in ("saved", "completed")
    }  # fmt: skip


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _progress(name: str, number: int, count: int) -> None:
    if sys.stderr.isatty():
        said = f"file {number}/{count}: {name}" if count else ""
        print(f"\r\033[K{said}", end="", file=sys.stderr, flush=True)

"""A keystroke's cost: real files typed character by character, beside llama.cpp on our weights.

Every keystroke asks for `new` tokens. Ours is the typing loop (`sample.session`); llama.cpp gets
the plain layout, as every client sends it, and our own layout, each with its cache on. It answers
fewer keystrokes, one after the other from the same place, because a minute is a minute.
"""

from __future__ import annotations

import os
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from codegen25.bench import shapes
from codegen25.bench.engines.peers import NotRun, Running, start
from codegen25.bench.table import Row, conditions, markdown
from codegen25.errors import UserError
from codegen25.models import resolve
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.session import Options, Session
from codegen25.sample.stopping import Stops
from codegen25.tokenizer import Tokenizer

PREFIX, SUFFIX = 1200, 400
PEERS = ("llama.cpp Q8_0", "llama.cpp Q4_0")
LLAMA_CONTEXT = 2304


@dataclass(frozen=True)
class Place:
    """A cursor in a file: what stands before and after it, and what is typed between."""

    prefix: str
    typed: str
    suffix: str

    def keystrokes(self, most: int) -> Iterator[tuple[str, str]]:
        """Prefix and suffix after each character."""
        for i in range(1, min(most, len(self.typed)) + 1):
            yield self.prefix + self.typed[:i], self.suffix


def places(tokenizer: Tokenizer, files: int, keystrokes: int, context: int) -> list[Place]:
    """Cursors in this Python's own library: real code that is always at hand."""
    rng, found = Random(0), []
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(folder.glob("*.py"))
    texts = (
        path.read_text(encoding="utf-8", errors="replace") for path in rng.sample(paths, len(paths))
    )
    long = [text for text in texts if len(text) >= 40_000]
    if not long:
        raise UserError(f"{folder} has no files that are long enough")
    shares = PREFIX, SUFFIX
    if context < PREFIX + SUFFIX + 200:  # a small model sees what fits
        shares = (context - 200) * 3 // 4, (context - 200) // 4
    for text in islice(cycle(long), files):  # of few files, several places each
        at = text.find("\n", rng.randrange(20_000, len(text) - 15_000)) + 1
        prefix = tokenizer.cut(text[:at], shares[0], keep_end=True)
        typed = text[at : at + keystrokes]
        suffix = tokenizer.cut(text[at + keystrokes :], shares[1], keep_end=False)
        found.append(Place(prefix, typed, suffix))
    return found


def run(
    models: Sequence[str], files: int, keystrokes: int, peer_keystrokes: int, new: int,
    threads: int, peers: Sequence[str] | None, peers_python: str,
) -> None:  # fmt: skip
    """Print a table a model."""
    if min(files, keystrokes, peer_keystrokes, new) < 1 or threads < 0:
        raise UserError("files, keystrokes and new tokens are at least 1, threads 0 or more")
    threads = threads or len(os.sched_getaffinity(0))
    chosen = [each for each in (PEERS if peers is None else peers) if each != "none"]
    made = conditions(("numpy",))
    print(f"{made['machine']}, {threads} threads, Python {made['python']}")
    for model in models:
        rows = table(
            model, files, keystrokes, peer_keystrokes, new, threads, chosen, peers_python
        )  # fmt: skip
        print(
            f"\n## Typing: {model}, {new} tokens a keystroke\n\n{markdown(rows)}",
            end="",
            flush=True,
        )


def table(
    model: str, files: int, keystrokes: int, peer_keystrokes: int, new: int, threads: int,
    peers: Sequence[str], peers_python: str,
) -> list[Row]:  # fmt: skip
    """Milliseconds a keystroke and tokens recomputed, of ours and of the peers."""
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        folder = Path(work) / "model"
        if model in shapes.SHAPES:
            tokenizer = Tokenizer.load(resolve("codegen25-4m-mono") / "tokenizer.json")
            shapes.write(folder, shapes.named(model), tokenizer=tokenizer)
        else:
            folder = resolve(model)
        engine = Engine.load(folder, Settings("cpu", "int8", threads))
        found = places(engine.tokenizer, files, keystrokes, engine.context)
        rows = [*_ours(engine, found, keystrokes, new)]
        for name in peers:
            try:
                peer = stack.enter_context(
                    start(name, folder, Path(work), peers_python, threads=threads,
                          context=LLAMA_CONTEXT)
                )  # fmt: skip
                rows += _peer(name, peer, engine, found, peer_keystrokes, new)
            except NotRun as reason:
                rows.append({"engine": f"{name} (not run: {reason})"})
        return [{key: row.get(key, "") for key in rows[0]} for row in rows]


def _options(new: int) -> Options:
    return Options(new, Sampling(), Stops(), heal=False)


def _ours(
    engine: Engine, found: Sequence[Place], keystrokes: int, new: int
) -> Iterator[dict[str, Any]]:
    """As people use it, healing, stopping and typing through included; then every key computed."""
    for title, options in (("ours", Options(new)), ("ours, every key computed", _options(new))):
        times, recomputed, through = [], [], 0
        engine.cache.clear()
        for place in found:
            session = Session(engine, options)
            session.suggest(place.prefix, place.suffix)
            for prefix, suffix in place.keystrokes(keystrokes):
                begun = time.perf_counter()
                if options.heal:
                    completion = session.suggest(prefix, suffix)
                else:
                    request = session.request(prefix, suffix)
                    endless = replace(request.prompt, ends=frozenset([-1]))
                    completion = engine.wait(engine.submit(replace(request, prompt=endless)))
                times.append(1000 * (time.perf_counter() - begun))
                if completion.rule == "typed through":
                    through += 1
                else:
                    recomputed.append(completion.prompt_tokens - completion.cached_tokens)
        yield _row(title, times, recomputed) | {"typed through": f"{through / len(times):.0%}"}


def _peer(
    name: str, peer: Running, engine: Engine, found: Sequence[Place], keystrokes: int, new: int
) -> Iterator[dict[str, Any]]:
    for title, prompts in (("plain layout", _plain), ("our layout", _anchored)):
        times, recomputed = [], []
        for place in found:
            ask = prompts(engine, place, new)
            peer.keystroke(ask(place.prefix, place.suffix), new, cache=True)
            for prefix, suffix in place.keystrokes(keystrokes):
                answer = peer.keystroke(ask(prefix, suffix), new, cache=True)
                times.append(answer["ms"])
                recomputed.append(answer["recomputed"])
        yield _row(f"{name}, {title}", times, recomputed)


Ask = Callable[[str, str], list[int]]


def _plain(engine: Engine, place: Place, new: int) -> Ask:
    return lambda prefix, suffix: engine.prompt(prefix, suffix, max_tokens=new).ids


def _anchored(engine: Engine, place: Place, new: int) -> Ask:
    session = Session(engine, _options(new))
    return lambda prefix, suffix: session.request(prefix, suffix).prompt.ids


def _row(title: str, times: Sequence[float], recomputed: Sequence[int]) -> dict[str, Any]:
    marks = statistics.quantiles(times, n=20)
    return {
        "engine": title,
        "keystrokes": len(times),
        "p50, ms": statistics.median(times),
        "p95, ms": marks[18],
        "recomputed, median": statistics.median(recomputed) if recomputed else "",
        "recomputed, mean": statistics.fmean(recomputed) if recomputed else "",
        "typed through": "",
    }

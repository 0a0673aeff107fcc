"""`codegen25 complete`: from a file and a cursor to the answer on the screen or in the file."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from codegen25.errors import UserError
from codegen25.sample.options import Sampling, check_samples
from codegen25.source_file import STDIN, SourceFile

if TYPE_CHECKING:
    from codegen25.sample.engine import Engine
    from codegen25.sample.request import Completion, Request


class Output(Enum):
    """Where an answer goes."""

    TEXT = auto()
    STREAM = auto()
    JSON = auto()
    DIFF = auto()
    IN_PLACE = auto()


def output_of(*, stream: bool, as_json: bool, in_place: bool, diff: bool) -> Output:
    """The one output asked for; two at once are a UserError."""
    asked = {
        "--stream": (stream, Output.STREAM),
        "--json": (as_json, Output.JSON),
        "--in-place": (in_place, Output.IN_PLACE),
        "--diff": (diff, Output.DIFF),
    }
    chosen = [(name, output) for name, (wanted, output) in asked.items() if wanted]
    if len(chosen) > 1:
        raise UserError(f"{chosen[0][0]} and {chosen[1][0]} exclude each other; give one")
    return chosen[0][1] if chosen else Output.TEXT


@dataclass(frozen=True)
class Asked:
    """What is wanted of which model."""

    model: str
    weights: str
    draft: str | None
    max_tokens: int
    sampling: Sampling
    n: int
    layout: str | None
    single_line: bool
    repository: Path | None


def run(name: str, at: str | None, asked: Asked, output: Output, verbose: bool) -> None:
    """Read, ask, show. Everything that can be refused is refused before the model loads."""
    _refuse(name, asked, output)
    file = SourceFile.read(name)
    if output is Output.IN_PLACE:
        file.require_writable()
    prefix, suffix = file.split(at)
    from codegen25.models import resolve

    folder = resolve(asked.model)
    from codegen25.sample.engine import Engine, Settings
    from codegen25.sample.request import Request
    from codegen25.sample.stopping import Stops

    draft = resolve(asked.draft) if asked.draft else None
    engine = Engine.load(folder, Settings(kind=asked.weights, draft=draft))
    layout = "causal" if asked.layout is None and at is None else asked.layout
    front = _front(engine, asked.repository, name, prefix, suffix)
    prompt = engine.prompt(prefix, suffix, max_tokens=asked.max_tokens, layout=layout, front=front)
    request = Request(
        prompt, asked.max_tokens, asked.sampling, prefix=prefix, suffix=suffix,
        stops=Stops(single_line=asked.single_line),
    )  # fmt: skip
    if output is Output.STREAM:
        completions = [_stream(engine, request)]
    else:
        completions = engine.samples(request, asked.n)
        _show(completions, file, prefix, suffix, output)
    if verbose:
        for completion in completions:
            print(summary(completion, engine.runner.kind), file=sys.stderr)


def _front(engine: Engine, folder: Path | None, name: str, prefix: str, suffix: str) -> list[int]:
    """Ids of what the other files of a repository say about the cursor's place."""
    if folder is None:
        return []
    from codegen25.sample.context import Repository
    from codegen25.sample.session import Surroundings

    repository = Repository(folder)
    path = "" if name == STDIN else repository.relative(Path(name).absolute())
    return Surroundings(repository, path, engine.context // 4).ids(prefix, suffix, engine.tokenizer)


def _refuse(name: str, asked: Asked, output: Output) -> None:
    check_samples(asked.n)
    if asked.n > 1 and output in (Output.STREAM, Output.IN_PLACE, Output.DIFF):
        raise UserError("-n above 1 goes with plain output or --json; choose one answer to insert")
    if asked.n > 1 and asked.sampling.temperature == 0:
        raise UserError("-n above 1 needs --temperature above 0; greedy answers are all the same")
    if output is Output.IN_PLACE and name == STDIN:
        raise UserError("--in-place needs a file; standard input has no place to write to")


def _shown(completion: Completion) -> dict[str, object]:
    """What a script reads; the engine's own counts are not for it."""
    keys = ("text", "stop_reason", "rule", "tokens", "prompt_tokens", "prefill_ms", "decode_ms")
    values = dataclasses.asdict(completion)
    return {key: values[key] for key in keys if values[key] is not None}


def summary(completion: Completion, kind: str) -> str:
    """Stop reason, tokens and times in one line."""
    return (
        f"stop: {completion.stop_reason} | {completion.tokens} tokens | "
        f"prefill {completion.prefill_ms:.0f} ms ({completion.prompt_tokens} tokens), "
        f"decode {completion.decode_ms:.0f} ms | {kind} weights"
    )


def _stream(engine: Engine, request: Request) -> Completion:
    completion = None
    for piece in engine.pieces(request):
        print(piece.text, end="", flush=True)
        completion = piece.completion
    assert completion is not None
    _finish_line(completion.text)
    return completion


def _show(
    completions: list[Completion], file: SourceFile, prefix: str, suffix: str, output: Output
) -> None:
    text = completions[0].text
    if output is Output.JSON:
        rows = [_shown(completion) for completion in completions]
        print(json.dumps(rows[0] if len(rows) == 1 else rows))
    elif output is Output.DIFF:
        print(file.diff(prefix + text + suffix), end="")
    elif output is Output.IN_PLACE:
        file.replace(prefix + text + suffix)
    elif len(completions) == 1:
        print(text, end="")
        _finish_line(text)
    else:
        for number, completion in enumerate(completions, 1):
            print(f"--- {number}")
            print(completion.text, end="" if completion.text.endswith("\n") else "\n")


def _finish_line(text: str) -> None:
    """On a terminal the shell's prompt starts on its own line; in a pipe nothing is added."""
    if sys.stdout.isatty() and not text.endswith("\n"):
        print()

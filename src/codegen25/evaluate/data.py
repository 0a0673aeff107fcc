"""Where the rows of a benchmark are: a file, a folder of files, the user's cache, the hub."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from codegen25.errors import UserError
from codegen25.evaluate.tasks import Task, read_row
from codegen25.models import HUB, cache_folder

SETS = {
    "humaneval": "HumanEval",
    "humaneval-plus": "HumanEvalPlus",
    "mbpp": "mbpp",
    "single-line": "HumanEval-SingleLineInfilling",
    "multi-line": "HumanEval-MultiLineInfilling",
    "random-span": "HumanEval-RandomSpanInfilling",
    "random-span-light": "HumanEval-RandomSpanInfillingLight",
}
"""What the publishers call their files, by the name one gives."""
ENDINGS = (".jsonl.gz", ".jsonl")


@dataclass(frozen=True)
class Benchmark:
    """The tasks of one file. `name` is the set's: `Task.benchmark`."""

    name: str
    source: str
    sha256: str
    tasks: tuple[Task, ...]


def load(data: str | None, name: str) -> Benchmark:
    """The benchmark of a file, or of that name in a folder; without `data` in the user's cache."""
    if data is not None and data.startswith(HUB):
        return _from_hub(data.removeprefix(HUB))
    return read(find(data, name))


def find(data: str | None, name: str) -> Path:
    """The file that holds the set of a name."""
    path = Path(data) if data is not None else cache_folder() / "data/humaneval"
    if path.is_file():
        return path
    if name not in SETS:
        raise UserError(f"set {name!r} is unknown; there are {', '.join(SETS)}, or --data FILE")
    for ending in ENDINGS:
        if (path / f"{SETS[name]}{ending}").is_file():
            return path / f"{SETS[name]}{ending}"
    if data is not None and not path.exists():
        raise UserError(f"--data {data}: there is no such file or folder")
    raise UserError(
        f"{path}: no {SETS[name]}.jsonl.gz in it; name a file or its folder with --data (they are "
        "in github.com/openai/human-eval and human-eval-infilling), or --data hf:OWNER/NAME"
    )


def files(data: str | None) -> list[Path]:
    """The file that is named, or all task files of a folder."""
    path = Path(data) if data is not None else cache_folder() / "data/humaneval"
    if path.is_file():
        return [path]
    found = sorted(each for each in path.glob("*") if each.name.endswith(ENDINGS))
    if not found:
        raise UserError(f"{path}: no .jsonl or .jsonl.gz of tasks there; name one with --data")
    return found


def read(path: Path) -> Benchmark:
    """The tasks of a .jsonl or .jsonl.gz file; its sha256 is of the file as it lies there."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as tasks ({error})") from error
    return _benchmark(text, str(path), hashlib.sha256(raw).hexdigest())


def _benchmark(text: str, source: str, sum_: str) -> Benchmark:
    tasks: dict[str, Task] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError("no JSON object")
            task = read_row(row)
        except (ValueError, LookupError, TypeError, AttributeError, SyntaxError) as error:
            raise UserError(f"{source}:{number}: no task ({error})") from error
        if task.task_id in tasks:
            raise UserError(f"{source}:{number}: task {task.task_id} is there twice")
        tasks[task.task_id] = task
    if not tasks:
        raise UserError(f"{source}: no tasks in it")
    found = tuple(tasks.values())
    return Benchmark(found[0].benchmark, source, sum_, found)


def _from_hub(name: str) -> Benchmark:
    """The test split of a dataset of the hub, by its files: one .parquet, .jsonl or .jsonl.gz."""
    try:
        from huggingface_hub import HfApi, hf_hub_download
    except ImportError as error:
        raise UserError(f"to fetch {name}, pip install 'codegen25[hub]'") from error
    try:
        listed = HfApi().list_repo_files(name, repo_type="dataset")
        usable = sorted(
            (each for each in listed if each.endswith((*ENDINGS, ".parquet"))),
            key=lambda each: ("test" not in each, each),
        )
        path = Path(hf_hub_download(name, usable[0], repo_type="dataset")) if usable else None
    except Exception as error:
        raise UserError(
            f"{name} could not be fetched from the Hugging Face hub: {type(error).__name__}"
        ) from error
    if path is None:
        raise UserError(f"{name}: no .parquet or .jsonl in this dataset; fetch its file, --data it")
    if path.suffix != ".parquet":
        return read(path)
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f"to read {name}, pip install 'codegen25[data]'") from error
    rows = pyarrow.parquet.read_table(path).to_pylist()
    text = "\n".join(json.dumps(row) for row in rows)
    return _benchmark(text, f"{HUB}{name}", hashlib.sha256(path.read_bytes()).hexdigest())

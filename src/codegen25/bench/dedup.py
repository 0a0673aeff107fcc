"""Near-deduplication side by side: ours, datasketch, datatrove and rensa on the same documents.

Each engine reads the same JSON lines, drops near-duplicates and writes the rest, in a process of
its own, on one core; rounds are interleaved and the one with the median CPU time is shown. All see
lower-cased 5-grams of words and keep the first of a family; those that allow it use 25 bands of 10
values.

  recall            planted pairs of which at most one stands after
  precision         dropped documents that have a twin anywhere
  families lost     families (planted with J >= 0.6, or connected by J >= 0.7) of which none stands
  no twin kept      dropped documents with twins (J >= 0.7) that are all dropped too

Peers: `pip install datasketch 'datatrove[io,processing]' orjson rensa xxhash` into an environment
of their own, whose Python is named; this file is run there by itself. The absent are named as such.
"""

from __future__ import annotations

import json
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

NGRAM, BANDS, ROWS, VALUES, THRESHOLD = 5, 25, 10, 256, 0.7
WORD = re.compile(r"[a-z0-9_]+")


# ---------------------------------------------------------------------------- the engines


def grams(text: str) -> list[str]:
    """The 5-grams of a text as the peers take them: strings."""
    words = WORD.findall(text.lower())
    return [" ".join(each) for each in zip(*(words[i:] for i in range(NGRAM)), strict=False)]


def lines(work: Path) -> Iterator[str]:
    """The texts to deduplicate."""
    with (work / "in" / "documents.jsonl").open() as file:
        for line in file:
            yield json.loads(line)["text"]


def write(work: Path, texts: list[str], kept: list[int]) -> list[int]:
    """Write the documents kept as JSON lines, and return which."""
    with (work / "out.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": i, "text": texts[i]}) + "\n" for i in kept)
    return kept


def ours(work: Path, lap: Callable[[str], None]) -> list[int]:
    """`codegen25.data.dedup`."""
    import numpy as np

    from codegen25.data.dedup import near_duplicates
    from codegen25.data.minhash import signatures

    lap("import")
    texts = list(lines(work))
    lap("read")
    table = signatures(texts)
    lap("signatures")
    kept = near_duplicates(table, np.arange(len(texts))).mask
    lap("pairs")
    return write(work, texts, np.flatnonzero(kept).tolist())


def datasketch(work: Path, lap: Callable[[str], None]) -> list[int]:
    """A stream: each document is compared with the kept ones that share a band."""
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    lap("import")
    texts = list(lines(work))
    lap("read")
    sets = ([gram.encode() for gram in grams(text)] for text in texts)
    hashes = MinHash.bulk(sets, num_perm=VALUES, hashfunc=xxh32_intdigest)
    lap("signatures")
    index = MinHashLSH(threshold=THRESHOLD, num_perm=VALUES, params=(BANDS, ROWS))
    kept = []
    for row, each in enumerate(hashes):
        found = () if each.is_empty() else index.query(each)
        if not any(each.jaccard(hashes[other]) >= THRESHOLD for other in found):
            kept.append(row)
            if not each.is_empty():
                index.insert(row, each)
    lap("pairs")
    return write(work, texts, kept)


def rensa(work: Path, lap: Callable[[str], None]) -> list[int]:
    """Its sketches of whole sets (not the sampled ones) and its deduplicator, a stream too."""
    from rensa import RMinHash, RMinHashDeduplicator

    lap("import")
    texts = list(lines(work))
    lap("read")
    hashes = RMinHash.from_token_sets(map(grams, texts), num_perm=BANDS * ROWS, seed=1)
    lap("signatures")
    index = RMinHashDeduplicator(
        threshold=THRESHOLD, num_perm=BANDS * ROWS, use_lsh=True, num_bands=BANDS, seed=1
    )
    new = index.add_pairs((str(row), each) for row, each in enumerate(hashes))
    lap("pairs")
    return write(work, texts, [row for row, is_new in enumerate(new) if is_new])


def datatrove(work: Path, lap: Callable[[str], None]) -> list[int]:
    """Its four stages, one worker; all engines' word splitter in place of its English one."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.text import TextNormConfig
    from datatrove.utils.word_tokenizers import WordTokenizer
    from loguru import logger

    class Words(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return WORD.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            raise NotImplementedError

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            raise NotImplementedError

    logger.remove()
    lower_only = TextNormConfig(True, False, False, False, False)
    config = minhash.MinhashConfig(NGRAM, BANDS, ROWS, norm_config=lower_only)
    lap("import")

    def run(stage: int, steps: list[Any], tasks: int = 1) -> None:
        logs = str(work / "logs" / str(stage))
        LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=logs).run()

    def folder(name: str) -> str:
        return str(work / name)

    reader = JsonlReader(folder("in"))
    run(1, [reader, minhash.MinhashDedupSignature(folder("signatures"), config, Words())])
    lap("signatures")
    buckets = minhash.MinhashDedupBuckets(folder("signatures"), folder("buckets"), config=config)
    run(2, [buckets], BANDS)
    run(3, [minhash.MinhashDedupCluster(folder("buckets"), folder("remove"), config)])
    lap("pairs")
    writer = JsonlWriter(folder("out"), compression=None)
    run(4, [reader, minhash.MinhashDedupFilter(folder("remove")), writer])
    out = (work / "out").glob("*.jsonl")
    return [int(json.loads(line)["id"]) for file in out for line in file.open()]


ENGINES = {"ours": ours, "rensa": rensa, "datasketch": datasketch, "datatrove": datatrove}
PACKAGES = {
    "ours": ["codegen25", "numpy"],
    "rensa": ["rensa"],
    "datasketch": ["datasketch", "numpy", "xxhash"],
    "datatrove": ["datatrove", "numpy", "xxhash"],
}


def cpu() -> float:
    """Seconds of this process and of those it has waited for; `os.times` counts in hundredths."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, whose))


def peak_memory() -> int:
    """Bytes this process held at most; where /proc tells it, without what its parent held."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def work_alone(engine: str, work: Path) -> dict[str, Any]:
    """Run one engine here: its times by stage, its peak memory and what it kept."""
    parts: dict[str, float] = {}
    start = last = cpu()
    wall = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal start, last, wall
        now = cpu()
        if stage == "import":
            start, wall = now, time.perf_counter()
        else:
            parts[stage] = now - last
        last = now

    try:
        kept = ENGINES[engine](work, lap)
    except ImportError as error:
        return {"missing": f"not installed ({error})"}
    lap("write")
    return {
        "cpu": cpu() - start,
        "wall": time.perf_counter() - wall,
        "parts": parts,
        "peak": peak_memory(),
        "versions": {name: installed(name) for name in PACKAGES[engine]},
        "kept": sorted(kept),
    }


def installed(package: str) -> str:
    """The version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


# ---------------------------------------------------------------------------- the table


def measured(engine: str, python: str, texts: Path) -> dict[str, Any]:
    """One run of an engine in a process of its own, on a folder of its own."""
    from codegen25.bench.elsewhere import answer

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        (Path(folder) / "in" / "documents.jsonl").symlink_to(texts)
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
        return answer(python, __file__, engine, folder, env=dict.fromkeys(threads, "1"))


def near_dedup(
    folder: Path, count: int, rounds: int, peers_python: str, longest: int = 8000, seed: int = 0
) -> list[dict[str, Any]]:
    """One row an engine, on `count` documents made of the Python files below `folder`."""
    from codegen25.bench import planted

    texts, families = planted.documents(folder, count, longest, seed)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6
    truth = planted.similar(texts)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "documents.jsonl"
        with path.open("w") as file:
            rows = ({"id": str(i), "text": text} for i, text in enumerate(texts))
            file.writelines(json.dumps(each) + "\n" for each in rows)
        for _ in range(rounds):
            for engine, results in runs.items():
                python = sys.executable if engine == "ours" else peers_python
                results.append(measured(engine, python, path))
    table = []
    for engine, done in runs.items():
        missing = next((run["missing"] for run in done if "missing" in run), None)
        middle = None if missing else statistics.median_low([run["cpu"] for run in done])
        result = done[0] if missing else next(run for run in done if run["cpu"] == middle)
        if not missing:
            result |= planted.judged(result["kept"], truth, families)
        table.append(row(engine, result, count, size))
    return table


def row(engine: str, result: dict[str, Any], count: int, size: float) -> dict[str, Any]:
    """A row of the table; without a peer, why."""
    missing = result.get("missing", "")
    seconds = result.get("cpu", float("nan"))
    measured = seconds or float("nan")  # the clock of CPU time may not have moved
    versions = ", ".join(f"{name} {number}" for name, number in result.get("versions", {}).items())
    return {
        "engine": engine,
        "CPU s": seconds,
        "docs/s": count / measured,
        "MB/s": size / measured,
        "recall % (J .7-.8, .8-.9, .9-1, all)": ", ".join(
            f"{100 * value:.1f}" for value in result.get("recall", {}).values()
        ),
        "precision %": 100 * result.get("precision", float("nan")),
        "families lost": result.get("families_lost", ""),
        "no twin kept": result.get("no_twin_kept", ""),
        "peak MB": result.get("peak", float("nan")) / 1e6,
        "versions": missing or versions,
    }


if __name__ == "__main__":
    print(json.dumps(work_alone(sys.argv[1], Path(sys.argv[2]))))

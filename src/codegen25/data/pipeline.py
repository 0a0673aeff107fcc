"""From installed source to a corpus: read, filter, deduplicate, decontaminate, split, write."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from codegen25 import __version__
from codegen25.data import dedup, filters
from codegen25.data.decontaminate import contaminated
from codegen25.data.documents import Document, Tally, keep_unless
from codegen25.data.shards import FORMAT, HEADER, write_shard
from codegen25.data.sources import STDLIB, Package, read
from codegen25.errors import UserError


def build(
    packages: Sequence[Package],
    out: Path,
    *,
    marks: set[int],
    heldout: float = 0.01,
    seed: int = 0,
    max_package_bytes: int | None = None,
    progress: Callable[[str], None] = lambda package: None,
) -> dict[str, Any]:
    """Build the corpus folder `out` from `packages` and return its report.

    `marks` are fingerprints of evaluation problems. `heldout` is the share of bytes set aside, by
    whole packages. `max_package_bytes` keeps any one package but the standard library from
    dominating. `out` appears whole or not at all; an existing `out` is a UserError.
    """
    if out.exists():
        raise UserError(f"{out} exists already; name another folder with --out or remove it")
    tally = Tally()
    permissive = [package for package in packages if package.permissive]
    duplicate = dedup.seen_before()
    leaked = contaminated(marks)
    documents: list[Document] = []
    for package in permissive:
        progress(package.name)
        found: Iterable[Document] = read(package, tally)
        for reason in (
            filters.path_reason, filters.text_reason, duplicate, filters.syntax_reason, leaked,
        ):  # fmt: skip
            found = keep_unless(found, reason, tally)
        limit = None if package.name == STDLIB else max_package_bytes
        documents += _capped(list(found), limit, seed, tally)
    if not documents:
        raise UserError("no permissively licensed source was found; name a folder with --site")
    for document in documents:
        tally.keep(document)
    held = held_out_packages(tally.kept_bytes, heldout, seed)
    documents.sort(key=lambda document: _draw(seed, document.package, document.path))
    report = _report(packages, tally, held, seed)
    _write(out, documents, held, report)
    return report


def held_out_packages(sizes: Counter[str], share: float, seed: int) -> set[str]:
    """Packages, drawn by hash, whose bytes together reach `share` of the whole.

    A package larger than a third of that is never drawn, so that several are held out.
    """
    total = sum(sizes.values())
    held: set[str] = set()
    reached = 0
    for package in sorted(sizes, key=lambda name: _draw(seed, name)):
        if reached >= share * total:
            break
        if sizes[package] <= share * total / 3:
            held.add(package)
            reached += sizes[package]
    return held


def _draw(seed: int, *names: str) -> bytes:
    """A key that orders things at random, the same on every machine."""
    return hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()


def _capped(
    documents: list[Document], limit: int | None, seed: int, tally: Tally
) -> list[Document]:
    if limit is None:
        return documents
    kept, size = [], 0
    for document in sorted(documents, key=lambda d: _draw(seed, d.package, d.path)):
        if size + document.size > limit:
            tally.drop(document.package, "over the package's share")
        else:
            kept.append(document)
            size += document.size
    return kept


def _report(packages: Sequence[Package], tally: Tally, held: set[str], seed: int) -> dict[str, Any]:
    drops: Counter[str] = Counter()
    for counts in tally.dropped.values():
        drops.update(counts)
    rows = [
        {
            "package": package.name,
            "version": package.version,
            "license": package.license,
            "permissive": package.permissive,
            "split": "heldout" if package.name in held else "train",
            "documents": tally.kept[package.name],
            "bytes": tally.kept_bytes[package.name],
            "dropped": dict(sorted(tally.dropped.get(package.name, Counter()).items())),
        }
        for package in packages
    ]
    return {"codegen25": __version__, "seed": seed, "dropped": dict(drops), "packages": rows}


def report_table(report: dict[str, Any]) -> str:
    """The report as Markdown: totals, what was dropped and why, a row for each package."""
    rows = report["packages"]
    used = [row for row in rows if row["documents"]]
    by_split: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in used:
        totals = by_split[row["split"]]
        totals[0] += 1
        totals[1] += row["documents"]
        totals[2] += row["bytes"]
    lines = ["| split | packages | documents | MB |", "|---|---|---|---|"]
    for split, (count, documents, size) in sorted(by_split.items()):
        lines.append(f"| {split} | {count} | {documents:,} | {size / 1e6:.2f} |")
    lines += ["", "| dropped because | files |", "|---|---|"]
    for reason, count in sorted(report["dropped"].items(), key=lambda item: -item[1]):
        lines.append(f"| {reason} | {count:,} |")
    lines += [
        "",
        "| package | version | licence | split | documents | kB |",
        "|---|---|---|---|---|---|",
    ]
    for row in used:
        lines.append(
            f"| {row['package']} | {row['version']} | {row['license']} | {row['split']} "
            f"| {row['documents']} | {row['bytes'] // 1000} |"
        )
    refused = [f"{r['package']} ({r['license'] or 'unknown'})" for r in rows if not r["permissive"]]
    if refused:
        lines += ["", "Left out for their licence: " + ", ".join(refused) + "."]
    return "\n".join(lines) + "\n"


def _write(
    out: Path, documents: Sequence[Document], held: set[str], report: dict[str, Any]
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = out.with_name(f".{out.name}.{os.getpid()}")
    staging.mkdir()
    try:
        splits = {
            "train": write_shard(staging, "train", [d for d in documents if d.package not in held]),
            "heldout": write_shard(staging, "heldout", [d for d in documents if d.package in held]),
        }
        (staging / "report.json").write_text(json.dumps(report, indent=1) + "\n")
        (staging / "report.md").write_text(report_table(report))
        header = {"format": FORMAT, "splits": splits}
        (staging / HEADER).write_text(json.dumps(header, indent=1) + "\n")
        staging.rename(out)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise

"""The report of a corpus: what went in, what each step dropped and why, what came out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codegen25 import __version__
from codegen25.data.documents import CHANGED, Tally
from codegen25.data.recipe import DataRecipe
from codegen25.data.selection import Listing


def make(
    recipe: DataRecipe,
    tally: Tally,
    hits: Sequence[Mapping[str, Any]],
    listing: Listing,
    splits: Mapping[str, Sequence[int]],
    entries: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The report as plain data. It names no folder of the machine it was made on."""
    repos: dict[str, dict[str, Any]] = {}
    languages: dict[str, list[int]] = {}
    for split, chosen in splits.items():
        for i in chosen:
            row, size = listing.rows[i], int(listing.size[i])
            repo = repos.setdefault(
                row["repo"], {"license": row["license"], "split": split, "documents": 0, "bytes": 0}
            )
            repo["documents"] += 1
            repo["bytes"] += size
            language = languages.setdefault(row["language"], [0, 0])
            language[0] += 1
            language[1] += size
    settings = dataclasses.asdict(recipe)
    settings["sources"] = [
        {key: value for key, value in source.items() if key != "path"} for source in recipe.sources
    ]
    settings["tokenizer"], settings["quality_model"] = (
        Path(recipe.tokenizer).name, Path(recipe.quality_model).name,
    )  # fmt: skip
    settings["decontaminate"] = [Path(path).name for path in recipe.decontaminate]
    return {
        "codegen25": __version__,
        "recipe": settings,
        "splits": entries,
        "languages": {name: languages[name] for name in sorted(languages)},
        "steps": {name: count.as_json() for name, count in tally.items()},
        "contamination": sorted(hits, key=lambda hit: json.dumps(hit, sort_keys=True)),
        "repos": {name: repos[name] for name in sorted(repos)},
    }


def write(made: Mapping[str, Any], folder: Path) -> None:
    """Write `report.json` and `report.md`."""
    (folder / "report.json").write_text(json.dumps(made, indent=1) + "\n")
    (folder / "report.md").write_text(markdown(made))


def markdown(made: Mapping[str, Any]) -> str:
    """The report as Markdown tables."""
    splits = [
        (name, f"{entry['documents']:,}", _megabytes(entry["bytes"]))
        for name, entry in made["splits"].items()
    ]
    languages = [
        (name, f"{documents:,}", _megabytes(size))
        for name, (documents, size) in sorted(
            made["languages"].items(), key=lambda item: -item[1][1]
        )
    ]
    repos = [
        (name, repo["license"] or "none named", repo["split"], f"{repo['documents']:,}",
         f"{repo['bytes'] // 1000:,}")
        for name, repo in made["repos"].items()
    ]  # fmt: skip
    parts = [
        _table(("split", "documents", "MB"), splits),
        _table(
            ("step", "documents in", "out", "dropped", "MB in", "out", "dropped"),
            [_step(name, count) for name, count in made["steps"].items()],
        ),
        _table(
            ("step", "dropped because, or changed", "documents", "for example"),
            [row for name, count in made["steps"].items() for row in _reasons(name, count)],
        ),
        _table(("language", "documents", "MB"), languages),
    ]
    if made["contamination"]:
        rows = [
            (hit["document"], *(str(hit[key]) for key in hit if key != "document"))
            for hit in made["contamination"]
        ]
        parts.append(
            _table(("shares text with a problem", *list(made["contamination"][0])[1:]), rows)
        )
    parts.append(_table(("repository", "licence", "split", "documents", "kB"), repos))
    return "\n".join(parts)


def _step(name: str, count: Mapping[str, Any]) -> tuple[str, ...]:
    row = [name]
    for unit, shown in (("documents", "{:,}".format), ("bytes", _megabytes)):
        taken, left = count[f"{unit}_in"], count[f"{unit}_out"]
        change = left / taken - 1 if taken else 0.0
        share = f"{abs(change):.1%}" if change <= 0 else f"{change:+.1%}"
        row += [shown(taken), shown(left), share]
    return tuple(row)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f}" if size >= 1e6 else f"{size / 1e6:.4f}"


def _reasons(name: str, count: Mapping[str, Any]) -> list[tuple[str, ...]]:
    examples: dict[str, list[str]] = {}
    for _, reason, document in count["examples"]:
        examples.setdefault(reason, []).append(f"`{document}`")
    return [
        (name, reason, f"{number:,}", " ".join(examples.get(reason, [])))
        for reason, number in sorted(count["reasons"].items(), key=lambda item: -item[1])
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("\r", " ")


def why_empty(tally: Tally) -> str:
    """What dropped most, for the error when nothing is left."""
    reasons = [
        (number, f"{name}: {reason} ({number:,})")
        for name, count in tally.items()
        for reason, number in count.reasons.items()
        if reason != CHANGED
    ]
    if not reasons:
        return "the sources hold no file of a known language"
    return "; ".join(text for _, text in sorted(reasons, reverse=True)[:3])

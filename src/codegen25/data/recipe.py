"""A corpus as a typed value, read from TOML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codegen25 import settings
from codegen25.data.filters import Filters
from codegen25.errors import UserError


@dataclass(frozen=True)
class DataRecipe:
    """Everything that determines a corpus, beside the files themselves.

    sources        tables, each with a `kind`; see `sources`.
    licenses       "permissive" keeps documents under a permissive licence only, "any" all: for code
                   of one's own.
    heldout        share of bytes set aside for evaluation, by whole repositories.
    max_repo_kb    at most this much of any one repository but the standard library; 0: no limit.
    functions      short functions of all Python files that pass the filters, within that share or
                   not, are documents too: a small model sees whole ones in its short windows.
    near_dedup     drop near-twins of a document that is kept; exact copies always are dropped.
    redact         replace e-mail addresses, IP addresses and secrets.
    decontaminate  jsonl files of evaluation problems to keep out, beside HumanEval.
    quality        least quality score, from 0 (all) to 1, and
    quality_model  the file of a model of your own for it (scripts/quality.py); empty: the shipped.
    metadata       probability of each of repository, file name and stars standing before a
                   document as StarCoderData's special tokens.
    order          "shuffled", or "repository": one after the other, imported modules first.
    tokenizer      a tokenizer.json; with one, token shards are written beside the text.
    filters        thresholds of the rules for single files; see `Filters`.
    """

    sources: tuple[dict[str, Any], ...]
    name: str = "corpus"
    seed: int = 0
    licenses: str = "permissive"
    heldout: float = 0.01
    max_repo_kb: int = 0
    functions: bool = False
    near_dedup: bool = True
    redact: bool = True
    decontaminate: tuple[str, ...] = ()
    quality: float = 0.0
    quality_model: str = ""
    metadata: float = 0.0
    order: str = "shuffled"
    tokenizer: str = ""
    filters: Filters = field(default_factory=Filters)

    def __post_init__(self) -> None:
        if not self.sources:
            raise UserError("sources: name at least one")
        if not 0 <= self.heldout < 1:
            raise UserError(f"heldout is {self.heldout}; it is a share from 0 to below 1")
        if not (0 <= self.metadata <= 1 and 0 <= self.quality <= 1):
            raise UserError("metadata and quality lie between 0 and 1")
        if self.max_repo_kb < 0 or self.seed < 0:
            raise UserError("max_repo_kb and seed are at least 0")
        for name, allowed in (
            ("licenses", ("permissive", "any")),
            ("order", ("shuffled", "repository")),
        ):
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} is {getattr(self, name)!r}; it is {' or '.join(allowed)}")

    @property
    def judgement(self) -> DataRecipe:
        """The part of the recipe on which a single file's fate depends, and nothing else."""
        neutral = DataRecipe(sources=self.sources)
        later = ("name", "heldout", "max_repo_kb", "order", "tokenizer", "metadata")
        values = {name: getattr(neutral, name) for name in later}
        return dataclasses.replace(self, sources=({},), **values)


def load(path: Path, overrides: Mapping[str, str] | None = None) -> DataRecipe:
    """Read a recipe; `overrides` as of `settings.load`."""
    return settings.load(DataRecipe, path, overrides)

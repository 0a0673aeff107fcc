"""`codegen25 data`: a corpus from a recipe, or from sources named on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codegen25 import settings
from codegen25.data import licenses, pipeline, report
from codegen25.data import recipe as recipes
from codegen25.data.engines import engine
from codegen25.data.recipe import DataRecipe
from codegen25.data.sources import table_of
from codegen25.errors import UserError

INSTALLED = ("stdlib", "installed")
"""The sources when none is named."""
OWN = ("folder", "archive", "table")
"""Kinds whose licence is the user's affair: files that they named one by one."""


def run(
    sources: Sequence[str],
    recipe: Path | None,
    out: Path,
    overrides: Mapping[str, str],
    engine_name: str,
    workers: int,
    as_json: bool,
) -> None:
    """Build the corpus and print its report."""
    if recipe is not None and sources:
        raise UserError("give sources or --recipe, not both")
    made_by = recipes.load(recipe, overrides) if recipe else of_sources(sources, overrides)
    made = pipeline.build(made_by, out, engine(engine_name, workers), _progress())
    if as_json:
        print(json.dumps(made))
        return
    print(report.markdown(made), end="")
    if not made["splits"]["heldout"]["documents"] and made_by.heldout:
        print("\nNothing is held out; that takes several repositories, none of them large.")


def of_sources(sources: Sequence[str], overrides: Mapping[str, str]) -> DataRecipe:
    """The recipe for sources named on the command line.

    Packages must be permissively licensed; a folder or file that the user names is taken as it is.
    """
    tables = [table_of(source) for source in sources or INSTALLED]
    own = [table for table in tables if table["kind"] in OWN]
    if own != tables:
        tables = [table | {"license": licenses.OWN} if table in own else table for table in tables]
    terms = "any" if own == tables else "permissive"
    base: dict[str, Any] = {"sources": tables, "licenses": terms}
    return settings.overridden(DataRecipe, base, overrides, "--set")


def _progress() -> pipeline.Progress:
    if not sys.stderr.isatty():
        return lambda what, done, of: None

    def show(what: str, done: int, of: int) -> None:
        count = f" {done}/{of}" if of > 1 else ""
        print(f"\r\033[K{what}{count}", end="" if done < of else "\r\033[K", file=sys.stderr)

    return show

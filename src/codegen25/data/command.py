"""`codegen25 data`: the corpus of what is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from codegen25.data import decontaminate, pipeline, sources
from codegen25.errors import UserError


def run(
    out: Path,
    site: Path | None,
    stdlib: bool,
    heldout: float,
    max_package_kb: int | None,
    against: list[Path],
    seed: int,
    as_json: bool,
) -> None:
    """Build the corpus and print its report."""
    if not 0 <= heldout < 1:
        raise UserError(f"--heldout {heldout}: a share from 0 to below 1")
    if max_package_kb is not None and max_package_kb < 1:
        raise UserError(f"--max-package-kb {max_package_kb}: at least 1")
    packages = sources.installed_packages(site)
    if stdlib:
        packages.insert(0, sources.standard_library())
    marks = decontaminate.shipped() | decontaminate.collect(against)
    report = pipeline.build(
        packages,
        out,
        marks=marks,
        heldout=heldout,
        seed=seed,
        max_package_bytes=max_package_kb * 1000 if max_package_kb else None,
        progress=_progress if sys.stderr.isatty() else lambda package: None,
    )
    print(json.dumps(report) if as_json else pipeline.report_table(report), end="")


def _progress(package: str) -> None:
    print(f"\r\033[Kreading {package}", end="", file=sys.stderr, flush=True)

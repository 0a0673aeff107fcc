"""A file of a benchmark, run by itself by some Python: the peers' packages are in another one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any


def answer(
    python: str, file: str, *arguments: str, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object on the last line that `python file arguments…` prints.

    If it fails, `missing` says how.
    """
    try:
        done = subprocess.run(
            [python, file, *arguments],
            env={**os.environ, **(env or {})}, capture_output=True, text=True,
        )  # fmt: skip
    except OSError as error:
        return {"missing": f"{python}: {error.strerror}"}
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return {"missing": f"failed: {said[-1] if said else done.returncode}"}
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made

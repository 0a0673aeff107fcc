"""What tests of benchmarks/ share."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from conftest import ROOT


def script(name: str) -> Any:
    """A module of benchmarks/, which is no package; they import each other by name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
        assert spec is not None and spec.loader is not None
        if str(ROOT / "benchmarks") not in sys.path:
            sys.path.append(str(ROOT / "benchmarks"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]

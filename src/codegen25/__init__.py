"""codegen25: small code models that complete and infill code on your own machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen25.sample.options import Sampling

__version__ = "0.1.0"

if TYPE_CHECKING:
    from codegen25.sample.engine import Engine

__all__ = ["Sampling", "__version__", "load"]


def load(model: str = "default", *, device: str = "auto", weights: str = "auto") -> Engine:
    """Load a model by name or directory and return the engine that samples from it.

    `weights` is the number type on a CPU: int8 (what "auto" takes), int4 or float32.

    >>> engine = codegen25.load()
    >>> engine.infill("def add(a, b):\\n    return ", "\\n").text
    """
    from codegen25.models import resolve
    from codegen25.sample.engine import Engine, Settings

    return Engine.load(resolve(model), Settings(device, weights))

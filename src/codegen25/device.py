"""Which device to compute on."""

from __future__ import annotations

import torch

from codegen25.errors import UserError


def choose(name: str) -> str:
    """The device of a name, "auto" being the GPU if there is one; a UserError if it has a fault."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device is {name}, but torch sees no GPU; use cpu or auto")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"device {name!r} cannot be used: {reason}") from error
    return name

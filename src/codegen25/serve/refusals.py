"""Why a question is not answered, besides being wrong."""

from __future__ import annotations

from codegen25.errors import UserError


class UnknownModelError(UserError):
    """No served model has that name."""


class UnsupportedError(UserError):
    """What this model, or what computes it, can't do."""


class UnavailableError(UserError):
    """Not now: the model is loading, or the server is ending."""

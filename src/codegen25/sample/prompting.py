"""A prompt that fits: what every engine does before it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codegen25.errors import UserError
from codegen25.infill import Format, Layout, Prompt, compose
from codegen25.tokenizer import Tokenizer


def fitting(
    prefix: str,
    suffix: str,
    tokenizer: Tokenizer,
    form: Format,
    context: int,
    *,
    max_tokens: int,
    layout: str | None = None,
    front: Sequence[int] = (),
) -> Prompt:
    """A prompt that leaves room for `max_tokens` in a `context`; far ends are cut to fit.

    `front` are ids that stand before it: context from other files (`sample.context`).
    """
    require_room(max_tokens, context)
    try:
        chosen = Layout(layout) if layout is not None else None
    except ValueError as error:
        names = ", ".join(form.layouts)
        raise UserError(f"layout {layout!r} is unknown; this model has {names}") from error
    if chosen is None and suffix and form.layouts[0] is Layout.CAUSAL:
        raise UserError(
            "this model knows no infilling (its vocabulary has no sentinels for it); ask for "
            "the causal layout to continue what stands before the cursor"
        )
    budget = context - max_tokens - len(front)
    if front and budget < context // 4:
        raise UserError(
            f"{len(front)} tokens of context and {max_tokens} to write leave the file "
            f"{max(0, budget)} of the model's {context}"
        )
    composed = compose(prefix, suffix, tokenizer, form, budget=budget, layout=chosen)
    return replace(composed, ids=[*front, *composed.ids])


def require_room(max_tokens: int, context: int) -> None:
    """Refuse a length of answer that leaves no room for a prompt."""
    most = max(1, context - 16)
    if not 1 <= max_tokens <= most:
        raise UserError(f"max-tokens is {max_tokens}; this model takes 1 to {most}")


def require_fit(ids: Sequence[int], max_tokens: int, context: int) -> None:
    """Refuse a request that the context can't hold."""
    if max_tokens < 0:
        raise UserError(f"max-tokens is {max_tokens}; it is 0 or more")
    if max(1, len(ids)) + max_tokens > context:
        raise UserError(
            f"{len(ids)} tokens of prompt and {max_tokens} to write exceed the model's {context}"
        )

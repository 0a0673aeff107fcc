"""A model's prompts as text with places for prefix and suffix, for engines that compose strings.

Order and sentinels come from `infill.compose` itself, which is given an encoder that knows two
words: nothing here knows the format.
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen25.infill import Format, Layout, compose
from codegen25.tokenizer import Tokenizer

_PREFIX, _SUFFIX = -1, -2


class _Places:
    """An encoder for which the whole prefix and the whole suffix are one id each."""

    def encode(self, text: str) -> list[int]:
        return [{"prefix": _PREFIX, "suffix": _SUFFIX}[text]]

    def cut(self, text: str, room: int, *, keep_end: bool) -> str:
        return text

    def decode(self, ids: Sequence[int]) -> str:
        raise NotImplementedError

    def special(self, name: str) -> int | None:
        return None

    def is_special(self, token: int) -> bool:
        return False


def infill_template(
    form: Format, tokenizer: Tokenizer, prefix: str, suffix: str, layout: Layout | None = None
) -> str | None:
    """The prompt of an infill, `prefix` and `suffix` standing for the texts around the hole.

    None when the model was trained for no infilling. Sentinels are spelled, so the engine must
    read special tokens in a prompt; it will then take those in the user's text for such too.
    """
    layout = layout or form.layouts[0]
    if layout is Layout.CAUSAL:
        return None
    ids = compose("prefix", "suffix", _Places(), form, budget=64, layout=layout).ids
    return "".join({_PREFIX: prefix, _SUFFIX: suffix}.get(i) or spelling(i, tokenizer) for i in ids)


def spelling(token: int, tokenizer: Tokenizer) -> str:
    """How a token is spelled."""
    name: str | None = tokenizer.backend.id_to_token(token)
    assert name is not None
    return name


def end_tokens(form: Format, tokenizer: Tokenizer) -> list[str]:
    """Spellings of the tokens that end an answer, by id."""
    return [spelling(i, tokenizer) for i in sorted(form.ends_of_span)]

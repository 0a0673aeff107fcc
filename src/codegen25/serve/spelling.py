"""Tokens as text: what each spells by itself, and where it begins in what they spell together.

A character of several bytes may be spelled by several tokens; a part of one is no text. OpenAI
writes the bytes of such a token, `bytes:\\xf0\\x9f`.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from codegen25.sample.healing import Vocabulary
from codegen25.tokenizer import Tokenizer


def bytes_of(token: int, tokenizer: Tokenizer) -> bytes:
    """What a token stands for; of a special one its name."""
    vocabulary = Vocabulary.find(tokenizer)
    raw = None if vocabulary is None else vocabulary.bytes_of(token)
    return tokenizer.decode([token]).encode() if raw is None else raw


def spelled(raw: bytes) -> str:
    """A token's text, or its bytes in figures where they are a part of a character."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def places(tokens: Sequence[bytes]) -> list[int]:
    """Where each token begins in the text of all, in characters; one that begins inside a character
    begins where that does. Bytes that are no UTF-8 are U+FFFD in it."""
    decoder, written, found = codecs.getincrementaldecoder("utf-8")("replace"), 0, []
    for raw in tokens:
        written += len(decoder.decode(raw[:1]))
        is_open = bool(decoder.getstate()[0])
        found.append(written if is_open or not raw else written - 1)
        written += len(decoder.decode(raw[1:]))
    return found

"""Text to ids and back: a `tokenizer.json`, one of ours or anybody's.

User text is encoded with special tokens off, so `<eom>` in somebody's source is five characters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers.decoders import DecodeStream

from codegen25.errors import UserError


class Tokenizer:
    """A byte-level BPE read from `tokenizer.json`."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        _make_sentinels_special(backend)
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read a `tokenizer.json`."""
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises bare Exception for every fault
            missing = "" if path.is_file() else " (the file is missing)"
            raise UserError(f"{path}: no readable tokenizer{missing}: {error}") from error

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        try:
            self.backend.save(str(path))
        except Exception as error:  # the library raises bare Exception, for a full disk too
            raise UserError(f"{path}: cannot be written ({error})") from error

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, every character taken literally. Lone surrogates are a UserError."""
        ids: list[int] = self._encoding(text).ids
        return ids

    def _encoding(self, text: str) -> Any:
        try:
            return self.backend.encode(text, add_special_tokens=False)
        except (UnicodeEncodeError, TypeError) as error:
            raise UserError("the text is not valid Unicode (a lone surrogate)") from error

    def cut(self, text: str, room: int, *, keep_end: bool) -> str:
        """The end, or the beginning, of `text` that encodes to about `room` ids, at most that.

        Only text within reach is encoded, so a large file costs no more than a small one.
        """
        reach = room * self.longest_token
        near = text[-reach:] if keep_end else text[:reach]
        offsets = self._encoding(near).offsets
        if len(offsets) <= room:
            return near
        # A token may hold a part of a character; its offset is the whole character's.
        return near[offsets[-room][0] :] if keep_end else near[: offsets[room - 1][1]]

    def borders(self, text: str) -> list[int]:
        """Where tokens of `text` begin and end, in characters: ascending, 0 and the length too."""
        ends = {end for _, end in self._encoding(text).offsets}
        return sorted(ends | {0, len(text)})

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, special tokens spelled out; bytes that are no UTF-8 become U+FFFD."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=False)
        return text

    def special(self, name: str) -> int | None:
        """The id of a special token by its spelling, or None when there is none."""
        return self._special.get(name)

    @property
    def special_ids(self) -> list[int]:
        """The ids of all special tokens."""
        return list(self._special.values())

    @cached_property
    def _special(self) -> dict[str, int]:
        added = self.backend.get_added_tokens_decoder()
        return {token.content: i for i, token in added.items() if token.special}

    def is_special(self, token: int) -> bool:
        """Whether an id is a special token's."""
        return token in self._special.values()

    @property
    def sha256(self) -> str:
        """Hash of the whole definition: equal hashes give equal ids."""
        return hashlib.sha256(self.backend.to_str().encode()).hexdigest()

    @cached_property
    def vocab_size(self) -> int:
        """One more than the highest id, special tokens included."""
        return 1 + max(self.backend.get_vocab(with_added_tokens=True).values())

    @cached_property
    def longest_token(self) -> int:
        """Characters in the longest ordinary token: a bound on text per id."""
        return max(map(len, self.backend.get_vocab(with_added_tokens=False)))

    def stream(self) -> TextStream:
        """A decoder that takes one id at a time and never cuts a character in two."""
        return TextStream(self)


def _make_sentinels_special(backend: tokenizers.Tokenizer) -> None:
    """Mark added tokens in angle brackets as special.

    Some families add theirs as ordinary tokens, which text that spells them would turn into.
    """
    plain = [
        token
        for token in backend.get_added_tokens_decoder().values()
        if not token.special and token.content.startswith("<") and token.content.endswith(">")
    ]
    if plain:
        backend.add_special_tokens([
            tokenizers.AddedToken(
                token.content, single_word=token.single_word, lstrip=token.lstrip,
                rstrip=token.rstrip, normalized=token.normalized, special=True,
            )
            for token in plain
        ])  # fmt: skip


class TextStream:
    """Incremental decoding: `push` returns the text that became final."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=False)
        self._ids: list[int] = []
        self._emitted = 0

    def push(self, token: int) -> str:
        """Add one id; the text it completes, "" while a character is still open."""
        self._ids.append(token)
        piece: str = self._stream.step(self._tokenizer.backend, token) or ""
        self._emitted += len(piece)
        return piece

    def flush(self) -> str:
        """What was held back: an unfinished character comes out as U+FFFD."""
        return self._tokenizer.decode(self._ids)[self._emitted :]

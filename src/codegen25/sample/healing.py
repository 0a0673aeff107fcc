"""Token healing: a cursor inside a token does not bend the answer.

Text that ends in `ret` is encoded as no text of training was: there, `return` is one token, and
`ret` says that none of the tokens that go on with `urn` follow. So the ragged tail is taken off
the prompt and becomes bytes that the answer must begin with, in whichever tokens the model likes
best. The same constraint serves whoever wants an answer that begins with a given text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from numpy.typing import NDArray

from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer
from codegen25.vocabulary import byte_spelling

MOST_TOKENS = 4
"""Tokens that healing takes off a prompt, at most."""
UNUSED_BYTES = {0xC0, 0xC1, *range(0xF5, 0x100)}
"""Bytes that stand in no UTF-8 text."""

Ids = NDArray[np.int64]


class Vocabulary:
    """The bytes of every ordinary token, indexed by prefix. Special tokens are none of it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._bytes = _token_bytes(tokenizer)
        ordered = sorted((data, token) for token, data in self._bytes.items())
        self._entries = [data for data, _ in ordered]
        self._ids: Ids = np.array([token for _, token in ordered], dtype=np.int64)
        self._longest = max(map(len, self._entries), default=0)
        single = {entry[0] for entry in self._entries if len(entry) == 1}
        if missing := set(range(256)) - UNUSED_BYTES - single:
            raise UserError(
                f"this tokenizer is no byte-level BPE ({len(missing)} bytes have no token), which "
                "token healing and a given beginning need; do without them"
            )

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Vocabulary:
        """A tokenizer's; it is made once."""
        found = _MADE.get(tokenizer)
        if found is None:
            found = _MADE[tokenizer] = cls(tokenizer)
        return found

    @classmethod
    def find(cls, tokenizer: Tokenizer) -> Vocabulary | None:
        """A tokenizer's; None where it spells no bytes."""
        if tokenizer not in _MADE and tokenizer not in _NONE:
            try:
                cls.of(tokenizer)
            except UserError:
                _NONE.add(tokenizer)
        return _MADE.get(tokenizer)

    def bytes_of(self, token: int) -> bytes | None:
        """What an ordinary token stands for; None for a special token or a spare id."""
        return self._bytes.get(token)

    def extends(self, data: bytes) -> bool:
        """Whether `data` is a proper prefix of some token."""
        after = bisect_right(self._entries, data)
        return after < len(self._entries) and self._entries[after].startswith(data)

    def consistent(self, data: bytes) -> Ids:
        """Ids (n,), rising, of the tokens that can begin a text which begins with `data`.

        Those whose bytes begin with `data`, and those whose bytes `data` begins with.
        """
        spans = [(bisect_left(self._entries, data), _after_prefix(self._entries, data))]
        for length in range(1, min(len(data), self._longest + 1)):
            head = data[:length]
            spans.append((bisect_left(self._entries, head), bisect_right(self._entries, head)))
        return np.sort(np.concatenate([self._ids[begin:end] for begin, end in spans]))

    def tail(self, text: str, tokens: int) -> bytes:
        """The last bytes of `text`, enough for that many tokens."""
        return text[-tokens * self._longest :].encode("utf-8", "surrogatepass")


_MADE: WeakKeyDictionary[Tokenizer, Vocabulary] = WeakKeyDictionary()
_NONE: WeakSet[Tokenizer] = WeakSet()


def heal(text: str, ids: Sequence[int], vocabulary: Vocabulary) -> tuple[list[int], bytes]:
    """The ids of a prompt that stay, and the bytes that the answer must begin with.

    `ids` are those of `text`, after any others. What goes is the longest of these tails of the
    text that is a proper prefix of some token: it begins where one of the last `MOST_TOKENS`
    tokens begins, and not inside a character. Token borders only, because ids before the tail
    must stay as they are in the cache; the longest, because a short one (`t` of `ret`) would
    leave the rest of the ragged token (`re`) in the prompt.

    No text is lost: what stays and the bytes make up `text`.
    """
    end = vocabulary.tail(text, MOST_TOKENS)
    kept, forced, tail = len(ids), b"", b""
    for begin in range(len(ids) - 1, max(-1, len(ids) - 1 - MOST_TOKENS), -1):
        data = vocabulary.bytes_of(ids[begin])
        # A special token, or one that the tokenizer wrote for other text, is left alone.
        if data is None or not end.endswith(data + tail):
            break
        tail = data + tail
        if not _continues(tail) and vocabulary.extends(tail):
            kept, forced = begin, tail
    return list(ids[:kept]), forced


class Forced:
    """An answer that must begin with given bytes, token by token.

    `forced` is whole characters of UTF-8 (ValueError). `text_cut` is how many: the characters at
    the answer's beginning that a caller drops when they are the prompt's own.
    """

    def __init__(self, forced: bytes, vocabulary: Vocabulary) -> None:
        self.text_cut = len(forced.decode())
        self._rest, self._vocabulary = forced, vocabulary

    @property
    def done(self) -> bool:
        """Whether the answer has all of them; from here any token may follow."""
        return not self._rest

    def allowed(self) -> Ids | None:
        """Ids (n,), rising, that may come next; None when any may. There is always one."""
        return self._vocabulary.consistent(self._rest) if self._rest else None

    def restrict(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (vocabulary,), -inf where a token may not come next."""
        if (ids := self.allowed()) is None:
            return logits
        restricted = np.full_like(logits, -np.inf)
        restricted[ids] = logits[ids]
        return restricted

    def take(self, token: int) -> bool:
        """Go on past a token, and whether it spells what is forced and nothing else.

        One that was not allowed is a ValueError.
        """
        if not self._rest:
            return False
        data = self._vocabulary.bytes_of(token) or b""
        if not data or not (self._rest.startswith(data) or data.startswith(self._rest)):
            raise ValueError(f"token {token} does not go on with {self._rest!r}")
        inside = len(data) <= len(self._rest)
        self._rest = self._rest[len(data) :]
        return inside


def _token_bytes(tokenizer: Tokenizer) -> dict[int, bytes]:
    """Bytes of the ordinary tokens: spelled in GPT-2's alphabet, added ones in plain text."""
    alphabet = {character: byte for byte, character in byte_spelling().items()}
    added = tokenizer.backend.get_added_tokens_decoder()
    found = {
        token: data
        for spelling, token in tokenizer.backend.get_vocab(with_added_tokens=False).items()
        if token not in added and (data := _unspell(spelling, alphabet))
    }
    plain = {token: each.content.encode() for token, each in added.items() if not each.special}
    return found | {token: data for token, data in plain.items() if data}


def _unspell(spelling: str, alphabet: Mapping[str, int]) -> bytes:
    """A token's bytes; none where it is spelled in another alphabet."""
    known = all(character in alphabet for character in spelling)
    return bytes(alphabet[character] for character in spelling) if known else b""


def _after_prefix(entries: Sequence[bytes], prefix: bytes) -> int:
    """Where the sorted entries that begin with `prefix` end."""
    head = prefix.rstrip(b"\xff")
    return bisect_left(entries, head[:-1] + bytes([head[-1] + 1])) if head else len(entries)


def _continues(data: bytes) -> bool:
    """Whether `data` begins inside a character of UTF-8."""
    return 0x80 <= data[0] < 0xC0

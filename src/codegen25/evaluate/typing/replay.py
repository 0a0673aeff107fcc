"""A file typed once more, with somebody who suggests: the pure part.

The rules:

- The editor indents: the spaces and tabs that a line begins with cost no key and are not counted.
  Every other character costs one key.
- With "pauses" a completion is asked for where people stop to think: at the start of a line and
  after "." "(" and " = ". That stands for an editor that waits for a pause (debounce). With "every"
  it is asked for after every typed character: an editor that doesn't wait.
- On a line with nothing but indentation the prefix ends before the line, and the indentation of
  what comes back is left to the editor, as llama.vim does it.
- A suggestion is shown without the whitespace at its end, and only if accepting it (one key) would
  save a key: if it has two counted characters or more.
- While what is typed agrees with the suggestion on the screen it stays there; nothing is asked.
- It is accepted, with one key, when it is what the user types next: the whole of it, else its first
  line, without the whitespace at the line's end. It must not end inside a word. What a suggestion
  holds beyond its first line stays on the screen.
- With "words" also the words its first line begins with are accepted while they come next, each
  with a key of its own, when it is shown: a word or a run of signs with the blanks before it, as
  Ctrl+Right takes them on the page. Those at the end that a key each would type as well are typed.
- A suggestion of which nothing is accepted is a wrong show.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from codegen25.evaluate.typing.surroundings import Suffix

TRIGGERS = ("pauses", "every")
AFTER = (".", "(", " = ")
ACCEPTS = ("lines", "words")
LEAST = 2
"""Counted characters of a suggestion that is shown."""

Ask = Callable[[str, str], str]
"""Prefix and suffix to a completion."""
_INDENTATION = re.compile(r"\n([ \t]+)")
_BLANKS = re.compile(r"[ \t]+")
_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)")


@dataclass(frozen=True)
class Piece:
    """What was put into the file by one act: "indented", "typed" or "accepted"."""

    kind: str
    text: str


@dataclass(frozen=True)
class Show:
    """A suggestion on the screen; `accepted` is what was taken of it, empty if it was wrong.

    `request` is the number of the request that brought it, from 0; `keys` accepted what was taken.
    """

    offset: int
    text: str
    accepted: str
    request: int
    keys: int

    @property
    def saved(self) -> int:
        """Keys less than the same would have taken without it."""
        return counted(self.accepted) - self.keys


@dataclass(frozen=True)
class Replay:
    """A file as it was written again."""

    pieces: tuple[Piece, ...]
    shows: tuple[Show, ...]
    requests: int

    @property
    def text(self) -> str:
        """What was written."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def typed(self) -> int:
        """Characters that were typed, a key each."""
        return sum(len(piece.text) for piece in self.pieces if piece.kind == "typed")

    @property
    def completed(self) -> int:
        """Counted characters that completions wrote."""
        return sum(counted(piece.text) for piece in self.pieces if piece.kind == "accepted")

    @property
    def accepts(self) -> int:
        """Keys that accepted something."""
        return sum(piece.kind == "accepted" for piece in self.pieces)

    @property
    def characters(self) -> int:
        """Counted characters of what was written."""
        return self.typed + self.completed


def counted(text: str) -> int:
    """The characters of `text` without the indentation of its lines after the first."""
    return len(text) - sum(len(each.group(1)) for each in _INDENTATION.finditer(text))


def replay(
    text: str,
    ask: Ask,
    after: Suffix,
    *,
    trigger: str = "pauses",
    accept: str = "lines",
    limit: int | None = None,
) -> Replay:
    """Type `text`; `after` gives the suffix at an offset. At most `limit` requests are made.

    The replay ends at the end of the text, or where it would ask once more than it may.
    """
    pieces: list[Piece] = []
    shows: list[Show] = []
    requests, offset, shown = 0, 0, ""

    def put(kind: str, piece: str) -> None:
        nonlocal offset, shown
        pieces.append(Piece(kind, piece))
        offset += len(piece)
        shown = shown[len(piece) :] if shown.startswith(piece) else ""

    while offset < len(text):
        if indentation := _indentation(text, offset):
            put("indented", indentation)
        if not shown and offset < len(text) and _asks(text, offset, trigger):
            if requests == limit:
                break
            requests += 1
            shown = _suggestion(text, offset, ask, after(offset))
            if shown:
                taken = taken_of(shown, text, offset, accept)
                shows.append(Show(offset, shown, "".join(taken), requests - 1, len(taken)))
                for part in taken:
                    put("accepted", part)
                if taken:
                    continue
        if offset < len(text):
            put("typed", text[offset])
    return Replay(tuple(pieces), tuple(shows), requests)


def _suggestion(text: str, offset: int, ask: Ask, suffix: str) -> str:
    start = _line_start(text, offset)
    if text[start:offset].strip(" \t"):
        shown = ask(text[:offset], suffix).rstrip()
    else:
        shown = ask(text[:start], suffix).rstrip().lstrip(" \t")
    return shown if counted(shown) >= LEAST else ""


def taken_of(suggestion: str, text: str, offset: int, accept: str) -> list[str]:
    """What of a suggestion is taken at `offset`, in parts of one key each; [] for nothing."""
    if whole := agreement(suggestion, text, offset):
        return [whole]
    return _words(suggestion.partition("\n")[0], text, offset) if accept == "words" else []


def agreement(suggestion: str, text: str, offset: int) -> str:
    """What of a suggestion is taken at `offset`: all of it, its first line, or nothing."""
    line = suggestion.partition("\n")[0].rstrip()
    for part in (suggestion, line):
        if counted(part) >= LEAST and text.startswith(part, offset):
            rest = text[offset + len(part) : offset + len(part) + 1]
            if not (_in_word(part[-1]) and _in_word(rest)):
                return part
    return ""


def _words(line: str, text: str, offset: int) -> list[str]:
    """The words that a line begins with and that come next, without those at their end that a key
    each would type as well."""
    found: list[str] = []
    for word in _WORD.findall(line):
        rest = text[offset + len(word) : offset + len(word) + 1]
        if not text.startswith(word, offset) or (_in_word(word[-1]) and _in_word(rest)):
            break
        found.append(word)
        offset += len(word)
    while found and len(found[-1]) < LEAST:
        found.pop()
    return found


def _indentation(text: str, offset: int) -> str:
    if offset and text[offset - 1] != "\n":
        return ""
    found = _BLANKS.match(text, offset)
    return found.group() if found else ""


def _asks(text: str, offset: int, trigger: str) -> bool:
    if trigger == "every" or text.endswith(AFTER, max(0, offset - 3), offset):
        return True
    return not text[_line_start(text, offset) : offset].strip(" \t")


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"

"""Instructions and their answers: read or mined, laid out, packed without leaking.

The layout is Alpaca's, as in Salesforce's InstructCodeT5+ and DeepSeek-Coder-Instruct; that of
CodeGen2.5-instruct was never published. Only responses carry loss, and a token sees nothing of
the other conversations in its row.
"""

from __future__ import annotations

import hashlib
import json
import sys
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.infill import END_OF_TEXT
from codegen25.instruct import question
from codegen25.tokenizer import Tokenizer
from codegen25.train.mining import KINDS, mined, named
from codegen25.train.objective import IGNORE
from codegen25.train.turns import Conversation, Turn

OPEN = 64
"""Rows that pairs may still go into."""
FEWEST, ONE_OF = 500, 50
"""Pairs of a file of which some are held out, and which share of them."""

# ------------------------------------------------------------------------------------ reading


def read(path: Path) -> list[Conversation]:
    """The conversations of a jsonl file: Alpaca's fields, a prompt and its response, or messages.

    `instruction` (and `input`) with `output`; `prompt` with `response` or `completion`, taken as
    they are; `messages` or `conversations` of `role` and `content` (or `from` and `value`).
    Anything else is a UserError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        what = f"{path}: cannot be read as pairs ({error}); pairs is a jsonl file, or some of"
        raise UserError(f"{what} {', '.join(KINDS)}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_conversation(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UserError(
                    f"{path}: line {number} holds no pair ({error!r}); it has instruction and "
                    "output, prompt and response, or messages"
                ) from error
    if not found:
        raise UserError(f"{path}: no pairs")
    return found


def _conversation(row: dict[str, Any]) -> Conversation:
    if "messages" in row or "conversations" in row:
        return _chat(row.get("messages") or row["conversations"])
    if "instruction" in row:
        asked = question(_text(row["instruction"]), _text(row.get("input") or ""))
        return (Turn(asked, _text(row["output"])),)
    response = row["response"] if "response" in row else row["completion"]
    return (Turn(_text(row["prompt"]), _text(response)),)


def _chat(messages: Sequence[dict[str, Any]]) -> Conversation:
    """Turns of a chat; what a system says stands before the first instruction."""
    turns: list[Turn] = []
    system, asked = "", ""
    for message in messages:
        role = message["role"] if "role" in message else message["from"]
        text = _text(message["content"] if "content" in message else message["value"])
        if role == "system":
            system = text + "\n\n"
        elif role in ("user", "human"):
            asked += ("\n\n" if asked else "") + text
        elif role in ("assistant", "gpt") and asked:
            turns.append(Turn(question(system + asked, first=not turns), text))
            system, asked = "", ""
        else:
            raise ValueError(f"role {role!r} out of turn")
    if not turns:
        raise ValueError("no answer of an assistant")
    return tuple(turns)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


# ------------------------------------------------------------------------------------ packing


class PairRows:
    """Conversations packed into rows, at most so many; see `rows.Rows` for its methods.

    Each goes whole into the fullest open row that has room for it, and of more than `OPEN` the
    fullest is closed: best fit, which wastes 6 % where one row after the other wastes 23 %
    (docs/log.md).

    One that is longer than a row ends where the row does, without the end token; one whose first
    prompt leaves no room for an answer is left out, and counted in `too_long`.
    """

    def __init__(
        self, conversations: Iterable[Conversation], tokenizer: Tokenizer, length: int,
        most: int = sys.maxsize,
    ) -> None:  # fmt: skip
        end = tokenizer.special(END_OF_TEXT)
        if end is None:
            raise UserError(f"the tokenizer lacks {END_OF_TEXT}; train one of ours")
        self.length, self.end, self.too_long = length, end, 0
        self._rows: list[list[tuple[list[int], list[bool]]]] = []
        self._bytes: list[int] = []
        open_rows: list[tuple[int, int]] = []  # room and index, the fullest first
        for conversation in conversations:
            ids, answers, size = _encoded(conversation, tokenizer, end, length + 1)
            if not any(answers):
                self.too_long += 1
                continue
            fitting = bisect_left(open_rows, (len(ids), 0))
            if fitting < len(open_rows):
                room, row = open_rows.pop(fitting)
            elif len(self._rows) == most:
                break
            else:
                room, row = length + 1, len(self._rows)
                self._rows.append([])
                self._bytes.append(0)
            self._rows[row].append((ids, answers))
            self._bytes[row] += size
            insort(open_rows, (room - len(ids), row))
            del open_rows[:-OPEN]

    def __len__(self) -> int:
        return len(self._rows)

    def bytes(self, index: int) -> int:
        """Bytes of the responses of a row, as far as they are in it."""
        return self._bytes[index]

    def arrays(
        self, index: int, epoch: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Inputs, targets and which targets are answers; the others are `IGNORE`."""
        ids = [i for part, _ in self._rows[index] for i in part]
        answers = np.zeros(self.length, dtype=np.bool_)
        flags = [flag for _, part in self._rows[index] for flag in part]
        answers[: len(ids) - 1] = flags[1:]
        inputs = np.full(self.length, self.end, dtype=np.int64)
        inputs[: len(ids) - 1] = ids[:-1]
        targets = np.full(self.length, IGNORE, dtype=np.int64)
        targets[: len(ids) - 1] = ids[1:]
        targets[~answers] = IGNORE
        return inputs, targets, answers

    def documents(self, index: int) -> NDArray[np.int64]:
        """The number of the conversation at each input of a row; what fills it up has the next."""
        sizes = [len(ids) for ids, _ in self._rows[index]]
        numbers = np.repeat(np.arange(len(sizes)), sizes)[: self.length]
        made = np.full(self.length, len(sizes), dtype=np.int64)
        made[: len(numbers)] = numbers
        return made


def _encoded(
    conversation: Conversation, tokenizer: Tokenizer, end: int, most: int
) -> tuple[list[int], list[bool], int]:
    """The first `most` ids of a conversation, which of them are answers (end tokens too), and how
    many bytes of the answers these ids are."""
    ids: list[int] = []
    answers: list[bool] = []
    size = 0
    for turn in conversation:
        prompt, response = tokenizer.encode(turn.prompt), tokenizer.encode(turn.response)
        ids += [*prompt, *response, end]
        answers += [False] * len(prompt) + [True] * (len(response) + 1)
        kept = turn.response
        if len(ids) > most:
            fitting = response[: max(0, len(response) + 1 - (len(ids) - most))]
            kept = _shared(kept, tokenizer.decode(fitting))
        size += len(kept.encode())
    return ids[:most], answers[:most], size


def _shared(whole: str, start: str) -> str:
    """What both begin with: of ids that end within a character, `start` has U+FFFD there."""
    same = zip(whole, start, strict=False)
    return whole[: next((i for i, (a, b) in enumerate(same) if a != b), len(start))]


class Given(NamedTuple):
    """What a recipe's `pairs` names: conversations to train on, and others, in no order, to look
    at."""

    trained: list[Conversation]
    held: list[Conversation]


def of(source: str, corpus: TextShard, heldout: TextShard) -> Given:
    """Mined from the corpus, and from its held-out text what is not among those; or a jsonl file's,
    of which one in fifty is held out where there are some hundreds."""
    kinds = named(source)
    if not kinds:
        return _divided(read(Path(source)))
    trained = mined(corpus, kinds)
    if not trained:
        raise UserError(f"the corpus holds no {' and no '.join(kinds)} to make pairs of")
    held = set(mined(heldout, kinds)).difference(trained)
    return Given([(turn,) for turn in trained], _mixed([(turn,) for turn in held]))


def _divided(found: list[Conversation]) -> Given:
    """Drawn by what is asked first, so that equal questions stay together; nothing is held out
    where that would be much, because many ask the same."""
    trained, held = list[Conversation](), list[Conversation]()
    for each in found:
        (trained if _hashed(each[0].prompt) % ONE_OF else held).append(each)
    if len(found) < FEWEST or len(held) * ONE_OF > 3 * len(found):
        return Given(found, [])
    return Given(trained, _mixed(held))


def _mixed(found: list[Conversation]) -> list[Conversation]:
    """By hash: the first of them are drawn from all."""
    return sorted(found, key=lambda each: _hashed(repr(each)))


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])

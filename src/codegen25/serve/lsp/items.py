"""Where a suggestion goes, and the items an editor is given."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lsprotocol import types

from codegen25.sample.request import Completion
from codegen25.serve.lsp.text import Text, unix

ACCEPTED, DISMISSED = "codegen25.accepted", "codegen25.dismissed"
"""Commands by which an editor says what became of a suggestion; the argument is its number."""
CROWD = 8
"""More visible characters to the right of the cursor than this, and nobody wants a suggestion."""
LABEL = 60
_WORD = re.compile(r"[A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Place:
    r"""A suggestion goes between `prefix` and `suffix`, whose lines end with `\n`.

    The item it becomes replaces `range` with `head` and the suggestion; the prefix ends with the
    head, and what stands in the range is a beginning of it.
    """

    prefix: str
    suffix: str
    range: types.Range
    head: str = ""

    @property
    def rest(self) -> str:
        """What stands right of the cursor."""
        return self.suffix.partition("\n")[0]

    @property
    def crowded(self) -> bool:
        """Whether too much does."""
        return len("".join(self.rest.split())) > CROWD


def at_cursor(
    text: Text, cursor: types.Position, selected: types.SelectedCompletionInfo | None = None
) -> Place:
    """The place at a cursor; with an item selected in a list, behind that item's text."""
    start = end = text.offset(cursor)
    where, head = types.Range(cursor, cursor), ""
    if selected is not None and selected.range.start.line == selected.range.end.line:
        first, last = text.offset(selected.range.start), text.offset(selected.range.end)
        if first <= start <= last:
            start, end, where, head = first, last, selected.range, selected.text
    prefix, suffix = text.content[:start] + head, text.content[end:]
    return Place(unix(prefix), unix(suffix), where, unix(head))


def at_word(text: Text, cursor: types.Position) -> Place:
    """The place at a cursor of an item that stands in a list: it begins with the word there.

    Editors filter their lists by that word.
    """
    place = at_cursor(text, cursor)
    match = _WORD.search(place.prefix)
    head = match[0] if match else ""
    # The word is ASCII, whose characters are one unit in every encoding.
    start = types.Position(cursor.line, max(0, cursor.character - len(head)))
    return Place(place.prefix, place.suffix, types.Range(start, cursor), head)


def shown(completion: Completion, place: Place) -> str:
    """What of an answer is worth showing.

    One that was cut off ends with its last whole line, and no line is ended that ends anyway.
    """
    text = completion.text
    if completion.stop_reason in ("time", "length") and "\n" in text.strip():
        text = text[: text.rindex("\n")]
    if not place.rest.strip():
        text = text.rstrip()
    return text if text.strip() else ""


def inline_item(place: Place, text: str, number: int) -> types.InlineCompletionItem:
    """The ghost text of a suggestion."""
    return types.InlineCompletionItem(
        insert_text=place.head + text, range=place.range, command=_accepted(number)
    )


def listed_item(place: Place, text: str, number: int) -> types.CompletionItem:
    """A suggestion as an entry of the completion list, for editors without ghost text."""
    whole = place.head + text
    label = next(line for line in whole.splitlines() if line.strip()).strip()
    return types.CompletionItem(
        label=label if len(label) <= LABEL else label[: LABEL - 1] + "…",
        kind=types.CompletionItemKind.Text,
        detail="codegen25",
        documentation=whole if "\n" in whole else None,
        preselect=True,
        sort_text="0",
        filter_text=place.head or label,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(place.range, whole),
        command=_accepted(number),
    )


def _accepted(number: int) -> types.Command:
    return types.Command(title="accepted", command=ACCEPTED, arguments=[number])

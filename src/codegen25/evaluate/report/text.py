"""Text that nobody trusts, made fit to be shown in a page or in Markdown."""

from __future__ import annotations

import html
import re
from pathlib import Path

from codegen25.errors import UserError

_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~])")


def visible(text: str) -> str:
    """`text` with what can't be seen, or would turn the text around it, spelled as a code point.

    These are control characters except newline and tab, bidirectional and zero-width marks, and
    halves of surrogate pairs, which no file could hold.
    """
    return _ODD.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)


def escape(text: str) -> str:
    """For the content of an element and for a quoted attribute of a page."""
    return html.escape(visible(text), quote=True)


def markdown(text: str) -> str:
    """For a cell of a Markdown table: one line, nothing in it means anything."""
    return _MARKDOWN.sub(r"\\\1", " ".join(visible(text).split()))


def shortened(text: str, most: int) -> str:
    """`text`, its middle left out when it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def inserted(page: str, name: str, text: str, where: object = "the page") -> str:
    """A page with `text` between the marks of a name; a UserError if it lacks them."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, opened, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise UserError(f"{where} has no {start.strip()} … {end}; put both under a heading")
    return f"{before}{start}\n{text.strip()}\n\n{end}{after}"


def insert(path: Path, name: str, text: str) -> None:
    """The same of a file, which takes its place whole."""
    whole = inserted(path.read_text(encoding="utf-8"), name, text, path)
    staging = path.with_name(f".{path.name}.new")
    staging.write_text(whole, encoding="utf-8")
    staging.replace(path)

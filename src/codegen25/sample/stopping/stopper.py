"""The stop machine: what of an answer may be shown, and when it has ended."""

from __future__ import annotations

from dataclasses import dataclass

from codegen25.errors import UserError
from codegen25.sample.stopping.layout import Layout
from codegen25.sample.stopping.overlap import Echo
from codegen25.sample.stopping.reader import Reader
from codegen25.sample.stopping.repeats import Repeats
from codegen25.sample.stopping.rules import Brackets, Rule, SingleLine, StopStrings


@dataclass(frozen=True)
class Stops:
    """What ends an answer besides the model's own end ids and the length.

    strings         these words; the word itself is no part of the answer
    single_line     the first newline after something that can be seen (see `SingleLine`)
    indent          a line that leaves the block at the cursor (see `Layout`)
    brackets        a closing bracket too many, if it stands in the suffix (see `Brackets`)
    suffix_overlap  the suffix's first telling lines written again; and whatever else the answer's
                    end repeats of the suffix's beginning is cut, however it ended (see `Echo`)
    repetition      the same lines, or the same within a line, over and over (see `Repeats`)
    top_level       a line at column 0 that begins a definition or an import, when the cursor is
                    not at column 0; below a decorator it goes on

    All but `strings` also cut the white space before the place they end at, but for a newline that
    the suffix needs.
    """

    strings: tuple[str, ...] = ()
    single_line: bool = False
    indent: bool = False
    brackets: bool = False
    suffix_overlap: bool = False
    repetition: bool = False
    top_level: bool = False

    def __post_init__(self) -> None:
        if "" in self.strings:
            raise UserError("a stop string is empty; leave it out or give it characters")

    @classmethod
    def editor(cls, *, single_line: bool = False) -> Stops:
        """What somebody at an editor wants."""
        return cls(
            single_line=single_line,
            indent=True,
            brackets=True,
            suffix_overlap=True,
            repetition=True,
            top_level=True,
        )


class Stopper:
    """Decides, character by character, where an answer between `prefix` and `suffix` ends.

    What `push` and `finish` return adds up to the same text, and `reason` to the same reason,
    however the text was cut into pieces. The cost of a character does not depend on how many came
    before it. `language` is a name of `codegen25.data.languages`.
    """

    def __init__(
        self, stops: Stops, prefix: str = "", suffix: str = "", language: str = "python"
    ) -> None:
        self._reader: Reader | None = None
        self._echo: Echo | None = None
        self._rules: list[Rule] = [StopStrings(stops.strings)] if stops.strings else []
        if stops != Stops(strings=stops.strings):
            self._reader = reader = Reader(prefix, suffix, language)
            if stops.single_line:
                self._rules.append(SingleLine(reader))
            if stops.brackets or stops.indent:
                self._rules.append(Brackets(reader, first=not stops.brackets))
            if stops.indent or stops.top_level:
                self._rules.append(Layout(reader, indent=stops.indent, top_level=stops.top_level))
            if stops.suffix_overlap:
                self._echo = Echo(reader)
                self._rules.append(self._echo)
            if stops.repetition:
                self._rules.append(Repeats(reader))
        self._suffix = suffix
        self._chars: list[str] = self._reader.chars if self._reader else []
        self._free = 0  # characters that no rule can take back
        self._shown = 0
        self._over = False
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the answer ended; None while it goes on, and when no rule had anything to say."""
        return self._reason

    @property
    def text(self) -> str:
        """What was returned so far."""
        return "".join(self._chars[: self._shown])

    def push(self, text: str) -> str:
        """Take a piece of the answer; what may be shown now. Nothing, once there is a reason."""
        if self._over:
            return ""
        if not self._rules and not self._reader:
            self._chars += text
            self._free = len(self._chars)
            return self._show()
        for char in text:
            at = len(self._chars)
            if self._reader:
                self._reader.feed(char)
            else:
                self._chars.append(char)
            ends = [(end, rule) for rule in self._rules if (end := rule.feed(char, at)) is not None]
            if ends:
                self._end(ends)
                break
            self._release(at + 1)
        return self._show()

    def finish(self) -> str:
        """The model ended, or the length was reached: what was held back and belongs to the answer.

        The last line is judged by what is written of it.
        """
        if self._over:
            return ""
        end = len(self._chars)
        if self._reader:
            self._reader.finish()
        ends = [(at, rule) for rule in self._rules if (at := rule.finish(end)) is not None]
        if ends:
            self._end(ends)
        else:
            self._over = True
            if self._echo and (trimmed := max(self._free, self._echo.trim(end))) < end:
                self._reason, end = "suffix_overlap", trimmed
            self._free = end
        return self._show()

    def _release(self, end: int) -> None:
        free = min((rule.held(end) for rule in self._rules), default=end)
        if self._reader:
            free = self._reader.ink(free)  # see `_tidy`
        self._free = max(self._free, free)

    def _end(self, ends: list[tuple[int, Rule]]) -> None:
        end, rule = min(ends, key=lambda each: each[0])
        assert 0 <= end <= len(self._chars)
        self._over, self._reason = True, rule.reason
        if not isinstance(rule, StopStrings):
            end = self._tidy(end, rule)
            if self._echo:
                end = self._echo.trim(end)
        self._free = max(self._free, end)

    def _tidy(self, end: int, rule: Rule) -> int:
        """Where the answer ends without the white space that nobody needs."""
        assert self._reader is not None
        ink = self._reader.ink(end)
        rest = self._suffix.partition("\n")[0]
        if ink == 0 or not rest.strip() or isinstance(rule, SingleLine):
            return ink
        if isinstance(rule, Echo) or (isinstance(rule, Brackets) and not rest[0].isspace()):
            return end
        blank = self._chars[ink:end]
        return ink + blank.index("\n") + 1 if "\n" in blank else end

    def _show(self) -> str:
        shown, self._shown = self._shown, self._free
        return "".join(self._chars[shown : self._free])

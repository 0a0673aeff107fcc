"""Who is a bot, and names that stand for people."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BOTS = frozenset(
    {
        "apache-hbase", "autorestci", "claassistant", "claassistantio", "cmsbuild",
        "codecov-commenter", "codecov-io", "coveralls", "danger-public", "dnfclas",
        "github-actions", "karma-pr-reporter", "msftclas", "probot-stale", "pydocteur", "sparkqa",
        "web-flow",
    }
)  # fmt: skip
_BOT = re.compile(
    r"\[bot\]|botmanager|bors-|jenkins|k8s-|-test-|travis"
    r"|(?:-automaton|-automation|-benchmark|-build|-deployer|-cloud|bot|-ci|-linter|-teamcity"
    r"|-test|-testing|-service-account)$"
)

_CODE = re.compile(
    r"(```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`"
    r"|(?:\A|(?<=\n\n))(?:(?: {4}|\t)[^\n]*(?:\n|\Z))+)",
    re.DOTALL,
)
"""Fenced, inline and indented code of Markdown; an `@` in it is not a mention."""
_MENTION = re.compile(r"(?<![\w./`@-])@([A-Za-z\d](?:-?[A-Za-z\d]){0,38})(?![\w/-]|\.\w)")
_SHORTEST = 3
"""A shorter login is replaced after an `@` only: bare, it is more likely a word or a variable."""
GHOST = "ghost"
"""GitHub's stand-in for accounts that are gone: a word, not a name."""


def is_bot(login: str) -> bool:
    """Whether an account looks automated, in any case of letters.

    Names and patterns are BigCode's (bigcode-dataset, preprocessing/utils/utils_issues.py) and two
    accounts of GitHub's own.
    """
    name = login.lower()
    return name in _BOTS or _BOT.search(name) is not None


class Pseudonyms:
    """`username_k` for each login: the given ones first, others as they are asked for.

    Logins are the same in any case, as on GitHub.
    """

    def __init__(self, logins: Iterable[str]) -> None:
        self._numbers: dict[str, int] = {}
        for login in logins:
            self.of(login)
        known = list(self._numbers)
        bare = [login for login in known if len(login) >= _SHORTEST and login != GHOST]
        self._at = _anywhere(r"(?<![\w@-])@", known)
        self._bare = _anywhere(r"(?<![\w@-])", bare)

    def of(self, login: str) -> str:
        """The name that stands for `login`."""
        number = self._numbers.setdefault(login.lower(), len(self._numbers))
        return f"username_{number}"

    def replace(self, text: str) -> str:
        """`text` with the given logins replaced wherever they stand as words, and everybody else
        who is mentioned with an `@` outside code."""
        text = self._at.sub(lambda found: "@" + self.of(found[1]), text)
        text = self._bare.sub(lambda found: self.of(found[1]), text)
        parts = _CODE.split(text)
        parts[::2] = [_MENTION.sub(self._mentioned, part) for part in parts[::2]]
        return "".join(parts)

    def _mentioned(self, found: re.Match[str]) -> str:
        return found[0] if re.fullmatch(r"username_\d+", found[1]) else "@" + self.of(found[1])


def _anywhere(before: str, logins: list[str]) -> re.Pattern[str]:
    """One of the names as a word of its own; nothing when there are none."""
    names = "|".join(map(re.escape, logins)) or r"(?!)"
    return re.compile(rf"{before}({names})(?![\w-])", re.IGNORECASE)

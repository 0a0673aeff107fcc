"""Commit messages: what says nothing of the change goes, and so does who made it."""

from __future__ import annotations

import re

MAX_CHARACTERS = 1000
"""A longer message ends with the last line within."""
MIN_CHARACTERS = 8
MIN_WORDS = 2
MAX_CHARACTERS_A_WORD = 20
"""Of the subject, on average; above are hashes and the like."""

_TRAILER = re.compile(
    r"\s*(?:(?:[\w-]+-(?:by|to)|auto-submit|authors?|cc|change-id|commit-queue|from|git-svn-id"
    r"|reviewed-on|reviewers|subscribers|thanks|to)\s*:|(?:original |initial )?patch by\b)",
    re.IGNORECASE,
)
_MAIL = re.compile(r"[\w.+-](?:@|\(at\))[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b|<[^<>\s]+@[^<>\s]+>", re.I)

_SAYS_NOTHING = frozenset(
    """bugfix;bug fix;changes;cleanup;clean up;commit;debug;dummy;final;first commit;fix;fix bug
    fix bugs;fix tests;fix typo;fix typos;fixed;fixes;formatting;fix build;initial;initial commit
    minor;minor change;minor changes;minor fix;minor fixes;misc;more;readme;refactor;release
    small fix;small fixes;stuff;temp;test;tests;tmp;typo;typos;update;update docs
    update documentation;update readme;update readme.md;updated;updated readme;updated readme.md
    updates;version bump;wip;work in progress""".replace("\n", ";").split(";")
)
_AUTOMATIC = re.compile(
    r"auto[ -]?commit|update contributing|<\?xml|^(?:fixup|squash|amend)!"
    r"|^merge (?:branch|pull request|remote|tag)\b|^(?:update|create|delete|rename|add) \S+\.\w+$"
    r"|^add files via upload$|^(?:wip|tmp|temp)\b[\W\d]*$"
)
_VERSION = re.compile(r"(?:bump |prepare )?(?:version |release |to )*v?\d+(?:\.\d+)+\S*")


def clean(message: str, author: tuple[str, str]) -> str:
    """The message without trailers such as `Signed-off-by`, and without every line that holds an
    e-mail address or the name of its author, of at most `MAX_CHARACTERS`.

    Empty when the subject is such a line. An author of one word is looked for after `@` and `by`
    only, for it may be a word.
    """
    lines = message.replace("\r\n", "\n").strip().split("\n")
    name = _name_pattern(author[0].strip())
    drops = [bool(_TRAILER.match(x) or _MAIL.search(x) or name.search(x)) for x in lines]
    if drops[0]:
        return ""
    kept = [line.rstrip() for line, drop in zip(lines, drops, strict=True) if not drop]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    if len(text) > MAX_CHARACTERS:
        text = text[: MAX_CHARACTERS + 1].rpartition("\n")[0].strip()
    return text


def _name_pattern(name: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in name.split()]
    if not words:
        return re.compile(r"(?!)")
    before = r"\b" if len(words) > 1 else r"(?:@|\bby )"
    return re.compile(before + r"\s+".join(words) + r"(?!\w)", re.IGNORECASE)


def reason_against(message: str) -> str:
    """Why a clean message is no use, or "".

    After bigcode-dataset, preprocessing/filtering_git_commits.ipynb: subjects that are, or contain,
    certain words, versions, and words too long; the least length is ours.
    """
    subject = message.split("\n", 1)[0].strip().lower()
    words = subject.split()
    if not words:
        return "empty message"
    if subject.strip(" .!:") in _SAYS_NOTHING or _VERSION.fullmatch(subject):
        return "message says nothing"
    if _AUTOMATIC.search(subject):
        return "automatic message"
    if len(subject) < MIN_CHARACTERS or len(words) < MIN_WORDS:
        return "short message"
    return "message is no text" if len(subject) / len(words) > MAX_CHARACTERS_A_WORD else ""

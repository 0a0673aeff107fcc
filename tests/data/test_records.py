from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data.documents import Document
from codegen25.data.records.commits import around_change, change_span, commit, commits
from codegen25.data.records.git import Change, changes, open_blobs
from codegen25.data.records.issues import issue, issues
from codegen25.data.records.layout import lay_out, spell
from codegen25.data.records.messages import clean, reason_against
from codegen25.data.records.notebooks import notebook
from codegen25.data.records.people import Pseudonyms, is_bot
from codegen25.errors import UserError
from codegen25.infill import STRUCTURE

# ------------------------------------------------------------------------------------- layout


@given(st.lists(st.tuples(st.sampled_from(STRUCTURE), st.text())))
def test_pieces_are_found_again(pieces: list[tuple[str, str]]) -> None:
    text, marks = lay_out(pieces)
    assert text == "".join(piece for _, piece in pieces)
    ends = [position for position, _ in marks[1:]] + [len(text)]
    found = [(n, text[p:e]) for (p, n), e in zip(marks, ends, strict=False)]
    assert found == pieces
    spelled = spell(Document(text, "", "", marks=marks))
    assert spelled == "".join(name + piece for name, piece in pieces)


def test_lone_surrogates_become_encodable() -> None:
    text, marks = lay_out([("<jupyter_code>", "a\ud800é"), ("<jupyter_output>", "")])
    assert text == "a\ufffdé"
    assert marks[1] == (3, "<jupyter_output>")


# ------------------------------------------------------------------------------------ commits

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


class Repository:
    """A git repository whose commits are made by the tests."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(path),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        for who in ("AUTHOR", "COMMITTER"):
            self.environment[f"GIT_{who}_NAME"] = "Jane Q. Doe"
            self.environment[f"GIT_{who}_EMAIL"] = "jane@example.org"
        path.mkdir()
        self("init", "-q", "-b", "main")

    def __call__(self, *arguments: str) -> None:
        command = ["git", "-C", str(self.path), *arguments]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def commit(self, message: str, files: Mapping[str, str | bytes | None]) -> None:
        """Write the files, remove those that are None, and commit all."""
        for name, content in files.items():
            path = self.path / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self("add", "-A")
        self("commit", "-q", "--allow-empty", "-m", message)

    def records(self, **settings: Any) -> list[Document]:
        return list(commits(self.path, **{"repo": "owner/name", "license": "MIT"} | settings))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "r")


@needs_git
def test_a_commit_becomes_before_message_after(repository: Repository) -> None:
    repository.commit("Start the module", {"src/a.py": "x = 1\r\n"})
    signed = "Signed-off-by: Jane Q. Doe <jane@example.org>\nCc: Bob"
    message = f"Count to two, not one\n\nOne was not enough.\n\n{signed}"
    repository.commit(message, {"src/a.py": "x = 2\n"})
    (document,) = repository.records()
    assert spell(document) == (
        "<commit_before>x = 1\n<commit_msg>Count to two, not one\n\nOne was not enough."
        "<commit_after>x = 2\n"
    )
    assert [name for _, name in document.marks] == [
        "<commit_before>", "<commit_msg>", "<commit_after>",
    ]  # fmt: skip
    kind, sha, path = document.path.split("/", 2)
    assert (kind, len(sha), path) == ("commit", 40, "src/a.py")
    assert (document.repo, document.license, document.language) == ("owner/name", "MIT", "commits")


@needs_git
def test_only_changes_of_one_file_of_code_are_taken(repository: Repository) -> None:
    names = ["a.py", "b.py", "c.png", "d.py", "e.py", "f.py", "g.py", "large.py"]
    start = {name: f"{name[0]} = 1\n" for name in names} | {"i.ipynb": "{}"}
    repository.commit("Add everything there is", start)
    repository.commit("Change two files at once", {"a.py": "a = 2\n", "b.py": "b = 2\n"})
    repository.commit("Add one file to the rest", {"new.py": "x = 1\n"})
    repository.commit("Remove the file again", {"new.py": None})
    repository.commit("Change the picture a bit", {"c.png": "d"})
    repository.commit("Change text to binary", {"d.py": b"\xff\xfe\0"})
    repository.commit("Empty the file for good", {"e.py": " \n"})
    repository.commit("Change line ends of it", {"f.py": "f = 1\r\n"})
    repository.commit("Change the whole notebook", {"i.ipynb": '{"cells": []}'})
    repository.commit("Change the large file", {"large.py": f"x = '{'-' * 500}'\n"})
    repository.commit("Change nothing at all", {})
    (repository.path / "a.py").chmod(0o755)
    repository.commit("Make the file a program", {})
    repository("mv", "b.py", "moved.py")
    repository.commit("Move the file elsewhere", {})
    (repository.path / "g.py").unlink()
    (repository.path / "g.py").symlink_to("a.py")
    repository.commit("Make the file a link", {})
    assert repository.records(max_bytes=500) == []
    assert len(repository.records()) == 1


@needs_git
def test_merges_and_moves_are_passed_over_and_what_they_stand_on_is_not(
    repository: Repository,
) -> None:
    repository.commit("Add two files", {"a.py": "a = 1\n", "b.py": "b = 1\n"})
    repository("checkout", "-q", "-b", "side")
    repository.commit("Change the first file", {"a.py": "a = 2\n"})
    repository("checkout", "-q", "main")
    repository.commit("Change the second file", {"b.py": "b = 2\n"})
    repository("merge", "-q", "--no-ff", "-m", "Take the change from there", "side")
    repository("mv", "a.py", "moved.py")
    repository.commit("Move the file elsewhere", {})
    repository("config", "diff.renames", "copies")
    paths = [document.path.split("/", 2)[2] for document in repository.records()]
    assert sorted(paths) == ["a.py", "b.py"]


@needs_git
def test_any_name_and_any_message_come_through(repository: Repository) -> None:
    name = 'ü "quoted"\n\t:100644.py'
    repository.commit("Add the file", {name: "x = 1\n"})
    repository.commit(":100644 looks like a change\n\n\n\nof names: äöü", {name: "x = 2\n"})
    (document,) = repository.records()
    assert document.path.endswith(name)
    assert "<commit_msg>:100644 looks like a change\n\nof names: äöü<commit_after>" in spell(
        document
    )


@needs_git
def test_newest_first_up_to_a_limit_and_from_bare_clones(
    repository: Repository, tmp_path: Path
) -> None:
    for i in range(5):
        repository.commit(f"Set the value to {i} now", {"a.py": f"x = {i}\n"})
    found = repository.records(limit=2)
    assert [spell(document)[-6:-1] for document in found] == ["x = 4", "x = 3"]
    assert repository.records(limit=0) == []
    repository("clone", "-q", "--bare", str(repository.path), str(tmp_path / "bare.git"))
    bare = commits(tmp_path / "bare.git", repo="owner/name", license="MIT")
    assert list(bare) == repository.records()
    assert len(repository.records()) == 4


@needs_git
def test_what_is_no_repository_is_the_users_mistake(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repository.records() == []
    (repository.path / "inside").mkdir()
    monkeypatch.setenv("GIT_DIR", str(repository.path / ".git"))
    for path in (repository.path / "inside", tmp_path):
        with pytest.raises(UserError, match="not a git repository"):
            list(commits(path, repo="r"))
    with pytest.raises(UserError, match="not a folder"):
        list(commits(tmp_path / "none", repo="r"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="install"):
        list(commits(repository.path, repo="r"))


@needs_git
def test_a_file_whose_content_is_gone_is_passed_over(repository: Repository) -> None:
    for i in range(3):
        repository.commit(f"Set the value to {i} now", {"a.py": f"x = {i}\n"})
    with open_blobs(repository.path) as blobs:
        newest = next(changes(repository.path))
        assert blobs.read(newest.after, 6) == b"x = 2\n"
        assert blobs.read(newest.after, 5) is None
        assert blobs.read(newest.before, 6) == b"x = 1\n"
        assert blobs.read("0" * 40, 6) is None
    name = newest.after
    (repository.path / ".git" / "objects" / name[:2] / name[2:]).unlink()
    assert ["x = 1" in document.text for document in repository.records()] == [True]


BEFORE = "".join(f"line_{i} = {i}\n" for i in range(300))


def made(
    after: str, sha: str = "0", author: tuple[str, str] = ("Jane", "j@x.org")
) -> Document | str:
    change = Change(sha, author, "Change some of the lines", "a.py", "1", "2")
    return commit(change, BEFORE, after, repo="r")


def test_a_fifth_shows_the_whole_file_the_others_a_window() -> None:
    after = BEFORE.replace("line_150 = 150", "line_150 = 0")
    documents = [made(after, sha=str(i)) for i in range(600)]
    sides = [d.text.split("Change some of the lines") for d in documents if isinstance(d, Document)]
    assert len(sides) == 600
    whole = sum(side == [BEFORE, after] for side in sides)
    assert whole / 600 == pytest.approx(0.2, abs=0.05)
    lengths = {side[0].count("\n") for side in sides if side[0] != BEFORE}
    assert lengths == set(range(3, 2 + 2 * 32, 2))
    assert all("line_150 = 150\n" in old and "line_150 = 0\n" in new for old, new in sides)
    assert [made(after, sha=str(i)) for i in range(600)] == documents


def test_a_tenth_of_the_long_changes_is_kept() -> None:
    after = BEFORE.replace("line_5 ", "line_x ").replace("line_250 ", "line_y ")
    assert change_span(BEFORE, after) == 246
    reasons = [made(after, sha=str(i)) for i in range(600)]
    assert reasons.count("long change") / 600 == pytest.approx(0.9, abs=0.04)


def test_bots_make_no_records() -> None:
    after = BEFORE + "more = 1\n"
    for author in (("dependabot[bot]", "x@y.z"), ("x", "1+renovate[bot]@y.z"), ("jenkins", "")):
        assert made(after, author=author) == "made by a bot"
    assert isinstance(made(after, author=("Travis Talbot", "t@y.z")), Document)


@given(
    st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12),
    st.integers(1, 4),
)  # fmt: skip
def test_a_window_is_cut_alike_on_both_sides(old: list[str], new: list[str], lines: int) -> None:
    before, after = "".join(x + "\n" for x in old), "".join(x + "\n" for x in new)
    cut = around_change(before, after, lines)
    starts = [i for i in range(len(before) + 1) if before.startswith(cut[0], i)]
    replaced = [before[:i] + cut[1] + before[i + len(cut[0]) :] for i in starts]
    assert after in replaced
    span = change_span(before, after)
    assert max(part.count("\n") for part in cut) <= span + 2 * lines
    assert (span == 0) == (before == after)
    if before and after:
        assert cut[0] and cut[1]


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("Fix the parser\n", "Fix the parser"),
        ("Fix it\n\nWhy: because.\n\nCo-authored-by: A B <a@b.c>", "Fix it\n\nWhy: because."),
        ("Fix it\r\n\r\nChange-Id: I123\r\nReviewed-on: https://x.y", "Fix it"),
        ("Fix it\n\nPatch by Some One.\nIt was broken.", "Fix it\n\nIt was broken."),
        ("Fix it\n\nReported to us by jane q.  doe, thanks.", "Fix it"),
        ("Fix it\n\nWrite to someone@example.org about it.", "Fix it"),
        ("Fix it\n\nSee <root@localhost>.", "Fix it"),
        ("Take lodash@4.17.21 from there", "Take lodash@4.17.21 from there"),
        ("Fix it for jane@example.org", ""),
        ("Fix it " + "x" * 2000, ""),
        ("Fix it\n\n" + "a line of it\n" * 99, "Fix it\n\na line of it" + "\na line of it" * 75),
    ],
)  # fmt: skip
def test_a_message_names_nobody(message: str, cleaned: str) -> None:
    assert clean(message, ("Jane Q. Doe", "jane@example.org")) == cleaned


def test_an_author_of_one_word_is_looked_for_with_care() -> None:
    message = "Test the client\n\nFound by test\nSeen by Tester\n@test asked"
    assert clean(message, ("test", "")) == "Test the client\n\nSeen by Tester"
    assert clean(message, ("", "")) == message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Handle empty lists", ""),
        ("Fix typo in parser", ""),
        ("v1.2.3 was wrong: count again", ""),
        ("", "empty message"),
        ("  \n\nbody", "empty message"),
        ("Update", "message says nothing"),
        ("WIP.", "message says nothing"),
        ("Updated README.md", "message says nothing"),
        ("v1.2.3-rc1", "message says nothing"),
        ("Bump version to 2.0", "message says nothing"),
        ("Update setup.py", "automatic message"),
        ("Merge branch 'main' of x", "automatic message"),
        ("Auto commit of today's files", "automatic message"),
        ("fixup! Handle lists", "automatic message"),
        ("Refactored", "short message"),
        ("a b c", "short message"),
        ("sha 3f786850e387550fdab836ed7e6dc881de23001b0000", "message is no text"),
    ],
)
def test_which_messages_say_something(message: str, reason: str) -> None:
    assert reason_against(message) == reason


# ---------------------------------------------------------------------------------- notebooks


def cell(kind: str, source: str | list[str], *outputs: dict[str, Any]) -> dict[str, Any]:
    made = {"cell_type": kind, "source": source, "metadata": {}}
    return made | ({"outputs": list(outputs)} if kind == "code" else {})


def printed(text: str | list[str], name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def value(**data: str) -> dict[str, Any]:
    named = {key.replace("_", "/"): text for key, text in data.items()}
    return {"output_type": "execute_result", "data": named, "metadata": {}}


def record(*cells: dict[str, Any], script: bool = False, **fields: Any) -> Document | str:
    text = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells} | fields)
    return notebook(text, repo="o/n", path="a.ipynb", license="MIT", stars=3, script=script)


def spelled(*cells: dict[str, Any], script: bool = False) -> str:
    document = record(*cells, script=script)
    assert isinstance(document, Document)
    document.text.encode()
    return spell(document)


def test_a_notebook_is_text_code_and_output_in_turn() -> None:
    assert spelled(
        cell("markdown", ["# Sums\n", "\n", "Add.\n"]),
        cell("markdown", "Now."),
        cell("code", "import os\n"),
        cell("raw", "left out"),
        cell("code", ["print(1)\n", "1 + 1"], printed(["1\n"]), value(text_plain="2")),
        cell("code", "x = 3"),
        cell("code", " \n", printed("left out")),
        cell("markdown", "End."),
    ) == (
        "<jupyter_start><jupyter_text># Sums\n\nAdd.\n\nNow."
        "<jupyter_code>import os\nprint(1)\n1 + 1<jupyter_output>1\n2"
        "<jupyter_code>x = 3<jupyter_output><empty_output>"
        "<jupyter_text>End."
    )
    document = record(cell("code", "x"))
    assert isinstance(document, Document)
    assert (document.repo, document.path, document.license) == ("o/n", "a.ipynb", "MIT")
    assert (document.language, document.stars) == ("notebooks", 3)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (printed("x" * 1001), "x" * 1000 + "[...]"),
        (printed("x" * 1000), "x" * 1000),
        (printed("10%\r50%\r100%\ndone\r\n"), "100%\ndone"),
        (printed("\x1b[31mred\x1b[0m"), "red"),
        (printed("/home/jane/x.py: Warning", name="stderr"), ""),
        (value(text_plain="   a\n0  1", text_html="<table>"), "a\n0  1"),
        (value(text_plain="<Figure size 640x480>", image_png="AAAA"), ""),
        (value(text_html="<b>"), ""),
        ({"output_type": "error", "ename": "KeyError", "evalue": "'a'"}, "KeyError: 'a'"),
        (printed("\ud83d"), "\ufffd"),
        (printed("<empty_output>"), "<empty_output>"),
    ],
)  # fmt: skip
def test_outputs_are_text(output: dict[str, Any], text: str) -> None:
    expected = text or "<empty_output>"
    assert spelled(cell("code", "f()", output)) == (
        f"<jupyter_start><jupyter_code>f()<jupyter_output>{expected}"
    )
    document = record(cell("code", "f()", output))
    assert isinstance(document, Document)
    assert len(document.marks) == (3 if text else 4)


def test_pictures_inside_markdown_are_left_out() -> None:
    cells = (
        cell("markdown", "![p](attachment:p.png)"),
        cell("markdown", "A ![](data:image/png;base64,A==)b"),
    )
    assert spelled(*cells, cell("code", "x")).startswith("<jupyter_start><jupyter_text>A b<")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no notebook"),
        ("{}", "no notebook"),
        ('{"nbformat": "4"}', "no notebook"),
        ('{"nbformat": 3, "worksheets": []}', "notebook format below 4"),
        ('{"nbformat": 4}', "malformed notebook"),
        ('{"nbformat": 4, "cells": [1]}', "malformed notebook"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "malformed notebook"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}', "malformed notebook"),
        ('{"nbformat": 4, "cells": []}', "no code cells"),
        ('{"nbformat": 4, "cells": [{"cell_type": "markdown", "source": "x"}]}', "no code cells"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": [" "]}]}', "no code cells"),
    ],
)  # fmt: skip
def test_why_a_notebook_is_no_record(text: str, reason: str) -> None:
    assert notebook(text, repo="r", path="a.ipynb") == reason
    assert notebook(text, repo="r", path="a.ipynb", script=True) == reason


def test_a_notebook_as_a_script_is_python() -> None:
    text = spelled(
        cell("markdown", "# Sums\n\nAdd."),
        cell("code", "%matplotlib inline\nimport os\n!ls -l\nfiles = !ls\nos.path?", printed("x")),
        cell("code", "%%time\ny = (7\n% 2)"),
        cell("code", "%%bash\nls | wc"),
        script=True,
    )
    assert text == (
        "# %% [markdown]\n# # Sums\n#\n# Add.\n\n"
        "# %%\n# %matplotlib inline\nimport os\n# !ls -l\n# files = !ls\n# os.path?\n\n"
        "# %%\n# %%time\ny = (7\n% 2)\n\n"
        "# %%\n# %%bash\n# ls | wc\n"
    )
    ast.parse(text)
    document = record(cell("code", "x"), script=True)
    assert isinstance(document, Document)
    assert (document.language, document.marks, document.stars) == ("python", (), 3)
    julia = {"kernelspec": {"language": "julia", "name": "julia-1.9"}}
    assert record(cell("code", "x"), metadata=julia, script=True) == "script is not Python"
    assert isinstance(record(cell("code", "x"), metadata=julia), Document)


# ------------------------------------------------------------------------------------- issues

LONG = "The parser fails on empty input, which it should accept. " * 4


def row(**fields: Any) -> dict[str, Any]:
    return {
        "number": 7, "title": "Parser fails", "user": {"login": "alice"}, "body": LONG.strip(),
        "state": "open", "comments": [],
    } | fields  # fmt: skip


def said(login: str, body: str) -> dict[str, Any]:
    return {"user": {"login": login}, "body": body}


def shown(**fields: Any) -> str:
    document = issue(row(**fields), repo="o/n", license="MIT")
    assert isinstance(document, Document), document
    return spell(document)


HEAD = f"<issue_start>Title: Parser fails\nusername_0: {LONG.strip()}"


def test_an_issue_is_its_title_and_who_said_what() -> None:
    comments = [
        said("bob", "Which version?"),
        said("alice", "The last.\r\nOn Linux."),
        said("bob", ""),
    ]
    assert shown(comments=comments, state="closed") == (
        f"{HEAD}<issue_comment>username_1: Which version?"
        "<issue_comment>username_0: The last.\nOn Linux.<issue_closed>"
    )
    document = issue(row(), repo="o/n", license="MIT")
    assert isinstance(document, Document)
    assert spell(document) == HEAD
    assert (document.repo, document.path, document.license) == ("o/n", "issues/7", "MIT")
    assert document.language == "issues"


def test_rows_of_the_gh_program_and_of_the_api_are_read() -> None:
    first = row(
        author={"login": "alice"}, user=None, state="CLOSED", comments=3, repo="a/b", license="MIT"
    )
    second = row(author="bob", repository={"full_name": "c/d"}, number=None)
    documents = list(issues([first, row(title=""), second]))
    assert [d.name for d in documents] == ["a/b/issues/7", "c/d/issues/row-2"]
    assert documents[0].license == "MIT"
    assert spell(documents[0]) == HEAD + "<issue_closed>"


def test_names_are_replaced_wherever_they_stand() -> None:
    comments = [
        said("Bob-X", "@Alice, see `alice` and @carol/x, @carol and a@carol.org."),
        said(
            "alice",
            "bob-x is right, not bob-xy; alice_in is mine. ```\n@decorator\n@bob-x\n``` @carol",
        ),
        said("dave", "    @property\n    @wraps\n@carol @dave\n    @erin"),
    ]
    assert shown(comments=comments, title="For @bob-x by alice").split("<issue_comment>")[1:] == [
        "username_1: @username_0, see `username_0` and @carol/x, @username_3 and a@carol.org.",
        "username_0: username_1 is right, not bob-xy; alice_in is mine. "
        "```\n@decorator\n@username_1\n``` @username_3",
        "username_2:     @property\n    @wraps\n@username_3 @username_2\n    @username_4",
    ]  # fmt: skip
    title = shown(comments=comments, title="For @bob-x by alice").split("\n")[0]
    assert title == "<issue_start>Title: For @username_1 by username_0"


LOGINS = st.lists(st.text("abz12", min_size=3, max_size=6), min_size=1, max_size=2).map("-".join)
BORDERS = st.sampled_from(["@", " ", "", ".", ",", "\n", "`", "(", ")"])


@given(
    st.lists(LOGINS, min_size=1, max_size=5), st.lists(BORDERS, min_size=12, max_size=12)
)  # fmt: skip
def test_no_login_of_a_participant_is_left(logins: list[str], between: list[str]) -> None:
    names = Pseudonyms(logins)
    text = " ".join(
        f"{a}{login}{b}" for a, b, login in zip(between, between[6:], logins, strict=False)
    )
    replaced = names.replace(text)
    numbers = {login: f"username_{i}" for i, login in enumerate(dict.fromkeys(logins))}
    for login in logins:
        assert names.of(login.upper()) == numbers[login]
        if not any(login in other for other in ("username", *numbers.values())):
            assert login not in replaced.replace("username_", "")


def test_deleted_accounts_and_short_logins_are_no_words() -> None:
    comments = [said("a", "A ghost in a shell, @a"), {"user": None, "body": "a b c"}]
    assert shown(comments=comments).split("<issue_comment>")[1:] == [
        "username_1: A ghost in a shell, @username_1", "username_2: a b c",
    ]  # fmt: skip


def test_bots_and_those_who_call_them_are_left_out() -> None:
    comments = [
        said("codecov[bot]", "Coverage fell"),
        said("bob", "/retest"), said("k8s-ci-robot", "Testing"),
        said("bob", "@rust-bot try"), said("rust-bot", "Trying"),
        said("bob", "I see."), said("stale-bot", "Closing this"),
    ]  # fmt: skip
    assert shown(comments=comments) == f"{HEAD}<issue_comment>username_1: I see."
    assert issue(row(user={"login": "dependabot[bot]"})) == "opened by a bot"


@pytest.mark.parametrize("login", ["dependabot[bot]", "Jenkins", "foo-CI", "somebot", "SparkQA"])
def test_bots_are_known_by_name(login: str) -> None:
    assert is_bot(login)
    assert not is_bot("alice")


def test_short_issues_and_long_monologues_are_left_out() -> None:
    assert issue(row(body="x" * 199)) == "short issue"
    assert isinstance(issue(row(body="x" * 200)), Document)
    assert issue(row(body=None)) == "short issue"
    assert issue(row(title=" \n")) == "no title"
    assert issue(row(body="x" * 7001)) == "long issue of one person"
    assert issue(row(comments=[said("alice", "More.")] * 10)) == "long issue of one person"
    assert isinstance(issue(row(body="x" * 7001, comments=[said("bob", "I see.")])), Document)


def test_an_opener_who_says_nothing_still_opens() -> None:
    text = shown(body=None, comments=[said("bob", LONG)])
    assert text.startswith(
        "<issue_start>Title: Parser fails\nusername_0:<issue_comment>username_1: "
    )


def test_a_long_comment_loses_its_middle() -> None:
    lines = "\n".join(f"line {i}" for i in range(100))
    comment = (
        shown(comments=[said("bob", lines)]).split("<issue_comment>username_1: ")[1].split("\n")
    )
    assert comment == [
        *(f"line {i}" for i in range(60)), "[Truncated]", *(f"line {i}" for i in range(80, 100)),
    ]  # fmt: skip


def test_what_mail_programs_add_is_left_out() -> None:
    reply = (
        "It works now.\n\nOn Mon, May 1, 2023 Alice Doe <\nnotifications@github.com> wrote:\n\n"
        "> Try again.\n>\n> —\n> Reply to this email directly or view it on GitHub\n"
        "From: Alice <alice@x.org>\nThank you!\n_______________\nSent from my phone"
    )  # fmt: skip
    assert shown(comments=[said("bob", reply)]).endswith(
        "username_1: It works now.\n\n\n\nThank you!"
    )
    quote = "> Try again.\n\nI did.\nSigned-off-by: Bob <b@x.org>"
    assert shown(comments=[said("bob", quote)]).endswith("username_1: > Try again.\n\nI did.")

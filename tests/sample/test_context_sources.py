"""Imports, modules, definitions, windows and edits: functions over texts in memory."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.sample.context import File, View
from codegen25.sample.context.definitions import definitions
from codegen25.sample.context.edits import edited, recent
from codegen25.sample.context.imports import Import, _of_lines, imports, without_imports
from codegen25.sample.context.modules import Modules
from codegen25.sample.context.outline import outline
from codegen25.sample.context.query import Query, scopes
from codegen25.sample.context.similar import PER_FILE, SIZE, overlap, similar, windows
from codegen25.sample.context.snippet import DEFINITION, EDIT, SIMILAR, Edit

SHOP = {
    "src/shop/__init__.py": "from shop.stock import Stock as Shelf\n",
    "src/shop/stock.py": '''"""What is on the shelves."""

LOW = 3


class Stock:
    """Items by name.

    More about them.
    """

    items: dict[str, int]

    def __init__(self, items: dict[str, int]) -> None:
        self.items = dict(items)
        self.seen = sorted(items) + sorted(items.values()) + sorted(items.items()) + [1, 2, 3, 4]
        self.rest = "a long enough body that the class is not shown whole" * len(self.items)

    @property
    def empty(self) -> bool:
        return not self.items

    def _private(self) -> None:
        raise NotImplementedError


def reorder(stock: Stock, supplier: str, *, at_least: int = LOW) -> list[str]:
    """Ask the supplier for what runs low.

    Nothing is paid here.
    """
    wanted = [name for name, count in stock.items.items() if count < at_least]
    for name in wanted:
        print(f"{supplier}: please send {name}, there are only {stock.items[name]} of them left")
    print("and thank you very much for the prompt delivery of everything we asked for last time")
    return wanted


def total(stock: Stock) -> int:
    """How many there are."""
    return sum(stock.items.values())
''',
    "src/shop/prices.py": "from . import stock\n\ndef price(name: str) -> float:\n    return 1.0\n",
    "tests/test_stock.py": "from shop.stock import total\n",
}


def cursor(path: str, text: str) -> Query:
    """A query of a text with the cursor at `|`."""
    prefix, _, suffix = text.partition("|")
    return Query.at(path, prefix, suffix)


def found(path: str, text: str, files: dict[str, str] | None = None) -> dict[str, str]:
    """Path and first line to text of the definitions at `|`."""
    view = View.of(files or SHOP)
    return {f"{each.path}:{each.line}": each.text for each in definitions(view, cursor(path, text))}


# ------------------------------------------------------------------------------------- imports


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import a.b", [Import(0, ("a", "b"), "", "a.b")]),
        ("import a.b as c, d", [Import(0, ("a", "b"), "", "c"), Import(0, ("d",), "", "d")]),
        ("from a.b import c as d", [Import(0, ("a", "b"), "c", "d")]),
        ("from .. import c", [Import(2, (), "c", "c")]),
        ("from .a import (\n    b,\n    c as d,\n)", [
            Import(1, ("a",), "b", "b"), Import(1, ("a",), "c", "d"),
        ]),
        ("from a import *", [Import(0, ("a",), "*", "*")]),
        ("from a import b, \\\n    c", [Import(0, ("a",), "b", "b"), Import(0, ("a",), "c", "c")]),
    ],
)  # fmt: skip
def test_lines_and_tree_say_the_same(line: str, expected: list[Import]) -> None:
    assert list(imports(line)) == expected
    assert list(_of_lines(line)) == expected
    assert list(imports(f"{line}\n\ndef f(:\n")) == expected


def test_unfinished_imports_do_not_swallow_those_below() -> None:
    text = "from a import (b,\n\nfrom c import d  # and (more)\nimport e\nx = (\n"
    assert [each.bound for each in imports(text)] == ["b", "d", "e"]


@given(st.text(alphabet="from import as(),.*\\\n#ab ", max_size=120))
def test_any_text_has_imports(text: str) -> None:
    blank = without_imports(text)
    assert blank.count("\n") == text.count("\n")
    for each in imports(text):
        assert each.bound and (each.module or each.level)


# ------------------------------------------------------------------------------------- modules


def test_modules_are_found_from_where_the_importer_stands() -> None:
    paths = [
        "src/shop/__init__.py", "src/shop/stock.py", "src/shop/stock.pyi", "src/shop/sub/deep.py",
        "tools/helper.py", "tools/run.py", "other/helper.py", "vendored/json.py", "one/single.py",
    ]  # fmt: skip
    modules = Modules(paths)
    assert modules.find("tests/t.py", 0, ("shop", "stock")) == "src/shop/stock.py"
    assert modules.find("tests/t.py", 0, ("shop",)) == "src/shop/__init__.py"
    assert modules.find("src/shop/stock.py", 1, ("sub", "deep")) == "src/shop/sub/deep.py"
    assert modules.find("src/shop/sub/deep.py", 2, ("stock",)) == "src/shop/stock.py"
    assert modules.find("src/shop/stock.py", 1, ()) == "src/shop/__init__.py"
    assert modules.find("tools/run.py", 0, ("helper",)) == "tools/helper.py"
    assert modules.find("tests/t.py", 0, ("single",)) == "one/single.py"
    # Two of that name, the library's own, inside a package only, above the folder:
    assert modules.find("tests/t.py", 0, ("helper",)) is None
    assert modules.find("tests/t.py", 0, ("json",)) is None
    assert modules.find("tests/t.py", 0, ("stock",)) is None
    assert modules.find("a.py", 3, ("stock",)) is None


# ------------------------------------------------------------------------------------- outline


def test_long_functions_are_signatures_short_ones_whole() -> None:
    names = outline(SHOP["src/shop/stock.py"])
    assert list(names) == ["LOW", "Stock", "reorder", "total"]
    assert names["LOW"].text == "LOW = 3"
    assert names["total"].text.endswith("return sum(stock.items.values())")
    assert names["reorder"].text == (
        "def reorder(stock: Stock, supplier: str, *, at_least: int = LOW) -> list[str]:\n"
        '    """Ask the supplier for what runs low."""'
    )
    assert names["Stock"].text == (
        'class Stock:\n    """Items by name."""\n    items: dict[str, int]\n'
        "    def __init__(self, items: dict[str, int]) -> None: ...\n"
        "    @property\n    def empty(self) -> bool: ..."
    )


def test_outline_of_our_own_modules(source_texts: list[str]) -> None:
    for text in source_texts:
        lines = text.split("\n")
        for each in outline(text).values():
            first = each.text.split("\n")[0].removesuffix(" ...")
            assert lines[each.line - 1].startswith(first)
            if each.text.startswith(("def ", "async ", "class ", "@")):
                (node,) = ast.parse(each.text).body
                assert getattr(node, "name", "") == each.name


def test_a_module_that_does_not_parse_still_has_signatures() -> None:
    names = outline(
        "def one(\n    a: int,\n) -> int:\n    return (\n\nclass Two(Base):\n    x = 1\n"
    )
    assert names["one"].text == "def one(\n    a: int,\n) -> int: ..."
    assert names["Two"].text == "class Two(Base): ..."
    assert names["Two"].line == 6


# --------------------------------------------------------------------------------- definitions


def test_used_names_are_defined() -> None:
    text = "from shop.stock import LOW, Stock, reorder, total\n\n\ndef f(s: Stock):\n    total(|"
    assert list(found("src/shop/new.py", text)) == [
        "src/shop/stock.py:39", "src/shop/stock.py:6",
    ]  # fmt: skip


def test_imports_alone_are_no_use() -> None:
    assert found("src/shop/new.py", "from shop.stock import (\n    total,\n    LOW,\n)\n|") == {}


def test_attributes_of_modules() -> None:
    for line in ("from shop import stock", "from . import stock", "import shop.stock as stock"):
        assert list(found("src/shop/new.py", f"{line}\nx = stock.total(|")) == [
            "src/shop/stock.py:39"
        ]
    assert len(found("src/shop/new.py", "import shop.stock\nshop.stock.|")) == 4
    assert len(found("src/shop/new.py", "import shop.stock\nshop.stock.to|")) == 4


def test_reexports_are_followed() -> None:
    assert list(found("tests/t.py", "from shop import Shelf\nShelf(|")) == ["src/shop/stock.py:6"]
    circular = {"a.py": "from b import x\n", "b.py": "from a import x\n"}
    assert found("c.py", "from a import x\nx|", circular) == {}


def test_star_imports() -> None:
    assert list(found("tests/t.py", "from shop.stock import *\nx = total(|")) == [
        "src/shop/stock.py:39"
    ]


def test_the_file_itself_and_other_languages_are_left_out() -> None:
    assert found("src/shop/stock.py", "from shop.stock import total\ntotal(|") == {}
    assert found("a.js", "from shop.stock import total\ntotal(|") == {}


def test_nearer_uses_score_higher() -> None:
    far = "from shop.stock import reorder, total\nreorder()\n" + 20 * "x = 1\n" + "total(|"
    snippets = definitions(View.of(SHOP), cursor("a.py", far))
    assert [each.line for each in snippets] == [39, 27]
    assert snippets[0].score == 1 and 0 < snippets[1].score < 0.5
    assert {each.kind for each in snippets} == {DEFINITION}


def test_headers_around_the_cursor_count_as_near() -> None:
    text = "class A:\n  def f(\n    s: Stock,\n  ):\n" + "    x = 1\n" * 100 + "    |"
    assert scopes(text.partition("|")[0]) == ["class A:", "  def f("]
    header = "from shop.stock import Stock\n\ndef f(s: Stock):\n" + "    x = 1\n" * 100 + "    |"
    assert list(found("a.py", header)) == ["src/shop/stock.py:6"]


def test_a_machines_line_takes_no_longer_than_a_persons() -> None:
    line = "from shop.stock import total\nx = " + "a." * 100_000
    assert found("a.py", f"{line}|") == {}
    assert found("a.py", f"{line}b + total(|") != {}
    assert scopes("(" * 100_000 + "\n" * 100_000) == []


# ------------------------------------------------------------------------------------- similar


@given(st.text(alphabet="ab_c1 \n", max_size=600))
def test_windows_cover_every_line(text: str) -> None:
    lines = text.split("\n")
    covered = set()
    for window in windows(text):
        part = window.text.split("\n")
        assert part == lines[window.line - 1 : window.line - 1 + len(part)]
        assert len(part) <= SIZE and part[0].strip() and part[-1].strip()
        covered |= set(range(window.line - 1, window.line - 1 + len(part)))
    assert covered >= {i for i, line in enumerate(lines) if line.strip()}


def block(word: str, lines: int = 20) -> str:
    return "".join(f"{word}_{i} = {word}_function_{i}(value)\n" for i in range(lines))


def test_windows_that_share_rare_words_come_first() -> None:
    view = View.of({
        "near.py": block("apple", 60) + block("pear"), "far.py": block("plum"),
        "near.js": block("apple"), "own.py": block("apple"),
    })  # fmt: skip
    text = "\n".join(f"print(apple_{i}, apple_function_{i})" for i in range(9)) + "\n|"
    snippets = similar(view, cursor("own.py", text))
    assert [(each.path, each.line, each.kind) for each in snippets] == [("near.py", 1, SIMILAR)]
    assert 0 < snippets[0].score < 1


def test_what_the_file_shows_is_no_news_nor_are_copies() -> None:
    view = View.of({"copy.py": block("apple"), "copy2.py": block("apple")})
    assert similar(view, cursor("own.py", block("apple") + "|")) == []
    other = "use(" + ", ".join(f"apple_{i}" for i in range(20)) + ")\n|"
    assert len(similar(view, cursor("own.py", other))) == 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=120), st.integers(0, 120))
def test_similar_windows_never_overlap(numbers: list[int], at: int) -> None:
    text = "".join(f"name_{n} = call_{n}(argument_{n})\n" for n in numbers)
    view = View.of({"a.py": text, "b.py": text[::-1], "c.py": text.replace("name", "other")})
    snippets = similar(view, Query.at("d.py", text[:at], text[at:]))
    for i, one in enumerate(snippets):
        assert one.path != "d.py" and one.score > 0
        assert not any(overlap(one, other) for other in snippets[:i])
    assert all(sum(o.path == each.path for o in snippets) <= PER_FILE for each in snippets)


# --------------------------------------------------------------------------------------- edits


def test_given_edits_by_recency_and_likeness() -> None:
    query = cursor("own.py", "print(apple_1, apple_2, apple_3)\n|")
    view = View.of({"a.py": block("apple"), "p.py": block("plum")})
    edits = [
        Edit("a.py", block("apple", 3), 1.0), Edit("p.py", block("plum", 3), 2.0),
        Edit("own.py", "print(apple_1, apple_2, apple_3)\n", 3.0), Edit("e.py", "\n\n", 4.0),
    ]  # fmt: skip
    assert [each.path for each in edited(view, query, edits)] == ["a.py", "p.py"]
    same = [Edit("p.py", block("plum", 3), 1.0), Edit("q.py", block("fig", 3), 2.0)]
    assert [each.path for each in edited(view, query, same)] == ["q.py", "p.py"]
    assert {each.kind for each in edited(view, query, same)} == {EDIT}


def test_file_times_tell_what_is_worked_on_unless_all_are_alike() -> None:
    hour = 3600 * 10**9
    old = [File(f"old{i}.py", block(f"w{i}"), hour) for i in range(12)]
    files = [*old, File("new.py", block("apple"), 50 * hour), File("n.js", "x", 50 * hour)]
    view = View(files)
    assert [file.path for file in recent(view, "own.py")] == ["new.py"]
    assert recent(view, "new.py") == []
    snippets = edited(view, cursor("own.py", "print(apple_1, apple_2)\n|"))
    assert [(each.path, each.kind) for each in snippets] == [("new.py", EDIT)]
    assert recent(View(old), "own.py") == []

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data.documents import Document
from codegen25.data.metadata import with_metadata
from codegen25.data.order import repository_order


def in_order(files: dict[str, str], repo: str = "r") -> list[str]:
    """Paths of the files, given in a shuffled order, in repository order."""
    documents = [Document(text, path, repo) for path, text in files.items()]
    random.Random(0).shuffle(documents)
    return [documents[i].path for i in repository_order(documents)]


def test_repositories_stand_together_as_they_appear() -> None:
    documents = [Document("", f"{i}.py", repo) for i, repo in enumerate("bacabcb")]
    order = repository_order(documents)
    assert "".join(documents[i].repo for i in order) == "bbbaacc"
    assert sorted(order) == list(range(7))
    assert repository_order([]) == []


def test_a_readme_then_folder_by_folder() -> None:
    files = ["README.md", "Makefile", "a.c", "z.py", "docs/readme.rst", "docs/a.md", "src/a.c",
             "docs/api/a.md", "src/deep/a.py"]  # fmt: skip
    assert in_order(dict.fromkeys(files, "")) == [
        "README.md", "Makefile", "a.c", "z.py", "docs/readme.rst", "docs/a.md", "src/a.c",
        "docs/api/a.md", "src/deep/a.py",
    ]  # fmt: skip


PACKAGE = {
    "pkg/__init__.py": "from .high import f\n",
    "pkg/high.py": "from pkg.sub import low\nfrom . import middle\n",
    "pkg/middle.py": "import pkg.sub.low as low\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/low.py": "import os, json\n",
}


def test_imported_modules_come_first() -> None:
    assert in_order(PACKAGE) == [
        "pkg/sub/low.py", "pkg/middle.py", "pkg/high.py", "pkg/__init__.py", "pkg/sub/__init__.py",
    ]  # fmt: skip


def test_imports_go_in_the_order_in_which_they_stand() -> None:
    files = {"a.py": "import z\ntry:\n    import x, y\nfinally:\n    import w\n"}
    files |= dict.fromkeys(["w.py", "x.py", "y.py", "z.py"], "")
    assert in_order(files) == ["z.py", "x.py", "y.py", "w.py", "a.py"]


@pytest.mark.parametrize(
    ("importer", "statement", "imported"),
    [
        ("a.py", "import z", "z.py"),
        ("a.py", "import os, z", "z.py"),
        ("a.py", "from z import f", "z.py"),
        ("a.py", "from z import *", "z.py"),
        ("a.py", "import z", "z.pyi"),
        ("a.py", "import z.y.x", "z/y/x.py"),
        ("a.py", "import z", "z/__init__.py"),
        ("a.py", "from z import y", "z/y.py"),
        ("a.py", "from z.y import f", "z/y/__init__.py"),
        ("p/a.py", "from . import z", "p/z.py"),
        ("p/a.py", "from .z import f", "p/z.py"),
        ("p/a.py", "from . import version", "p/__init__.py"),
        ("p/a.py", "from .. import z", "z.py"),
        ("p/q/a.py", "from ..r.s import f", "p/r/s.py"),
        ("p/q/__init__.py", "from .s import f", "p/q/s.py"),
        ("__init__.py", "from .s import f", "s.py"),
        ("tools/a.py", "import z", "tools/z.py"),
        ("tools/a.py", "import p.z", "p/z.py"),
        ("tests/a.py", "import z", "src/z.py"),
        ("tests/a.py", "from z.y import f", "src/z/y.py"),
        ("a.py", "try:\n    import z\nexcept ImportError:\n    z = None", "z.py"),
        ("a.py", "try:\n    pass\nexcept ImportError:\n    import z", "z.py"),
        ("a.py", "if x:\n    pass\nelse:\n    import z", "z.py"),
        ("a.py", "class A:\n    with b:\n        import z", "z.py"),
        ("a.py", "match b:\n    case 1:\n        import z", "z.py"),
    ],
)
def test_where_an_import_leads(importer: str, statement: str, imported: str) -> None:
    name = importer.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    first = {"A.py": f"import {name}\n", imported: ""}
    assert in_order(first | {importer: statement}) == [imported, importer, "A.py"]
    assert in_order(first | {importer: ""}) == [importer, "A.py", imported]


def test_a_package_is_found_under_its_own_root() -> None:
    files = {
        "apps/a.py": "import lib.core\n",
        "x/y/lib/__init__.py": "from lib.core import f\n",
        "x/y/lib/core.py": "",
    }
    assert in_order(files) == ["x/y/lib/core.py", "apps/a.py", "x/y/lib/__init__.py"]
    twice = files | {"other/lib/__init__.py": "", "other/lib/core.py": ""}
    assert in_order(twice)[0] == "apps/a.py"


@pytest.mark.parametrize(
    "statement",
    [
        "def f():\n    import z",
        "async def f():\n    import z",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import z",
        "import typing\nif typing.TYPE_CHECKING:\n    import z",
        "import z.",
        "import z\nprint 1",
        "import z\0",
        "from ...z import f",
        "import a",
        "(" * 5000,
    ],
)
def test_what_does_not_count_as_an_import(statement: str) -> None:
    assert in_order({"a.py": statement, "z.py": ""}) == ["a.py", "z.py"]


def test_the_other_branch_of_type_checking_counts() -> None:
    source = "if TYPE_CHECKING:\n    pass\nelse:\n    import z"
    assert in_order({"a.py": source, "z.py": ""}) == ["z.py", "a.py"]


def test_a_cycle_is_entered_by_path_and_others_wait() -> None:
    files = {"a.py": "import c", "b.py": "import a", "c.py": "import b, low", "low.py": "",
             "above.py": "import b"}  # fmt: skip
    assert in_order(files) == ["b.py", "low.py", "c.py", "a.py", "above.py"]


def test_functions_follow_their_file_and_bring_its_imports() -> None:
    files = {"a.py::g": "import z\ndef g(): z\n", "z.py": "", "a.py": "", "z.py::f": ""}
    assert in_order(files) == ["z.py", "z.py::f", "a.py", "a.py::g"]


def test_records_and_other_languages_are_no_modules() -> None:
    documents = [
        Document("import z", "a.py", "r", language="commits"),
        Document("import y", "b.py", "r", language="python"),
        Document("", "y.py", "r", language="notebooks"),
        Document("", "z.py", "r", language="python"),
    ]
    assert repository_order(documents) == [0, 1, 2, 3]


def test_metadata_before_the_source_does_no_harm() -> None:
    documents = [Document("import z", "a.py", "r"), Document("", "z.py", "r")]
    marked = [with_metadata(1.0)(document) for document in documents]
    assert repository_order([d for d in marked if isinstance(d, Document)]) == [1, 0]


def test_a_long_chain_of_imports() -> None:
    files = {f"m{i}.py": f"import m{i + 1}" for i in range(3000)}
    assert in_order(files) == [f"m{i}.py" for i in reversed(range(3000))]


@st.composite
def repositories(draw: st.DrawFn) -> list[Document]:
    """Modules in random folders that import any of the others."""
    folders = draw(st.lists(st.sampled_from(["", "p/", "p/q/", "t/"]), min_size=2, max_size=8))
    names = [f"{folder}m{i}" for i, folder in enumerate(folders)]
    edges = st.lists(st.sampled_from(names), max_size=3)
    return [
        Document("".join(f"import {n.replace('/', '.')}\n" for n in draw(edges)), f"{name}.py", "r")
        for name in names
    ]


def names_of(document: Document) -> set[str]:
    """Paths that the document's lines `import a.b` name."""
    lines = document.text.splitlines()
    return {line.removeprefix("import ").replace(".", "/") + ".py" for line in lines}


def reached(documents: list[Document]) -> dict[str, set[str]]:
    """Everything that each module imports, directly or not."""
    direct = {document.path: names_of(document) for document in documents}
    closed = {path: set(targets) for path, targets in direct.items()}
    for _ in documents:
        closed = {p: t.union(*(closed[target] for target in t)) for p, t in closed.items()}
    return closed


@given(repositories(), st.randoms(use_true_random=False))
def test_imports_outside_cycles_are_heeded_in_any_repository(
    documents: list[Document], rng: random.Random
) -> None:
    order = [documents[i].path for i in repository_order(documents)]
    assert sorted(order) == sorted(document.path for document in documents)
    closed = reached(documents)
    for document in documents:
        for target in names_of(document):
            if document.path not in closed[target]:
                assert order.index(target) < order.index(document.path)
    shuffled = list(documents)
    rng.shuffle(shuffled)
    assert [shuffled[i].path for i in repository_order(shuffled)] == order

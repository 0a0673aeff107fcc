from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.data.documents import Document
from codegen25.data.metadata import body_start, chance, star_bucket, with_metadata
from codegen25.data.records.layout import spell
from codegen25.errors import UserError

FILE = Document("import os\n", "src/a.py", "owner/name", stars=17)


def with_header(document: Document, probability: float = 1.0, seed: int = 0) -> Document:
    result = with_metadata(probability, seed)(document)
    assert isinstance(result, Document)
    return result


def test_the_layout_is_starcoders() -> None:
    document = with_header(FILE)
    assert document.text == "owner/namesrc/a.py10-100\nimport os\n"
    assert document.marks == ((0, "<reponame>"), (10, "<filename>"), (18, "<gh_stars>"))
    spelled = "<reponame>owner/name<filename>src/a.py<gh_stars>10-100\nimport os\n"
    assert spell(document) == spelled
    assert (document.repo, document.path, document.stars) == ("owner/name", "src/a.py", 17)


@pytest.mark.parametrize(
    ("change", "spelled"),
    [
        ({"stars": None}, "<reponame>owner/name<filename>src/a.py\n"),
        ({"repo": "", "stars": 0}, "<filename>src/a.py<gh_stars>0\n"),
        ({"path": "src/a.py::f"}, "<reponame>owner/name<filename>src/a.py<gh_stars>10-100\n"),
        ({"path": "a\nb.py", "stars": None}, "<reponame>owner/name<filename>a b.py\n"),
        ({"path": "<sep>.py", "stars": None}, "<reponame>owner/name<filename><sep>.py\n"),
        ({"repo": "", "path": "", "stars": None}, ""),
    ],
)
def test_what_is_unknown_stays_out(change: dict[str, str], spelled: str) -> None:
    assert spell(with_header(replace(FILE, **change))) == spelled + FILE.text


def test_stars_fall_into_five_buckets() -> None:
    names = ["0", "1-10", "1-10", "10-100", "10-100", "100-1000", "100-1000", "1000+", "1000+"]
    borders = [0, 1, 10, 11, 100, 101, 1000, 1001, 90_000]
    assert [star_bucket(n) for n in borders] == names


def test_each_field_is_drawn_for_itself() -> None:
    files = [replace(FILE, path=f"{i}.py") for i in range(4000)]
    names = [{name for _, name in with_header(file, 0.2).marks} for file in files]
    for field in ("<reponame>", "<filename>", "<gh_stars>"):
        assert sum(field in each for each in names) / 4000 == pytest.approx(0.2, abs=0.02)
    both = sum({"<reponame>", "<filename>"} <= each for each in names)
    assert both / 4000 == pytest.approx(0.04, abs=0.01)


def test_the_draw_depends_on_seed_and_name_alone() -> None:
    files = [replace(FILE, path=f"{i}.py") for i in range(200)]
    marks = [with_header(file, 0.5).marks for file in files]
    assert [with_header(replace(f, text="x"), 0.5).marks for f in reversed(files)][::-1] == marks
    assert [with_header(file, 0.5, seed=1).marks for file in files] != marks
    others = [with_header(replace(file, repo="other/name"), 0.5).marks for file in files]
    assert others != marks


def test_records_and_files_out_of_luck_stay_as_they_are() -> None:
    record = Document("ab", "commit/1/a.py", "owner/name", marks=((0, "<commit_before>"),))
    assert with_header(record) is record
    assert with_header(FILE, 0.0) is FILE
    assert body_start(record) == body_start(FILE) == 0


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_a_probability_has_bounds(probability: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        with_metadata(probability)


def test_chance_is_uniform_and_takes_any_name() -> None:
    drawn = [chance(0, str(i)) for i in range(2000)]
    assert all(0 <= x < 1 for x in drawn)
    assert sum(drawn) / 2000 == pytest.approx(0.5, abs=0.03)
    assert chance(0, "\udcff") != chance(0, "a", "b") != chance(0, "b", "a")


@given(
    st.text(),
    st.text(),
    st.text(),
    st.none() | st.integers(0, 10**6),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 3),
)
def test_the_source_is_found_again(
    text: str, path: str, repo: str, stars: int | None, probability: float, seed: int
) -> None:
    document = with_header(Document(text, path, repo, stars=stars), probability, seed)
    assert document.text[body_start(document) :] == text
    positions = [position for position, _ in document.marks]
    assert positions == sorted(positions)
    assert bool(positions) == (body_start(document) > 0)
    assert all(position < body_start(document) for position in positions)

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import pytest

from codegen25.bench import data, planted
from codegen25.bench.command import run_data
from codegen25.bench.dedup import ENGINES, near_dedup, row
from codegen25.bench.table import markdown
from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer

SOURCE = Path(__file__).resolve().parents[2] / "src/codegen25"


def test_every_step_has_a_row_and_the_sum_is_the_whole() -> None:
    *steps, total = data.per_step(SOURCE, 0.1)
    assert [row["step"] for row in steps][:2] == ["read", "notebooks"]
    assert total["seconds"] == pytest.approx(sum(row["seconds"] for row in steps))
    assert total["MB"] == steps[0]["MB"] and total["MB/s"] < min(row["MB/s"] for row in steps)


def test_the_whole_pipeline_is_measured_as_a_process_of_its_own() -> None:
    (row,) = data.whole(SOURCE / "data", workers=(1,))
    source = sum(path.stat().st_size for path in (SOURCE / "data").rglob("*.py"))
    assert 0 < row["MB"] * 1e6 <= 1.1 * source
    assert row["all together"] >= row["peak MB, the largest process"] > 20
    with pytest.raises(UserError, match=r"nowhere"):
        data.whole(Path("nowhere"), workers=(1,))


def test_tokenisers_agree(corpus: Path, tokenizer: Tokenizer) -> None:
    rows = data.tokenising(SOURCE / "data", 0.05, tokenizer)
    assert {row["documents equal to ours"] for row in rows} == {rows[0]["documents"]}


def test_a_clock_that_did_not_move_gives_no_rate() -> None:
    found = row("ours", {"cpu": 0.0, "wall": 0.01}, 60, 0.25)
    assert found["CPU s"] == 0.0 and math.isnan(found["docs/s"]) and math.isnan(found["MB/s"])


def test_engines_that_are_absent_are_named() -> None:
    rows = {row["engine"]: row for row in near_dedup(SOURCE, 60, 1, sys.executable)}
    assert set(rows) == set(ENGINES)
    assert rows["ours"]["families lost"] == 0
    # A near copy of a near copy may go with both of its twins; which there are, this text decides.
    assert rows["ours"]["no twin kept"] <= 2
    assert rows["ours"]["CPU s"] > 0
    for name in ("datasketch", "datatrove", "rensa"):
        assert "not installed" in rows[name]["versions"] or rows[name]["CPU s"] > 0


def test_planted_documents_are_the_same_for_a_seed_and_judged() -> None:
    texts, families = planted.documents(SOURCE, 80, 8000, seed=1)
    again, _ = planted.documents(SOURCE, 80, 8000, seed=1)
    assert texts == again and len(texts) == 80
    truth = planted.similar(texts)
    everything = planted.judged(list(range(80)), truth, families)
    nothing = planted.judged([], truth, families)
    assert everything["families_lost"] == 0 and everything["recall"]["0.7-1.0"] == 0
    assert nothing["families_lost"] > 0 and nothing["recall"]["0.7-1.0"] == 1


def test_the_truth_is_that_of_all_pairs() -> None:
    texts, _ = planted.documents(SOURCE, 60, 3000, seed=2)
    sets = []
    for text in texts:
        words = planted.WORD.findall(text.lower())
        grams = zip(*(words[i:] for i in range(planted.NGRAM)), strict=False)
        sets.append(set(grams))
    expected = {
        (a, b): len(sets[a] & sets[b]) / len(sets[a] | sets[b])
        for a, b in itertools.combinations(range(60), 2)
    }
    left, right, jaccard = planted.similar(texts)
    found = dict(zip(zip(left.tolist(), right.tolist(), strict=True), jaccard, strict=True))
    assert found == pytest.approx({p: j for p, j in expected.items() if j >= planted.NEAR})
    assert found


def test_the_verb_prints_its_tables_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_data(SOURCE / "data", 0.05, None, None, 0, 1, sys.executable, tmp_path / "b.json")
    printed = capsys.readouterr().out
    assert "Every step on one core" in printed and "The whole pipeline" in printed
    assert (tmp_path / "b.json").read_text().startswith("{")


def test_tables_round_to_three_figures() -> None:
    table = markdown([{"a": 12345.678, "b": 0.123456, "c": 1234, "d": "x|y"}])
    assert table.splitlines()[2].startswith("| 12,346 | 0.123 | 1,234 |")
    assert markdown([]) == ""

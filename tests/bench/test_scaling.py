from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_helpers import script

from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer

script("findings")
scaling = script("scaling")


def looks(law: Any) -> list[Any]:
    return [
        scaling.Look(n, d, law.bits(n, d))
        for n in (1e6, 2e6, 4e6)
        for d in np.geomspace(3e5, 2e7, 12)
    ]


def test_a_law_is_found_again_from_its_own_values() -> None:
    law = scaling.Law(0.4, 30.0, 0.35, 60.0, 0.3)
    found = scaling.fitted(looks(law))
    assert (found.alpha, found.beta) == pytest.approx((0.35, 0.3))
    assert (found.e, found.a, found.b) == pytest.approx((0.4, 30.0, 60.0), rel=1e-3)


def test_more_compute_wants_a_larger_model_and_more_text() -> None:
    law = scaling.Law(0.4, 30.0, 0.35, 60.0, 0.3)
    small, large = law.best(1e14), law.best(1e16)
    assert small.weights < large.weights and small.positions < large.positions
    assert small.flops == pytest.approx(1e14) and large.bits < small.bits
    # At the best place a little more of either, for the other, gains nothing.
    for factor in (0.8, 1.25):
        assert law.bits(small.weights * factor, small.positions / factor) >= small.bits


def test_an_exponent_at_an_end_of_those_tried_is_said() -> None:
    assert scaling.Law(0.4, 30.0, 0.35, 60.0, 0.3).caveat == ""
    assert "exponent of N lies" in scaling.Law(0.4, 30.0, scaling.EXPONENTS[-1], 60.0, 0.3).caveat
    assert "of N and D" in scaling.Law(0.4, 30.0, scaling.EXPONENTS[0], 60.0, 0.05).caveat


def test_what_does_not_fall_is_no_law() -> None:
    rising = [scaling.Look(n, d, n * 1e-6 + d * 1e-6) for n in (1e6, 2e6) for d in (1e6, 2e6, 4e6)]
    with pytest.raises(UserError, match="no law"):
        scaling.fitted(rising)


def test_sizes_are_trained_fitted_and_drawn_into_the_page(
    corpus: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    monkeypatch.setattr(scaling, "SIZES", {"a": (1, 32), "b": (2, 64)})
    monkeypatch.setattr(scaling, "LOOKS", 10)
    page = tmp_path / "page.md"
    page.write_text("# F\n\n## Size\n\n<!-- size -->\n<!-- end of size -->\n")
    command = [
        "--corpus", str(corpus), "--tokenizer", str(tmp_path / "tokenizer.json"),
        "--out", str(tmp_path / "out"), "--flops", "3e9", "--sizes", "a,b", "--page", str(page),
        *(part for each in ("shape.context=64", "window=60", "batch=2", "micro_batch=2",
                            "schedule.warmup=1", "epochs=2", "shape.heads=2")
          for part in ("--set", each)),
    ]  # fmt: skip
    scaling.main(command)
    text = page.read_text()
    assert "| a | " in text and "| b | " in text and "scaling.png" in text
    assert (tmp_path / "scaling.png").stat().st_size > 5000 and (tmp_path / "scaling.svg").exists()
    logs = list((tmp_path / "out").rglob("log.jsonl"))
    before = [path.stat().st_mtime_ns for path in logs]
    scaling.main(command)  # done already: nothing is trained again
    assert before == [path.stat().st_mtime_ns for path in logs] and len(logs) == 2


def test_too_little_compute_is_said(
    corpus: Path, tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    with pytest.raises(
        SystemExit, match=r"1m: \d+ steps have no look at the high rate; give more --flops"
    ):
        scaling.main([
            "--corpus", str(corpus), "--tokenizer", str(tmp_path / "tokenizer.json"), "--out",
            str(tmp_path / "out"), "--flops", "1", "--sizes", "1m", "--set", "batch=2",
            "--set", "micro_batch=2", "--set", "shape.context=64", "--set", "window=60",
        ])  # fmt: skip

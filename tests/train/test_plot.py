from __future__ import annotations

import json
from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.train.log import LOG, read
from codegen25.train.plot import plot
from conftest import Run

pytest.importorskip("matplotlib")


def log(folder: Path, name: str, looks: bool = True) -> Path:
    run = folder / name
    run.mkdir()
    entries: list[dict[str, float]] = []
    for step in range(1, 501):
        tokens = 1000 * step
        entries.append(
            {"step": step, "epoch": step / 100, "loss": 2.0, "bits_per_byte": 1 + 9 / step,
             "tokens": tokens}
        )  # fmt: skip
        if looks and step % 100 == 0:
            look = {"step": step, "tokens": tokens, "heldout_bits_per_byte": 1 + 4 / step}
            entries.append(look)
    (run / LOG).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return run


def test_runs_are_drawn_side_by_side_with_their_epochs(tmp_path: Path) -> None:
    runs = [log(tmp_path, "frozen"), log(tmp_path, "fresh")]
    png, svg = plot(runs, tmp_path / "figures/one")
    assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_size > 5000
    drawn = svg.read_text()
    assert "<svg" in drawn and "held-out bits per byte" in drawn and "frozen" in drawn
    assert not list((tmp_path / "figures").glob(".*"))


def test_what_can_be_drawn_is_said(tmp_path: Path) -> None:
    runs = [log(tmp_path, "a", looks=False), log(tmp_path, "b")]
    assert "bits per byte, training" in plot(runs, tmp_path / "f")[1].read_text()
    with pytest.raises(UserError, match=r"has no heldout_bits_per_byte; it has .*bits_per_byte"):
        plot(runs, tmp_path / "f", "heldout_bits_per_byte")
    with pytest.raises(UserError, match="no log of a run"):
        plot([tmp_path], tmp_path / "f")


def test_the_command_line(run: Run, tmp_path: Path) -> None:
    folder = log(tmp_path, "a")
    code, out, err = run("train", "--plot", folder, folder, "--out", tmp_path / "figure")
    assert (code, err) == (0, "") and out.splitlines()[0].endswith("figure.png")
    assert run("train", "--plot", tmp_path / "none", "--out", tmp_path / "f")[0] == 2


def test_a_line_cut_off_at_the_end_is_left_out(tmp_path: Path) -> None:
    folder = log(tmp_path, "a")
    whole = read(folder / LOG)
    text = (folder / LOG).read_text()
    (folder / LOG).write_text(text[:-10])
    assert read(folder / LOG) == whole[:-1]
    (folder / LOG).write_text("{\n" + text)
    with pytest.raises(UserError, match="line 1 is not JSON"):
        read(folder / LOG)

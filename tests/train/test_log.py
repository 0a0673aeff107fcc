"""What a run says while it goes on: its log, TensorBoard, the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codegen25.errors import UserError
from codegen25.train.command import _Line, described
from codegen25.train.log import BOARD, LOG, Log, read
from codegen25.train.loop import Progress


def test_tensorboard_shows_the_log_and_steps_done_again_replace_those_before(
    tmp_path: Path,
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    first = Log(tmp_path, tensorboard=True)
    for step in (1, 2, 3):
        first.add({"step": step, "loss": 1.0 / step})
    first.write()
    again = Log(tmp_path, tensorboard=True)
    again.rewind(2)
    again.add({"step": 3, "loss": 7.0})
    again.add({"step": 3, "heldout_bits_per_byte": 0.5})
    again.write()
    assert [entry["step"] for entry in read(tmp_path / LOG)] == [1, 2, 3, 3]
    shown = accumulator.EventAccumulator(str(tmp_path / BOARD)).Reload()
    losses = [(event.step, event.value) for event in shown.Scalars("loss")]
    assert losses == [(1, 1.0), (2, 0.5), (3, 7.0)]
    assert [event.value for event in shown.Scalars("heldout_bits_per_byte")] == [0.5]


def test_without_the_package_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="needs the package tensorboard"):
        Log(tmp_path, tensorboard=True)


def progress(step: int, **found: float) -> Progress:
    return Progress(step, 40, step / 40, 2.5, 1.25, 1234.0, 5e9, 75.0, found)


def test_a_log_file_gets_a_line_in_twenty_and_every_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = _Line(peak=1e10)
    for step in range(1, 31):
        line(progress(step))
    for step in range(31, 41):
        line(progress(step, heldout_bits_per_byte=0.9, stop_rate=0.5, exact_match=0.25))
    shown = capsys.readouterr().out.splitlines()
    assert [text.split("  ")[0] for text in shown] == [
        "step 1/40", "step 21/40",
        "step 30: held-out bits per byte 0.9000, of single lines stopped 50%, exact 25%",
        "step 40/40",
    ]  # fmt: skip
    assert "1,234 tokens/s  MFU 50%  1:15 left" in shown[0]


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = _Line(peak=1e10)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for step in (39, 40):
        line(progress(step, heldout_bits_per_byte=0.9))
    assert line.bar is None  # the terminal was left in order
    assert "step 40/40" in capsys.readouterr().out


def test_nothing_held_out_is_said() -> None:
    both = {"heldout_bits_per_byte": 0.9, "heldout_pairs_bits_per_byte": 0.5}
    assert (
        described(both) == "held-out bits per byte 0.9000, held-out answers, bits per byte 0.5000"
    )
    assert described({}) == "nothing is held out"

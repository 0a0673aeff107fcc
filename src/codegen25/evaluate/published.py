"""What others published, with where it was read. Never measured here, never mixed with what is.

Values are per cent, as published. Scores of different papers were made by different harnesses
(truncation, temperature, trailing newlines), which moves small models by more than they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MARKS = {
    "announcement": "the announcement of CodeGen2.5",
    "secondary": "read in a secondary source",
    "unverified": "from memory, not checked",
    "floor": "measured with this project's data: no model at all",
}


@dataclass(frozen=True)
class Published:
    """A row of a table that is not ours. `mark` is a key of MARKS; `protocol` how it was made."""

    benchmark: str
    model: str
    parameters: str
    values: Mapping[str, float]
    mark: str
    source: str = ""
    protocol: str = ""

    @property
    def verified(self) -> bool:
        """Whether somebody read the number where it is said to stand."""
        return self.mark != "unverified"


def _passes(*values: float | None) -> dict[str, float]:
    names = ("pass@1", "pass@10", "pass@100")
    return {name: value for name, value in zip(names, values, strict=False) if value is not None}


def _humaneval() -> list[Published]:
    announced = "n = 200, top-p 0.95"
    codex, space = "Codex paper, table 1", "codeparrot/code-generation-models"
    rows: list[tuple[str, str, tuple[float | None, ...], str, str, str]] = [
        ("CodeGen2.5-7B-multi", "7B", (28.36, 47.46, 75.15), "announcement", "", announced),
        ("CodeGen2.5-7B-mono", "7B", (33.39, 58.38, 82.71), "announcement", "", announced),
        ("any constant body", "0", (0.0,), "floor", "", ""),
        ("Codex", "12M", (2.00, 3.62, 8.58), "secondary", codex, ""),
        ("Codex", "25M", (3.21, 7.1, 12.89), "secondary", space, ""),
        ("Codex", "42M", (5.06, 8.8, 15.55), "unverified", codex, ""),
        ("Codex", "85M", (8.22, 12.81, 22.40), "secondary", "", ""),
        ("CodeParrot", "110M", (3.80, 6.57, 12.78), "secondary", space, ""),
        ("CodeParrot, run again", "110M", (3.81, 5.62, 7.39), "secondary",
         "transformers PR #16428", "n = 200"),
        ("GPT-Neo", "125M", (0.75, 1.88, 2.97), "unverified", codex, ""),
        ("TinyCodeLM base", "150M", (6.1,), "secondary", "its model card", "greedy"),
        ("PolyCoder", "160M", (2.13, 3.35, 4.88), "secondary", space, ""),
        ("TinyStarCoderPy", "164M", (7.84,), "secondary", "its model card", ""),
        ("Codex", "300M", (13.17, 20.37, 36.27), "secondary", space, ""),
        ("SmallCoder", "303M", (27.4,), "secondary", "its model card, unreviewed", ""),
        ("CodeGen-Mono", "350M", (12.76, 23.11, 35.19), "secondary", space, ""),
        ("phi-1-small", "350M", (45.0,), "secondary", "phi-1's abstract", "textbook data"),
        ("PolyCoder", "400M", (2.96, 5.29, 11.59), "secondary", space, ""),
        ("TinyCodeLM base", "400M", (6.7,), "secondary", "its model card", "greedy"),
        ("Qwen2.5-Coder", "0.5B", (28.0,), "secondary", "its report, table 6", ""),
        ("Codex", "679M", (16.22, 25.70, 40.95), "secondary", "", ""),
        ("CodeGen2", "1B", (10.27,), "unverified", "", ""),
        ("StarCoderBase", "1B", (15.17,), "unverified", "BigCode leaderboard", ""),
        ("SantaCoder", "1.1B", (18.0, 29.0, 49.0), "unverified", "", ""),
        ("InCoder", "1.3B", (8.9,), "unverified", "", ""),
        ("DeepSeek-Coder base", "1.3B", (34.8,), "secondary", "Qwen2.5-Coder report, table 6", ""),
        ("phi-1", "1.3B", (50.6,), "secondary", "its abstract", "textbook data"),
        ("CodeParrot", "1.5B", (3.58, 8.03, 14.96), "secondary", space, ""),
        ("Qwen2.5-Coder", "1.5B", (42.1,), "secondary", "its report, table 6", ""),
        ("CodeGen-Mono", "2.7B", (23.70, 36.64, 57.01), "secondary", space, ""),
        ("GPT-Neo", "2.7B", (6.4, None, 21.3), "secondary", "Codex paper, text", ""),
        ("PolyCoder", "2.7B", (5.59, 9.84, 17.68), "secondary", space, ""),
        ("GPT-J", "6B", (11.6, None, 27.7), "secondary", "Codex paper, text", ""),
        ("CodeGen-Mono", "6.1B", (26.13, 42.29, 65.82), "secondary", "", ""),
        ("InCoder", "6.7B", (15.2, 27.8, 47.0), "secondary", space, ""),
        ("CodeGen-Mono", "16.1B", (29.28, 49.86, 75.00), "secondary", space, ""),
    ]  # fmt: skip
    return [
        Published("humaneval", model, size, _passes(*values), mark, source, protocol)
        for model, size, values, mark, source, protocol in rows
    ]


def _instruct() -> list[Published]:
    listed = "a list of models by their publishers' scores"
    rows = [
        ("CodeGen2.5-7B-instruct", "7B", 36.2, listed),
        ("InstructCodeT5+", "16B", 35.0, listed),
        ("OctoCoder", "15B", 45.8, listed),
        ("WizardCoder-15B-V1.0", "15B", 57.3, "its model card"),
    ]
    return [
        Published("humaneval-instruct", model, size, {"pass@1": value}, "secondary", source)
        for model, size, value, source in rows
    ]


def _infill() -> list[Published]:
    announced, deepseek = "n = 40", "DeepSeek-Coder paper, table 6"
    qwen, olmo = "Qwen2.5-Coder report, table 7", "olmo-cookbook PR #30"
    rows = [
        ("single-line", "CodeGen2.5-7B", "7B", "pass@1", 70.97, "announcement", "", announced),
        ("single-line", "CodeGen2.0-7B", "7B", "pass@1", 65.18, "announcement", "", announced),
        ("single-line", "CodeGen2.0-16B", "16B", "pass@1", 69.28, "announcement", "", announced),
        ("single-line", "StarCoderBase", "15.5B", "pass@1", 78.60, "announcement", "", announced),
        ("single-line", "empty string", "0", "pass@1", 2.61, "floor", "", ""),
        ("single-line", "the line before, again", "0", "pass@1", 1.84, "floor", "", ""),
        ("single-line", "pass", "0", "pass@1", 2.13, "floor", "", ""),
        ("single-line", "DeepSeek-Coder", "6.7B", "pass@1", 87.1, "secondary", olmo, ""),
        ("single-line", "InCoder", "6.7B", "pass@1", 69.0, "unverified", "", ""),
        ("single-line", "InCoder", "6.7B", "exact_match", 56.3, "unverified", "", ""),
        ("multi-line", "InCoder", "6.7B", "pass@1", 38.6, "unverified", "", ""),
        ("multi-line", "InCoder", "6.7B", "exact_match", 20.6, "unverified", "", ""),
        ("random-span", "DeepSeek-Coder", "6.7B", "pass@1", 75.7, "secondary", olmo, ""),
        ("random-span-light", "any constant", "0", "pass@1", 0.0, "floor", "", ""),
        (LINES, "Qwen2.5-Coder", "0.5B", "exact_match", 70.3, "secondary", qwen, ""),
        (LINES, "SantaCoder", "1.1B", "exact_match", 44.0, "secondary", deepseek, ""),
        (LINES, "DeepSeek-Coder", "1.3B", "exact_match", 57.4, "secondary", deepseek, ""),
        (LINES, "DeepSeek-Coder, run by Qwen", "1.3B", "exact_match", 72.8, "secondary", qwen, ""),
        (LINES, "Qwen2.5-Coder", "1.5B", "exact_match", 77.0, "secondary", qwen, ""),
        (LINES, "StarCoder2", "3B", "exact_match", 70.9, "secondary", qwen, ""),
        (LINES, "CodeLlama", "7B", "exact_match", 67.6, "secondary", deepseek, ""),
        (LINES, "StarCoder", "16B", "exact_match", 62.0, "secondary", deepseek, ""),
    ]
    merged: dict[tuple[str, str, str, str, str, str], dict[str, float]] = {}
    for benchmark, model, size, metric, value, mark, source, protocol in rows:
        merged.setdefault((benchmark, model, size, mark, source, protocol), {})[metric] = value
    return [
        Published(benchmark, model, size, values, mark, source, protocol)
        for (benchmark, model, size, mark, source, protocol), values in merged.items()
    ]


LINES = "santacoder-fim"
"""Line exact match on SantaCoder's Python set: other tasks than HumanEval-Infill's single lines."""

ROWS: tuple[Published, ...] = (*_humaneval(), *_infill(), *_instruct())


def rows(benchmark: str) -> list[Published]:
    """The published rows of a benchmark, the announcement's own first."""
    found = [row for row in ROWS if row.benchmark == benchmark]
    return sorted(found, key=lambda row: row.mark != "announcement")

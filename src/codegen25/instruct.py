"""How instructions and their answers are laid out, and which models were tuned on it. No torch.

The layout is Alpaca's, as in Salesforce's InstructCodeT5+ and DeepSeek-Coder-Instruct; that of
CodeGen2.5-instruct was never published. An answer ends with the end-of-text token.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codegen25.config import CONFIG, read_json
from codegen25.directory import FACTS

PREAMBLE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)
WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request."
)
INSTRUCTION = "### Instruction:"
RESPONSE = "### Response:"
MARK = {"chat": "alpaca"}
"""What `config.json` of a tuned model says under `codegen25`."""


def question(instruction: str, given: str = "", first: bool = True) -> str:
    """The prompt of an instruction, through `### Response:` and its newline."""
    head = ""
    if first:
        head = (WITH_INPUT if given else PREAMBLE) + "\n\n"
    asked = f"{INSTRUCTION}\n{instruction}\n\n"
    return head + asked + (f"### Input:\n{given}\n\n" if given else "") + f"{RESPONSE}\n"


def is_instruct(folder: Path) -> bool:
    """Whether a model directory's model was tuned to answer instructions in this layout.

    Its `config.json` says so, `"codegen25": {"chat": "alpaca"}`, or, in a model of ours that was
    made before that mark, `training.json` says that it was trained on pairs.
    """
    mark = _table(read_json(folder / CONFIG), "codegen25")
    if "chat" in mark:
        return mark["chat"] == MARK["chat"]
    facts = read_json(folder / FACTS) if (folder / FACTS).is_file() else {}
    return bool(_table(facts, "recipe").get("pairs"))


def _table(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = raw.get(key)
    return found if isinstance(found, Mapping) else {}

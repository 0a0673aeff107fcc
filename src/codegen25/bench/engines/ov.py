"""OpenVINO by optimum-intel: weights of eight or four bits, the rest as the CPU plugin chooses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import openvino
import torch
from optimum.intel import OVModelForCausalLM
from optimum.intel.version import __version__ as optimum_version

EXACT = {
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
"""What the format "f32" asks for; without it activations and keys are narrowed where that pays."""


class Driver:
    """`format` is the weights' int8, int4 or f32; the converted model is kept in `made`.

    After a "+", say int8+bf16, stands what is computed in; left out, the plugin chooses, which is
    float32 on a CPU without matrix units.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        weights, _, computed = asked["format"].partition("+")
        settings = {"INFERENCE_NUM_THREADS": str(asked["threads"]), "PERFORMANCE_HINT": "LATENCY"}
        settings |= EXACT if weights == "f32" else {}
        settings |= {"INFERENCE_PRECISION_HINT": computed} if computed else {}
        made = Path(asked["made"])
        if not (made / "openvino_model.xml").is_file():
            convert = str(Path(__file__).with_name("ov_convert.py"))
            subprocess.run(
                [sys.executable, convert, asked["model"], str(made), weights], check=True
            )
        self.model = OVModelForCausalLM.from_pretrained(made, ov_config=settings)

    def version(self) -> dict[str, str]:
        compiled = self.model.request
        compiled = getattr(compiled, "get_compiled_model", lambda: compiled)()
        chosen = {
            name: str(compiled.get_property(name))
            for name in ("INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION", "INFERENCE_NUM_THREADS")
        }
        number = f"{openvino.__version__}, optimum-intel {optimum_version}"
        return {"name": "OpenVINO", "version": number, **chosen}

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        out = self.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new,
            do_sample=False, pad_token_id=0,
        )  # fmt: skip
        tokens: list[list[int]] = out[:, longest:].tolist()
        return tokens

    def keystroke(self, prompt: list[int], new: int, keep: int | None) -> tuple[int, list[int]]:
        """Its keys and values are the state of an inference request and are reset every time."""
        (tokens,) = self.generate([prompt], new)
        return len(prompt), tokens

"""OpenVINO GenAI: paged attention, continuous batching and, for keystrokes, cached prefixes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
CACHE_GIGABYTES = 1
"""Taken at the start, so memory shows it whole."""


class Driver:
    """`format` as `ov.Driver` has it, and the same converted model."""

    def __init__(self, asked: dict[str, Any]) -> None:
        weights, _, computed = asked["format"].partition("+")
        self.settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": asked["threads"]}
        self.settings |= EXACT if weights == "f32" else {}
        self.settings |= {"INFERENCE_PRECISION_HINT": computed} if computed else {}
        self.made = Path(asked["made"])
        if not (self.made / "openvino_model.xml").is_file():
            convert = str(Path(__file__).with_name("ov_convert.py"))
            command = [sys.executable, convert, asked["model"], str(self.made), weights]
            subprocess.run(command, check=True)
        self.caching: bool | None = None
        self.open(caching=False)

    def open(self, *, caching: bool) -> None:
        """The pipeline; whether it looks for known prefixes is settled when it is made."""
        if caching == self.caching:
            return
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size, scheduler.enable_prefix_caching = CACHE_GIGABYTES, caching
        self.pipeline = openvino_genai.LLMPipeline(
            str(self.made), "CPU", scheduler_config=scheduler, **self.settings
        )
        self.caching = caching

    def version(self) -> dict[str, str]:
        return {"name": "OpenVINO GenAI", "version": openvino_genai.__version__}

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        self.open(caching=False)
        return self.answer(prompts, new)

    def keystroke(
        self, prompt: list[int], new: int, keep: int | None
    ) -> tuple[int | None, list[int]]:
        """What it finds in its cache, whole blocks, it does not say."""
        self.open(caching=keep is not None)
        (tokens,) = self.answer([prompt], new)
        return len(prompt) if keep is None else None, tokens

    def answer(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        ids = np.array(prompts, dtype=np.int64)
        inputs = openvino_genai.TokenizedInputs(
            openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids))
        )
        config = openvino_genai.GenerationConfig(
            max_new_tokens=new, ignore_eos=True, do_sample=False, eos_token_id=0
        )
        tokens: list[list[int]] = self.pipeline.generate(inputs, config).tokens
        return tokens

"""onnxruntime-genai on the CPU, the model made by its own builder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai as og


class Driver:
    """`format` is a precision of the builder; the model is kept in the folder `made`."""

    def __init__(self, asked: dict[str, Any]) -> None:
        made = Path(asked["made"])
        if not (made / "genai_config.json").is_file():
            build(asked["model"], made, asked["format"])
        set_threads(made / "genai_config.json", asked["threads"])
        self.model, self.context = og.Model(str(made)), asked["context"]
        self.one: Any = None

    def version(self) -> dict[str, str]:
        return {"name": "onnxruntime-genai", "version": og.__version__}

    def generator(self, batch: int, length: int) -> Any:
        """A greedy generator; up to the greatest length the end of a text is never drawn."""
        params = og.GeneratorParams(self.model)
        params.set_search_options(
            batch_size=batch, max_length=length, min_length=length, do_sample=False
        )
        return og.Generator(self.model, params)

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        (length,) = {len(prompt) for prompt in prompts}
        generator = self.generator(len(prompts), length + new)
        generator.append_tokens(np.array(prompts, dtype=np.int32))
        for _ in range(new):
            generator.generate_next_token()
        return [
            [int(i) for i in generator.get_sequence(row)[length:]] for row in range(len(prompts))
        ]

    def keystroke(self, prompt: list[int], new: int, keep: int | None) -> tuple[int, list[int]]:
        """The generator is rewound to the shared prefix ("continuous decoding")."""
        if keep and self.one is not None:
            self.one.rewind_to(keep)
        else:
            self.one, keep = self.generator(1, self.context), 0
        self.one.append_tokens(np.array([prompt[keep:]], dtype=np.int32))
        for _ in range(new):
            self.one.generate_next_token()
        return len(prompt) - keep, [int(i) for i in self.one.get_sequence(0)[len(prompt) :]]


def build(model: str, made: Path, precision: str) -> None:
    """Convert a Hugging Face directory, as the builder's own command does."""
    cache = made.with_name(f"{made.name}-cache")
    subprocess.run(
        [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", model, "-o", str(made),
         "-p", precision, "-e", "cpu", "-c", str(cache)],
        check=True,
    )  # fmt: skip


def set_threads(path: Path, threads: int) -> None:
    """The number of threads is a setting of the model's folder."""
    config = json.loads(path.read_text())
    options = config["model"]["decoder"].setdefault("session_options", {})
    options["intra_op_num_threads"] = threads
    path.write_text(json.dumps(config, indent=1))

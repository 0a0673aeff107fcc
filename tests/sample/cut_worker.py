"""One of several processes that hold a model together; the first writes what it answered."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from codegen25.directory import Directory
from codegen25.sample import torch_load
from codegen25.sample.engine import Engine
from codegen25.sample.options import Sampling
from codegen25.sample.request import Request
from codegen25.sample.torch_runner import TorchRunner

PROMPTS = (
    ("import os\n" * 30 + "def f(x):\n    ", "\n"), ("y", ""), ("a = [1, 2", "]\n"),
    ("for i in ", ":\n    pass\n"), ("class A:\n", "\n"), ("def g(", "):\n    return 1\n"),
)  # fmt: skip


def say(runner: TorchRunner, folder: Path) -> dict[str, object]:
    """Answers alone, beside each other, after a part that is known; logits of a long prompt."""
    directory = Directory.read(folder)
    engine = Engine(runner, directory.tokenizer, directory.form, folder)
    asked = [
        Request(engine.prompt(*prompt, max_tokens=20), 20, Sampling(t), f"{i}", draft=bool(i % 2))
        for i, prompt in enumerate(PROMPTS)
        for t in (0.0, 0.8)
    ]
    alone = [engine.wait(engine.submit(request)).text for request in asked[:4]]
    beside = dict(engine.answer_all(asked))
    ids = [2 + i % 700 for i in range(engine.context)]
    return {
        "alone": alone,
        "beside": [beside[i].text for i in range(len(asked))],
        "cached": [beside[i].cached_tokens for i in range(len(asked))],
        "logits": engine.logits(ids, len(ids) - 2).tolist(),
    }


if __name__ == "__main__":
    model, kind, out = sys.argv[1:]
    runner = torch_load.among_several(Directory.read(Path(model)), "cpu", kind, 1)
    said = say(runner, Path(model))
    Path(out).write_text(json.dumps({"name": runner.name, **said}))

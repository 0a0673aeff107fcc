"""Bytes per token of ways to treat newlines and indentation, at equal vocabulary.

python benchmarks/whitespace.py corpus

All of them split by GPT-2's regex when they encode, which is what llama.cpp does; they differ in
what merges training may learn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tokenizers
from tokenizers import Regex, models, pre_tokenizers, trainers

from codegen25 import vocabulary
from codegen25.data.shards import TextShard
from codegen25.data.tokenize import bytes_per_token
from codegen25.tokenizer import Tokenizer


def trained(texts: list[str], size: int, isolate_newlines: bool) -> Tokenizer:
    """A plain BPE; with `isolate_newlines` no token holds a newline and its indentation."""
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex("\n"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_]) if isolate_newlines else bytes_
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer=trainer)
    backend.pre_tokenizer = bytes_
    return Tokenizer(backend)


def main(corpus: Path) -> None:
    texts = list(TextShard(corpus))[::2]
    specials = len(vocabulary.special_tokens(64))
    print("| vocabulary | newline apart | newline + indentation | the same, every run a token |")
    print("|---|---|---|---|")
    for size in (2048, 4096, 8192):
        candidates = [
            trained(texts, size - specials, isolate_newlines=True),
            trained(texts, size - specials, isolate_newlines=False),
            vocabulary.train(iter(texts), size),
        ]
        rates = [bytes_per_token(each, corpus) for each in candidates]
        print(f"| {size} | " + " | ".join(f"{rate:.3f}" for rate in rates) + " |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""`codegen25 tokenizer`: a vocabulary from a corpus, and what it is worth."""

from __future__ import annotations

from pathlib import Path

from codegen25 import vocabulary
from codegen25.data.shards import TextShard
from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer

MAX_VOCABULARY = 1 << 20


def run(out: Path, corpus: Path | None, vocab_size: int, original: bool) -> None:
    """Write a `tokenizer.json` and say how many bytes a token holds."""
    if (corpus is None) == (not original):
        raise UserError("give --corpus to train a tokenizer, or --codegen25 for the original one")
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file, e.g. {out}/tokenizer.json")
    if vocab_size > MAX_VOCABULARY:
        raise UserError(f"a vocabulary of {vocab_size} is too large; at most {MAX_VOCABULARY}")
    if corpus is None:
        tokenizer = vocabulary.codegen25()
    else:
        tokenizer = vocabulary.train(iter(TextShard(corpus)), vocab_size)
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = out.with_name(f".{out.name}.new")
    tokenizer.save(staging)
    staging.replace(out)
    print(f"{out}: {tokenizer.vocab_size} ids")
    if corpus is not None and TextShard(corpus, "heldout").total_bytes:
        print(f"held-out bytes per token {bytes_per_token(tokenizer, corpus):.3f}")


def bytes_per_token(tokenizer: Tokenizer, corpus: Path) -> float:
    """Bytes of held-out text per id: what a vocabulary is compared by."""
    shard = TextShard(corpus, "heldout")
    return shard.total_bytes / max(1, sum(len(tokenizer.encode(text)) for text in shard))

"""What a model directory says of itself besides its weights: shape, vocabulary, infill format.

No torch here: a completion on a CPU starts without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codegen25.config import CONFIG, ModelConfig, parse_config, read_json
from codegen25.errors import UserError
from codegen25.infill import Format
from codegen25.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
FACTS = "training.json"
"""How the weights came about, in a model of ours; see `train.loop.Trainer.facts`."""


@dataclass(frozen=True)
class Directory:
    """A model directory, read and checked but for its weights."""

    folder: Path
    config: ModelConfig
    tokenizer: Tokenizer
    form: Format

    @classmethod
    def read(cls, folder: Path) -> Directory:
        """Anything missing, foreign or inconsistent is a UserError that names file and key."""
        raw = read_json(folder / CONFIG)
        config = parse_config(raw, folder / CONFIG)
        tokenizer = Tokenizer.load(folder / TOKENIZER)
        if tokenizer.vocab_size > config.vocab_size:
            raise UserError(
                f"{folder / TOKENIZER}: {tokenizer.vocab_size} ids, but {CONFIG} says vocab_size "
                f"{config.vocab_size}; tokenizer and weights are of different models"
            )
        _require_same_tokenizer(folder, tokenizer)
        return cls(folder, config, tokenizer, Format.of(tokenizer, raw))


def _require_same_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Of a model of ours: the tokenizer must be the one it was trained with."""
    facts = read_json(folder / FACTS) if (folder / FACTS).is_file() else {}
    if facts.get("tokenizer_sha256", tokenizer.sha256) != tokenizer.sha256:
        raise UserError(
            f"{folder / TOKENIZER}: not the tokenizer that {FACTS} says the model was trained with"
        )

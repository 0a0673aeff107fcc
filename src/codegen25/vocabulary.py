"""Making tokenizers: train a byte-level BPE on a corpus, or rebuild CodeGen2.5's vocabulary.

Both split text by GPT-2's regex, which llama.cpp knows by the name `gpt-2`, and both end in the
same special tokens, `<mask_1>` last: id(mask_k) = vocab_size - k.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from codegen25.errors import UserError
from codegen25.infill import DUMMIES, END_OF_MIDDLE, END_OF_TEXT, FIM, SEPARATOR, STRUCTURE, mask
from codegen25.tokenizer import Tokenizer

SPACE_RUNS = tuple(" " * n for n in range(31, 1, -1))
TAB_RUNS = tuple("\t" * n for n in range(9, 1, -1))
"""CodeGen2.5's whitespace runs in id order. The longest is merged first, see `run_merges`."""


WHOLE_RUNS = tuple(" " * n for n in range(2, 17)) + tuple("\t" * n for n in range(2, 5))
"""Whitespace that is one token in every vocabulary we train, frequent or not."""


def train(texts: Iterator[str], vocab_size: int, masks: int = 64) -> Tokenizer:
    """Train a byte-level BPE of `vocab_size` ids, special tokens included, on `texts`.

    The regex keeps a newline with its indentation, all but the last space, which goes with the
    next word; letting merges cross that border is worth a tenth in bytes per token (docs/log.md).
    `masks` mask sentinels are reserved.
    """
    specials = special_tokens(masks)
    room = vocab_size - len(specials)
    if room < 256 + len(WHOLE_RUNS):
        least = 256 + len(WHOLE_RUNS) + len(specials)
        raise UserError(f"a vocabulary of {vocab_size} is too small; it needs at least {least}")
    backend = _byte_level(tokenizers.Tokenizer(models.BPE()))
    trainer = trainers.BpeTrainer(
        vocab_size=room,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=[],
    )
    backend.train_from_iterator(texts, trainer=trainer)
    if backend.get_vocab_size() < room:
        raise UserError(
            f"the text yields only {backend.get_vocab_size()} tokens; give more text or ask for a "
            f"vocabulary of at most {backend.get_vocab_size() + len(specials)}"
        )
    backend = _with_whole_runs(backend, room)
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    return Tokenizer(backend)


def _with_whole_runs(backend: tokenizers.Tokenizer, size: int) -> tokenizers.Tokenizer:
    """Give up the last merges for those that make each of `WHOLE_RUNS` one token."""
    learned = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    alphabet = [token for token, _ in sorted(backend.get_vocab().items(), key=lambda i: i[1])][:256]
    merges = learned
    while True:
        added: list[tuple[str, str]] = []
        for run in WHOLE_RUNS:
            parts = _from_merges(alphabet, merges + added).encode(run).tokens
            while len(parts) > 1:
                added.append((parts[0], parts[1]))
                parts = [parts[0] + parts[1], *parts[2:]]
        over = len(alphabet) + len(merges) + len(added) - size
        if over <= 0:
            return _from_merges(alphabet, merges + added)
        merges = merges[:-over]


def _from_merges(
    alphabet: Sequence[str], merges: Sequence[tuple[str, str]]
) -> tokenizers.Tokenizer:
    tokens = [*alphabet, *(a + b for a, b in merges)]
    vocab = {token: i for i, token in enumerate(tokens)}
    return _byte_level(tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=list(merges))))


def special_tokens(masks: int) -> list[str]:
    """The special tokens in id order, `<mask_1>` last."""
    names = [END_OF_TEXT, *FIM, *STRUCTURE, *DUMMIES]
    return [*names, SEPARATOR, END_OF_MIDDLE, *(mask(k) for k in range(masks, 0, -1))]


def codegen25() -> Tokenizer:
    """The vocabulary of Salesforce/codegen25-7b: 51,200 ids, as a plain `tokenizer.json`.

    GPT-2's ranks come from tiktoken, which reads them from TIKTOKEN_CACHE_DIR or downloads them.
    Layout: HF commits multi_P@f319d912 and mono_P@94ea6ac9.
    """
    ranks = _gpt2_ranks()
    spelling = byte_spelling()
    vocab = {_spell(token, spelling): rank for token, rank in ranks.items()}
    merges = [(_spell(a, spelling), _spell(b, spelling)) for a, b in merges_of(ranks)]
    runs = [_spell(run.encode(), spelling) for run in SPACE_RUNS + TAB_RUNS]
    end_of_text = len(vocab)
    vocab |= {run: end_of_text + 1 + i for i, run in enumerate(runs)}
    vocab[END_OF_TEXT] = end_of_text
    merges += run_merges(runs)
    backend = _byte_level(tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges)))
    backend.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in special_tokens(881)]
    )
    return Tokenizer(backend)


def run_merges(runs: Sequence[str]) -> list[tuple[str, str]]:
    """Merges that build each run from one character less plus one, longest result first.

    In ascending order two pairs would be built before a run of three, and half of all indented
    text would come out wrong.
    """
    longest_first = sorted(runs, key=lambda run: (run[0] != runs[0][0], -len(run)))
    return [(run[:-1], run[-1]) for run in longest_first]


def merges_of(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Recover the merge list of a ranked vocabulary: the last pair that forms each token."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            parts = [token[i : i + 1] for i in range(len(token))]
            while len(parts) > 2:
                candidates = [
                    (ranks.get(parts[i] + parts[i + 1], rank), i) for i in range(len(parts) - 1)
                ]
                best, i = min(candidates)
                assert best < rank, token
                parts[i : i + 2] = [parts[i] + parts[i + 1]]
            merges.append((parts[0], parts[1]))
    return merges


def _gpt2_ranks() -> dict[bytes, int]:
    try:
        import tiktoken
    except ImportError as error:
        raise UserError("the CodeGen2.5 vocabulary needs tiktoken: pip install tiktoken") from error
    try:
        encoding = tiktoken.get_encoding("gpt2")
    except Exception as error:  # whatever the download raised
        raise UserError(
            "GPT-2's ranks are neither cached nor reachable "
            f"({type(error).__name__}); point TIKTOKEN_CACHE_DIR at a folder that holds "
            "tiktoken's gpt2 files, or go online once"
        ) from error
    ranks: dict[bytes, int] = encoding._mergeable_ranks
    return ranks


def _byte_level(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    return backend


def byte_spelling() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte (openai/gpt-2 encoder.py, bytes_to_unicode)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def _spell(token: bytes, spelling: Mapping[int, str]) -> str:
    return "".join(spelling[byte] for byte in token)

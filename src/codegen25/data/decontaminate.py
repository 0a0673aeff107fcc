"""Keep evaluation problems out of training data: n-gram overlap by fingerprints.

The fingerprints of HumanEval travel with the package (8-byte hashes, from which no problem can be
read back), so a corpus is clean by default and nobody needs the data to build one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np

from codegen25.data.documents import Document
from codegen25.errors import UserError

NGRAM = 13
"""Words in a row that count as a copy; the length GPT-3 and later decontamination used."""
SHIPPED = "humaneval.fingerprints.bin"
_WORD = re.compile(r"[a-z_0-9]+")


def fingerprints(text: str, ngram: int = NGRAM) -> set[int]:
    """64-bit hashes of all runs of `ngram` lower-cased words (identifiers and numbers)."""
    words = _WORD.findall(text.lower())
    return {_hash(" ".join(words[i : i + ngram])) for i in range(max(0, len(words) - ngram + 1))}


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def problem_texts(path: Path) -> Iterable[str]:
    """The prompt with its solution of each row of a HumanEval-style jsonl (.gz)."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in filter(str.strip, raw.decode().split("\n")):
            row = json.loads(line)
            yield row["prompt"] + row["canonical_solution"] + row.get("suffix", "")
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise UserError(
            f"{path}: not a HumanEval-style jsonl file ({error}); "
            "each row needs prompt and canonical_solution"
        ) from error


def collect(paths: Iterable[Path]) -> set[int]:
    """The fingerprints of all problems in the files given."""
    return {mark for path in paths for text in problem_texts(path) for mark in fingerprints(text)}


def shipped() -> set[int]:
    """HumanEval's fingerprints as they come with the package."""
    raw = (files("codegen25.data") / SHIPPED).read_bytes()
    return set(np.frombuffer(raw, dtype="<u8").tolist())


def write(marks: set[int], path: Path) -> None:
    """Store fingerprints as sorted little-endian 64-bit integers."""
    path.write_bytes(np.array(sorted(marks), dtype="<u8").tobytes())


def contaminated(marks: set[int]) -> Callable[[Document], str | None]:
    """A reason-to-drop for documents that share a run of words with a problem."""

    def reason(document: Document) -> str | None:
        return "contaminated" if marks & fingerprints(document.text) else None

    return reason

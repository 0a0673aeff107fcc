"""Where a file comes from, put before it: repository, path and stars, each now and then.

StarCoder's layout is `<reponame>R<filename>F<gh_stars>S`, a newline, the source. Each field is
there with a probability of its own, so that a model also works without (StarCoder paper, section
on data formatting; bigcode-dataset, preprocessing/add_content_with_meta.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from codegen25.data.documents import Document, Step
from codegen25.data.records.layout import FILENAME, GH_STARS, REPONAME, Piece, lay_out
from codegen25.errors import UserError

PROBABILITY = 0.2
"""StarCoder's, for each field."""
FIELDS = (REPONAME, FILENAME, GH_STARS)


def with_metadata(probability: float = PROBABILITY, seed: int = 0) -> Step:
    """A step that puts each known field before the source with `probability`.

    The draw depends on seed, repository, path and field alone. Documents that have marks already,
    which are records, stay as they are.
    """
    if not 0 <= probability <= 1:
        raise UserError(f"the probability of metadata is {probability}; it lies between 0 and 1")

    def step(document: Document) -> Document:
        chosen = [
            (name, value)
            for name, value in _fields(document)
            if chance(seed, document.repo, document.path, name) < probability
        ]
        if document.marks or not chosen:
            return document
        header, marks = lay_out(chosen)
        return replace(document, text=f"{header}\n{document.text}", marks=marks)

    return step


def body_start(document: Document) -> int:
    """Where the source starts, in characters: after the header's newline, or 0 without one."""
    header = [position for position, name in document.marks if name in FIELDS]
    return document.text.index("\n", header[-1]) + 1 if header else 0


def star_bucket(stars: int) -> str:
    """One of StarCoder's five buckets; their borders belong to the lower one.

    >>> [star_bucket(n) for n in (0, 1, 10, 11, 1000, 1001)]
    ['0', '1-10', '1-10', '10-100', '100-1000', '1000+']
    """
    if stars <= 0:
        return "0"
    for bound, name in ((10, "1-10"), (100, "10-100"), (1000, "100-1000")):
        if stars <= bound:
            return name
    return "1000+"


def chance(seed: int, *names: str) -> float:
    """A number drawn uniformly from [0, 1) by hash, the same on every machine."""
    text = "\0".join((str(seed), *names))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _fields(document: Document) -> list[Piece]:
    """What is known, without newlines: the first one ends the header.

    A function cut out of a file, `FILE::NAME`, stands under the name of its file.
    """
    stars = "" if document.stars is None else star_bucket(document.stars)
    values = (document.repo, document.path.partition("::")[0], stars)
    return [
        (name, value.replace("\n", " "))
        for name, value in zip(FIELDS, values, strict=True)
        if value
    ]

"""What a client wants, in nobody's dialect."""

from __future__ import annotations

from dataclasses import dataclass, field

from codegen25.sample.options import Sampling
from codegen25.sample.stopping import Stops

MOST_SAMPLES = 16
MOST_EXTRA = 64


@dataclass(frozen=True)
class Ask:
    """One question to one model.

    prefix     what stands before the cursor.
    suffix     what stands behind it; None continues the prefix from left to right.
    ids        a prompt that is ids already; prefix and suffix then count for the stops alone.
    max_tokens 0 computes the prompt and answers nothing: it warms the cache.
    typing     the keystrokes of an editor: laid out so that each costs the tokens typed, healed at
               the cursor, and answered at once while the typing agrees with the last answer.
    extra      other files' (path, text), the most telling first.
    budget     seconds after which the answer ends with what there is.
    owner      whose keys and values may be shared.
    """

    prefix: str = ""
    suffix: str | None = None
    ids: tuple[int, ...] | None = None
    max_tokens: int = 64
    sampling: Sampling = field(default_factory=Sampling)
    n: int = 1
    stops: Stops = field(default_factory=Stops)
    layout: str | None = None
    typing: bool = False
    extra: tuple[tuple[str, str], ...] = ()
    budget: float | None = None
    language: str = "python"
    owner: str = ""

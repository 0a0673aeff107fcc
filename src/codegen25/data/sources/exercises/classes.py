"""Small classes, with a session in the docstring that was run."""

from __future__ import annotations

import re
from random import Random

from codegen25.data.sources.exercises.draft import SLOT, blocks, text
from codegen25.data.sources.exercises.literal import imports
from codegen25.data.sources.exercises.naming import POOLS
from codegen25.data.sources.exercises.render import Exercise

_NUMBER = re.compile(r"#(-?\d+)\.\.(-?\d+)#")

_POOLS = POOLS | {
    "items": "items _items elements values", "obj": "s obj a c example", "number": "number n new",
}  # fmt: skip
_BLOCKS = blocks(text("operations/classes.txt"))
"""Each is names by commas, code, and a session with numbers to be drawn, `#low..high#`."""


def a_class(rng: Random) -> Exercise:
    """A class of its own, with a session of what it does in three of four docstrings."""
    block = rng.choice(_BLOCKS)
    names, _, rest = block.strip("\n").partition("\n")
    code, _, session = rest.partition("\n---\n")
    chosen = {"name": rng.choice(names.split(", "))}
    for slot in SLOT.findall(rest):
        if slot not in chosen:
            free = [n for n in _POOLS[slot].split() if n not in chosen.values()]
            chosen[slot] = rng.choice([n for n in free if n not in ("min", "max", "self", "list")])
    code = SLOT.sub(lambda match: chosen[match[1]], code)
    session = SLOT.sub(lambda match: chosen[match[1]], session)
    session = _NUMBER.sub(lambda match: str(rng.randint(int(match[1]), int(match[2]))), session)
    code = re.sub(r"<([A-Z].*)>", r'"""\1"""', code) + "\n"
    if rng.random() < 0.75:
        lines = "".join(f"\n    {line}" for line in _ran(code, session.strip().split("\n")))
        code = code.replace('"""\n', f'\n{lines}\n    """\n', 1)
    return Exercise(chosen["name"], code)


def _ran(code: str, session: list[str]) -> list[str]:
    """The session as Python shows it."""
    namespace: dict[str, object] = {"__name__": "exercise"}
    exec("\n".join([*imports([code]), code]), namespace)
    shown = []
    for line in session:
        shown.append(f">>> {line}")
        try:
            result = eval(line, namespace)
        except SyntaxError:
            exec(line, namespace)
        else:
            shown += [repr(result)] if result is not None else []
    return shown

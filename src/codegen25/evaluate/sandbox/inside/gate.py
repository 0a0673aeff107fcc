"""Which programs may run beside others in one process.

A first verdict is shared by a batch, so one sample could lie about the next. Only code that uses
nothing but harmless modules and names of its own does; everything else is decided alone. This is
about false failures: no pass of a batch stands anyway.
"""

from __future__ import annotations

import opcode
from types import CodeType

MODULES = frozenset(
    {
        "math", "cmath", "typing", "collections", "itertools", "functools", "string", "re",
        "random", "heapq", "bisect", "copy", "statistics", "fractions", "datetime", "hashlib",
        "json", "numbers", "enum", "dataclasses", "textwrap", "time", "abc", "__future__",
    }
)  # fmt: skip
"""What such a program may import."""
NAMES = frozenset(
    {
        "exec", "eval", "compile", "open", "globals", "locals", "vars", "getattr", "setattr",
        "delattr", "breakpoint", "input", "exit", "quit", "help", "attrgetter", "methodcaller",
        "get_type_hints", "ForwardRef", "sys", "os", "modules", "builtins", "types", "inspect",
        "codecs", "copyreg", "importlib", "tb_frame", "tb_next", "gi_frame", "gi_code", "cr_frame",
        "cr_code", "ag_frame", "ag_code", "f_back", "f_globals", "f_builtins", "f_locals", "mro",
        "register", "dispatch_table", "cache_clear", "setstate", "with_traceback", "sleep",
    }
)  # fmt: skip
"""What it may not name; nor anything else that begins with an underscore."""
_DUNDERS = frozenset({"__name__", "__module__", "__qualname__", "__doc__", "__annotations__"})
_IMPORT, _STORE, _DELETE, _IMPORT_ALL = (
    opcode.opmap.get(name, -1)
    for name in ("IMPORT_NAME", "STORE_ATTR", "DELETE_ATTR", "IMPORT_STAR")
)


def harmless(code: CodeType) -> bool:
    """Whether a compiled program is plainly of the kind that leaves its process as it was."""
    names = code.co_names
    operations = code.co_code[::2]
    if _STORE in operations or _DELETE in operations:
        return False
    if _IMPORT in operations and not _imports(code) <= MODULES:
        return False
    if any(name in NAMES or (name[0] == "_" and not _own(name)) for name in names):
        return False
    return all(harmless(part) for part in code.co_consts if isinstance(part, CodeType))


def _own(name: str) -> bool:
    return name in _DUNDERS or name.strip("_") == ""


def _imports(code: CodeType) -> set[str]:
    found: set[str] = set()
    extended = 0
    raw = code.co_code
    for at in range(0, len(raw), 2):
        argument = raw[at + 1] | extended
        extended = argument << 8 if raw[at] == opcode.EXTENDED_ARG else 0
        if raw[at] == _IMPORT:
            found.add(code.co_names[argument].partition(".")[0])
    return found

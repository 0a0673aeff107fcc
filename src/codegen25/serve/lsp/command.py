"""`codegen25 lsp`: the language server of one editor, on standard input and output."""

from __future__ import annotations

import logging
import os
import sys
from typing import BinaryIO

from codegen25.errors import UserError
from codegen25.models import DEFAULT
from codegen25.serve.lsp.settings import Settings

NEEDED = ("pygls", "lsprotocol", "cattrs", "attrs")


def run(model: str = DEFAULT, weights: str = "auto", threads: int = 0) -> None:
    """Serve until the editor says `exit` or goes away.

    What an editor sends as `initializationOptions` goes before the arguments.
    """
    try:
        from codegen25.serve.lsp.features import build
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        raise UserError(
            f"the language server needs {error.name}: pip install 'codegen25[lsp]'"
        ) from error
    for name in ("pygls", "asyncio"):  # their messages quote what an editor sent
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    server = build(Settings(model, weights, threads))
    server.start_io(*_take_streams())
    if server.exit_code:
        raise SystemExit(server.exit_code)


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """The protocol's two ends, for itself alone.

    Whatever else prints or reads, here, in a library or in a compiler that is run, gets standard
    error and an empty input.
    """
    sys.stdout.flush()
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return reader, writer

"""`codegen25 eval typing`: what completions would have saved the one who typed a file."""

from codegen25.evaluate.typing.command import run

__all__ = ["run"]

"""`codegen25 eval card`: what a model was made of, how, and what it scored, as its README.md."""

from codegen25.evaluate.card.command import run

__all__ = ["run"]

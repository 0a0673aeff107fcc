"""`codegen25 eval card`: what a model was made of, how, and what it scored, as its README.md."""

from codegen25.evaluate.card.command import CARD, require, require_of, run

__all__ = ["CARD", "require", "require_of", "run"]

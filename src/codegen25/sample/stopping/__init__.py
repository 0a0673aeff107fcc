"""When an answer has said enough: one machine over text, whatever pieces the text arrives in."""

from codegen25.sample.stopping.stopper import Stopper, Stops

__all__ = ["Stopper", "Stops"]

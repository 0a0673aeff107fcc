"""`codegen25 eval report`: run folders to a page and to Markdown, published numbers beside them."""

from codegen25.evaluate.report.command import run

__all__ = ["run"]

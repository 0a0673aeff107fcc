"""`codegen25 eval report`: run folders to a page and to Markdown, published numbers beside them."""

from codegen25.evaluate.report.command import run, tables_of

__all__ = ["run", "tables_of"]

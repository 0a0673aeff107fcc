"""Tabby's dialect, as tabby-agent speaks it: `segments`, events, health.

`/v1/completions` is OpenAI's path too; a request with `segments` is Tabby's, see `openai`.
"""

from codegen25.serve.dialects.tabby.completions import TabbyBody, completions
from codegen25.serve.dialects.tabby.server import router

__all__ = ["TabbyBody", "completions", "router"]

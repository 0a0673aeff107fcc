"""Ollama's dialect: `/api/generate` with `suffix`, `/api/chat`, and what there is."""

from codegen25.serve.dialects.ollama.routes import router

__all__ = ["router"]

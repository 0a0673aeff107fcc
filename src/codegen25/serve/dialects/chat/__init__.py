"""OpenAI's `/v1/chat/completions`, for models that were tuned on instructions."""

from codegen25.serve.dialects.chat.routes import router

__all__ = ["router"]

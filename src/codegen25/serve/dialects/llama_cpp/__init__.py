"""llama.cpp's server, as llama.vim and llama.vscode speak to it."""

from codegen25.serve.dialects.llama_cpp.routes import router

__all__ = ["router"]

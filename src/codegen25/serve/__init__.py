"""The engine for people's own tools: an HTTP server of many dialects, a page, a language server."""

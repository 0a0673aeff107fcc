"""llama.cpp behind our dialects: the real thing in a process of its own, asked with token ids."""

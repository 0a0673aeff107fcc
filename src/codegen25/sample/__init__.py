"""Prompt to tokens: the engine and how it draws."""

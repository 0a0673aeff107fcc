"""Structured records beside source files: commits, notebooks and issues in StarCoder's layouts."""

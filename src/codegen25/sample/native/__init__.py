"""The engine's kernels for CPUs, and the runner that computes with them."""

"""Benchmarks of the verb `bench`: ours beside the peers and the floor, in one run."""

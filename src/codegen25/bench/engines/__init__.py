"""Other engines on our weights: a driver each, run by a Python of their own; see `peers`."""

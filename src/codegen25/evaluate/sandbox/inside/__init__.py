"""What runs in a worker: standard library only, and nothing of the package around it.

A worker is started with this folder's parent on its path, so it stays small: forks of it are cheap,
and what a sample can find in its memory is little.
"""

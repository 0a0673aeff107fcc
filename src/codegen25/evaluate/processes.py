"""Work on a model in several processes, each with an engine and one thread."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from codegen25.errors import UserError
from codegen25.sample.engine import Engine

NEIGHBOURS = 8
"""Items that stand together go to one process: samples of one task share a prompt."""
T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


def in_processes(
    load: Callable[[], Engine],
    work: Callable[[Engine, Sequence[T], A], Iterator[R]],
    items: Sequence[T],
    argument: A,
    workers: int,
) -> Iterator[R]:
    """What `work(engine, share, argument)` yields in each of the processes, as it comes.

    An exception in one ends all; the processes end with this one, even if it is killed.
    """
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    shares: list[list[T]] = [[] for _ in range(workers)]
    for index, item in enumerate(items):
        shares[index // NEIGHBOURS % workers].append(item)
    processes = [
        context.Process(
            target=_work, args=(os.getpid(), load, work, share, argument, results), daemon=True
        )
        for share in shares
    ]
    try:
        for process in processes:
            process.start()
        working = workers
        while working:
            try:
                kind, result = results.get(timeout=1)
            except queue.Empty:
                if any(process.exitcode for process in processes):
                    raise UserError(
                        "a generating process was killed, most likely for memory; give the same "
                        "command again to go on, with fewer --workers"
                    ) from None
                continue
            if kind == "error":
                raise result
            if kind == "done":
                working -= 1
            else:
                yield result
    finally:
        for process in processes:
            process.kill()
            process.join()


def _work(
    parent: int, load: Callable[[], Engine], work: Callable[[Engine, Any, Any], Iterator[Any]],
    items: Any, argument: Any, results: Any,
) -> None:  # fmt: skip
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    try:
        for result in work(load(), items, argument):
            results.put(("result", result))
        results.put(("done", None))
    except Exception as error:
        known = isinstance(error, UserError)
        results.put(("error", error if known else RuntimeError(repr(error))))


def _leave_with(parent: int) -> None:
    """A killed parent cannot say goodbye."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

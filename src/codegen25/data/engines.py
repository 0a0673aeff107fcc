"""Where the work is done: in processes of this machine, or on a Ray cluster.

Both offer two things and give the same results in the same order: `map`, a function over tasks,
and `group`, rows with a key brought together and reduced. On a cluster the working folder must be
on storage that all nodes share, and the package be installed on each.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from codegen25.errors import UserError

T = TypeVar("T")
R = TypeVar("R")
Columns = dict[str, NDArray[Any]]
"""Rows as columns of equal length."""

KILLED = (
    "a worker was killed, most likely for memory; run the same command again to go on, with fewer "
    "--workers"
)
RETRIES = 3
"""How often Ray starts a task again whose worker died; without a number Ray Data never ends."""


class Engine(Protocol):
    """What the pipeline asks of a machine or a cluster."""

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in their order."""

    def group(
        self,
        emit: Callable[[Any], Columns],
        reduce: Callable[[Columns], Columns],
        items: Sequence[Any],
        key: str,
    ) -> Columns:
        """The rows that `emit` makes of the items, reduced by groups of equal `key`.

        Rows reach `reduce` in no particular order, and its results come in none.
        """


class Local:
    """A pool of processes; with one worker, this process."""

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """See `Engine.map`. At most two tasks a worker wait in memory."""
        if self.workers == 1 or len(items) < 2:
            yield from map(function, items)
            return
        context = multiprocessing.get_context("spawn")  # forking a process with threads hangs
        try:
            with ProcessPoolExecutor(
                self.workers, mp_context=context, initializer=_worker, initargs=(os.getpid(),)
            ) as pool:
                waiting: list[Future[R]] = []
                for item in items:
                    waiting.append(pool.submit(function, item))
                    if len(waiting) > 2 * self.workers:
                        yield waiting.pop(0).result()
                while waiting:
                    yield waiting.pop(0).result()
        except BrokenProcessPool as error:
            raise UserError(KILLED) from error

    def group(
        self,
        emit: Callable[[Any], Columns],
        reduce: Callable[[Columns], Columns],
        items: Sequence[Any],
        key: str,
    ) -> Columns:
        """See `Engine.group`. All rows are held in memory."""
        rows = concatenate([emit(item) for item in items])
        if not rows or not len(rows[key]):
            return {}
        order = np.argsort(rows[key], kind="stable")
        borders = np.flatnonzero(np.diff(rows[key][order])) + 1
        groups = np.split(order, borders)
        return concatenate(
            [reduce({name: column[group] for name, column in rows.items()}) for group in groups]
        )


def _worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and do not outlive it: a killed one cannot say goodbye."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Ray:
    """Ray Data: on this machine, or on the cluster that RAY_ADDRESS names."""

    def __init__(self, workers: int = 0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing phones home
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise UserError("--engine ray needs Ray; pip install 'codegen25[ray]'") from error
        self.ray = ray
        if not ray.is_initialized():
            if address := os.environ.get("RAY_ADDRESS"):
                _join(ray, address)
            else:
                ray.init(
                    address="local",  # not the cluster that happens to run here
                    num_cpus=workers or len(os.sched_getaffinity(0)),
                    include_dashboard=False,
                    object_store_memory=300 << 20,
                    log_to_driver=False,
                    _node_ip_address="127.0.0.2",  # Ray replaces 127.0.0.1 by the card's address
                )
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.raise_original_map_exception = True  # Ray's wrapper loses its cause on the way
        for handler in logging.getLogger("ray.data").handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.addFilter(_no_error)

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """See `Engine.map`. A task whose worker dies is tried again, `RETRIES` times."""
        if not items:
            return
        with _without_warning():
            dataset = self.ray.data.range(len(items), override_num_blocks=len(items)).map(
                lambda row: {"index": row["id"], "result": function(items[int(row["id"])])},
                max_retries=RETRIES,
            )
        done: dict[int, R] = {}
        following = 0
        with self._errors():
            for one in dataset.iter_rows():
                done[int(one["index"])] = one["result"]
                while following in done:
                    yield done.pop(following)
                    following += 1

    def group(
        self,
        emit: Callable[[Any], Columns],
        reduce: Callable[[Columns], Columns],
        items: Sequence[Any],
        key: str,
    ) -> Columns:
        """See `Engine.group`: a hash shuffle on `key`. Dead workers are as in `map`."""
        if not items:
            return {}
        with _without_warning():
            dataset = self.ray.data.range(len(items), override_num_blocks=len(items)).map_batches(
                lambda batch: concatenate([emit(items[int(i)]) for i in batch["id"]]),
                batch_size=None,
                max_retries=RETRIES,
            )
        with self._errors(), _without_warning():
            reduced = dataset.groupby(key).map_groups(
                reduce, batch_format="numpy", max_retries=RETRIES
            )
            return concatenate(list(reduced.iter_batches(batch_format="numpy", batch_size=None)))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What a task raised, for what Ray made of it, and a killed worker as a user's error."""
        failures = self.ray.exceptions
        died = (
            failures.WorkerCrashedError, failures.OutOfMemoryError, failures.NodeDiedError,
            failures.LocalRayletDiedError, failures.RayActorError, failures.ObjectLostError,
        )  # fmt: skip
        try:
            yield
        except failures.RayError as error:
            cause: BaseException = error
            while isinstance(cause, failures.RayTaskError):
                cause = cause.cause
            if isinstance(cause, UserError):
                raise UserError(str(cause).split(_RAYS_ADVICE)[0]) from None
            if isinstance(cause, OSError):
                raise OSError(cause.errno, cause.strerror) from None
            if isinstance(cause, died):
                raise UserError(f"{KILLED} ({type(cause).__name__})") from error
            raise


def _join(ray: Any, address: str) -> None:
    """Connect to a running cluster; a UserError says why not."""
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdigit() and "/" not in host:
            socket.create_connection((host, int(port)), timeout=5).close()  # Ray tries for minutes
        ray.init(log_to_driver=False)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        said = str(error).strip().split("\n")[0]
        raise UserError(
            f"RAY_ADDRESS={address}: cannot join this Ray cluster ({said}); start one with `ray "
            "start --head`, give both the same RAY_AUTH_MODE and token, or unset RAY_ADDRESS"
        ) from error


_RAYS_ADVICE = "\nFailed to apply UDF"
"""What Ray appends to an exception's last argument on its way, an OSError's file name or all."""


@contextmanager
def _without_warning() -> Iterator[None]:
    """Ray 2.60 deprecates `max_retries` of a map and has nothing in its place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _no_error(record: logging.LogRecord) -> bool:
    """Not what Ray prints of an error that it raises too; its log file has the traceback.

    Others' records pass: whoever else listens to Ray shares the handler.
    """
    return record.levelno < logging.ERROR or not record.name.startswith("ray")


ENGINES: dict[str, type[Local] | type[Ray]] = {"local": Local, "ray": Ray}


def engine(name: str, workers: int = 0) -> Engine:
    """The engine of a name; 0 workers are as many as there are cores for this process."""
    if name not in ENGINES:
        raise UserError(f"--engine {name}: it is {' or '.join(ENGINES)}")
    if workers < 0:
        raise UserError(f"--workers {workers}: at least 0, which is one a core")
    return ENGINES[name](workers)


def concatenate(parts: Sequence[Columns]) -> Columns:
    """Columns put end to end; parts without rows may lack the columns."""
    filled = [part for part in parts if part and len(next(iter(part.values())))]
    if not filled:
        return {}
    return {name: np.concatenate([part[name] for part in filled]) for name in filled[0]}

"""`codegen25 serve`: from options to a server that runs until it is told to end."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from codegen25.errors import UserError
from codegen25.models import cache_folder, resolve
from codegen25.sample.load import processes
from codegen25.serve.accepted import Accepted
from codegen25.serve.guard import MAX_HEADERS
from codegen25.serve.rules import Rules

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from codegen25.serve.backend import Backend

KEYS_VARIABLE = "CODEGEN25_API_KEY"
LLAMA_CPP = "llama.cpp"
ENGINES = ("codegen25", LLAMA_CPP)
GRACE_SECONDS = 5
"""What is under way has so long when the server ends."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    model: str = "default"
    host: str = "127.0.0.1"
    port: int = 8025
    engine: str = "codegen25"
    weights: str = "auto"
    threads: int = 0
    cache_mb: int = 0
    queue: int = 256
    api_key_file: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    keep_accepted: bool = False
    verbose: bool = False
    draft: str | None = None


def run(options: Options) -> None:
    """Serve until interrupted. Everything that can be refused is refused before the port opens."""
    try:
        import uvicorn

        from codegen25.serve.app import build
        from codegen25.serve.service import Service
    except ModuleNotFoundError as error:
        raise UserError(
            f"serve needs {error.name}; install it with: pip install 'codegen25[serve]'"
        ) from error
    if options.queue < 0:
        raise UserError(f"--queue {options.queue}: it is 0 or more")
    rules = Rules.of(options.host, options.allow_hosts, keys(options))
    folders = models(options)
    rank, size = processes()
    if size > 1 and (options.adapters or options.draft or options.engine == LLAMA_CPP):
        raise UserError(
            "under torchrun one model of our own engine is cut over the processes; "
            f"leave --adapter, --draft and --engine {LLAMA_CPP} out"
        )
    if rank:
        backend(next(iter(folders.values())), options)  # computes what the first process asks for

    def load() -> Mapping[str, Backend]:
        say(f"loading {', '.join(folders)}")
        return {name: backend(folder, options) for name, folder in folders.items()}

    def ready() -> None:
        port = bound.getsockname()[1]
        say(f"ready in {seconds_up():.1f} s: {where(options.host, port)}")

    kept = Accepted(cache_folder(), options.keep_accepted)
    service = Service(load, options.queue, kept)

    def end(*_: object) -> None:
        server.should_exit = True

    app = build(service, rules, end, say if options.verbose else None, ready)
    server = uvicorn.Server(listener(app))
    with listening(options) as bound, told_to_end(end):
        server.run([bound])
    if service.failed is not None:
        raise service.failed


@contextlib.contextmanager
def told_to_end(end: Callable[..., None]) -> Iterator[None]:
    """Call `end` at SIGINT and SIGTERM, which are no faults: uvicorn handles them too, but then
    raises them again, and the process would seem to have been killed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listener(app: FastAPI, grace: int | None = None) -> uvicorn.Config:
    """How an app is served; at the end what is under way has `grace` seconds."""
    import uvicorn

    from codegen25.serve.connection import connection

    return uvicorn.Config(
        app, log_config=None, access_log=False, http=connection(), ws="none",
        server_header=False, backlog=1024, h11_max_incomplete_event_size=MAX_HEADERS,
        timeout_graceful_shutdown=GRACE_SECONDS if grace is None else grace, timeout_keep_alive=75,
    )  # fmt: skip


def seconds_up() -> float:
    """How long ago this process began: whoever waits for it waits for its imports too."""
    try:
        begun = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - begun / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):  # no Linux, where psutil knows it to a second only
        return time.time() - float(psutil.Process().create_time())


def say(what: str) -> None:
    """A line for whoever started the server."""
    print(f"codegen25: {what}", file=sys.stderr, flush=True)


def where(host: str, port: int) -> str:
    """The server's address, to be clicked at."""
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def keys(options: Options) -> tuple[str, ...]:
    """The API keys; a server that others can reach must have one."""
    found = os.environ.get(KEYS_VARIABLE, "").split()
    if options.api_key_file is not None:
        try:
            found += options.api_key_file.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{options.api_key_file}: no readable file of keys") from error
        if not found:
            raise UserError(f"{options.api_key_file}: holds no key; write one a line")
    if any(not each.isascii() or not each.strip() for each in found):
        raise UserError("an API key is empty or has characters outside ASCII")
    if not found and not is_loopback(options.host):
        raise UserError(
            f"--host {options.host} can be reached from other machines; give --api-key-file FILE, "
            f"or {KEYS_VARIABLE} in the environment, or serve on 127.0.0.1"
        )
    return tuple(found)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def models(options: Options) -> dict[str, Path]:
    """Names and places of what is served: the model, then the adapters as NAME=FOLDER.

    A place is a model directory or, for llama.cpp, a GGUF file.
    """
    if options.engine not in ENGINES:
        raise UserError(f"--engine {options.engine} is unknown; there are {', '.join(ENGINES)}")
    if options.draft and options.engine == LLAMA_CPP:
        raise UserError(f"--draft is for our own engine; leave it out with --engine {LLAMA_CPP}")
    draft_of(options)
    find: Callable[[str], Path] = resolve
    if options.engine == LLAMA_CPP:
        from codegen25.serve.llama_cpp.gguf_model import located

        find = located
    elif options.model.endswith(".gguf"):
        raise UserError(f"--model {options.model}: a GGUF needs --engine {LLAMA_CPP}")
    folder = find(options.model)
    found = {folder.name.removesuffix(".gguf"): folder}
    for each in options.adapters:
        name, sign, place = each.partition("=")
        if not (sign and name and place):
            raise UserError(f"--adapter {each}: it reads NAME=FOLDER")
        if name in found:
            raise UserError(f"--adapter {each}: there is a model {name} already")
        found[name] = find(place)
    return found


def draft_of(options: Options) -> Path | None:
    """The place of the model that drafts, if one does."""
    return resolve(options.draft) if options.draft else None


def backend(folder: Path, options: Options) -> Backend:
    """A loaded model. What its first keystroke would be slow for is done."""
    from codegen25.sample.healing import Vocabulary

    made: Backend
    if options.engine == LLAMA_CPP:
        from codegen25.serve.llama_cpp.backend import LlamaCpp

        made = LlamaCpp.load(folder, options.weights, options.threads, options.cache_mb)
    else:
        from codegen25.sample.engine import Engine, Settings

        settings = Settings(
            "auto", options.weights, options.threads, options.cache_mb, draft_of(options),
            processes()[1] > 1,
        )  # fmt: skip
        made = Engine.load(folder, settings)
    made.tokenizer.encode("def f")  # the tokenizer's first use is slow
    with contextlib.suppress(UserError):  # it can't be healed: whoever types is told
        Vocabulary.of(made.tokenizer)
    return made


def listening(options: Options) -> socket.socket:
    """The bound socket; a port that is taken is a UserError."""
    if not 0 <= options.port <= 65535:
        raise UserError(f"--port {options.port}: it lies between 0 and 65535")
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # The protocol must be named: asyncio turns Nagle's algorithm off only where it sees TCP, and
    # with it every answer waits 40 ms for the client's acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((options.host, options.port))
        made.listen(1024)
    except OSError as error:
        made.close()
        raise UserError(
            f"--host {options.host} --port {options.port}: can't be listened at "
            f"({error.strerror or error}); choose another port"
        ) from error
    return made

"""The kernels' shared library: compiled for this CPU on first use, kept in the user's cache.

A compiler is never required: without one the reason is kept and the engine computes with torch.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOURCES = ("model.cpp", "attention.h", "linear.h", "pool.h", "simd.h")
FLAGS = ("-std=c++20", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-DNDEBUG")
SWITCH = "CODEGEN25_KERNELS"
"""Set to "off" to compute with torch, to "portable" to compile without this CPU's extensions, to
"avx512" to use its widest."""
PATIENCE = 180
"""Seconds a compiler may take."""


class MissingError(Exception):
    """There is no library, and why."""


@dataclass(frozen=True)
class Compiler:
    """A program and its flags for this CPU."""

    path: str
    flags: tuple[str, ...]


def folder() -> Path:
    """Where compiled kernels are kept."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "codegen25" / "kernels"


@functools.cache
def library() -> ctypes.CDLL:
    """The library, compiled if this is the first use; MissingError says why there is none."""
    if os.environ.get(SWITCH) == "off":
        raise MissingError(f"{SWITCH}=off")
    compiler = find_compiler()
    try:
        path = folder() / f"{_fingerprint(compiler)}.so"
        if not path.is_file():
            _compile(compiler, path)
        _require_ours(path)
        return ctypes.CDLL(str(path))
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        raise MissingError(str(error)) from error


def find_compiler() -> Compiler:
    """The C++ compiler of `CXX`, else g++, clang++ or c++."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (path := shutil.which(name)):
            portable = os.environ.get(SWITCH) == "portable"
            return Compiler(path, (*FLAGS, *(("-O3",) if portable else _for_this_cpu())))
    raise MissingError("no C++ compiler (g++ or clang++)")


def _for_this_cpu() -> tuple[str, ...]:
    # Apple's clang knows its own CPUs by -mcpu alone. Where lanes are written out for the CPU, -O3
    # makes the same loops in twice the time.
    arm = platform.machine().lower() in ("arm64", "aarch64")
    if arm:
        return ("-O3", "-mcpu=native")
    # The AVX-512 lanes were compiled and never run; who has such a CPU may ask for them.
    wide = () if os.environ.get(SWITCH) == "avx512" else ("-mno-avx512f",)
    return ("-O2", "-march=native", *wide)


def _fingerprint(compiler: Compiler) -> str:
    """What decides the machine code: the sources, the flags and the CPU's extensions."""
    digest = hashlib.sha256(" ".join((compiler.path, *compiler.flags)).encode())
    for name in SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    digest.update(_extensions().encode())
    return digest.hexdigest()[:24]


def _extensions() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _compile(compiler: Compiler, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sys.stderr is not None:
        print("compiling kernels for this CPU, once …", file=sys.stderr, flush=True)
    handle, staging = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    command = [compiler.path, *compiler.flags, str(Path(__file__).parent / SOURCES[0])]
    try:
        done = subprocess.run(
            [*command, "-o", staging], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if done.returncode:
            line = next((each for each in done.stderr.splitlines() if "error" in each), "")
            raise MissingError(f"{compiler.path} failed: {line or done.returncode}")
        Path(staging).chmod(0o700)  # some linkers make the file anew
        Path(staging).replace(path)
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"{compiler.path} took over {PATIENCE} s") from error
    finally:
        Path(staging).unlink(missing_ok=True)


def _require_ours(path: Path) -> None:
    """Refuse a library that somebody else could have put there."""
    status = path.stat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        raise MissingError(f"{path} belongs to somebody else or can be written by others")

"""An environment of its own for NVIDIA's Triton server: it wants a numpy older than ours."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen25.errors import UserError
from codegen25.models import cache_folder

PYTHON_VARIABLE = "CODEGEN25_TRITON_PYTHON"
"""Names the Python of an environment to use instead of one of ours."""
SERVER = "nvidia-pytriton==0.7.0"
PACKAGES = (
    "numpy<2", "psutil>=6", "safetensors>=0.5", "tokenizers>=0.21", "tritonclient[grpc,http]",
)  # fmt: skip
"""What the sampling side imports, and a client to try the server with."""


def say(text: str) -> None:
    """What is being done, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


_FACTS = """
import json, sysconfig as s
try:
    import numpy, tokenizers, safetensors, psutil
    major = int(numpy.__version__.split(".")[0])
except ImportError as error:
    major = str(error)
print(json.dumps({
    "site": s.get_path("purelib"), "libdir": s.get_config_var("LIBDIR"), "numpy": major,
    "library": s.get_config_var("INSTSONAME"), "version": s.get_python_version(),
}))
"""


@dataclass(frozen=True)
class Environment:
    """A Python whose site-packages hold the server."""

    python: Path
    site: Path
    libdir: Path
    version: str

    @classmethod
    def ready(cls) -> Environment:
        """The one that is named, else ours, made if this is the first time."""
        if named := os.environ.get(PYTHON_VARIABLE):
            return cls.of(Path(named))
        _require_platform()
        folder = cache_folder() / "triton" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
        wanted = json.dumps([SERVER, *PACKAGES])
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two servers started at once make it once
            done = folder / "made.json"
            if not done.is_file() or done.read_text() != wanted:
                _make(folder / "venv")
                done.write_text(wanted)
        return cls.of(folder / "venv/bin/python")

    @classmethod
    def of(cls, python: Path) -> Environment:
        """Look at a Python; a UserError says what it lacks."""
        try:
            done = subprocess.run([python, "-c", _FACTS], capture_output=True, text=True,
                                  check=True, timeout=60)  # fmt: skip
            facts = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise UserError(f"{python} does not run: {error}") from error
        found = cls(python, Path(facts["site"]), Path(facts["libdir"]), facts["version"])
        if facts["numpy"] != 1:
            raise UserError(f"{python}: the server needs numpy 1, found {facts['numpy']}")
        if not found.binary.is_file() or not found.stub.is_file():
            raise UserError(f"{python}: no server for it; pip install --no-deps {SERVER}")
        if not (found.libdir / str(facts["library"])).is_file():
            raise UserError(f"{python} has no shared libpython ({found.libdir}); use one that has")
        return found

    @property
    def server(self) -> Path:
        """What the wheel brings."""
        return self.site / "pytriton/tritonserver"

    @property
    def binary(self) -> Path:
        """The server."""
        return self.server / "bin/tritonserver"

    @property
    def stub(self) -> Path:
        """The process in which a model of the python backend lives."""
        return self.server / f"python_backend_stubs/{self.version}/triton_python_backend_stub"

    def variables(self) -> dict[str, str]:
        """The environment variables that server and stub need.

        The stub takes its site-packages from the first python3 of PATH, and without the directory
        of its libpython another one of the same version, if the system has one.
        """
        libraries = [str(self.libdir), str(self.site / "nvidia_pytriton.libs")]
        return os.environ | {
            "PATH": f"{self.python.parent}:{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": ":".join(libraries),
            "PYTHONNOUSERSITE": "1",
        }


def _require_platform() -> None:
    if not (sys.platform == "linux" and platform.machine() == "x86_64"):
        raise UserError(
            f"{SERVER} exists for Linux on x86_64; name another environment's Python "
            f"in {PYTHON_VARIABLE}"
        )


def _make(venv: Path) -> None:
    """Make our environment, from whatever an earlier try left."""
    say(f"making an environment for Triton in {venv}, once (some 150 MB to fetch)")
    shutil.rmtree(venv, ignore_errors=True)
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", "-q"]
    steps: Sequence[tuple[str, Sequence[str]]] = (
        ("a virtual environment", [sys.executable, "-m", "venv", str(venv)]),
        ("numpy, tokenizers and a client", [*pip, *PACKAGES]),
        (SERVER, [*pip, "--no-deps", SERVER]),
    )
    for number, (what, command) in enumerate(steps, 1):
        start = time.monotonic()
        print(f"  {number}/{len(steps)} {what} ", end="", file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        say(f"({time.monotonic() - start:.0f} s)")
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or [str(done.returncode)]
            raise UserError(f"the environment for Triton lacks {what}: {lines[-1]}")


if __name__ == "__main__":
    print(Environment.ready().python)

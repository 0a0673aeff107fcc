"""What becomes of an error on the way from a worker to the user."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codegen25.data import engines
from codegen25.data.engines import Columns, Engine
from codegen25.errors import UserError


@pytest.fixture(scope="module", params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "ray":
        pytest.importorskip("ray.data", reason="Ray is not installed")
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    return engines.engine(request.param, 2)


def rows(item: int) -> Columns:
    return {"key": np.array([0, 1, item]), "value": np.full(3, item)}


def total(group: Columns) -> Columns:
    return {"key": group["key"][:1], "total": group["value"].sum(keepdims=True)}


def double(item: int) -> int:
    return 2 * item


def mistaken(item: object) -> int:
    raise UserError("b.py: no such file; name another")


def mistaken_group(group: Columns) -> Columns:
    raise UserError("group: cannot be reduced")


def full(item: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device", "parts/1")


def full_rows(item: int) -> Columns:
    raise OSError(errno.ENOSPC, "No space left on device", "parts/1")


def buggy(item: object) -> int:
    raise ValueError("ours to mend")


def die(item: object) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def die_in_group(group: Columns) -> Columns:
    os.kill(os.getpid(), signal.SIGKILL)
    return group


def test_results_come_in_order_and_groups_whole(engine: Engine) -> None:
    assert list(engine.map(double, range(5))) == [0, 2, 4, 6, 8]
    made = engine.group(rows, total, [2, 3], "key")
    assert dict(zip(made["key"].tolist(), made["total"].tolist(), strict=True)) == {
        0: 5, 1: 5, 2: 2, 3: 3,
    }  # fmt: skip


def test_a_users_mistake_comes_as_it_was_raised(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"^b\.py: no such file; name another$") as raised:
        list(engine.map(mistaken, [1, 2]))
    assert type(raised.value) is UserError
    with pytest.raises(UserError, match=r"^group: cannot be reduced$") as raised:
        engine.group(rows, mistaken_group, [2, 3], "key")
    assert type(raised.value) is UserError
    assert "Traceback" not in capfd.readouterr().err


def test_a_full_disk_keeps_its_number(engine: Engine) -> None:
    for run in (
        lambda: list(engine.map(full, [1, 2])),
        lambda: engine.group(full_rows, total, [2, 3], "key"),
    ):
        with pytest.raises(OSError, match="No space left") as raised:
            run()
        assert raised.value.errno == errno.ENOSPC


def test_a_mistake_of_ours_is_not_hidden(engine: Engine) -> None:
    with pytest.raises(ValueError, match="ours to mend"):
        list(engine.map(buggy, [1, 2]))


def test_a_killed_worker_is_one_line(
    engine: Engine, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "RETRIES", 1)
    with pytest.raises(UserError, match=r"worker was killed.*same command again") as raised:
        list(engine.map(die, [1, 2]))
    assert "\n" not in str(raised.value)
    if not isinstance(engine, engines.Local):  # which reduces in this very process
        with pytest.raises(UserError, match=r"worker was killed.*same command again"):
            engine.group(rows, die_in_group, [2, 3], "key")
    assert "Traceback" not in capfd.readouterr().err


def test_a_worker_that_is_killed_once_is_replaced(engine: Engine, tmp_path: Path) -> None:
    if isinstance(engine, engines.Local):
        pytest.skip("only Ray tries again")
    mark = tmp_path / "died"

    def die_once(item: int) -> int:
        if item == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    assert list(engine.map(die_once, [0, 1, 2])) == [0, 1, 2]


def test_a_cluster_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "-m", "codegen25", "data", "stdlib", "--engine", "ray", "--out", "c"],
        env={**os.environ, "RAY_ADDRESS": "127.0.0.1:9"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "RAY_ADDRESS=127.0.0.1:9: cannot join" in done.stderr
    assert not list(tmp_path.iterdir())


def test_only_rays_errors_are_kept_from_whoever_listens() -> None:
    def passes(name: str, level: int) -> bool:
        return engines._no_error(logging.LogRecord(name, level, "f", 1, "text", (), None))

    assert not passes("ray.data", logging.ERROR) and passes("ray.data", logging.WARNING)
    assert passes("codegen25.serve", logging.ERROR)

"""curl that is cut off in the middle of streams: nothing stays under way."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from typing import Any

import pytest

from serving import Running

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(
        not (shutil.which("curl") and shutil.which("timeout")), reason="no curl, or no timeout"
    ),
]
OPENAI: dict[str, Any] = {"stream": True, "temperature": 1, "max_tokens": 400}
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/completions": {**OPENAI, "prompt": "x = [", "n": 16},
    "/v1/fim/completions": {**OPENAI, "prompt": "x = [", "suffix": ""},
    "/v1/engines/codegen/completions": {**OPENAI, "prompt": "x = [", "n": 16},
    "/completion": {"prompt": "x = [", "n_predict": 400, "temperature": 1, "stream": True},
    "/api/generate": {"prompt": "x = [", "options": {"num_predict": 400, "temperature": 1}},
}
CUT = 124
"""What `timeout` exits with."""


def cut_off(server: Running, path: str, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["timeout", str(seconds), "curl", "--no-progress-meter", "--noproxy", "*", "-N",
         server.url + path, "--json", json.dumps(STREAMS[path])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("path", STREAMS)
def test_curls_that_are_cut_off_leave_nothing_under_way(server: Running, path: str) -> None:
    # Several at once, at different times, and again where every answer was there before its time.
    for turn in range(20):
        running = [cut_off(server, path, 0.1 + 0.03 * i * (1 + turn)) for i in range(8)]
        outputs = [each.communicate(timeout=60) for each in running]
        assert {each.returncode for each in running} <= {0, CUT}, outputs
        ends = zip(running, outputs, strict=True)
        if begun := any(each.returncode == CUT and out for each, (out, _) in ends):
            break
    assert begun
    assert server.idle(20)
    assert not any(slot.busy for slot in server.engine.cache.slots)


def test_after_a_hundred_of_them_it_answers(server: Running) -> None:
    paths = list(STREAMS)
    for start in range(0, 100, 10):
        running = [
            cut_off(server, paths[(start + i) % len(paths)], 0.02 + 0.03 * i) for i in range(10)
        ]
        for each in running:
            each.communicate(timeout=60)
    assert server.idle(30)
    assert not any(slot.busy for slot in server.engine.cache.slots)
    with urllib.request.urlopen(f"{server.url}/health", timeout=10) as response:
        assert response.status == 200

"""schemathesis reads our OpenAPI description and tries what it allows, and what it does not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from serving import Running

pytest.importorskip("schemathesis", reason="make test-clients installs schemathesis")
pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(1200)]

CASES = 2000
SECONDS = 60
"""After which a request hangs."""
# 501: this model can't; 503: too many. Both are answers.
CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501, 503]
"""


def test_no_500_and_no_hang_at_any_endpoint(server: Running, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    ran = subprocess.run(
        [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
         "--config-file", config, "run", f"{server.url}/openapi.json", "--seed", "1",
         "--checks", "not_a_server_error", "--phases", "coverage,fuzzing",
         "--max-examples", "40", "--request-timeout", str(SECONDS), "--continue-on-failure",
         "--no-shrink", "--warnings", "off", "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, timeout=1100, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    found = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert found and found[1] == found[2] and int(found[1]) >= CASES, ran.stdout[-2000:]
    operations = sum(map(len, httpx.get(f"{server.url}/openapi.json").json()["paths"].values()))
    assert f"Tested: {operations}" in ran.stdout
    assert server.idle(30)
    answer = httpx.post(f"{server.url}/v1/completions", json={"prompt": "import ", "max_tokens": 2})
    assert answer.status_code == 200 and json.loads(answer.content)["choices"]

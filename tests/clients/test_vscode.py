"""The VS Code extension: its own tests, then the built extension, outside of VS Code with that
module stubbed, against the real server."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from codegen25.serve.accepted import Accepted, listed
from serving import Running, serving

SOURCE = Path(__file__).parents[2] / "editors/vscode"
DOCUMENT = """class Stack:
    def __init__(self):
        self.items = []

    def __len__(self):
        return ‸
"""
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
]


def run(*command: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=180, check=False, **options
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension, built from its lock file in a folder of its own."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("extension") / "vscode"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    installed = run("npm", "ci", "--ignore-scripts", cwd=folder)
    if installed.returncode:
        pytest.skip(f"npm could not install: {installed.stderr.strip().splitlines()[-1:]}")
    done = run("npm", "run", "build", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def suggestions(
    folder: Path, url: str, key: str = "", model: str = "", document: str = DOCUMENT
) -> dict[str, Any]:
    done = run("node", "test/drive.js", url, key, model, cwd=folder, input=document)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_its_own_tests() -> None:
    done = run("node", "--test", "test/core.test.js", "test/provider.test.js", cwd=SOURCE)
    assert done.returncode == 0, done.stdout


def test_its_types(built: Path) -> None:
    done = run("npm", "run", "check", cwd=built)
    assert done.returncode == 0, done.stdout


def test_what_is_shipped_is_small_and_needs_nothing_else(built: Path) -> None:
    bundle = (built / "dist/extension.js").read_text()
    assert len(bundle) < 30_000
    needed = {
        line.split('require("')[1].split('"')[0]
        for line in bundle.splitlines()
        if 'require("' in line
    }
    assert needed <= {"vscode"}


def test_it_suggests_what_the_server_says(built: Path, server: Running) -> None:
    found = suggestions(built, server.url)
    assert len(found["texts"]) == 1 and found["texts"][0].strip()
    assert found["status"] == "codegen25"


def test_it_speaks_with_a_key(built: Path) -> None:
    with serving(keys=("secret",)) as running:
        assert suggestions(built, running.url, "secret")["texts"]
        refused = suggestions(built, running.url, "wrong")
    assert not refused["texts"] and "API key" in refused["tooltip"]


def test_it_names_a_model_and_says_what_was_accepted(
    built: Path, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.service, "events", Accepted(tmp_path, keep=True))
    found = suggestions(built, server.url, model=server.service.default.name)
    [row] = listed(tmp_path)
    assert row["prefix"] + "‸" + row["suffix"] == DOCUMENT and row["language"] == "python"
    assert [row["middle"]] == found["texts"]
    unknown = suggestions(built, server.url, model="nobody")
    assert not unknown["texts"] and "nobody" in unknown["tooltip"]


def test_it_is_packaged(built: Path) -> None:
    done = run("npm", "run", "package", cwd=built)
    assert done.returncode == 0, done.stdout + done.stderr
    [package] = built.glob("codegen25-*.vsix")
    with zipfile.ZipFile(package) as files:
        names = {name.removeprefix("extension/") for name in files.namelist() if "/" in name}
    assert names == {"dist/extension.js", "package.json", "README.md"}


def test_a_workspace_cannot_redirect_code() -> None:
    manifest = json.loads((SOURCE / "package.json").read_text())
    settings = manifest["contributes"]["configuration"]["properties"]
    for name in ("codegen25.endpoint", "codegen25.apiKey"):
        assert settings[name]["scope"] == "machine"
    assert settings["codegen25.endpoint"]["default"] == "http://127.0.0.1:8025"

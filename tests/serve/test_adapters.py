"""Models beside the default one: whoever names one gets its answers, in every dialect."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dialect_helpers import PREFIX, SUFFIX, asked, recorded
from safetensors.torch import load_file, save_file

from serving import SHIPPED, Running, engine, serving


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The shipped model, and one with other weights: `mine` says other things."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    shutil.copytree(SHIPPED, folder)
    weights = load_file(folder / "model.safetensors")
    changed = [name for name in weights if name.endswith("down_proj.weight")]
    assert changed
    for name in changed:
        weights[name] = weights[name].flip(0).contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with serving({"base": engine(), "mine": engine(folder)}) as running:
        yield running


@pytest.fixture
def client(two: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=two.url, timeout=60, trust_env=False) as client:
        yield client


INFILL = {"prompt": PREFIX, "suffix": SUFFIX, "max_tokens": 12, "temperature": 0}


def openai(client: httpx.Client, name: str) -> str:
    answer = asked(client, "/v1/completions", {**INFILL, "model": name})
    assert answer["model"] == name
    return answer["choices"][0]["text"]


def copilot(client: httpx.Client, name: str) -> str:
    body = {**INFILL, "extra": {"language": "python"}}
    return asked(client, f"/v1/engines/{name}/completions", body)["choices"][0]["text"]


def tabby(client: httpx.Client, name: str) -> str:
    segments = {"prefix": PREFIX, "suffix": SUFFIX}
    body = recorded("tabby_agent", segments=segments, model=name, temperature=0)
    return asked(client, "/v1/completions", body)["choices"][0]["text"]


def mistral(client: httpx.Client, name: str) -> str:
    answer = asked(client, "/v1/fim/completions", {**INFILL, "model": name})
    assert answer["model"] == name
    return answer["choices"][0]["message"]["content"]


def ollama(client: httpx.Client, name: str) -> str:
    body = {"model": name, "prompt": PREFIX, "suffix": SUFFIX, "stream": False}
    return asked(client, "/api/generate", body)["response"]


def llama_cpp(client: httpx.Client, name: str) -> str:
    scale = {"base": 0, "mine": 1}.get(name)
    lora = [] if scale is None else [{"id": 0, "scale": scale}]
    body = {"input_prefix": PREFIX, "input_suffix": SUFFIX, "n_predict": 12, "lora": lora}
    return asked(client, "/infill", body)["content"]


@pytest.mark.parametrize("ask", [openai, copilot, tabby, mistral, ollama, llama_cpp])
def test_an_adapter_is_chosen_by_name(client: httpx.Client, ask) -> None:  # type: ignore[no-untyped-def]
    base, mine = ask(client, "base"), ask(client, "mine")
    assert base != mine


@pytest.mark.parametrize("ask", [copilot, tabby])
def test_a_name_of_the_clients_own_is_the_default(client: httpx.Client, ask) -> None:  # type: ignore[no-untyped-def]
    assert ask(client, "copilot-codex") == ask(client, "base")


def test_an_adapter_by_its_place(client: httpx.Client) -> None:
    body = {"input_prefix": "x", "n_predict": 1}
    for lora, name in (([], "base"), ([{"id": 0}], "mine"), ([{"id": 0, "scale": 0}], "base")):
        assert asked(client, "/infill", {**body, "lora": lora})["model"] == name
    assert asked(client, "/infill", {**body, "lora": [{"id": 1}]}, 404)["error"]["message"]
    both = [{"id": 0}, {"id": 1}]
    assert "mixed" in asked(client, "/infill", {**body, "lora": both}, 400)["error"]["message"]


def test_half_an_adapter_is_refused(client: httpx.Client) -> None:
    for scale in (0.5, -1, 2, "1e400", None):
        body = {"input_prefix": "x", "n_predict": 1, "lora": [{"id": 0, "scale": scale}]}
        error = json.loads(client.post("/infill", json=body).text)["error"]
        assert error["code"] == 400 and error["param"] == "lora.0.scale"


MODULE = """def scale_{i}(values, factor_{i}):
    return [value * factor_{i} for value in values if value != {i}]


"""


def likelihood(client: httpx.Client, name: str) -> float:
    """The logarithm of how likely a model finds a text of the folder it was adapted to."""
    body = {"model": name, "prompt": MODULE.format(i=103), "max_tokens": 0}
    answer = asked(client, "/v1/completions", body | {"echo": True, "logprobs": 1})
    return float(sum(answer["choices"][0]["logprobs"]["token_logprobs"][1:]))


@pytest.mark.slow
def test_the_command_serves_what_train_personal_made(tmp_path: Path) -> None:
    """Nobody's weights are set by hand: a folder, two commands, and the right answers by name."""
    for i in range(12):
        text = "".join(MODULE.format(i=100 * i + k) for k in range(4))
        (tmp_path / "repo").mkdir(exist_ok=True)
        (tmp_path / f"repo/m{i}.py").write_text(text)
    cache = tmp_path / "cache"
    environment = os.environ | {"CODEGEN25_CACHE": str(cache)}
    command = [sys.executable, "-m", "codegen25"]
    small = ("stop_after=20", "shape.context=256", "batch=4", "compile=false")
    trained = subprocess.run(
        [*command, "train", "personal", "--data", tmp_path / "repo",
         *(part for each in small for part in ("--set", each))],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    server = subprocess.Popen(
        [*command, "serve", "--port", "0", "--threads", "1",
         "--model", SHIPPED, "--adapter", f"mine={cache / 'personal'}"],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        url = next(line for line in server.stderr if "ready in" in line).split()[-1]
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            names = [each["id"] for each in client.get("/v1/models").json()["data"]]
            served = {name: likelihood(client, name) for name in names}
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert set(served) == {SHIPPED.name, "mine"} and server.returncode == 0
    assert served["mine"] > served[SHIPPED.name] + 1  # of a file of theirs

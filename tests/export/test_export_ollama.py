"""The Modelfile for Ollama: its template composes the very prompt that the engine composes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from codegen25.directory import TOKENIZER, Directory
from codegen25.errors import UserError
from codegen25.export import gguf, ollama
from codegen25.export.template import infill_template
from codegen25.infill import OUR_FIM, Layout, compose
from codegen25.sample.engine import Engine, Settings

PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"


def rendered(template: str, prompt: str, suffix: str) -> str:
    """What Go's template engine makes of the two forms that we write."""
    branches = re.fullmatch(r"{{ if \.Suffix }}(.*){{ else }}(.*){{ end }}", template, re.DOTALL)
    if branches:
        template = branches[1 if suffix else 2]
    assert set(re.findall(r"{{.*?}}", template)) <= {ollama.PROMPT, ollama.SUFFIX}
    return re.sub(r"{{ \.(\w+) }}", lambda m: prompt if m[1] == "Prompt" else suffix, template)


def fields(text: str) -> dict[str, list[str]]:
    """The instructions of a Modelfile."""
    found: dict[str, list[str]] = {}
    pattern = r'^(FROM|TEMPLATE|PARAMETER \w+) (?:"""(.*?)"""|"(.*?)"|([^\n]*))$'
    for name, *values in re.findall(pattern, text, re.MULTILINE | re.DOTALL):
        found.setdefault(name, []).append("".join(values))
    return found


def with_special(folder: Path, text: str) -> list[int]:
    """Ids as an engine reads a prompt: sentinels that are spelled are sentinels."""
    backend = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
    backend.encode_special_tokens = False
    ids: list[int] = backend.encode(text, add_special_tokens=False).ids
    return ids


def described(folder: Path, out: Path, **infill: Any) -> Path:
    """A copy of a model directory whose config.json names other sentinels."""
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    raw = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(raw | {"infill": infill}))
    return out


def test_the_files(model_dir: Path, tmp_path: Path) -> None:
    ollama.write(model_dir, tmp_path / "out", "q4_0")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"Modelfile", "model.gguf"}
    gguf.write(model_dir, tmp_path / "same.gguf", "q4_0")
    assert (tmp_path / "out/model.gguf").read_bytes() == (tmp_path / "same.gguf").read_bytes()
    found = fields((tmp_path / "out/Modelfile").read_text())
    assert found["FROM"] == ["./model.gguf"]
    assert set(found["PARAMETER stop"]) == {"<|endoftext|>", "<eom>"}
    assert found["PARAMETER num_ctx"] == ["256"]
    assert found["PARAMETER repeat_penalty"] == ["1"] and found["PARAMETER temperature"] == ["0"]


def test_the_template_is_the_original_layout(model_dir: Path) -> None:
    assert ollama.template(Directory.read(model_dir)) == (
        "{{ if .Suffix }}{{ .Prompt }}<mask_1>{{ .Suffix }}<|endoftext|><sep><mask_1>"
        "{{ else }}{{ .Prompt }}{{ end }}"
    )


@pytest.mark.parametrize("layout", ["", "psm", "spm"])
def test_prompts_are_those_of_the_engine(model_dir: Path, tmp_path: Path, layout: str) -> None:
    folder = model_dir
    if layout:
        folder = described(model_dir, tmp_path / "fim", **OUR_FIM, layout=layout)
    directory = Directory.read(folder)
    template = ollama.template(directory)
    for prefix, suffix in ((PREFIX, SUFFIX), (PREFIX, "")):
        composed = compose(
            prefix, suffix, directory.tokenizer, directory.form, budget=200,
            layout=None if suffix else Layout.CAUSAL,
        )  # fmt: skip
        assert with_special(folder, rendered(template, prefix, suffix)) == composed.ids


def test_a_model_that_infills_nothing_has_no_suffix(model_dir: Path, tmp_path: Path) -> None:
    copy = described(model_dir, tmp_path / "causal")
    definition = json.loads((copy / TOKENIZER).read_text())
    definition["added_tokens"] = [
        token for token in definition["added_tokens"] if token["content"] == "<|endoftext|>"
    ]
    (copy / TOKENIZER).write_text(json.dumps(definition))
    directory = Directory.read(copy)
    assert ollama.template(directory) == "{{ .Prompt }}"
    assert infill_template(directory.form, directory.tokenizer, "p", "s") is None
    assert fields(ollama.modelfile(directory))["PARAMETER stop"] == ["<|endoftext|>"]


def test_mistakes_are_said(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        ollama.write(model_dir, tmp_path / "file")
    with pytest.raises(UserError, match="q1"):
        ollama.write(model_dir, tmp_path / "out", "q1")
    with pytest.raises(UserError, match=r"config\.json is missing"):
        ollama.write(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out/Modelfile").exists()


def test_llama_cpp_answers_the_rendered_prompt_as_the_engine_does(
    model_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp", reason="llama.cpp (xllamacpp) is not installed")
    from codegen25.bench.engines.llamacpp import Driver

    ollama.write(model_dir, tmp_path, "f32")
    driver = Driver({"model": str(tmp_path / "model.gguf"), "threads": 1, "context": 256,
                     "exact": True})  # fmt: skip
    prompt = rendered(ollama.template(Directory.read(model_dir)), PREFIX, SUFFIX)
    reply = driver.ask({"prompt": prompt, "n_predict": 16, "ignore_eos": False})
    engine = Engine.load(model_dir, Settings(kind="float32"))
    assert reply["content"] == engine.infill(PREFIX, SUFFIX, max_tokens=16).text

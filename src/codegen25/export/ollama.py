"""A checkpoint for Ollama: a GGUF file and the Modelfile that says how to ask it.

`ollama create NAME -f Modelfile` takes both. Ollama asks with `suffix` only what has `.Suffix` in
its template; see its docs/template.md and docs/modelfile.md.
"""

from __future__ import annotations

import os
from pathlib import Path

from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.export import gguf
from codegen25.export.template import end_tokens, infill_template
from codegen25.sample.options import Sampling
from codegen25.sample.request import DEFAULT_MAX_TOKENS

MODELFILE, WEIGHTS = "Modelfile", "model.gguf"
PROMPT, SUFFIX = "{{ .Prompt }}", "{{ .Suffix }}"


def write(folder: Path, out: Path, kind: str = "q8_0") -> None:
    """Write Modelfile and model.gguf of the checkpoint in `folder` into the folder `out`.

    Each file appears whole or stays as it was; others in `out` are left alone. A UserError says
    what llama.cpp could not load.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    text = modelfile(Directory.read(folder))
    gguf.write(folder, out / WEIGHTS, kind)
    staging = out / f".{MODELFILE}.new-{os.getpid()}"
    try:
        staging.write_text(text, encoding="utf-8")
        staging.replace(out / MODELFILE)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        staging.unlink(missing_ok=True)


def modelfile(directory: Directory) -> str:
    """The text of a Modelfile: template, ends, and the sampling that `codegen25 complete` has."""
    form, tokenizer, sampling = directory.form, directory.tokenizer, Sampling()
    lines = [
        f"# {directory.folder.resolve().name}, by codegen25: ollama create NAME -f {MODELFILE}",
        "# Sentinels in the text one completes are read as such: Ollama composes prompts as text.",
        f"FROM ./{WEIGHTS}",
        f'TEMPLATE """{template(directory)}"""',
        *(f'PARAMETER stop "{token}"' for token in end_tokens(form, tokenizer)),
        f"PARAMETER num_ctx {directory.config.max_position_embeddings}",
        f"PARAMETER num_predict {DEFAULT_MAX_TOKENS}",
        f"PARAMETER temperature {sampling.temperature:g}",
        f"PARAMETER top_p {sampling.top_p:g}",
        # Ollama's own 1.1 makes code that repeats itself, as code does, less likely.
        f"PARAMETER repeat_penalty {sampling.repetition_penalty:g}",
    ]
    return "\n".join(lines) + "\n"


def template(directory: Directory) -> str:
    """The prompt with and without a suffix, in Go's template language."""
    infill = infill_template(directory.form, directory.tokenizer, PROMPT, SUFFIX)
    if infill is None:
        return PROMPT
    return f"{{{{ if .Suffix }}}}{infill}{{{{ else }}}}{PROMPT}{{{{ end }}}}"

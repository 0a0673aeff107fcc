"""`codegen25 export triton`: a checkpoint as a model of an NVIDIA Triton model repository.

    OUT/codegen25/config.pbtxt     what it takes and returns, in comments
    OUT/codegen25/1/model.py       our engine behind Triton's python backend
    OUT/codegen25/1/checkpoint/    the model directory

With the vLLM backend `1/model.json`, the engine's arguments, takes the place of `model.py`. The
layout is Triton's (docs/user_guide/model_repository.md).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from codegen25 import __version__
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.export import stored, triton_config
from codegen25.export.folder import checked, files_of, replacing
from codegen25.export.template import end_tokens, infill_template
from codegen25.sample.load import KINDS

NAME = "codegen25"
CONFIG, MODEL, ARGUMENTS, CHECKPOINT = "config.pbtxt", "model.py", "model.json", "checkpoint"
BACKENDS = ("python", "vllm")


def write(
    folder: Path,
    out: Path,
    backend: str = "python",
    *,
    weights: str = "auto",
    threads: int = 0,
    link: bool = False,
) -> Path:
    """Write the checkpoint in `folder` as `out`/codegen25 and return that path.

    It appears whole, and replaces one of ours; other models of the repository are left alone. With
    `link` checkpoint and package are linked, not copied: for a server on this machine. `weights`
    and `threads` are our engine's; vLLM has its own, and a checkpoint whose weights are stored in a
    form of ours is written in bfloat16 for it. What is wrong is a UserError.
    """
    if backend not in BACKENDS:
        raise UserError(f"backend {backend!r} is unknown; it is {' or '.join(BACKENDS)}")
    if weights not in ("auto", *KINDS):
        raise UserError(f"weights {weights!r} are unknown; they are auto, {', '.join(KINDS)}")
    if threads < 0:
        raise UserError(f"threads is {threads}; it is 0 (one a core) or more")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    directory, model = checked(folder), out.resolve() / NAME
    with replacing(model, CONFIG) as staging:
        version = staging / "1"
        version.mkdir()
        _place(folder, version / CHECKPOINT, link, wide=backend == "vllm")
        if backend == "python":
            text = triton_config.python(NAME, folder.resolve().name, __version__, weights, threads)
            shutil.copyfile(Path(__file__).with_name("triton_model.py"), version / MODEL)
            if link:  # the server's Python has a site-packages of its own
                (version / "codegen25").symlink_to(Path(__file__).parents[1])
        else:
            text = _vllm(directory, version, model / "1" / CHECKPOINT)
        (staging / CONFIG).write_text(text, encoding="utf-8")
    return model


def _place(folder: Path, out: Path, link: bool, *, wide: bool) -> None:
    if wide and stored.readable(folder, out, "bf16") == out:
        return
    if link:
        out.symlink_to(folder.resolve(), target_is_directory=True)
        return
    out.mkdir()
    for path in files_of(folder):
        shutil.copyfile(path, out / path.name)


def _vllm(directory: Directory, version: Path, checkpoint: Path) -> str:
    """Write the engine's arguments; the configuration's text."""
    arguments = {
        "model": str(checkpoint),
        "max_model_len": directory.config.max_position_embeddings,
        "gpu_memory_utilization": 0.9,
        "enable_prefix_caching": True,
    }
    text = json.dumps(arguments, indent=2) + "\n"
    (version / ARGUMENTS).write_text(text, encoding="utf-8")
    form, tokenizer = directory.form, directory.tokenizer
    prompt = infill_template(form, tokenizer, "PREFIX", "SUFFIX")
    name = directory.folder.resolve().name
    return triton_config.vllm(NAME, name, __version__, prompt, end_tokens(form, tokenizer))

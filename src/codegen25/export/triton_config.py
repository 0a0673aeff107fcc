"""The texts of `config.pbtxt`, for our engine on the python backend and for vLLM's."""

from __future__ import annotations

from collections.abc import Sequence

from codegen25.export.triton_fields import INPUTS, OUTPUTS, Field

PYTHON = """\
# {model} behind Triton's python backend; written by codegen25 {version}.
name: "{name}"
backend: "python"

# Triton does no batching of its own: it hands every request over as it comes, and our engine
# computes the next tokens of all of them in one pass, whenever they came.
max_batch_size: 0

# Responses go out as they are ready, many to a request with `stream`.
model_transaction_policy {{ decoupled: true }}

{inputs}

{outputs}

# One engine; its threads share the work. KIND_GPU asks for torch with CUDA in the server's Python.
instance_group [ {{ kind: KIND_CPU count: 1 }} ]

# The number type of the weights: auto (int8 on a CPU), int8, int4 or float32.
parameters {{ key: "weights" value {{ string_value: "{weights}" }} }}
# Threads of the engine; 0 is one a core.
parameters {{ key: "threads" value {{ string_value: "{threads}" }} }}
# Memory for keys and values in MB; 0 is by what is free.
parameters {{ key: "cache_mb" value {{ string_value: "0" }} }}
"""

VLLM = """\
# {model} behind Triton's vLLM backend; written by codegen25 {version}.
# 1/model.json holds the engine's arguments; "model" is where the server finds the checkpoint.
name: "{name}"
backend: "vllm"

# vLLM batches by itself.
max_batch_size: 0
model_transaction_policy {{ decoupled: true }}

# vLLM takes prompts as text and reads special tokens in them. An infill is asked for with
{prompt}
# and stops at {ends}. Text that spells a sentinel is taken for one.
{inputs}

{outputs}

# Devices are vLLM's affair.
instance_group [ {{ kind: KIND_MODEL count: 1 }} ]
"""

VLLM_INPUTS = (
    Field("text_input", "STRING", "the prompt", optional=False),
    Field("stream", "BOOL", "many responses, as the text comes"),
    Field("sampling_parameters", "STRING", 'JSON: {"temperature": 0, "max_tokens": 64}'),
    Field("exclude_input_in_output", "BOOL", "true: the answer without the prompt"),
)
VLLM_OUTPUTS = (Field("text_output", "STRING", "the answer", dims=-1),)


def python(name: str, model: str, version: str, weights: str, threads: int) -> str:
    """For our engine."""
    return PYTHON.format(
        name=name, model=model, version=version, weights=weights, threads=threads,
        inputs=_tensors("input", INPUTS), outputs=_tensors("output", OUTPUTS),
    )  # fmt: skip


def vllm(name: str, model: str, version: str, prompt: str | None, ends: Sequence[str]) -> str:
    """For vLLM's; `prompt` is the template of an infill."""
    said = f"#   {prompt}" if prompt else "#   (nothing: this model knows no infilling)"
    return VLLM.format(
        name=name, model=model, version=version, prompt=said, ends=" and ".join(ends),
        inputs=_tensors("input", VLLM_INPUTS), outputs=_tensors("output", VLLM_OUTPUTS),
    )  # fmt: skip


def _tensors(kind: str, fields: Sequence[Field]) -> str:
    return f"{kind} [\n" + ",\n".join(_tensor(field, kind) for field in fields) + "\n]"


def _tensor(field: Field, kind: str) -> str:
    optional = " optional: true" if kind == "input" and field.optional else ""
    return (
        f"  # {field.about}\n"
        f'  {{ name: "{field.name}" data_type: TYPE_{field.datatype} '
        f"dims: [ {field.dims} ]{optional} }}"
    )

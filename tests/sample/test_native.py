from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25 import checkpoint
from codegen25.config import ModelConfig
from codegen25.model import Llama, initialize
from codegen25.sample.native import build, library
from codegen25.sample.native.library import GROUPS, pack, product
from codegen25.sample.native.runner import NativeRunner
from codegen25.sample.runner import Run
from codegen25.tokenizer import Tokenizer
from codegen25.weights import Weights

try:
    build.library()
except build.MissingError as reason:
    pytest.skip(f"no kernels: {reason}", allow_module_level=True)


def model(**fields: int) -> tuple[ModelConfig, Mapping[str, np.ndarray], Llama]:
    shape = {"vocab_size": 75, "hidden_size": 48, "intermediate_size": 100, "num_hidden_layers": 3,
             "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
             "max_position_embeddings": 300}  # fmt: skip
    config = ModelConfig(**(shape | fields))  # type: ignore[arg-type]
    llama = Llama(config)
    initialize(llama, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in llama.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
            parameter.add_(0.15 * noise)
    weights = {name: tensor.numpy() for name, tensor in llama.state_dict().items()}
    return config, weights, llama


@pytest.mark.parametrize(("kind", "tolerance"), [("float32", 1e-5), ("int8", 0.01), ("int4", 0.15)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 33, 70), (64, 64, 16), (30, 129, 200)])
def test_products_are_numpys(kind: str, tolerance: float, shape: tuple[int, int, int]) -> None:
    rows, outputs, inputs = shape
    rng = np.random.default_rng(0)
    w = rng.standard_normal((outputs, inputs), np.float32)
    x = rng.standard_normal((rows, inputs), np.float32)
    expected = x @ w.T
    found = product(pack([w], kind, 1), x)
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max() + 1e-6


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(GROUPS)), st.integers(1, 50), st.integers(1, 3))
def test_a_row_does_not_depend_on_the_rows_beside(kind: str, rows: int, threads: int) -> None:
    rng = np.random.default_rng(rows)
    packed = pack([rng.standard_normal((40, 96), np.float32)], kind, 1)
    x = rng.standard_normal((rows, 96), np.float32)
    whole = product(packed, x, threads)
    for row in {0, rows // 2, rows - 1}:
        assert (product(packed, x[row : row + 1]) == whole[row]).all()


@pytest.mark.parametrize("kind", sorted(GROUPS))
def test_matrices_below_each_other_are_one(kind: str) -> None:
    rng = np.random.default_rng(3)
    parts = [rng.standard_normal((n, 64), np.float32) for n in (5, 16, 23)]
    x = rng.standard_normal((3, 64), np.float32)
    together = product(pack(parts, kind, 2), x)
    apart = np.concatenate([product(pack([part], kind, 1), x) for part in parts], -1)
    assert (together == apart).all()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"num_key_value_heads": 4},
        {"head_dim": 16, "num_key_value_heads": 1},
        {"head_dim": 20, "hidden_size": 32},
        {"tie_word_embeddings": False},
    ],
)
def test_logits_are_torchs(fields: dict[str, int]) -> None:
    config, weights, llama = model(**fields)
    ids = np.random.default_rng(0).integers(0, config.vocab_size, 250).tolist()
    with torch.inference_mode():
        expected = llama(torch.tensor([ids]))[0].numpy()
    scale = np.abs(expected).max()
    for kind, tolerance in (("float32", 1e-5), ("int8", 0.05), ("int4", 0.5)):
        runner = NativeRunner(config, weights, kind, 1)
        found = runner.forward([Run(runner.allocate(250), 0, ids, 250)])
        assert np.abs(found - expected).max() < tolerance * scale


@pytest.mark.parametrize("kind", sorted(GROUPS))
def test_chunks_company_and_threads_change_no_bit(kind: str) -> None:
    config, weights, _ = model()
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, config.vocab_size, n).tolist() for n in (150, 33, 201)]
    alone = []
    runner = NativeRunner(config, weights, kind, 1)
    for ids in sequences:
        alone.append(runner.forward([Run(runner.allocate(300), 0, ids, len(ids))]).copy())
    for threads in (1, 3):
        runner = NativeRunner(config, weights, kind, threads)
        keys = [runner.allocate(300) for _ in sequences]
        at, found = [0] * 3, [[], [], []]  # type: ignore[var-annotated]
        while any(at[i] < len(ids) for i, ids in enumerate(sequences)):
            runs = []
            for i, ids in enumerate(sequences):
                count = min(int(rng.choice([1, 2, 5, 70])), len(ids) - at[i])
                if count:
                    runs.append((i, Run(keys[i], at[i], ids[at[i] : at[i] + count], count)))
            logits = runner.forward([run for _, run in runs])
            row = 0
            for i, run in runs:
                found[i].append(logits[row : row + run.wanted].copy())
                row, at[i] = row + run.wanted, at[i] + len(run.ids)
        for i in range(3):
            assert (np.concatenate(found[i]) == alone[i]).all()


def test_a_copied_sequence_goes_on_like_the_original() -> None:
    config, weights, _ = model()
    runner = NativeRunner(config, weights, "int8", 1)
    ids = list(range(40))
    first, second = runner.allocate(64), runner.allocate(128)
    runner.forward([Run(first, 0, ids, 0)])
    second.copy(first, 21)
    continued = [7, 8, 9]
    found = runner.forward([Run(second, 21, continued, 3)]).copy()
    expected = runner.forward([Run(runner.allocate(64), 0, ids[:21] + continued, 3)])
    assert (found == expected).all()


def test_no_numbers_stay_no_numbers() -> None:
    config, weights, _ = model()
    damaged = dict(weights)
    damaged["model.layers.1.mlp.up_proj.weight"] = np.full((100, 48), np.nan, np.float32)
    for kind in GROUPS:
        runner = NativeRunner(config, damaged, kind, 1)
        assert np.isnan(runner.forward([Run(runner.allocate(9), 0, [1, 2], 1)])).all()


PROGRAM = """
import numpy as np
from codegen25.sample.native.build import MissingError, library
from codegen25.sample.native.library import pack, product
try:
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((40, 64), np.float32), rng.standard_normal((9, 64), np.float32)
    library().codegen25_isa.restype = __import__("ctypes").c_char_p
    wrong = max(abs(product(pack([w], kind, 1), x) - x @ w.T).max() for kind in ("float32", "int8"))
    print(library().codegen25_isa().decode(), wrong < 0.3)
except MissingError as error:
    print("missing:", error)
"""


def program(cache: Path, **environment: str) -> tuple[str, str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True)
    return done.stdout.strip(), done.stderr


@pytest.mark.slow
def test_portable_kernels_compute_the_same(tmp_path: Path) -> None:
    said, _ = program(tmp_path, CODEGEN25_KERNELS="portable")
    assert said == "portable True"


def test_without_a_compiler_there_is_a_reason(tmp_path: Path) -> None:
    assert program(tmp_path, PATH=str(tmp_path), CXX="")[0].startswith("missing: no C++ compiler")
    assert program(tmp_path, CODEGEN25_KERNELS="off")[0] == "missing: CODEGEN25_KERNELS=off"
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho 'x: error: no' >&2\nexit 1\n")
    broken.chmod(0o755)
    said, _ = program(tmp_path, CXX=str(broken))
    assert said.startswith("missing:") and said.endswith("failed: x: error: no")
    assert not list((tmp_path / "codegen25/kernels").iterdir())


def test_a_library_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(b"")
    path.chmod(0o666)
    with pytest.raises(build.MissingError, match="somebody else"):
        build._require_ours(path)


@pytest.mark.parametrize("kind", sorted(GROUPS))
@pytest.mark.parametrize("threads", [1, 3])
def test_a_stride_is_as_many_single_steps(kind: str, threads: int) -> None:
    config, weights, _ = model()
    runner = NativeRunner(config, weights, kind, threads)
    never = np.array([0, 5, 74], np.int32)
    for ids in ([3], list(range(60)), [9, 9, 9]):
        expected, pending, keys = [], ids, runner.allocate(120)
        for _ in range(20):
            at = sum(map(len, [ids, expected])) - len(pending)
            logits = runner.forward([Run(keys, at, pending, 1)])
            logits[:, never] = -np.inf
            expected.append(int(logits[0].argmax()))
            pending = expected[-1:]
        strided = runner.allocate(120)
        first, seconds = runner.stride(Run(strided, 0, ids), never, [], 7)
        assert first == expected[:7] and 0 < seconds < 10
        second, _ = runner.stride(Run(strided, len(ids) + 6, first[-1:]), never, [200, -1], 13)
        assert second == expected[7:]
        end = expected[4]
        ended, _ = runner.stride(Run(runner.allocate(120), 0, ids), never, {200, end}, 20)
        assert ended == expected[: expected.index(end) + 1]
        # What the two have stored is the same, so that either goes on from the other's.
        length = len(ids) + 19
        runs = [Run(each, length, [1, 2], 2) for each in (keys, strided)]
        one, other = (runner.forward([run]).copy() for run in runs)
        assert (one == other).all()


def test_a_stride_leaves_what_is_no_number_to_the_caller() -> None:
    config, weights, _ = model()
    damaged = dict(weights)
    damaged["model.layers.1.mlp.up_proj.weight"] = np.full((100, 48), np.nan, np.float32)
    runner = NativeRunner(config, damaged, "int8", 1)
    never = np.zeros(0, np.int32)
    assert runner.stride(Run(runner.allocate(9), 0, [1, 2]), never, [], 4)[0] == []
    whole = NativeRunner(config, weights, "int8", 1)
    every = np.arange(config.vocab_size, dtype=np.int32)
    assert whole.stride(Run(whole.allocate(9), 0, [1, 2]), every, [], 4)[0] == []


def test_a_matrix_is_packed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    whole = rng.standard_normal((70, 64), np.float32)
    x = rng.standard_normal((3, 64), np.float32)
    for kind in GROUPS:
        monkeypatch.setattr(library, "_AT_ONCE", 1 << 24)
        expected = product(pack([whole], kind, 1), x)
        monkeypatch.setattr(library, "_AT_ONCE", 13 * 64)
        assert (product(pack([whole], kind, 1), x) == expected).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_rows_of_a_file_are_those_of_the_whole(
    dtype: torch.dtype, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    config, weights, _ = model(vocab_size=tokenizer.vocab_size)
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    checkpoint.write(tmp_path, config, tensors, tokenizer, dtype=dtype)
    stored = Weights(tmp_path, config)
    name = "model.layers.1.mlp.up_proj.weight"
    lazy = library.Stored(stored, name)
    assert (len(lazy), lazy.shape) == (100, (100, 48))
    assert (lazy[7:31] == stored[name][7:31]).all() and lazy[7:31].dtype == np.float32

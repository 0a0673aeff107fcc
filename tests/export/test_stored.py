from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from codegen25 import checkpoint
from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.export import stored
from codegen25.infill import OUR_FIM
from codegen25.weights import Weights
from int8_model import in_int8


@pytest.mark.parametrize("kind", ["int8", "bf16", "f32"])
def test_a_checkpoint_is_stored_again(kind: str, model_dir: Path, tmp_path: Path) -> None:
    source = in_int8(model_dir, tmp_path / "m")
    config = json.loads((source / "config.json").read_text())
    marks = {"codegen25": {"alias": "<fim_middle>"}, "infill": {**OUR_FIM, "layout": "psm"}}
    (source / "config.json").write_text(json.dumps(config | marks))
    (source / "README.md").write_text("a card\n")
    stored.write(source, tmp_path / "out", kind)
    before, after = (Weights(f, Directory.read(f).config) for f in (source, tmp_path / "out"))
    near = 2.0**-8 if kind == "bf16" else 0.0
    assert all(np.allclose(after[name], before[name], rtol=near, atol=0) for name in before)
    written = json.loads((tmp_path / "out/config.json").read_text())
    assert {key: written[key] for key in marks} == marks
    assert ("quantization_config" in written) == (kind == "int8")
    assert (tmp_path / "out/README.md").read_text() == "a card\n"
    stored.write(source, tmp_path / "out", kind)  # in place of what stands there


def test_what_cannot_be_is_refused(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'q9' is unknown; there are f32"):
        stored.write(model_dir, tmp_path / "out", "q9")
    run = in_int8(model_dir, tmp_path / "run")
    (run / "checkpoints").mkdir()
    with pytest.raises(UserError, match="holds more than a model"):
        stored.write(model_dir, run, "f32")
    with pytest.raises(UserError, match="is the model itself"):
        stored.write(run, run, "f32")
    assert (run / "checkpoints").is_dir()
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="exists and holds no config"):
        stored.write(model_dir, tmp_path / "mine", "f32")
    if checkpoint.load(model_dir).model.config.hidden_size % 64:
        with pytest.raises(UserError, match="int8 takes multiples of 64"):
            stored.write(model_dir, tmp_path / "out", "int8")
        assert not (tmp_path / "out").exists()


def test_engines_of_others_get_a_copy_where_they_need_one(model_dir: Path, tmp_path: Path) -> None:
    assert stored.readable(model_dir, tmp_path / "none", "f32") == model_dir
    assert not (tmp_path / "none").exists()
    shipped, out = in_int8(model_dir, tmp_path / "m"), tmp_path / "wide"
    for _ in range(2):
        assert stored.readable(shipped, out, "f32") == out
    before, after = (Weights(f, Directory.read(f).config) for f in (shipped, out))
    assert after.dtypes == ["F32"] and all(np.array_equal(after[k], before[k]) for k in before)

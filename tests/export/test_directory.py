"""A model directory is what transformers and vLLM load: no export, no code of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from codegen25.export import stored
from codegen25.infill import Layout
from codegen25.models import resolve
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import Request

PREFIX, SUFFIX = "def area(width, height):\n    return ", "\n\n\nprint(area(2, 3))\n"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model, which is stored in int8, as others read it."""
    out = tmp_path_factory.mktemp("wide") / "model"
    stored.write(resolve("default"), out, "bf16")
    return out


@pytest.mark.parametrize("layout", [Layout.PLAIN, Layout.ANCHORED, Layout.CAUSAL])
def test_transformers_gives_our_greedy_tokens_and_stops_where_we_do(
    layout: Layout, wide: Path
) -> None:
    """`generation_config.json` names both ends, so that an infill ends at `<eom>` there too."""
    engine = Engine.load(wide, Settings("cpu", "float32", 1))
    prompt = engine.prompt(PREFIX, SUFFIX, max_tokens=24, layout=layout)
    ours = engine.wait(engine.submit(Request(prompt, 24, Sampling(logprobs=1))))
    theirs = AutoModelForCausalLM.from_pretrained(wide, dtype=torch.float32)
    ids = theirs.generate(
        torch.tensor([prompt.ids]), attention_mask=torch.ones(1, len(prompt.ids)),
        max_new_tokens=24, do_sample=False, suppress_tokens=engine.scheduler._never.tolist(),
    )[0, len(prompt.ids) :].tolist()  # fmt: skip
    assert ids == [each.id for each in ours.logprobs]
    if layout is not Layout.CAUSAL:
        assert ours.stop_reason == "end" and ids[-1] in engine.form.ends_of_span


def test_its_tokenizer_reads_a_prompt_as_we_compose_it(wide: Path) -> None:
    """Sentinels written as text become our ids."""
    engine = Engine.load(wide, Settings("cpu", "float32", 1))
    text = f"{PREFIX}<mask_1>{SUFFIX}<|endoftext|><sep><mask_1>"
    tokenizer = AutoTokenizer.from_pretrained(wide)
    assert (
        tokenizer.encode(text, add_special_tokens=False)
        == engine.prompt(PREFIX, SUFFIX, max_tokens=24, layout="plain").ids
    )

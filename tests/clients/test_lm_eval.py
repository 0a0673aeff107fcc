"""EleutherAI's lm-eval, unchanged: its `local-completions` reads `echo` and `logprobs` from us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving import SHIPPED, Running

lm_eval = pytest.importorskip("lm_eval", reason="pip install 'lm-eval[api]' brings lm-eval")
pytest.importorskip("transformers", reason="lm-eval tokenizes with transformers")
pytestmark = pytest.mark.clients

CHOICES = ["append(item)", "qqzx 77 ]]"]
DOCUMENTS = [
    {"context": "self.items.", "choices": CHOICES, "gold": 0},
    {"context": "import numpy", "choices": [" as np", ")) while é"], "gold": 0},
    {"context": "for i in", "choices": ["}{ class", " range(10):"], "gold": 1},
]
TASK = """
task: tiny
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{context}}}}"
doc_to_target: {target}
{more}
"""
CHOOSE = "doc_to_choice: choices\ntarget_delimiter: ''\nmetric_list: [{metric: acc}]"
WRITE = """generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
metric_list: [{metric: exact_match}]"""


@pytest.fixture
def evaluate(server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the tiny task; its results and its samples."""
    import datasets
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(each) + "\n" for each in DOCUMENTS))

    def run(kind: str, target: str, more: str, **options: Any) -> tuple[dict[str, Any], list[Any]]:
        (tmp_path / "tiny.yaml").write_text(
            TASK.format(data=data, kind=kind, target=target, more=more)
        )
        model = {"model": "default", "base_url": f"{server.url}/v1/completions",
                 "tokenizer_backend": "huggingface", "tokenizer": str(SHIPPED),
                 "max_length": server.engine.context, **options}  # fmt: skip
        manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
        found = lm_eval.simple_evaluate(
            model="local-completions", model_args=model, tasks=["tiny"], task_manager=manager,
            bootstrap_iters=0,
        )  # fmt: skip
        return found["results"]["tiny"], found["samples"]["tiny"]

    return run


@pytest.mark.parametrize("batch_size", [1, 4])
def test_likelihoods_are_the_engines(evaluate: Any, server: Running, batch_size: int) -> None:
    results, samples = evaluate(
        "multiple_choice", "gold", CHOOSE, batch_size=batch_size, num_concurrent=2
    )
    assert results["acc,none"] == 1.0
    tokenizer = server.engine.tokenizer
    for sample in samples:
        context = tokenizer.encode(sample["doc"]["context"])
        for choice, (likelihood, _) in zip(
            sample["doc"]["choices"], sample["filtered_resps"], strict=True
        ):
            ids = tokenizer.encode(sample["doc"]["context"] + choice)
            scored = server.engine.score(ids, 1)[len(context) - 1 :]
            assert float(likelihood) == pytest.approx(
                sum(each.logprob for each in scored), abs=1e-3
            )
    assert server.idle()


def test_answers_end_where_lm_eval_says(evaluate: Any, server: Running) -> None:
    _, samples = evaluate("generate_until", "'x'", WRITE)
    for sample in samples:
        [[text]] = sample["resps"]
        expected = server.engine.complete(sample["doc"]["context"], max_tokens=8).text
        assert text == expected.split("\n")[0]

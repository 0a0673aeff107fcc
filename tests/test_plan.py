from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from codegen25 import plan
from codegen25.errors import UserError
from codegen25.train.recipe import Recipe, Shape
from conftest import Run

MEASURE = """
import sys, torch
from codegen25.model import Llama, initialize
from codegen25.train import lora, optimizer, recipe
from codegen25.train.objective import losses
from codegen25.train.lora import LoraConfig
torch.set_num_threads(1)

def held(key):
    return int(open("/proc/self/status").read().split(key + ":")[1].split()[0]) * 1024

def train(layers, hidden, context, rows, vocabulary, again, rank):
    asked = recipe.Recipe("c", "t", micro_batch=rows, batch=rows, lora=LoraConfig(rank),
                          shape=recipe.Shape(layers, hidden, context=context))
    asked = asked.resolved(vocabulary, "cpu")
    model = Llama(asked.shape.config(vocabulary))
    initialize(model, torch.Generator())
    if rank:
        lora.adapt(model, asked.lora, torch.Generator())
    model.model.recompute = again
    optimizers = optimizer.build(model, asked.optimizer)
    ids, ones = torch.randint(vocabulary, (rows, context)), torch.ones(rows, context)
    for _ in range(2):
        losses(model, ids, ids, ones, 0.0)[0].div(ids.numel()).backward()
        for each in optimizers:
            each.step()
            each.zero_grad(set_to_none=True)

train(1, 64, 32, 1, 300, sys.argv[6] == "1", int(sys.argv[7]))
before = held("VmRSS")
train(*map(int, sys.argv[1:6]), sys.argv[6] == "1", int(sys.argv[7]))
print(held("VmHWM") - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")  # noqa: PTH110
@pytest.mark.parametrize(
    ("layers", "hidden", "context", "rows", "vocabulary", "recompute", "rank"),
    [
        (4, 256, 512, 6, 4096, False, 0),
        (4, 256, 512, 6, 4096, True, 0),
        pytest.param(6, 512, 256, 4, 8192, False, 0, marks=pytest.mark.slow),
        pytest.param(3, 256, 256, 4, 32_000, False, 0, marks=pytest.mark.slow),
        pytest.param(4, 256, 512, 6, 4096, False, 8, marks=pytest.mark.slow),
    ],
)
def test_memory_is_what_a_run_takes(
    layers: int, hidden: int, context: int, rows: int, vocabulary: int, recompute: bool, rank: int
) -> None:
    given = (layers, hidden, context, rows, vocabulary, int(recompute), rank)
    # glibc keeps what it could give back, up to half more; freed at once, it is what is in use.
    returning = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, given)],
        env={**os.environ, **returning}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    shape = Shape(layers, hidden, context=context)
    recipe = Recipe(
        "c", "t", micro_batch=rows, batch=rows, shape=shape, recompute=recompute,
        lora=plan.recipes.LoraConfig(rank),
    ).resolved(vocabulary, "cpu")  # fmt: skip
    config = recipe.shape.config(vocabulary)
    planned = plan.memory(recipe, config, 1, torch.float32).total
    assert planned == pytest.approx(int(done.stdout), rel=0.1)


REHEARSE = """
import json, sys, torch
from codegen25.train.footprint import memory
from codegen25.train.lora import LoraConfig
from codegen25.train.optimizer import OptimizerConfig
from codegen25.train.recipe import Recipe, Shape
from codegen25.train.rehearsal import rehearse
for given in json.loads(sys.argv[1]):
    ranks, rank, width, vocabulary = (given.pop(k) for k in ("ranks", "lora", "width", "ids"))
    kind, dtype = given.pop("kind"), getattr(torch, given.pop("dtype"))
    recipe = Recipe("c", "t", micro_batch=2, shape=Shape(3, width, context=256, tied=width < 300),
                    lora=LoraConfig(rank), optimizer=OptimizerConfig(kind), **given)
    recipe = recipe.resolved(vocabulary, "cpu")
    asked = (recipe, recipe.shape.config(vocabulary), ranks, dtype, "cpu")
    made = rehearse(*asked)
    print(made.parameters, made.standing, made.peak, memory(*asked).total, asked[1].parameters)
"""


def test_memory_is_what_a_step_of_fsdp_takes_in_a_rehearsal() -> None:
    usual = {"ranks": 1, "lora": 0, "width": 256, "ids": 4096, "kind": "adamw", "batch": 32,
             "dtype": "float32", "shard": False, "recompute": False}  # fmt: skip
    sharded = usual | {"ranks": 8, "shard": True}
    cases = [
        usual | {"kind": "muon"},
        usual | {"recompute": True, "dtype": "bfloat16", "batch": 2},
        usual | {"ranks": 8},
        sharded | {"kind": "muon"},
        sharded | {"recompute": True, "dtype": "bfloat16", "width": 320},
        sharded | {"ids": 32_000, "width": 320, "batch": 16},
        sharded | {"lora": 8},
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REHEARSE, json.dumps(cases)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for case, line in zip(cases, done.stdout.splitlines(), strict=True):
        parameters, standing, peak, planned, everything = map(float, line.split())
        assert planned == pytest.approx(peak, rel=0.1), case
        assert standing < peak
        if not case["lora"]:
            cut = case["ranks"] if case["shard"] else 1
            assert parameters == pytest.approx(everything / cut, rel=0.02)


def test_the_seven_billion_are_planned(run: Run) -> None:
    code, out, err = run("plan", "codegen25-7b", "--gpus", 256, "--tokens", "1.4e12", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["parameters"] == 6_895_702_016
    assert found["parameters of a rank"] == pytest.approx(found["parameters"] / 256, rel=0.01)
    memory, cost = found["memory"], found["cost"]
    assert memory["weights"] == pytest.approx(4 * found["parameters"] / 256)
    assert memory["total"] < memory["of"]
    assert found["blocks"] == 32 and found["dry run"]["blocks"] == [4, 6]
    # FSDP holds embedding and head whole all along: 2 x 51,200 x 4,096 in fp32.
    assert memory["gathered"] > 4 * 2 * 51_200 * 4096
    assert found["dry run"]["peak"] == pytest.approx(memory["total"], rel=0.1)
    assert found["dry run"]["standing"] == pytest.approx(
        memory["weights"] + memory["optimizer"], rel=0.02
    )
    assert cost["flops"] == pytest.approx(6 * 6.7e9 * 1.4e12, rel=0.1)
    days = cost["flops"] / (256 * 989e12 * 0.4) / 86_400
    assert cost["seconds"] / 86_400 == pytest.approx(days)
    assert cost["dollars"] == pytest.approx(days * 24 * 256 * 2.5)
    code, out, _ = run("plan", "codegen25-7b", "--gpus", 1, "--set", "shard=false")
    assert code == 0 and "does NOT fit" in out


def test_how_much_of_the_model_a_dry_run_was_of_is_said(run: Run) -> None:
    asked = ("plan", "multi", "--gpus", 2, "--set", "shard=true", "--set")
    code, out, _ = run(*asked, "shape.layers=7")
    assert code == 0 and "GB, reckoned from 4 and 6 of 7 blocks\n" in out
    code, out, _ = run(*asked, "shape.layers=2")
    assert code == 0 and "in a dry run" in out and "reckoned" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mono", "--gpu", "3090"], "h200, h100"),
        (["mono", "--gpus", 7], "cannot be shared by 7"),
        (["mono", "--gpus", 0], "gpus"),
        (["mono", "--mfu", 1.5], "mfu"),
        (["nothing"], "no recipe"),
    ],
)
def test_bad_input(run: Run, arguments: list[object], message: str) -> None:
    code, _, err = run("plan", *arguments)
    assert code == 2 and message in err and err.count("\n") == 1


def test_cost_refuses_what_makes_no_sense() -> None:
    config = Shape(layers=2, hidden=64, heads=2).config(512)
    with pytest.raises(UserError):
        plan.cost(config, 128, -1, 8, plan.CARDS["h100"], 0.4)

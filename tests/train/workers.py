"""What each of the processes of tests/train/test_parallel.py does: several runs, one after another.

python -m torch.distributed.run … workers.py recipe.toml '[{"out": …, "set": {…}}, …]'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from codegen25.model import Llama
from codegen25.tokenizer import Tokenizer
from codegen25.train import parallel, precision, room
from codegen25.train import recipe as recipes
from codegen25.train.loop import Trainer


def probe(model: Llama, tokenizer: Tokenizer) -> dict[str, float]:
    """A figure that only the whole model gives."""
    ids = torch.tensor([tokenizer.encode("def f(x):\n    return x\n")])
    with torch.no_grad():
        return {"mean_loss": float(model(ids)[0].logsumexp(-1).mean())}


def main() -> None:
    world = parallel.join()
    # Looked up where the backend has it, for it is the backend that gives up.
    backend: Any = dist.distributed_c10d._get_default_group()._get_backend(torch.device("cpu"))
    assert backend.options._timeout == parallel.PATIENCE
    # Measured, bfloat16 is twice as fast as float32 on the second process, and slower on the first.
    rates = {torch.float32: 1.0, torch.bfloat16: 2.0 * world.rank}
    precision.gemm_rate = lambda dtype, **named: rates[dtype]
    recipe = Path(sys.argv[1])
    for job in json.loads(sys.argv[2]):
        trainer = Trainer(recipes.load(recipe, job["set"]), recipe.parent / job["out"], world)
        trainer.resume()
        free, said = room.free, list[str]()
        if job.get("full"):
            room.free = lambda device: 1e3
        assert trainer.run(probe=probe, say=said.append)
        room.free = free
        if world.first:
            (trainer.out / "said.json").write_text(json.dumps(said))
    world.wait()
    parallel.leave()


if __name__ == "__main__":
    main()

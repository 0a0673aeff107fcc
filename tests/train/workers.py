"""What each of the processes of tests/train/test_parallel.py does: several runs, one after another.

python -m torch.distributed.run … workers.py recipe.toml '[{"out": …, "set": {…}}, …]'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from codegen25.train import parallel
from codegen25.train import recipe as recipes
from codegen25.train.loop import Trainer


def main() -> None:
    world = parallel.join()
    recipe = Path(sys.argv[1])
    for job in json.loads(sys.argv[2]):
        trainer = Trainer(recipes.load(recipe, job["set"]), recipe.parent / job["out"], world)
        trainer.resume()
        assert trainer.run()
    world.wait()
    parallel.leave()


if __name__ == "__main__":
    main()

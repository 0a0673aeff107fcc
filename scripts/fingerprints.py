"""Make the fingerprints of evaluation problems that travel with the package.

    python scripts/fingerprints.py HumanEval.jsonl.gz [MORE.jsonl …] --out FILE

With no --out, the package's own file is written. Hashes only: no problem can be read back.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from codegen25.data import decontaminate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="+", type=Path)
    own = Path(str(files("codegen25.data") / decontaminate.SHIPPED))
    parser.add_argument("--out", type=Path, default=own)
    arguments = parser.parse_args()
    found = decontaminate.collect(arguments.problems)
    found.write(arguments.out)
    print(
        f"{arguments.out}: {len(found.problems)} problems, {len(found.words)} runs of "
        f"{decontaminate.NGRAM} words, {len(found.functions)} functions, "
        f"{arguments.out.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    main()

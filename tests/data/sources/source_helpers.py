"""Read a source as the pipeline would, and hold it to what all sources promise."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

from codegen25.data.documents import Count, Document
from codegen25.data.sources import Source, Task

PYTHON = "def double(x):\n    return 2 * x\n"


def read(source: Source, cache: Path) -> tuple[dict[str, Document], Count]:
    """The source's documents by name, and the count of what was looked at."""
    return read_tasks(source.tasks(cache))


def read_tasks(tasks: list[Task]) -> tuple[dict[str, Document], Count]:
    """The same of tasks, each after a journey to another process, last one first."""
    documents: dict[str, Document] = {}
    total = Count()
    for task in reversed(tasks):
        json.dumps([dataclasses.asdict(task), task.state()], default=str)  # type: ignore[call-overload]
        count, again = Count(), Count()
        found = list(pickle.loads(pickle.dumps(task)).read(count))
        assert list(task.read(again)) == found
        assert again == count
        assert count.documents_in == count.documents_out + count.reasons.total()
        assert count.documents_out == len(found)
        assert count.bytes_out == sum(document.size for document in found)
        for document in found:
            assert document.name not in documents
            documents[document.name] = document
        total.add(count)
    return documents, total


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Files below `folder`, by name."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder

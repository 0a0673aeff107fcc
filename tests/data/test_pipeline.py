from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from codegen25.data import pipeline
from codegen25.data.command import of_sources
from codegen25.data.documents import CHANGED, GENERATED
from codegen25.data.engines import Local, engine
from codegen25.data.filters import Filters
from codegen25.data.parts import PartTask
from codegen25.data.recipe import DataRecipe
from codegen25.data.selection import held_out
from codegen25.data.shards import TextShard
from codegen25.data.sources.task import FilesTask
from codegen25.data.tokens import TokenShard
from codegen25.errors import UserError
from codegen25.tokenizer import Tokenizer
from conftest import Run, folder_recipe

BODY = "".join(f"def function_{i}(value):\n    return value + {i}\n\n" for i in range(10))


def body(name: str) -> str:
    """A module of its own: no near-twin of one with another name."""
    return "".join(
        f"def {name}_{i}(v_{name}):\n    return v_{name} * {name}({i})\n\n" for i in range(10)
    )


def repository(folder: Path, files: dict[str, str | bytes]) -> Path:
    for relative, content in files.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def repositories(tmp_path: Path) -> list[Path]:
    """Three repositories with one of each thing that is dropped."""
    one = {f"m{i}.py": body(f"word{i}x") for i in range(6)}
    faults: dict[str, str | bytes] = {
        "latin.py": b"# caf\xe9\n" + BODY.encode(),
        "broken.py": b"def f(:\n" + BODY.encode(),
        "copy.py": one["m0.py"].replace("\n", "  \n"),
        "near.py": one["m1.py"] + "# one more line\n",
        "crlf.py": body("crlf").replace("\n", "\r\n"),
        "min.js": "var x=1;" * 4000,
    }
    return [
        repository(tmp_path / "src/one", {**one, **faults}),
        repository(tmp_path / "src/two", {"m.py": body("two")}),
        repository(tmp_path / "src/three", {"sub/m.py": body("three"), "a.go": "package a\n" * 20}),
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_corpus_is_filtered_deduplicated_counted_and_split(
    tmp_path: Path, repositories: list[Path]
) -> None:
    recipe = folder_recipe(*repositories, heldout=0.4)
    report = pipeline.build(recipe, tmp_path / "c", Local(1))
    train, heldout = TextShard(tmp_path / "c"), TextShard(tmp_path / "c", "heldout")
    paths = {(row["repo"], row["path"]) for shard in (train, heldout) for row in shard.rows()}
    dropped = {"latin.py", "broken.py", "min.js"}
    assert not {path for _, path in paths} & dropped
    assert len(paths & {("one", "m0.py"), ("one", "copy.py")}) == 1
    assert len(paths & {("one", "m1.py"), ("one", "near.py")}) == 1
    assert ("one", "crlf.py") in paths and "\r" not in "".join(train)
    repos = [{row["repo"] for row in shard.rows()} for shard in (train, heldout)]
    assert all(repos) and not repos[0] & repos[1]
    steps = report["steps"]
    assert steps["exact duplicates"]["reasons"] == {"an exact copy": 1}
    assert steps["near duplicates"]["reasons"] == {"a near copy": 1}
    assert steps["read"]["reasons"]["not UTF-8"] == 1
    for step in steps.values():
        assert step["documents_in"] - step["documents_out"] == sum(step["reasons"].values())
    table = (tmp_path / "c/report.md").read_text()
    assert "a near copy" in table and "one/m1.py" in table
    assert str(tmp_path) not in table + (tmp_path / "c/report.json").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name != "src"] == ["c"]


@pytest.mark.parametrize("name", ["local", "ray"])
def test_every_engine_gives_the_same_bytes(
    name: str, tmp_path: Path, repositories: list[Path], tokenizer: Tokenizer
) -> None:
    if name == "ray":
        pytest.importorskip("ray.data", reason="Ray is not installed")
    tokenizer.save(tmp_path / "tokenizer.json")
    recipe = folder_recipe(
        *repositories, heldout=0.4, metadata=0.5, functions=True,
        tokenizer=str(tmp_path / "tokenizer.json"),
    )  # fmt: skip
    pipeline.build(recipe, tmp_path / "here", Local(1))
    pipeline.build(recipe, tmp_path / "there", engine(name, 2))
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_token_shards_are_the_ids_of_the_text(
    tmp_path: Path, repositories: list[Path], tokenizer: Tokenizer
) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    recipe = folder_recipe(
        *repositories, heldout=0.4, metadata=0.7, tokenizer=str(tmp_path / "tokenizer.json")
    )
    pipeline.build(recipe, tmp_path / "c", Local(1))
    text, ids = TextShard(tmp_path / "c"), TokenShard(tmp_path / "c", "train", tokenizer)
    assert len(text) == len(ids) > 3 and ids.ids.dtype == np.uint16
    for i, row in enumerate(text.rows()):
        document = text.document(i, row)
        spelled = tokenizer.decode(ids[i].tolist())
        assert spelled.endswith("<|endoftext|>")
        for _, mark in document.marks:
            assert spelled.count(mark) == 1
            spelled = spelled.replace(mark, "")
        assert spelled == document.text + "<|endoftext|>"
    with pytest.raises(UserError, match="another tokenizer"):
        other = Tokenizer.load(tmp_path / "tokenizer.json")
        other.backend.add_special_tokens(["<new>"])
        TokenShard(tmp_path / "c", "train", other)
    path = tmp_path / "c/train.tokens.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError, match=r"train\.tokens\.bin"):
        TokenShard(tmp_path / "c", "train", tokenizer)


def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, repositories: list[Path]
) -> None:
    many = {f"w{i}.py": body(f"w{i}y") * 40 for i in range(120)}
    repositories.append(repository(tmp_path / "src/many", many))
    sources = [str(path) for path in repositories]
    command = [
        sys.executable, "-m", "codegen25", "data", *sources, "--workers", "1", "--set", "heldout=0",
        "--set", "redact=false", "--out",
    ]  # fmt: skip
    process = subprocess.Popen([*command, str(tmp_path / "c")], stdout=subprocess.DEVNULL)
    parts = tmp_path / ".c.work/parts"
    deadline = time.monotonic() + 60
    while not (parts.exists() and any(parts.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "c").exists() and any(parts.iterdir())
    subprocess.run([*command, str(tmp_path / "c")], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*command, str(tmp_path / "d")], check=True, stdout=subprocess.DEVNULL)
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


@pytest.mark.parametrize("name", ["part.documents.jsonl", "part.text", "counts.json", "keys.npy"])
def test_a_part_that_was_damaged_is_made_again(
    tmp_path: Path, repositories: list[Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recipe = folder_recipe(*repositories)
    pipeline.build(recipe, tmp_path / "whole", Local(1))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_write_text", full)
        with pytest.raises(UserError, match="disk is full"):
            pipeline.build(recipe, tmp_path / "c", Local(1))
    for part in (tmp_path / ".c.work/parts").iterdir():
        (part / name).write_bytes(b"")
    pipeline.build(recipe, tmp_path / "c", Local(1))
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def test_a_refused_run_leaves_nothing(tmp_path: Path) -> None:
    for table in ({"kind": "folder", "path": "none"}, {"kind": "folder", "path": "a\0b"}):
        with pytest.raises(UserError):
            pipeline.build(DataRecipe((table,)), tmp_path / "c", Local(1))
    assert not list(tmp_path.iterdir())


def test_finished_parts_are_not_made_again(
    tmp_path: Path, repositories: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = folder_recipe(*repositories)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_write_text", full)
        with pytest.raises(UserError, match=r"disk is full.*same command"):
            pipeline.build(recipe, tmp_path / "c", Local(1))
    assert not (tmp_path / "c").exists()
    parts = tmp_path / ".c.work/parts"
    before = {path.name: path.stat().st_mtime_ns for path in parts.iterdir()}
    # A file that changed belongs to another part; the other repositories' parts are taken.
    (repositories[1] / "m.py").write_text(body("changed"))
    rmtree = pipeline.shutil.rmtree
    monkeypatch.setattr(
        pipeline.shutil, "rmtree", lambda path, **k: ".work" in str(path)[-5:] or rmtree(path, **k)
    )
    pipeline.build(recipe, tmp_path / "c", Local(1))
    after = {path.name: path.stat().st_mtime_ns for path in parts.iterdir()}
    assert before.items() < after.items() and len(after) == len(before) + 1
    assert any("changed" in text for text in TextShard(tmp_path / "c"))


def die(task: object) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_a_killed_worker_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="worker was killed"):
        list(Local(2).map(die, [1, 2, 3]))


def test_workers_do_not_outlive_a_killed_run(tmp_path: Path) -> None:
    script = (
        "import sys, time, os\n"
        "from codegen25.data.engines import Local\n"
        "def slow(item):\n"
        "    os.write(1, b'%d\\n' % os.getpid())\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    list(Local(2).map(slow, range(4)))\n"
    )
    (tmp_path / "slow.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "slow.py"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    workers = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, workers))


def test_two_runs_do_not_share_a_working_folder(tmp_path: Path, repositories: list[Path]) -> None:
    with pipeline._working(tmp_path / ".c.work"), pytest.raises(UserError, match="another run"):
        pipeline.build(folder_recipe(*repositories), tmp_path / "c", Local(1))


def test_no_family_is_lost_to_a_repositorys_share(tmp_path: Path) -> None:
    twin = body("twin")
    source = tmp_path / "src"
    fillers = {f"f{i}.py": body(f"filler{i}x") for i in range(6)}
    folders = [
        repository(source / "a", {**fillers, "m.py": twin, "n.py": twin + "# near\n"}),
        repository(source / "b", {"n.py": twin + "# near, too\n", "o.py": twin}),
    ]
    for seed in range(8):
        out = tmp_path / f"out{seed}"
        pipeline.build(
            folder_recipe(*folders, max_repo_kb=2, seed=seed, heldout=0.0), out, Local(1)
        )
        kept = list(TextShard(out))
        assert sum("twin_0" in text for text in kept) == 1


def test_steps_are_reported_in_their_order(tmp_path: Path, repositories: list[Path]) -> None:
    made = pipeline.build(folder_recipe(*repositories, redact=True), tmp_path / "out", Local(1))
    assert list(made["steps"]) == [
        "read", "notebooks", "language", "path", "text", "syntax", "redaction", "decontamination",
        "exact duplicates", "near duplicates",
    ]  # fmt: skip


def test_what_redaction_changed_is_counted(tmp_path: Path) -> None:
    text = body("mail") + "author = 'jane.doe@university.org'\n"
    folder = repository(tmp_path / "src", {"m.py": text, "n.py": body("other")})
    made = pipeline.build(folder_recipe(folder, redact=True, heldout=0.0), tmp_path / "o", Local(1))
    assert made["steps"]["redaction"]["reasons"] == {CHANGED: 1}
    assert "src/m.py" in (tmp_path / "o/report.md").read_text()


def test_notebooks_with_long_paragraphs_pass_and_can_be_asked_for(tmp_path: Path) -> None:
    paragraph = "A paragraph of a notebook is one line. " * 12
    cells = [
        {"cell_type": "markdown", "source": [paragraph]},
        {"cell_type": "code", "source": ["print(1 + 1)\n"], "outputs": []},
    ]
    metadata = {"kernelspec": {"language": "python", "name": "python3"}}
    text = json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    folder = repository(tmp_path / "src", {"n.ipynb": text, "m.py": body("module")})
    for languages in ((), ("notebooks",)):
        out = tmp_path / f"out{len(languages)}"
        recipe = folder_recipe(folder, heldout=0.0, filters=Filters(languages=languages))
        made = pipeline.build(recipe, out, Local(1))
        assert made["languages"]["notebooks"][0] == 1
        assert set(made["languages"]) == {"notebooks"} | ({"python"} if not languages else set())


def test_parts_made_with_other_evaluation_files_are_not_taken_over(tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    part = PartTask(FilesTask(()), folder_recipe(tmp_path, decontaminate=(str(problems),)), "work")
    problems.write_text(json.dumps({"prompt": "def f():\n", "canonical_solution": "    pass\n"}))
    before = part.folder
    assert part.folder == before
    problems.write_text(json.dumps({"prompt": "def g():\n", "canonical_solution": "    pass\n"}))
    assert part.folder != before


def test_own_code_beside_packages_is_taken_whatever_its_licence(tmp_path: Path) -> None:
    recipe = of_sources([str(tmp_path), "stdlib"], {})
    assert recipe.licenses == "permissive"
    folder = repository(tmp_path / "own", {"m.py": body("mine")})
    own = dataclasses.replace(recipe, sources=({**recipe.sources[0], "path": str(folder)},))
    made = pipeline.build(dataclasses.replace(own, heldout=0.0), tmp_path / "out", Local(1))
    assert made["splits"]["train"]["documents"] == 1
    assert of_sources([str(tmp_path)], {}).licenses == "any"


def test_a_flipped_byte_is_found(corpus: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "corpus"
    shutil.copytree(corpus, damaged)
    TextShard(damaged).verify()
    raw = bytearray((damaged / "train.text").read_bytes())
    raw[100] ^= 1
    (damaged / "train.text").write_bytes(raw)
    with pytest.raises(UserError, match="checksum"):
        TextShard(damaged).verify()


def test_no_repository_exceeds_its_share(tmp_path: Path) -> None:
    files = {f"m{i}.py": body(f"n{i}z") for i in range(20)}
    folder = repository(tmp_path / "big", files)
    recipe = folder_recipe(folder, heldout=0.0, max_repo_kb=3)
    pipeline.build(recipe, tmp_path / "c", Local(1))
    assert 1500 < TextShard(tmp_path / "c").total_bytes <= 3000


def test_what_exists_is_not_touched(tmp_path: Path, repositories: list[Path]) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "d").symlink_to("nowhere")
    for out in ("c", "d"):
        with pytest.raises(UserError, match="exists already"):
            pipeline.build(folder_recipe(*repositories), tmp_path / out, Local(1))


def test_what_is_added_is_counted_and_no_folder_is_told(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    long = "def long(value):\n" + "    value = value * 2 + 1\n" * 8 + "    return value\n"
    folder = repository(tmp_path / "src", {"m.py": body("one") + long, "n.py": body("two")})
    (tmp_path / "secret").mkdir()
    tokenizer.save(tmp_path / "secret/tokenizer.json")
    recipe = folder_recipe(
        folder, functions=True, metadata=1.0, heldout=0.0,
        tokenizer=str(tmp_path / "secret/tokenizer.json"),
    )  # fmt: skip
    made = pipeline.build(recipe, tmp_path / "o", Local(1))
    assert made["steps"]["functions"]["documents_in"] == 2
    assert made["steps"]["functions"]["documents_out"] > 2
    metadata = made["steps"]["metadata"]
    assert metadata["reasons"] == {CHANGED: metadata["documents_in"]}
    assert str(tmp_path) not in (tmp_path / "o/report.json").read_text()


def test_nothing_left_says_why(tmp_path: Path) -> None:
    folder = repository(tmp_path / "src", {"a.py": "x = 1\n", "b.py": b"\xff" * 300})
    with pytest.raises(UserError, match=r"nothing is left.*not UTF-8"):
        pipeline.build(folder_recipe(folder), tmp_path / "c", Local(1))
    assert not (tmp_path / "c").exists()


def test_imports_come_first_in_repository_order(tmp_path: Path) -> None:
    folder = repository(
        tmp_path / "repo",
        {"a.py": "import b\n" + body("aa"), "b.py": "import c\n" + body("bb"), "c.py": body("cc")},
    )
    recipe = folder_recipe(folder, heldout=0.0, order="repository")
    pipeline.build(recipe, tmp_path / "c", Local(1))
    assert [row["path"] for row in TextShard(tmp_path / "c").rows()] == ["c.py", "b.py", "a.py"]


def test_a_damaged_corpus_is_not_taken_for_whole(corpus: Path, tmp_path: Path) -> None:
    for path in filter(Path.is_file, corpus.iterdir()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = tmp_path / "train.text"
    text.write_bytes(text.read_bytes()[:-1])
    with pytest.raises(UserError, match="build the corpus again"):
        TextShard(tmp_path)
    (tmp_path / "train.ends.npy").write_bytes(b"")
    with pytest.raises(UserError, match="incomplete"):
        TextShard(tmp_path)
    for header in ("[]", "{}", '{"format": 2}', '{"format": 1, "splits": {}}'):
        (tmp_path / "corpus.json").write_text(header)
        with pytest.raises(UserError, match="build it again"):
            TextShard(tmp_path)
    (tmp_path / "corpus.json").unlink()
    with pytest.raises(UserError, match="holds no corpus"):
        TextShard(tmp_path)


def test_the_command_builds_and_prints_the_report(
    run: Run, tmp_path: Path, repositories: list[Path]
) -> None:
    code, out, _ = run("data", repositories[0], "--out", tmp_path / "c", "--workers", 1)
    assert code == 0 and "| exact duplicates |" in out and "Nothing is held out" in out
    code, out, _ = run("data", *repositories, "--out", tmp_path / "d", "--workers", 1, "--json")
    assert code == 0 and json.loads(out)["recipe"]["licenses"] == "any"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["stdlib", "--set", "heldout=2"], "heldout is 2"),
        (["stdlib", "--set", "colour=2"], "unknown key colour"),
        (["stdlib", "--engine", "spark"], "local or ray"),
        (["stdlib", "--workers", "-1"], "workers"),
        (["--recipe", "none.toml"], "no such recipe"),
        (["stdlib", "--recipe", "none.toml"], "not both"),
        (["stdlib", "--tokenizer", "none.json"], "none.json"),
    ],
)
def test_a_mistake_is_one_line(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, err = run("data", *arguments, "--out", tmp_path / "c")
    assert code == 2 and message in err and err.count("\n") == 1
    assert not (tmp_path / "c").exists()


def test_what_a_grammar_wrote_is_held_out_only_where_there_is_nothing_else() -> None:
    written = Counter({f"{GENERATED}{i}": 10 for i in range(100)})
    people = Counter({f"p{i}": 10 for i in range(100)})
    held = held_out(written + people, 0.1, 0)
    assert len(held) == 20 and held <= people.keys()
    assert len(held_out(written, 0.1, 0)) == 10

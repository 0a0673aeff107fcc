from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import codegen25
from codegen25 import checkpoint
from codegen25.errors import UserError
from codegen25.infill import END_OF_MIDDLE
from codegen25.sample.options import Sampling
from codegen25.source_file import SourceFile
from conftest import Run

SOURCE = "def add(a, b):\n    return \n\n\nprint(add(1, 2))\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "add.py"
    path.write_text(SOURCE)
    return path


def ask(model_dir: Path, *arguments: object) -> list[object]:
    return ["complete", *arguments, "--model", model_dir, "--max-tokens", 12]


def test_weights_that_are_no_numbers_are_said(file: Path, model_dir: Path, tmp_path: Path) -> None:
    loaded = checkpoint.load(model_dir)
    loaded.model.model.norm.weight.fill_(float("nan"))
    checkpoint.save(tmp_path / "nan", loaded.model, loaded.tokenizer)
    for temperature in (0.0, 0.8):
        engine = codegen25.load(str(tmp_path / "nan"))
        with pytest.raises(UserError, match="no numbers"):
            engine.infill("a", "b", sampling=Sampling(temperature=temperature))


def test_a_model_without_sentinels_says_that_it_cannot_infill(
    file: Path, model_dir: Path, tmp_path: Path, run: Run
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(model_dir, plain)
    tokens = json.loads((plain / "tokenizer.json").read_text())
    tokens["added_tokens"] = []
    (plain / "tokenizer.json").write_text(json.dumps(tokens))
    code, out, err = run("complete", file, "--at", "2:12", "--model", plain)
    assert (code, out) == (2, "") and "no infilling" in err and err.count("\n") == 1
    code, out, _ = run(
        "complete", file, "--at", "2:12", "--model", plain, "--layout", "causal",
        "--max-tokens", 3,
    )  # fmt: skip
    assert code == 0


def test_a_device_without_end_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from codegen25 import source_file

    monkeypatch.setattr(source_file, "MOST", 1000)
    code, out, err = run("complete", "/dev/zero")
    assert (code, out) == (2, "") and "larger than" in err


def test_output_is_utf8_whatever_the_locale_says(file: Path) -> None:
    file.write_text("s = 'é'\n")
    done = subprocess.run(
        [sys.executable, "-m", "codegen25", "complete", file, "--max-tokens", "2", "--diff"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0 and "é" in done.stdout.decode()


def test_only_the_middle_is_printed(run: Run, file: Path, model_dir: Path) -> None:
    code, out, err = run(*ask(model_dir, file, "--at", "2:12"))
    engine = codegen25.load(str(model_dir))
    prefix, suffix = SOURCE[:26], SOURCE[26:]
    assert (code, err) == (0, "")
    assert out == engine.infill(prefix, suffix, max_tokens=12).text


def test_without_a_cursor_the_file_is_continued(run: Run, file: Path, model_dir: Path) -> None:
    out = run(*ask(model_dir, file))[1]
    engine = codegen25.load(str(model_dir))
    assert out == engine.complete(SOURCE, max_tokens=12).text


def test_json_says_why_it_stopped(run: Run, file: Path, model_dir: Path) -> None:
    answer = json.loads(run(*ask(model_dir, file, "--at", "2:12", "--json"))[1])
    assert set(answer) == {
        "text", "stop_reason", "tokens", "prompt_tokens", "prefill_ms", "decode_ms",
    }  # fmt: skip
    assert answer["stop_reason"] in ("end", "length") and answer["tokens"] <= 12
    assert answer["prefill_ms"] > 0


def test_a_stream_prints_the_same_text(run: Run, file: Path, model_dir: Path) -> None:
    plain = run(*ask(model_dir, file, "--at", "2:12"))[1]
    assert run(*ask(model_dir, file, "--at", "2:12", "--stream"))[1] == plain


def test_several_answers(run: Run, file: Path, model_dir: Path) -> None:
    hot = ["--temperature", 1, "-n", 3, "--seed", 4]
    answers = json.loads(run(*ask(model_dir, file, "--at", "2:12", "--json"), *hot)[1])
    assert len(answers) == 3 and len({a["text"] for a in answers}) == 3
    again = json.loads(run(*ask(model_dir, file, "--at", "2:12", "--json"), *hot)[1])
    assert [a["text"] for a in again] == [a["text"] for a in answers]
    assert "--- 3" in run(*ask(model_dir, file, "--at", "2:12"), *hot)[1]


def test_in_place_and_diff_show_it_in_the_file(run: Run, file: Path, model_dir: Path) -> None:
    file.chmod(0o640)
    middle = run(*ask(model_dir, file, "--at", "2:12"))[1]
    diff = run(*ask(model_dir, file, "--at", "2:12", "--diff"))[1]
    assert file.read_text() == SOURCE
    assert run(*ask(model_dir, file, "--at", "2:12", "--in-place"))[0] == 0
    assert file.read_text() == SOURCE[:26] + middle + SOURCE[26:]
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]
    if shutil.which("patch") is None:
        pytest.skip("no patch to apply the diff with")
    patch = subprocess.run(
        ["patch", "-R", "-s", "-p1", str(file)], input=diff, text=True, cwd=file.parent
    )  # a diff that patch accepts
    assert patch.returncode == 0 and file.read_text() == SOURCE


def test_verbose_tells_times_on_stderr(run: Run, file: Path, model_dir: Path) -> None:
    code, _, err = run(*ask(model_dir, file, "--at", "2:12", "--verbose"))
    assert code == 0 and err.startswith("stop: ") and " ms" in err and err.count("\n") == 1


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_line_endings_and_byte_order_marks_survive(
    run: Run, file: Path, model_dir: Path, newline: bytes, mark: bytes
) -> None:
    lines = b"x = 1\ny = \n"
    file.write_bytes(lines)
    middle = run(*ask(model_dir, file, "--at", "2:5"))[1]
    file.write_bytes(mark + lines.replace(b"\n", newline))
    assert run(*ask(model_dir, file, "--at", "2:5"))[1] == middle
    run(*ask(model_dir, file, "--at", "2:5", "--in-place"))
    after = lines[:-1] + middle.encode() + b"\n"
    assert file.read_bytes() == mark + after.replace(b"\n", newline)


def test_an_answer_of_several_lines_gets_the_files_line_endings(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfx = 1\r\ny = 2\r\n")
    read = SourceFile.read(str(file))
    prefix, suffix = read.split("1:1")
    text = prefix + "a = 0\nb = 0\n" + suffix
    assert "\r" not in text and "\ufeff" not in text
    assert read.diff(text).count("\r\n") == 5
    read.replace(text)
    assert file.read_bytes() == b"\xef\xbb\xbfa = 0\r\nb = 0\r\nx = 1\r\ny = 2\r\n"


@pytest.mark.parametrize("before", [b"a\rb\nc\n", b"a\r\nb\nc", b"a\x0c\nb\n"])
def test_a_diff_applies_whatever_ends_the_lines(file: Path, before: bytes) -> None:
    file.write_bytes(before)
    read = SourceFile.read(str(file))
    text = read.text.replace("c", "new\nc").replace("b", "bb")
    patch = read.diff(text).replace(read.name.lstrip("/"), file.name)
    git = ["git", "apply", "--unsafe-paths", "-p1", "-"]
    subprocess.run(git, input=patch.encode(), cwd=file.parent, check=True)
    assert file.read_bytes() == text.encode()


@pytest.mark.parametrize("kind", ["read-only", "pipe", "device"])
def test_in_place_writes_only_to_files_that_allow_it(
    run: Run, file: Path, model_dir: Path, kind: str
) -> None:
    file.write_text("x = 1\n")
    target = Path("/dev/null")
    if kind == "read-only":
        target = file
        file.chmod(0o444)
    elif kind == "pipe":
        read, write = os.pipe()
        os.close(write)
        target = Path(f"/dev/fd/{read}")
    code, out, err = run(*ask(model_dir, target, "--in-place"))
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert file.read_text() == "x = 1\n" and not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", None),
        ("", "1:1"),
        ("x", "1:2"),
        ("x\n", "2:1"),
        ("\u00e9\U0001f600y", "1:3"),
        ("\ufeffx = 1", "1:1"),
    ],
)
def test_edges_of_a_file_work(
    run: Run, file: Path, model_dir: Path, text: str, at: str | None
) -> None:
    file.write_text(text)
    where = ["--at", at] if at else []
    code, _, err = run(*ask(model_dir, file, *where))
    assert (code, err) == (0, "")


@pytest.mark.parametrize("shape", ["lines", "one line"])
def test_ten_megabytes_work(run: Run, file: Path, model_dir: Path, shape: str) -> None:
    text = "value = 1\n" * 1_000_000 if shape == "lines" else "v" * 10_000_000
    file.write_text(text)
    at = "500000:4" if shape == "lines" else "1:5000000"
    answer = json.loads(run(*ask(model_dir, file, "--at", at, "--json"))[1])
    assert 100 < answer["prompt_tokens"] <= 256 - 12


def test_sentinels_in_the_source_are_only_text(run: Run, file: Path, model_dir: Path) -> None:
    file.write_text(f"s = '{END_OF_MIDDLE}<mask_1><sep>'\n")
    assert run(*ask(model_dir, file, "--at", "2:1"))[0] == 0


BAD = {
    "a missing file": (["nowhere.py"], "nowhere.py"),
    "a folder": (["."], "directory"),
    "no cursor": (["FILE", "--at", "x"], "LINE:COL"),
    "a cursor from zero": (["FILE", "--at", "0:1"], "LINE:COL"),
    "a negative cursor": (["FILE", "--at", "-1:1"], "LINE:COL"),
    "a line too far": (["FILE", "--at", "9:1"], "no line 9"),
    "a column too far": (["FILE", "--at", "1:99"], "no column 99"),
    "an unknown model": (["FILE", "--model", "gpt"], "gpt"),
    "a mistyped path": (["FILE", "--model", "runs/mono-tniy"], "runs/mono-tniy"),
    "an endless cursor": (["FILE", "--at", "1:" + "9" * 5000], "LINE:COL"),
    "a folder that is no model": (["FILE", "--model", "/"], "no model directory"),
    "no tokens": (["FILE", "--max-tokens", "0"], "max-tokens"),
    "negative tokens": (["FILE", "--max-tokens", "-5"], "max-tokens"),
    "absurd tokens": (["FILE", "--max-tokens", "1000000000"], "max-tokens"),
    "words for numbers": (["FILE", "--max-tokens", "many"], "max-tokens"),
    "a negative temperature": (["FILE", "--temperature", "-1"], "temperature"),
    "an infinite temperature": (["FILE", "--temperature", "inf"], "temperature"),
    "no temperature at all": (["FILE", "--temperature", "nan"], "temperature"),
    "no mass": (["FILE", "--top-p", "0"], "top-p"),
    "too much mass": (["FILE", "--top-p", "1.5"], "top-p"),
    "a negative seed": (["FILE", "--seed", "-1"], "seed"),
    "no answers": (["FILE", "-n", "0"], "n is 0"),
    "many greedy answers": (["FILE", "-n", "2"], "--temperature"),
    "two outputs": (["FILE", "--json", "--diff"], "exclude"),
    "several in place": (["FILE", "-n", "2", "--temperature", "1", "--in-place"], "-n"),
    "standard input in place": (["-", "--in-place"], "standard input"),
    "an empty model": (["FILE", "--model", ""], "model ''"),
    "an empty layout": (["FILE", "--layout", ""], "layout ''"),
    "an unknown layout": (["FILE", "--layout", "x"], "layout"),
    "an unknown option": (["FILE", "--nope"], "--nope"),
    "no file at all": ([], "'file'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line_and_exit_code_2(
    run: Run, file: Path, model_dir: Path, name: str
) -> None:
    arguments, message = BAD[name]
    given = [str(file) if a == "FILE" else a for a in arguments]
    if "--model" not in given:
        given += ["--model", str(model_dir)]
    code, out, err = run("complete", *given)
    assert (code, out) == (2, "")
    assert err.startswith("codegen25: ") and err.count("\n") == 1 and message in err
    assert file.read_text() == SOURCE and list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("raw", "message"), [(b"\x7fELF\0\0", "binary"), (b"x = '\xe9'\n", "not UTF-8")]
)
def test_what_is_no_text_is_refused(
    run: Run, file: Path, model_dir: Path, raw: bytes, message: str
) -> None:
    file.write_bytes(raw)
    code, out, err = run(*ask(model_dir, file, "--in-place"))
    assert (code, out) == (2, "") and message in err and file.read_bytes() == raw


def test_a_file_that_cannot_be_written_is_left_alone(
    run: Run, file: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    code, _, err = run(*ask(model_dir, file, "--in-place"))
    assert code == 2 and "No space" in err
    assert file.read_text() == SOURCE and list(file.parent.iterdir()) == [file]


def test_nothing_phones_home(
    run: Run, file: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert run(*ask(model_dir, file, "--at", "2:12"))[0] == 0


def test_lines_are_counted_as_editors_count_them() -> None:
    text = "a = 1\n\x0c\nb = '\u2028'\r\nc\rd"
    file = SourceFile("x.py", text)
    lines = ["a = 1", "\x0c", "b = '\u2028'", "c", "d"]
    for number, line in enumerate(lines, 1):
        prefix, suffix = file.split(f"{number}:1")
        assert prefix + suffix == text and suffix.startswith(line)


@pytest.mark.parametrize(("text", "last"), [("", 1), ("x", 1), ("x\n", 2), ("x\ny", 2), ("x\r", 2)])
def test_a_cursor_after_the_last_line_is_refused(text: str, last: int) -> None:
    file = SourceFile("x.py", text)
    file.split(f"{last}:1")
    with pytest.raises(UserError, match=f"no line {last + 1}; it has {last}"):
        file.split(f"{last + 1}:1")


def test_an_edit_made_meanwhile_is_not_overwritten(file: Path) -> None:
    read = SourceFile.read(str(file))
    file.write_text("somebody saved this\n")
    with pytest.raises(UserError, match="changed meanwhile"):
        read.replace("x")
    assert file.read_text() == "somebody saved this\n"


def shell(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables | {"PYTHON": sys.executable}
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=120
    )


def test_a_closed_pipe_is_one_line(file: Path, model_dir: Path) -> None:
    done = shell(
        '"$PYTHON" -m codegen25 complete "$FILE" -m "$MODEL" --stream | true; '
        "exit ${PIPESTATUS[0]}",
        FILE=str(file), MODEL=str(model_dir),
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "reader" in done.stderr


def test_standard_input_is_a_file_too(file: Path, model_dir: Path) -> None:
    done = shell(
        '"$PYTHON" -m codegen25 complete - --at 2:12 -m "$MODEL" --json < "$FILE"',
        FILE=str(file), MODEL=str(model_dir),
    )  # fmt: skip
    assert done.returncode == 0 and json.loads(done.stdout)["tokens"] >= 1


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['codegen25', 'complete', '--help']\n"
        "from codegen25 import cli\n"
        "try: cli.main()\n"
        "except SystemExit as e: assert not e.code\n"
        "heavy = {'torch', 'numpy', 'tokenizers', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--max-tokens" in done.stdout


def test_no_arguments_show_the_verbs(run: Run) -> None:
    code, out, _ = run()
    assert code == 0 and "complete" in out
    assert run("--version")[1].strip() == codegen25.__version__


def test_the_first_token_does_not_wait_for_the_compiler(file: Path, model_dir: Path) -> None:
    code = (
        "import sys, codegen25\n"
        f"codegen25.load({str(model_dir)!r}).infill('a', 'b', max_tokens=4)\n"
        "heavy = {'torch._dynamo', 'torch._inductor', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

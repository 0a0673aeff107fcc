"""A Triton model repository, and its model.py under a stand-in of Triton's module."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.export import triton
from codegen25.export.triton_fields import INPUTS, OUTPUTS, Field, merged
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import BusyError
from codegen25.weights import Weights
from int8_model import in_int8

PREFIX, SUFFIX = "def f(x):\n    ", "\n    return y\n"

# ------------------------------------------------------------------------------------ the folder


def parsed(text: str) -> dict[str, list[Any]]:
    """A protobuf message in text form; every field is a list."""
    pattern = r'#[^\n]*|"(?:[^"\\]|\\.)*"|[\w-]+|[][{}:,]'
    tokens = [t for t in re.findall(pattern, text) if t[0] not in "#,"]
    at = 0

    def value() -> Any:
        nonlocal at
        token, at = tokens[at], at + 1
        if token == "{":
            return message()
        if token[0] == '"':
            return json.loads(token)
        return int(token) if re.fullmatch(r"-?\d+", token) else token

    def message() -> dict[str, list[Any]]:
        nonlocal at
        found: dict[str, list[Any]] = {}
        while at < len(tokens) and tokens[at] != "}":
            name, at = tokens[at], at + 1
            assert re.fullmatch(r"\w+", name)
            if tokens[at] == ":":
                at += 1
            values = found.setdefault(name, [])
            if tokens[at] == "[":
                at += 1
                while tokens[at] != "]":
                    values.append(value())
                at += 1
            else:
                values.append(value())
        at += 1
        return found

    found = message()
    assert at == len(tokens) + 1
    return found


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Path:
    out = tmp_path_factory.mktemp("triton") / "repository"
    assert triton.write(model_dir, out, weights="float32", threads=1) == out / "codegen25"
    return out


def test_the_repository_holds_model_checkpoint_and_configuration(
    repository: Path, model_dir: Path
) -> None:
    model = repository / "codegen25"
    assert {path.name for path in model.iterdir()} == {"config.pbtxt", "1"}
    assert {path.name for path in (model / "1").iterdir()} == {"model.py", "checkpoint"}
    for name in ("config.json", "model.safetensors", "tokenizer.json", "generation_config.json"):
        assert (model / "1/checkpoint" / name).read_bytes() == (model_dir / name).read_bytes()


def test_the_configuration_says_what_the_code_reads(repository: Path) -> None:
    config = parsed((repository / "codegen25/config.pbtxt").read_text())
    assert config["name"] == ["codegen25"] and config["backend"] == ["python"]
    assert config["model_transaction_policy"] == [{"decoupled": ["true"]}]
    assert config["max_batch_size"] == [0]
    inputs = {each["name"][0]: each for each in config["input"]}
    assert list(inputs) == [field.name for field in INPUTS]
    assert "optional" not in inputs["text_input"] and inputs["suffix"]["optional"] == ["true"]
    assert inputs["stop"]["dims"] == [-1] and inputs["seed"]["data_type"] == ["TYPE_INT64"]
    assert [each["name"][0] for each in config["output"]] == [field.name for field in OUTPUTS]
    given = {each["key"][0]: each["value"][0]["string_value"][0] for each in config["parameters"]}
    assert given == {"weights": "float32", "threads": "1", "cache_mb": "0"}


def test_every_field_is_explained(repository: Path) -> None:
    text = (repository / "codegen25/config.pbtxt").read_text()
    for field in (*INPUTS, *OUTPUTS):
        assert re.search(rf'# {re.escape(field.about)}\n +{{ name: "{field.name}"', text)


def test_the_vllm_variant(tmp_path: Path, model_dir: Path) -> None:
    model = triton.write(model_dir, tmp_path / "out", "vllm")
    assert {path.name for path in (model / "1").iterdir()} == {"model.json", "checkpoint"}
    arguments = json.loads((model / "1/model.json").read_text())
    assert arguments["model"] == str(tmp_path / "out/codegen25/1/checkpoint")
    assert arguments["max_model_len"] == 256
    text = (model / "config.pbtxt").read_text()
    assert parsed(text)["backend"] == ["vllm"]
    assert "PREFIX<mask_1>SUFFIX<|endoftext|><sep><mask_1>" in text and "<eom>" in text


def test_vllm_gets_weights_that_it_can_read(tmp_path: Path, model_dir: Path) -> None:
    shipped = in_int8(model_dir, tmp_path / "shipped")
    for link in (False, True):
        written = triton.write(shipped, tmp_path / f"out-{link}", "vllm", link=link)
        config = json.loads((written / "1/checkpoint/config.json").read_text())
        assert config["torch_dtype"] == "bfloat16" and "quantization_config" not in config
        assert Weights(written / "1/checkpoint", Directory.read(shipped).config).dtypes == ["BF16"]


def test_links_take_the_place_of_copies(tmp_path: Path, model_dir: Path) -> None:
    version = triton.write(model_dir, tmp_path / "out", link=True) / "1"
    assert (version / "checkpoint").resolve() == model_dir.resolve()
    assert (version / "codegen25/__init__.py").is_file()


def test_an_export_replaces_itself_and_nothing_else(tmp_path: Path, model_dir: Path) -> None:
    (tmp_path / "other").mkdir()
    triton.write(model_dir, tmp_path, weights="int8")
    (tmp_path / "codegen25/1/left.txt").write_text("old")
    triton.write(model_dir, tmp_path, weights="int4")
    assert '"int4"' in (tmp_path / "codegen25/config.pbtxt").read_text()
    assert not (tmp_path / "codegen25/1/left.txt").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"other", "codegen25"}


def test_mistakes_are_said_and_leave_what_was_there(tmp_path: Path, model_dir: Path) -> None:
    (tmp_path / "file").write_text("")
    foreign = tmp_path / "foreign/codegen25"
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("dear")
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    (broken / "model.safetensors").write_bytes(b"0123456789")
    for arguments, options, said in (
        ((model_dir, tmp_path / "out", "onnx"), {}, "onnx.*python or vllm"),
        ((model_dir, tmp_path / "out"), {"weights": "int5"}, "int5.*int8"),
        ((model_dir, tmp_path / "out"), {"threads": -1}, "threads is -1"),
        ((model_dir, tmp_path / "file"), {}, "is a file"),
        ((model_dir, tmp_path / "foreign"), {}, "holds no config.pbtxt"),
        ((tmp_path / "none", tmp_path / "out"), {}, "config.json is missing"),
        ((broken, tmp_path / "out"), {}, "damaged"),
    ):
        with pytest.raises(UserError, match=said):
            triton.write(*arguments, **options)
    assert (foreign / "thesis.txt").read_text() == "dear"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "foreign", "broken"}


def test_a_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match="No space left"):
        triton.write(model_dir, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


# ------------------------------------------------------------------------------------- the fields


@given(st.floats(0, 10, width=32))
def test_floats_mean_what_was_written(value: float) -> None:
    field = Field("temperature", "FP32", "")
    read = field.read(np.array([value], np.float32))
    assert np.float32(read) == np.float32(value)
    assert Field("t", "FP32", "").read(np.array([0.2], np.float32)) == 0.2


@given(st.text(st.characters(codec="utf-8")))
def test_text_comes_through(text: str) -> None:
    array = np.array([text.encode()], np.object_)
    assert Field("text_input", "STRING", "").read(array) == text


def test_parameters_take_the_place_of_inputs_that_are_missing() -> None:
    found = merged({"text_input": "a", "seed": 1}, {"seed": 2, "stop": "x", "id": "3"})
    assert found == {"text_input": "a", "seed": 1, "stop": ["x"]}
    for wrong, said in (
        ({"max_token": 1}, "max_token is unknown.*max_tokens"),
        ({"max_tokens": "9"}, "max_tokens is '9'"),
        ({"max_tokens": True}, "max_tokens is True"),
        ({"stream": 1}, "stream is 1"),
    ):
        with pytest.raises(UserError, match=said):
            merged({}, wrong)


# ---------------------------------------------------------------------------------- the model.py


class Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self._array = name, array

    def as_numpy(self) -> np.ndarray:
        return self._array


class TritonError:
    INTERNAL, INVALID_ARG, UNAVAILABLE, CANCELLED = "internal", "invalid", "unavailable", "gone"

    def __init__(self, message: str, code: str = INTERNAL) -> None:
        self.message, self.code = message, code


class InferenceResponse:
    def __init__(self, output_tensors: Any = (), error: TritonError | None = None) -> None:
        values = {tensor.name: tensor.as_numpy()[0] for tensor in output_tensors}
        self.values = {n: v.decode() if isinstance(v, bytes) else v for n, v in values.items()}
        self.error = error


class Sender:
    """What a client sees of its answer."""

    def __init__(self) -> None:
        self.sent: list[InferenceResponse] = []
        self.gone = self.broken = False
        self.hold: threading.Event | None = None
        self._done = threading.Event()

    def send(self, response: InferenceResponse, flags: int) -> None:
        assert not self._done.is_set(), "sent after the last"
        if self.hold is not None:
            assert self.hold.wait(60)
        if self.broken:
            self._done.set()
            raise RuntimeError("the connection broke")
        self.sent.append(response)
        if flags:
            self._done.set()

    def is_cancelled(self) -> bool:
        return self.gone

    def wait(self) -> list[InferenceResponse]:
        assert self._done.wait(60), "no last response"
        return self.sent


DATATYPES = {
    "STRING": np.object_, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32,
    "BOOL": np.bool_,
}  # fmt: skip


class Request:
    def __init__(self, parameters: dict[str, Any] | None = None, **inputs: Any) -> None:
        self._parameters, self.inputs, self.sender = parameters or {}, inputs, Sender()

    def get_response_sender(self) -> Sender:
        return self.sender

    def parameters(self) -> str:
        return json.dumps(self._parameters)


def get_input_tensor_by_name(request: Request, name: str) -> Tensor | None:
    if name not in request.inputs:
        return None
    value = request.inputs[name]
    values = [v.encode() if isinstance(v, str) else v
              for v in (value if isinstance(value, list) else [value])]  # fmt: skip
    datatype = next(field.datatype for field in INPUTS if field.name == name)
    return Tensor(name, np.array(values, DATATYPES[datatype]))


class MetricFamily:
    COUNTER = "counter"
    counts: ClassVar[dict[str, float]] = {}

    def __init__(self, name: str, description: str, kind: str) -> None:
        self.name = name

    def Metric(self, labels: dict[str, str]) -> MetricFamily:  # noqa: N802
        return MetricFamily(f"{self.name} {labels.get('reason', '')}".strip(), "", "")

    def increment(self, value: float) -> None:
        self.counts[self.name] = self.counts.get(self.name, 0) + value


class Logger:
    said: ClassVar[list[str]] = []

    @classmethod
    def log_error(cls, text: str) -> None:
        cls.said.append(text)


@pytest.fixture(scope="module")
def served(repository: Path) -> Iterator[Any]:
    """The exported model.py, loaded as the stub loads it."""
    fake = ModuleType("triton_python_backend_utils")
    for each in (
        Tensor, TritonError, InferenceResponse, Logger, MetricFamily, get_input_tensor_by_name
    ):  # fmt: skip
        setattr(fake, each.__name__, each)
    fake.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    folder = repository / "codegen25"
    spec = importlib.util.spec_from_file_location("exported_model", folder / "1/model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, fake.__name__, fake)
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        config = parsed((folder / "config.pbtxt").read_text())
        given = {each["key"][0]: {"string_value": each["value"][0]["string_value"][0]}
                 for each in config["parameters"]}  # fmt: skip
        model = module.TritonPythonModel()
        model.initialize({
            "model_config": json.dumps({"parameters": given}), "model_instance_kind": "CPU",
            "model_repository": str(folder), "model_version": "1", "model_name": "codegen25",
        })  # fmt: skip
        yield model
        model.finalize()
        assert not model.courier.is_alive()


def ask(model: Any, *requests: Request) -> list[list[InferenceResponse]]:
    model.execute(list(requests))
    return [request.sender.wait() for request in requests]


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Engine:
    return Engine.load(model_dir, Settings("cpu", "float32", 1))


def test_the_answer_is_that_of_the_engine(served: Any, engine: Engine) -> None:
    sampling = Sampling(0.8, 0.9, seed=7, top_k=50)
    expected = engine.infill(PREFIX, SUFFIX, max_tokens=20, sampling=sampling)
    [[response]] = ask(served, Request(
        text_input=PREFIX, suffix=SUFFIX, max_tokens=20, temperature=0.8, top_p=0.9, top_k=50,
        seed=7,
    ))  # fmt: skip
    assert response.values == {
        "text_output": expected.text, "stop_reason": expected.stop_reason,
        "tokens": expected.tokens,
    }  # fmt: skip


def test_without_a_suffix_the_text_is_continued(served: Any, engine: Engine) -> None:
    expected = engine.complete(PREFIX, max_tokens=12).text
    [[plain], [by_name], [infill]] = ask(
        served, Request(text_input=PREFIX, max_tokens=12),
        Request(text_input=PREFIX, suffix="", max_tokens=12, layout="causal"),
        Request(text_input=PREFIX, suffix="", max_tokens=12),
    )  # fmt: skip
    assert plain.values["text_output"] == by_name.values["text_output"] == expected
    assert infill.values["text_output"] == engine.infill(PREFIX, "", max_tokens=12).text


def test_a_stream_has_many_responses_and_the_same_text(
    served: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = served.engine.scheduler.step

    def slowly() -> bool:
        time.sleep(0.005)  # as long as a real model takes for a token
        return bool(step())

    monkeypatch.setattr(served.engine.scheduler, "step", slowly)
    [responses] = ask(served, Request(text_input=PREFIX, max_tokens=24, stream=True))
    expected = engine.complete(PREFIX, max_tokens=24)
    assert "".join(each.values["text_output"] for each in responses) == expected.text
    assert len(responses) > 1
    *pieces, last = responses
    assert all(set(piece.values) == {"text_output"} for piece in pieces)
    assert (last.values["stop_reason"], last.values["tokens"]) == ("length", 24)


def test_text_is_gathered_while_triton_is_slow(served: Any, engine: Engine) -> None:
    request = Request(text_input=PREFIX, max_tokens=24, stream=True)
    request.sender.hold = threading.Event()
    with served.engine.alone():
        served.execute([request])
        [reply] = served.courier.open
        reply.handle.then(lambda _: request.sender.hold.set())  # the engine is done by now
    first, *others = request.sender.wait()
    text = "".join(each.values["text_output"] for each in (first, *others))
    assert text == engine.complete(PREFIX, max_tokens=24).text and len(others) <= 2


def test_stop_strings_end_it(served: Any, engine: Engine) -> None:
    whole = engine.complete(PREFIX, max_tokens=24).text
    word = whole[len(whole) // 2 :][:3]
    [[stopped]] = ask(served, Request(text_input=PREFIX, max_tokens=24, stop=["§§", word]))
    assert stopped.values["text_output"] == whole[: whole.index(word)]
    assert stopped.values["stop_reason"] == "stop"


def test_many_at_once_get_each_their_own(served: Any, engine: Engine) -> None:
    asked = [Request(text_input=PREFIX, max_tokens=16, temperature=1.0, seed=seed, stream=True)
             for seed in range(8)]  # fmt: skip
    answers = ["".join(r.values["text_output"] for r in responses)
               for responses in ask(served, *asked)]  # fmt: skip
    assert answers == [
        engine.complete(PREFIX, max_tokens=16, sampling=Sampling(1.0, seed=seed)).text
        for seed in range(8)
    ]
    assert len(set(answers)) > 1


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"max_tokens": 0}, "max-tokens is 0"),
        ({"max_tokens": 10**6}, "max-tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 2.0}, "top-p"),
        ({"top_k": -1}, "top-k"),
        ({"seed": -1}, "seed"),
        ({"layout": "upside-down"}, "layout 'upside-down' is unknown"),
        ({"layout": "psm"}, "psm"),
        ({"stop": [""]}, "stop string is empty"),
        ({"stop": ["x"] * 17}, "stop takes 16"),
        ({"stop": ["x" * 257]}, "256"),
        ({"suffix": b"\xff"}, "suffix is not UTF-8"),
        ({"suffix": "x" * (2**20 + 1)}, "suffix has 1048577"),
        ({"parameters": {"max_token": 3}}, "max_token is unknown"),
        ({"text_input": None}, "text_input is missing"),
    ],
)
def test_mistakes_are_one_line_and_the_model_lives(
    served: Any, inputs: dict[str, Any], said: str
) -> None:
    given = {"text_input": PREFIX, **inputs}
    [[response]] = ask(served, Request(**{n: v for n, v in given.items() if v is not None}))
    assert response.error is not None and response.error.code == TritonError.INVALID_ARG
    assert said in response.error.message and "\n" not in response.error.message
    [[after]] = ask(served, Request(text_input=PREFIX, max_tokens=1))
    assert after.error is None


def test_faults_of_ours_name_no_details(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for raised, code, said in (
        (RuntimeError("secret"), TritonError.INTERNAL, "internal error"),
        (BusyError("4096 requests are waiting"), TritonError.UNAVAILABLE, "waiting"),
    ):

        def fail(*arguments: Any, error: Exception = raised) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(served.engine, "submit", fail)
            [[response]] = ask(served, Request(text_input=PREFIX))
        assert response.error is not None and response.error.code == code
        assert said in response.error.message and "secret" not in response.error.message
    said = [text for text in Logger.said if text.startswith("internal error")]
    assert said and "RuntimeError (" in said[-1] and "test_export_triton.py:" in said[-1]
    assert not any("secret" in text for text in Logger.said)


def test_a_client_that_goes_away_ends_its_request(served: Any) -> None:
    request = Request(text_input=PREFIX, max_tokens=200, stream=True)
    with served.engine.alone():  # nothing is computed meanwhile
        served.execute([request])
        [reply] = served.courier.open
        request.sender.gone = True
        end = time.monotonic() + 30
        while not reply.handle.cancelled and time.monotonic() < end:
            time.sleep(0.005)
        assert reply.handle.cancelled
    last = request.sender.wait()[-1]
    assert last.error is not None and last.error.code == TritonError.CANCELLED
    assert not served.courier.open


def test_answers_and_tokens_are_counted(served: Any) -> None:
    counts = MetricFamily.counts
    before = dict(counts)
    ask(served, Request(text_input=PREFIX, max_tokens=5), Request(text_input=PREFIX, top_k=-1))
    found = {name: value - before.get(name, 0) for name, value in counts.items()}
    assert {name: value for name, value in found.items() if value} == {
        "codegen25_answers_total length": 1, "codegen25_answers_total error": 1,
        "codegen25_tokens_total": 5,
    }  # fmt: skip


def test_a_broken_connection_hurts_nobody_else(served: Any) -> None:
    broken, other = (Request(text_input=PREFIX, max_tokens=9, stream=True) for _ in range(2))
    broken.sender.broken = True
    served.execute([broken, other])
    assert other.sender.wait()[-1].values["tokens"] == 9
    said = next(text for text in Logger.said if "could not be sent" in text)
    assert "RuntimeError (" in said and "the connection broke" not in said

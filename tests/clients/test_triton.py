"""The real tritonserver with NVIDIA's real client, over HTTP and gRPC.

Both live in an environment of their own (numpy 1): the one that `codegen25 serve --triton` made in
the cache folder, or the one whose Python CODEGEN25_TRITON_PYTHON names.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from codegen25.errors import UserError
from codegen25.models import cache_folder, resolve
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion
from codegen25.serve import triton, triton_environment
from codegen25.serve.triton import Ports, Server
from codegen25.serve.triton_environment import Environment

pytestmark = pytest.mark.clients
PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
LONG = "def parse(text):\n"
LEAST = 900
"""Tokens of an answer that takes long."""

CLIENT = """
import json, queue, sys, threading, time
import numpy as np
import tritonclient.grpc as grpc

TYPES = {"text_input": "BYTES", "suffix": "BYTES", "layout": "BYTES", "stop": "BYTES",
         "max_tokens": "INT32", "top_k": "INT32", "seed": "INT64", "temperature": "FP32",
         "top_p": "FP32", "stream": "BOOL"}
NUMPY = {"BYTES": np.object_, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32,
         "BOOL": np.bool_}
url, cases = sys.argv[1], json.loads(sys.argv[2])

def tensor(name, value):
    array = np.array(value if isinstance(value, list) else [value], NUMPY[TYPES[name]])
    made = grpc.InferInput(name, list(array.shape), TYPES[name])
    made.set_data_from_numpy(array)
    return made

def seen(result, error):
    if error is not None:
        return {"error": error.message(), "final": True}
    reply = result.get_response()
    found = {"final": reply.parameters["triton_final_response"].bool_param}
    for name in ("text_output", "stop_reason", "tokens"):
        array = result.as_numpy(name)
        if array is not None:
            found[name] = array[0].decode() if name != "tokens" else int(array[0])
    return found

def ask(case, out):
    client, news = grpc.InferenceServerClient(url), queue.Queue()
    client.start_stream(lambda result, error: news.put((time.monotonic(), seen(result, error))))
    inputs = [tensor(name, value) for name, value in case["inputs"].items()]
    client.async_stream_infer("codegen25", inputs, enable_empty_final_response=True)
    begun = time.monotonic()
    while not (out and out[-1]["final"]):
        when, item = news.get(timeout=60)
        out.append(item | {"asked": begun, "at": when})
        if len(out) == case.get("leave_after"):
            client.stop_stream(cancel_requests=True)
            return
    client.stop_stream()

answers = [[] for _ in cases]
threads = [threading.Thread(target=ask, args=pair) for pair in zip(cases, answers)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def environment() -> Environment:
    if not os.environ.get(triton_environment.PYTHON_VARIABLE) and not made():
        pytest.skip(
            "no environment with nvidia-pytriton and tritonclient: `codegen25 serve --triton` "
            f"makes one, or {triton_environment.PYTHON_VARIABLE} names its Python"
        )
    try:
        found = Environment.ready()
    except UserError as error:
        pytest.skip(str(error))
    probe = subprocess.run([found.python, "-c", "import tritonclient.grpc"], capture_output=True)
    if probe.returncode:
        pytest.skip(f"{found.python} has no tritonclient[grpc,http]")
    return found


def made() -> bool:
    return any((cache_folder() / "triton").glob("python*/made.json"))


@pytest.fixture(scope="module")
def server(environment: Environment) -> Iterator[Server]:
    with Server(environment, resolve("default"), free_ports(), threads=1) as running:
        assert running.await_ready()
        yield running
        assert running.process.poll() is None, "the server did not live to the end"
    left = Path("/dev/shm").glob(f"{running._shared}*")
    assert not list(left) and not running._room.exists()


def free_ports() -> Ports:
    with ExitStack() as open_:
        probes = [open_.enter_context(socket.socket()) for _ in range(3)]
        for probe in probes:
            probe.bind((triton.HOST, 0))
        return Ports(*(probe.getsockname()[1] for probe in probes))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(resolve("default"), Settings("cpu", threads=1))


@pytest.fixture(scope="module")
def endless(engine: Engine) -> dict[str, Any]:
    """What takes the engine long to answer."""
    for seed in range(100):
        sampling = Sampling(1.0, seed=seed)
        if engine.complete(LONG, max_tokens=1000, sampling=sampling).tokens > LEAST:
            return {"text_input": LONG, "max_tokens": 1000, "temperature": 1.0, "seed": seed,
                    "stream": True}  # fmt: skip
    raise AssertionError("the model ends every answer")


def answer_to(asked: dict[str, Any], engine: Engine) -> Completion:
    sampling = Sampling(asked["temperature"], seed=asked["seed"])
    return engine.complete(
        asked["text_input"], max_tokens=asked["max_tokens"], sampling=sampling
    )  # fmt: skip


def post(server: Server, path: str, asked: dict[str, Any]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(triton.HOST, server.ports.http, timeout=60)
    try:
        connection.request("POST", f"/v2/models/codegen25/{path}", json.dumps(asked))
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def grpc(server: Server, *cases: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Streams at the same time by tritonclient; what each of them received."""
    url = f"{triton.HOST}:{server.ports.grpc}"
    done = subprocess.run(
        [server.environment.python, "-c", CLIENT, url, json.dumps(cases)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def counted(server: Server, name: str, labels: str = "") -> float:
    """A counter of the model's in the server's metrics."""
    connection = http.client.HTTPConnection(triton.HOST, server.ports.metrics, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    values = re.findall(rf"^{name}{{[^}}]*{labels}[^}}]*}} (\S+)$", text, re.MULTILINE)
    assert len(values) == 1, text
    return float(values[0])


def counts(server: Server) -> tuple[float, float]:
    """Answers that were cancelled, and tokens of all."""
    cancelled = counted(server, "codegen25_answers_total", 'reason="cancelled"')
    return cancelled, counted(server, "codegen25_tokens_total")


def streamed(server: Server, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of `generate_stream` as they arrive, and when. Closing the iterator hangs up."""
    connection = http.client.HTTPConnection(triton.HOST, server.ports.http, timeout=60)
    asked_at = time.monotonic()
    connection.request("POST", "/v2/models/codegen25/generate_stream", json.dumps(asked))
    with contextlib.closing(connection), connection.getresponse() as reply:
        assert reply.status == 200
        while line := reply.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:]) | {"asked": asked_at, "at": time.monotonic()}


def assert_spread(responses: Sequence[dict[str, Any]]) -> None:
    """Pieces came over most of the time that the answer took: what is sent when all is written
    comes at its end alone."""
    times = [each["at"] - each["asked"] for each in responses]
    assert times == sorted(times) and times[0] < times[-1] / 2
    assert len({int(5 * at / times[-1]) for at in times[:-1]} - {5}) >= 3, times


def text(responses: Sequence[dict[str, Any]]) -> str:
    return "".join(each.get("text_output", "") for each in responses)


# ------------------------------------------------------------------------------------------ HTTP


def test_generate_infills_as_the_engine_does(server: Server, engine: Engine) -> None:
    expected = engine.infill(PREFIX, SUFFIX, max_tokens=32)
    code, body = post(server, "generate", {
        "text_input": PREFIX, "suffix": SUFFIX, "max_tokens": 32,
    })  # fmt: skip
    reply = json.loads(body)
    assert code == 200 and reply["text_output"] == expected.text
    assert (reply["stop_reason"], reply["tokens"]) == (expected.stop_reason, expected.tokens)


def test_sampling_is_the_engines(server: Server, engine: Engine) -> None:
    sampling = Sampling(0.7, 0.9, seed=2**40, top_k=40)
    expected = engine.complete(LONG, max_tokens=24, sampling=sampling).text
    asked = {"text_input": LONG, "max_tokens": 24}
    chosen = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "seed": 2**40}
    for whole in ({**asked, **chosen}, {**asked, "parameters": chosen}):
        assert json.loads(post(server, "generate", whole)[1])["text_output"] == expected
    code, body = post(server, "generate", {**asked, "stop": ["\n", "§"]})
    assert code == 200 and "\n" not in json.loads(body)["text_output"]


def test_generate_stream_sends_text_as_it_comes(
    server: Server, engine: Engine, endless: dict[str, Any]
) -> None:
    events = list(streamed(server, {**endless, "layout": "causal"}))
    expected = answer_to(endless, engine)
    assert text(events) == expected.text
    assert_spread(events)
    assert all("stop_reason" not in event for event in events[:-1])
    assert events[-1]["stop_reason"] == expected.stop_reason
    assert events[-1]["tokens"] == expected.tokens


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"max_tokens": 0}, "max-tokens is 0"),
        ({"temperature": -1}, "temperature"),
        ({"layout": "none"}, "layout 'none' is unknown"),
        ({"max_token": 3}, "max_token is unknown"),
        ({"text_input": None}, "text_input is missing"),
        ({"text_input": ["a", "b"]}, "proper shape"),
        ({"seed": "x"}, "parse"),
    ],
)
def test_mistakes_are_answered_and_the_server_lives(
    server: Server, asked: dict[str, Any], said: str
) -> None:
    whole = {name: value for name, value in {"text_input": LONG, **asked}.items()
             if value is not None}  # fmt: skip
    for path in ("generate", "generate_stream"):
        code, body = post(server, path, {**whole, "stream": path == "generate_stream"})
        assert code in (400, 500) and said in body and "Traceback" not in body
    assert post(server, "generate", {"text_input": LONG, "max_tokens": 1})[0] == 200


def test_a_reader_who_hangs_up_ends_the_request(server: Server, endless: dict[str, Any]) -> None:
    before = counts(server)
    events = streamed(server, endless)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert_one_cancelled(server, before)


def test_the_http_client_finds_the_model(server: Server) -> None:
    code = (
        "import sys, tritonclient.http as h; c = h.InferenceServerClient(sys.argv[1]); "
        "assert c.is_server_ready() and c.is_model_ready('codegen25'); "
        "print(*[i['name'] for i in c.get_model_metadata('codegen25')['inputs']])"
    )
    url = f"{triton.HOST}:{server.ports.http}"
    done = subprocess.run([server.environment.python, "-c", code, url], capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["text_input", "suffix"]


# ------------------------------------------------------------------------------------------ gRPC


def test_grpc_streams_text_as_it_comes(server: Server, engine: Engine) -> None:
    expected = engine.infill(PREFIX, SUFFIX, max_tokens=32)
    [responses] = grpc(server, {"inputs": {
        "text_input": PREFIX, "suffix": SUFFIX, "max_tokens": 32, "stream": True,
    }})  # fmt: skip
    assert text(responses) == expected.text
    assert [each["final"] for each in responses].count(True) == 1
    assert responses[-1]["tokens"] == expected.tokens


def test_a_long_grpc_stream_comes_all_the_time(
    server: Server, engine: Engine, endless: dict[str, Any]
) -> None:
    [responses] = grpc(server, {"inputs": endless})
    assert text(responses) == answer_to(endless, engine).text
    assert_spread(responses)


def test_without_stream_one_response_holds_all(server: Server, engine: Engine) -> None:
    [responses] = grpc(server, {"inputs": {"text_input": LONG, "max_tokens": 16}})
    assert len(responses) == 1
    assert text(responses) == engine.complete(LONG, max_tokens=16).text


def test_streams_at_the_same_time_are_computed_together(server: Server, engine: Engine) -> None:
    asked = [{"text_input": LONG, "max_tokens": 300, "temperature": 1.0, "seed": seed,
              "stream": True} for seed in range(4)]  # fmt: skip
    answers = grpc(server, *({"inputs": each} for each in asked))
    for seed, responses in enumerate(answers):
        sampling = Sampling(1.0, seed=seed)
        assert text(responses) == engine.complete(LONG, max_tokens=300, sampling=sampling).text
    # One after the other no answer would begin before another's end.
    spans = [(responses[0]["at"], responses[-1]["at"]) for responses in answers]
    assert any(a[0] < b[0] < a[1] for a in spans for b in spans)


def test_a_cancelled_stream_frees_the_engine(server: Server, endless: dict[str, Any]) -> None:
    before = counts(server)
    [responses] = grpc(server, {"leave_after": 3, "inputs": endless})
    assert len(responses) == 3 and not any(each["final"] for each in responses)
    assert_one_cancelled(server, before)


def test_a_grpc_mistake_is_an_error_of_its_stream_alone(server: Server, engine: Engine) -> None:
    wrong, right = grpc(
        server,
        {"inputs": {"text_input": LONG, "top_p": 7.0, "stream": True}},
        {"inputs": {"text_input": LONG, "max_tokens": 8, "stream": True}},
    )
    assert len(wrong) == 1 and "top-p is 7.0" in wrong[0]["error"]
    assert text(right) == engine.complete(LONG, max_tokens=8).text


def assert_one_cancelled(server: Server, before: tuple[float, float]) -> None:
    """The answer ended early, and not because it was complete: tokens are missing."""
    end = time.monotonic() + 60
    while counts(server)[0] == before[0] and time.monotonic() < end:
        time.sleep(0.05)
    cancelled, tokens = counts(server)
    assert cancelled == before[0] + 1 and tokens - before[1] < LEAST
    assert post(server, "generate", {"text_input": LONG, "max_tokens": 1})[0] == 200

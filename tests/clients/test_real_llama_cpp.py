"""The real llama.cpp behind our server, and what its own server makes of our files."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from codegen25 import checkpoint
from codegen25.bench.shapes import SHAPES, RandomWeights
from codegen25.errors import UserError
from codegen25.export import gguf
from codegen25.infill import ALIAS, FimSentinels, Layout, Prompt
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion, Request
from codegen25.sample.session import Session
from codegen25.sample.stopping import Stops
from codegen25.serve.llama_cpp.backend import LlamaCpp
from codegen25.serve.llama_cpp.process import Process
from codegen25.tokenizer import Tokenizer
from serving import SHIPPED, serving

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]
pytest.importorskip("xllamacpp", reason="llama.cpp (xllamacpp) is not installed")

SOURCES = [path.read_text() for path in sorted(Path(json.__file__).parent.glob("*.py"))]
PREFIX, SUFFIX = "def area(width, height):\n    return ", "\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gguf") / "shipped.gguf"
    gguf.write(SHIPPED, out, "f32")
    return out


@pytest.fixture(scope="module")
def backend(file: Path) -> Iterator[LlamaCpp]:
    made = LlamaCpp.load(file, threads=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(SHIPPED, Settings("cpu", "float32", 1))


def asked(backend: LlamaCpp, requests: Sequence[Request]) -> list[Completion]:
    """The answers, all asked at once."""

    async def together() -> list[Completion]:
        return list(await asyncio.gather(*map(backend.ask, requests)))

    return asyncio.run(together())


def post(backend: LlamaCpp, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What llama.cpp's own server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", backend.process.port, timeout=60)
    headers = {"Content-Type": "application/json",
               "Authorization": f"Bearer {backend.process.key}"}  # fmt: skip
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def holes(count: int) -> list[tuple[str, str]]:
    """Places inside lines of the standard library."""
    text = "".join(SOURCES)
    step = len(text) // count
    return [(text[max(0, at - 700) : at], text[at + 11 : at + 400])
            for at in range(step // 2, len(text), step)]  # fmt: skip


def facts(completion: Completion) -> tuple[object, ...]:
    return completion.text, completion.stop_reason, completion.rule, completion.tokens


def test_greedy_answers_are_those_of_our_engine(backend: LlamaCpp, engine: Engine) -> None:
    requests = [
        Request(engine.prompt(prefix, suffix, max_tokens=24, layout=layout), 24, stops=stops,
                prefix=prefix, suffix=suffix)
        for layout in ("plain", "anchored", "causal")
        for stops in (Stops(), Stops.editor())
        for prefix, suffix in holes(8)
    ]  # fmt: skip
    theirs = asked(backend, requests)
    ours = [engine.wait(engine.submit(request)) for request in requests]
    assert [facts(each) for each in theirs] == [facts(each) for each in ours]
    assert {each.stop_reason for each in ours} == {"end", "stop", "length"}


def test_a_cursor_inside_a_token_is_healed_as_ours_is(backend: LlamaCpp, engine: Engine) -> None:
    requests = [Session(engine).request(*hole) for hole in holes(24)]
    assert sum(bool(request.forced) for request in requests) > 8
    theirs = asked(backend, requests)
    ours = [engine.wait(engine.submit(request)) for request in requests]
    assert [facts(each) for each in theirs] == [facts(each) for each in ours]


def test_reads_a_thousand_texts_as_we_do(backend: LlamaCpp) -> None:
    folder = Path(sysconfig.get_path("stdlib"))
    whole = "".join(path.read_text(errors="replace") for path in sorted(folder.glob("a*.py")))
    texts = [whole[at : at + 300] for at in range(0, len(whole), len(whole) // 1000)]
    texts += ["", "<eom>don't", "a  b\t\tc\r\n\n", "x = 'é🎉'  # 12345", "\0\x7f", "ﬁ\u200b\ufeff"]
    assert len(texts) >= 1000
    for text in texts:
        _, found = post(backend, "/tokenize", {"content": text, "parse_special": False})
        assert found["tokens"] == backend.tokenizer.encode(text)


def test_a_keystroke_costs_the_tokens_typed(backend: LlamaCpp) -> None:
    session = Session(backend)  # type: ignore[arg-type]
    prefix, suffix = (
        "import os\n\n\ndef join(a, b):\n    return os.pa",
        "\n\n\ndef f():\n    pass\n" * 8,
    )
    asked(backend, [session.request(prefix, suffix)])
    [again] = asked(backend, [session.request(prefix + "th.j", suffix)])
    assert again.prompt_tokens > 80 and again.prompt_tokens - again.cached_tokens <= 6
    [others] = asked(backend, [replace(session.request(prefix + "th.j", suffix), owner="other")])
    assert others.cached_tokens == 0


def test_answers_do_not_depend_on_their_company(backend: LlamaCpp, engine: Engine) -> None:
    requests = [Request(engine.prompt(*hole, max_tokens=16), 16) for hole in holes(24)]
    together = asked(backend, requests)
    alone = [asked(backend, [request])[0] for request in requests]
    assert [facts(each) for each in together] == [facts(each) for each in alone]


def test_a_seed_gives_an_answer_again(backend: LlamaCpp, engine: Engine) -> None:
    prompt = engine.prompt(PREFIX, SUFFIX, max_tokens=16)
    sampling = Sampling(temperature=1.0, top_p=1.0, seed=4)
    requests = [Request(prompt, 16, sampling, key=key) for key in ("", "", "/1", "/2", "/3")]
    first, again, *others = [each.text for each in asked(backend, requests)]
    assert first == again and len({first, *others}) > 1


def test_options_reach_llama_cpp(backend: LlamaCpp, engine: Engine) -> None:
    prompt = engine.prompt(PREFIX, SUFFIX, max_tokens=12)
    [likeliest] = engine.tokenizer.encode("width")
    narrow = Sampling(temperature=2.0, top_k=1)
    biased = Sampling(logit_bias=((likeliest, -100.0),), logprobs=3)
    plain, one, less = asked(backend, [Request(prompt, 12, each)
                                       for each in (Sampling(), narrow, biased)])  # fmt: skip
    assert plain.text == one.text == "width" and not less.text.startswith("width")
    expected = engine.wait(engine.submit(Request(prompt, 12, biased)))
    assert less.text == expected.text
    for theirs, ours in zip(less.logprobs, expected.logprobs, strict=True):
        assert theirs.id == ours.id and theirs.logprob == pytest.approx(ours.logprob, abs=1e-2)
        assert [i for i, _ in theirs.top] == [i for i, _ in ours.top]
    quarrel = Sampling(repetition_penalty=1.5)
    theirs = asked(backend, [Request(prompt, 12, quarrel)])[0].text
    assert theirs == engine.wait(engine.submit(Request(prompt, 12, quarrel))).text


def test_the_whole_context_is_there(backend: LlamaCpp, engine: Engine) -> None:
    full = [300 + i % 500 for i in range(engine.context)]
    for count, most in ((engine.context, 0), (engine.context - 8, 8), (engine.context - 1, 1)):
        prompt = Prompt(full[:count], frozenset([-1]), Layout.CAUSAL)
        [found] = asked(backend, [Request(prompt, most)])
        assert (found.prompt_tokens, found.tokens, found.stop_reason) == (count, most, "length")
    with pytest.raises(UserError, match="exceed the model's"):
        asked(backend, [Request(Prompt(full, frozenset(), Layout.CAUSAL), 1)])


def test_characters_of_several_tokens_come_whole(backend: LlamaCpp) -> None:
    ids = backend.tokenizer.encode("🎉")
    assert len(ids) > 1
    bias = tuple((i, 60.0 - n) for n, i in enumerate(ids))
    sampling = Sampling(logit_bias=bias, repetition_penalty=10.0)
    prompt = Prompt(backend.tokenizer.encode("x = '"), backend.form.ends, Layout.CAUSAL)
    pieces: list[str] = []

    async def ask() -> Completion:
        request = Request(prompt, 12, sampling)
        return await backend.ask(request, lambda piece: pieces.append(piece.text))

    found = asyncio.run(ask())
    assert "".join(pieces) == found.text and found.tokens == 12
    for piece in pieces:
        piece.encode()


def test_who_leaves_frees_llama_cpp(backend: LlamaCpp) -> None:
    long = Prompt([300 + i % 500 for i in range(100)], frozenset([-1]), Layout.CAUSAL)

    async def leave() -> float:
        slots = backend.process.setup.slots
        tasks = [asyncio.create_task(backend.ask(Request(long, 400))) for _ in range(2 * slots)]
        await asyncio.sleep(0.3)
        assert backend.requests == (slots, slots)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert backend.requests == (0, 0)
        begun = time.perf_counter()
        await backend.ask(Request(backend.prompt(PREFIX, SUFFIX, max_tokens=4), 4))
        return time.perf_counter() - begun

    begun = time.perf_counter()
    asked(backend, [Request(long, 400)] * backend.process.setup.slots)
    whole = time.perf_counter() - begun
    assert asyncio.run(leave()) < whole / 2


def test_our_server_speaks_for_it(backend: LlamaCpp, engine: Engine) -> None:
    body = {"prompt": PREFIX, "suffix": SUFFIX, "max_tokens": 24, "temperature": 0}
    with (
        serving({"shipped": backend}) as running,
        httpx.Client(base_url=running.url, timeout=60, trust_env=False) as client,
    ):
        answer = client.post("/v1/completions", json=body).json()
        assert answer["choices"][0]["text"] == engine.infill(PREFIX, SUFFIX, max_tokens=24).text
        assert answer["choices"][0]["stop_reason"] == "end" and answer["usage"]["prompt_tokens"]
        streamed = client.post("/v1/completions", json={**body, "stream": True}).text
        assert streamed.endswith("data: [DONE]\n\n") and "width" in streamed
        echo = {"prompt": "x", "echo": True, "logprobs": 1, "max_tokens": 1}
        assert client.post("/v1/completions", json=echo).status_code == 501
    backend.start()  # the service ended it


# ---------------------------------------------------------------------------------- its own server


def drawn(folder: Path, alias: bool) -> Path:
    """A model of random weights; its config says whether it was taught the alias."""
    shape = SHAPES["1m"]
    marks = {"alias": ALIAS} if alias else None
    with checkpoint.replacing(folder) as staging:
        checkpoint.write(staging, shape, RandomWeights(shape, 1),
                         Tokenizer.load(SHIPPED / "tokenizer.json"), marks=marks)  # fmt: skip
    return folder


@pytest.fixture(scope="module", params=["shipped", "without the alias", "with the alias"])
def stock(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LlamaCpp, Engine]]:
    """llama.cpp's server and our engine on the same weights in float32."""
    folder, place = SHIPPED, tmp_path_factory.mktemp("stock")
    if request.param != "shipped":
        folder = drawn(place / "model", request.param == "with the alias")
    out = place / "model.gguf"
    gguf.write(folder, out, "f32")
    backend = LlamaCpp.load(out, threads=1)
    yield backend, Engine.load(folder, Settings("cpu", "float32", 1))
    backend.close()


def stock_prompt(engine: Engine, prefix: str, suffix: str) -> list[int]:
    """What llama.cpp's `/infill` makes of a hole: a token before each of three parts.

    Without the alias they are StarCoder's, which it finds by their spelling; in our vocabularies
    those are reserved, and models trained by span corruption have not learnt them. By its spelling
    it finds `<reponame>` too, and puts a made-up one first.
    """
    form, encode = engine.form, engine.tokenizer.encode
    assert form.span is not None
    if form.alias is not None:
        before, hole, answer = form.span.end_of_text, form.span.masks[0], form.alias
    else:
        fim = FimSentinels.ours(engine.tokenizer)
        assert fim is not None
        before, hole, answer = fim.prefix, fim.suffix, fim.middle
    repository = engine.tokenizer.special("<reponame>")
    assert repository is not None
    head = [repository, *encode("myproject\n")]
    return [*head, before, *encode(prefix), hole, *encode(suffix), answer]


def test_stock_infill_asks_by_the_alias_who_knows_it(stock: tuple[LlamaCpp, Engine]) -> None:
    backend, engine = stock
    ends = engine.form.ends_of_span
    # Weights that nobody trained write sentinels, which our engine bars.
    never = [[i, False] for i in engine.tokenizer.special_ids if i not in ends]
    # llama.cpp cuts what is longer than a share of its batch.
    for prefix, suffix in [(PREFIX, SUFFIX), *((p[-200:], s[:80]) for p, s in holes(6))]:
        ids = stock_prompt(engine, prefix, suffix)
        body = {"input_prefix": prefix, "input_suffix": suffix, "n_predict": 24, "temperature": 0,
                "logit_bias": never, "return_tokens": True}  # fmt: skip
        status, found = post(backend, "/infill", body)
        assert (status, found["tokens_evaluated"]) == (200, len(ids))
        asked = Request(Prompt(ids, ends, Layout.CAUSAL), 24, Sampling(logprobs=1))
        ours = engine.wait(engine.submit(asked))
        assert found["tokens"] == [each.id for each in ours.logprobs]
        assert found["content"] == ours.text
        assert (found["stop_type"] == "eos") == (ours.stop_reason == "end")


def test_stock_completion_fills_in_with_the_sentinels(backend: LlamaCpp, engine: Engine) -> None:
    span = backend.form.span
    assert span is not None
    hole = [span.end_of_text, span.separator, span.masks[0]]
    expected = engine.infill(PREFIX, SUFFIX, max_tokens=24).text
    body = {"n_predict": 24, "temperature": 0}
    _, mixed = post(
        backend, "/completion", {**body, "prompt": [PREFIX, span.masks[0], SUFFIX, *hole]}
    )
    text = f"{PREFIX}<mask_1>{SUFFIX}<|endoftext|><sep><mask_1>"
    _, spelled = post(backend, "/completion", {**body, "prompt": text})
    assert mixed["content"] == spelled["content"] == expected == "width"
    assert mixed["stop_type"] == "eos"


# ------------------------------------------------------------------------------------ the process


def test_only_who_has_the_key_is_answered(backend: LlamaCpp) -> None:
    url = f"http://127.0.0.1:{backend.process.port}/completion"
    reply = httpx.post(url, json={"prompt": "x", "n_predict": 1}, trust_env=False)
    assert reply.status_code == 401


def test_a_llama_cpp_that_dies_is_started_again(file: Path) -> None:
    backend = LlamaCpp.load(file, threads=1)
    request = Request(backend.prompt(PREFIX, SUFFIX, max_tokens=8), 8)
    long = Request(Prompt([300] * 50, frozenset([-1]), Layout.CAUSAL), 900)
    child = backend.process._child
    assert child is not None

    async def dies() -> None:
        task = asyncio.create_task(backend.ask(long))
        await asyncio.sleep(0.2)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(UserError, match="ask again"):
            await task

    asyncio.run(dies())
    child.wait(10)
    assert asked(backend, [request])[0].text == "width"
    again = backend.process._child
    assert again is not None and again.pid != child.pid
    backend.close()
    assert again.wait(10) == 0


def test_a_file_that_llama_cpp_refuses_is_a_mistake(file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(file.read_bytes()[:-100_000])
    with pytest.raises(UserError, match=r"cut\.gguf: llama\.cpp can't load it"):
        LlamaCpp.load(tmp_path / "cut.gguf")


PARENT = """
import sys, time
from pathlib import Path
from codegen25.serve.llama_cpp.backend import LlamaCpp
backend = LlamaCpp.load(Path(sys.argv[1]), threads=1)
print(backend.process._child.pid, flush=True)
time.sleep(600)
"""


def test_llama_cpp_ends_with_a_parent_that_is_killed(file: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":  # nobody collects it here
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()


def test_a_process_that_was_never_started_closes(file: Path, backend: LlamaCpp) -> None:
    process = Process(backend.process.setup)
    assert not process.alive
    process.close()

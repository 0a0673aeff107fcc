"""llama.cpp as a backend: the tokenizer of a GGUF, our fields in its, slots, and the stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
import sysconfig
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from fake_llama import FakeLlama, Script
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen25.directory import Directory
from codegen25.errors import UserError
from codegen25.export import gguf
from codegen25.infill import Layout, Prompt
from codegen25.sample.engine import Engine, Settings
from codegen25.sample.options import Sampling
from codegen25.sample.request import Completion, Piece, Priority, Request
from codegen25.sample.stopping import Stops
from codegen25.serve import errors
from codegen25.serve.ask import Ask
from codegen25.serve.llama_cpp import gguf_model, metadata
from codegen25.serve.llama_cpp.backend import LlamaCpp, slots_of
from codegen25.serve.llama_cpp.fields import beginning, body, sampling_fields, seed_of
from codegen25.serve.llama_cpp.gguf_model import GgufModel, exported, located
from codegen25.serve.llama_cpp.process import Process
from codegen25.serve.llama_cpp.slots import Slot, Slots, chosen
from codegen25.serve.llama_cpp.stream import BrokenError
from codegen25.serve.refusals import UnavailableError, UnsupportedError
from codegen25.serve.served import Served
from codegen25.serve.service import Service
from codegen25.tokenizer import Tokenizer

T = TypeVar("T")


@pytest.fixture(scope="module")
def file(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    gguf.write(model_dir, out, "f32")
    return out


@pytest.fixture(scope="module")
def model(file: Path) -> GgufModel:
    return GgufModel.read(file)


# ---------------------------------------------------------------------------------- a GGUF file


def test_a_file_says_what_its_directory_says(model: GgufModel, model_dir: Path) -> None:
    directory = Directory.read(model_dir)
    assert model.form == directory.form
    assert model.context == directory.config.max_position_embeddings
    assert model.rows == directory.config.vocab_size and model.exact
    assert model.token_bytes == 2 * 2 * 2 * 32  # keys and values, 16 bits, 2 layers, 32 channels
    assert model.tokenizer.vocab_size == directory.tokenizer.vocab_size
    assert model.tokenizer.special_ids == directory.tokenizer.special_ids
    assert model.tokenizer.longest_token >= directory.tokenizer.longest_token


def test_reads_the_standard_library_as_the_tokenizer_does(
    model: GgufModel, tokenizer: Tokenizer
) -> None:
    texts = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        source = path.read_text(encoding="utf-8", errors="replace")
        texts += [source[at : at + 400] for at in range(0, len(source), 4000)]
    assert len(texts) > 1000
    for text in texts[:1500]:
        ids = model.tokenizer.encode(text)
        assert ids == tokenizer.encode(text)
        assert model.tokenizer.decode(ids) == text


@given(st.text() | st.text("<|eomsp_1> \t\n\r'dé🎉\0", max_size=40))
@settings(max_examples=300)
def test_reads_any_text_as_the_tokenizer_does(
    model: GgufModel, tokenizer: Tokenizer, text: str
) -> None:
    ids = model.tokenizer.encode(text)
    assert ids == tokenizer.encode(text)
    assert not set(ids) & set(tokenizer.special_ids)


def test_ordinary_added_tokens_and_spare_rows_are_read(
    model_dir: Path, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    keys = {
        f"tokenizer.ggml.{name}": value
        for name, value in {
            "model": "gpt2", "pre": "gpt-2", "merges": ["a b"],
            "tokens": ["<eom>", "a", "b", "ab", "    ", "[PAD5]", "<mask_1>"],
            "token_type": [3, 1, 1, 1, 4, 5, 3],
        }.items()
    }  # fmt: skip
    made = gguf_model.tokenizer_of(keys, Path("m.gguf"))
    assert made.encode("abba    ab") == [3, 2, 1, 4, 3]
    assert made.special("<mask_1>") == 6 and made.special_ids == [0, 6]


def test_a_model_that_fills_in_otherwise_keeps_its_format(model_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "fim"
    other.mkdir()
    for path in model_dir.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    raw = json.loads((other / "config.json").read_text())
    names = {"prefix": "<fim_prefix>", "suffix": "<fim_suffix>", "middle": "<fim_middle>"}
    (other / "config.json").write_text(json.dumps({**raw, "infill": names}))
    gguf.write(other, tmp_path / "fim.gguf", "q8_0")
    found = GgufModel.read(tmp_path / "fim.gguf")
    assert found.form == Directory.read(other).form and found.form.layouts[0] is Layout.PSM
    assert not found.exact


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"PK" + data[2:], "does not begin with GGUF"),
        (lambda data: data[:4] + struct.pack("<I", 9) + data[8:], "version 9"),
        (lambda data: data[:5000], "ends early|longer than the file"),
        (lambda data: data[:16] + struct.pack("<Q", 1 << 40) + data[24:], "keys"),
        (lambda data: data[:24] + struct.pack("<Q", 1 << 62) + data[32:], "ends early"),
        (lambda data: b"", "ends early"),
        (lambda data: data.replace(b"gpt-2", b"qwen2"), "gpt2/qwen2"),
        (lambda data: data.replace(b"context_length", b"context_lengty"), "context_length"),
    ],
)
def test_what_is_no_whole_gguf_is_refused(
    file: Path, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    (tmp_path / "bad.gguf").write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=said):
        GgufModel.read(tmp_path / "bad.gguf")


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + data)
    with contextlib.suppress(UserError):
        metadata.read(path)


def test_a_directory_is_exported_once(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEGEN25_CACHE", str(tmp_path))
    path = exported(model_dir)
    assert path.parent == tmp_path / "gguf" and path.name.startswith("tiny-q8_0-")
    monkeypatch.setattr(gguf, "write", lambda *_: pytest.fail("written again"))
    assert exported(model_dir, "int8") == path
    monkeypatch.undo()
    monkeypatch.setenv("CODEGEN25_CACHE", str(tmp_path))
    assert GgufModel.read(exported(model_dir, "float32")).exact
    assert len(list((tmp_path / "gguf").iterdir())) == 2
    with pytest.raises(UserError, match="int3"):
        exported(model_dir, "int3")


def test_places(file: Path, model_dir: Path) -> None:
    assert located(str(file)) == file and located(str(model_dir)) == model_dir
    with pytest.raises(UserError, match=r"none\.gguf"):
        located("none.gguf")


def test_without_the_package_it_says_what_to_install(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'codegen25\[llama-cpp\]'"):
        LlamaCpp.load(file)


def test_slots_are_what_fits(model: GgufModel) -> None:
    each = model.token_bytes * model.context * 2
    assert slots_of(model, 0) == 8
    assert slots_of(replace(model, token_bytes=10**7), 0) == 1
    assert slots_of(replace(model, context=5_000_000 // each * model.context), 10) == 2
    with pytest.raises(UserError, match="cache"):
        slots_of(model, -1)


# ---------------------------------------------------------------------------------------- fields


def request(ids: list[int] | None = None, max_tokens: int = 8, **more: Any) -> Request:
    return Request(Prompt(ids or [5, 6, 7], frozenset([1]), Layout.CAUSAL), max_tokens, **more)


def fields(asked: Request, **more: Any) -> dict[str, Any]:
    return body(asked, asked.prompt.ids, 1, rows=100, never=[90, 91], reuse=True, **more)


def test_a_request_becomes_fields() -> None:
    made = fields(request())
    assert made["prompt"] == [5, 6, 7] and made["n_predict"] == 8 and made["id_slot"] == 1
    assert made["cache_prompt"] is True and made["stream"] is True
    assert made["logit_bias"] == [[90, False], [91, False]]
    assert made["samplers"] == ["temperature"] and made["temperature"] == 0
    assert "grammar" not in made


def test_sampling_becomes_fields_in_our_order() -> None:
    sampling = Sampling(
        temperature=0.7, top_p=0.9, top_k=40, min_p=0.05, seed=3, repetition_penalty=1.1,
        presence_penalty=0.2, frequency_penalty=-0.3, logprobs=4, logit_bias=((7, 2.5), (90, 9.0)),
    )  # fmt: skip
    made = fields(request(sampling=sampling))
    assert made["samplers"] == ["penalties", "temperature", "top_k", "top_p", "min_p"]
    assert (made["temperature"], made["top_k"], made["top_p"], made["min_p"]) == (
        0.7,
        40,
        0.9,
        0.05,
    )
    assert (made["repeat_penalty"], made["repeat_last_n"]) == (1.1, 3 + 8)
    assert (made["presence_penalty"], made["frequency_penalty"], made["n_probs"]) == (0.2, -0.3, 4)
    assert made["logit_bias"][2:] == [[7, 2.5]]  # what may never come, no bias brings
    neutral = sampling_fields(Sampling(temperature=1.0, top_p=1.0), "")
    assert neutral["samplers"] == ["temperature"]
    with pytest.raises(UserError, match="ids end at 99"):
        fields(request(sampling=Sampling(logit_bias=((100, 1.0),))))


@given(st.integers(0, 2**63 - 1), st.text())
def test_seeds_are_numbers_that_llama_cpp_takes(seed: int, key: str) -> None:
    assert 0 <= seed_of(seed, key) < 2**31
    assert seed_of(seed, key) == seed_of(seed, key) != seed_of(seed, key + "/1")


def test_a_forced_beginning_is_a_grammar() -> None:
    assert fields(request(forced=b"ret"))["grammar"] == 'root ::= "ret" .*'
    assert beginning('a"\\\n\té') == 'root ::= "a\\x22\\x5C\\x0A\\x09é" .*'
    assert "grammar" not in fields(request(forced=b"ret", max_tokens=0))


# ----------------------------------------------------------------------------------------- slots


def test_the_slot_that_remembers_most_is_chosen() -> None:
    old, other, long = [1, 2, 3, 4], [9, 8, 7], [1, 2, 3, 4, 5, 6]
    slots = [Slot(0, old, "me", used=3), Slot(1, other, "me", used=2), Slot(2, used=1)]
    assert chosen(slots, long, "me").index == 0
    assert chosen(slots, [9, 8, 7, 6], "me").index == 1
    assert chosen(slots, [5, 5, 5], "me").index == 2
    assert chosen(slots, long, "you").index == 2  # another's text is nobody's help
    assert chosen(slots, [1, 7, 7, 7, 7, 7], "me").index == 2  # hardly anything in common


async def at_once(slots: Slots, log: list[str], name: str, priority: int, hold: float) -> None:
    async with slots.taken([1], name, priority):
        log.append(name)
        await asyncio.sleep(hold)


def test_a_keystroke_goes_before_a_batch_and_who_leaves_is_forgotten() -> None:
    async def scenario() -> None:
        slots, log = Slots(1), list[str]()
        first = asyncio.create_task(at_once(slots, log, "first", Priority.BATCH, 0.02))
        await asyncio.sleep(0)
        batch = asyncio.create_task(at_once(slots, log, "batch", Priority.BATCH, 0))
        gone = asyncio.create_task(at_once(slots, log, "gone", Priority.TYPING, 0))
        typed = asyncio.create_task(at_once(slots, log, "typed", Priority.TYPING, 0))
        await asyncio.sleep(0.005)
        assert slots.load == (1, 3)
        gone.cancel()
        await asyncio.gather(first, batch, typed)
        assert log == ["first", "typed", "batch"] and slots.load == (0, 0)
        assert slots.kept == [1]

    asyncio.run(scenario())


def test_a_slot_is_never_lost_to_who_leaves_as_it_is_granted() -> None:
    async def scenario() -> None:
        slots = Slots(1)
        for _ in range(50):
            first = asyncio.create_task(at_once(slots, [], "a", 0, 0))
            second = asyncio.create_task(at_once(slots, [], "b", 0, 0))
            await asyncio.sleep(0)
            first.cancel()
            second.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
        await asyncio.wait_for(at_once(slots, [], "c", 0, 0), 1)
        assert slots.load == (0, 0)

    asyncio.run(scenario())


# ---------------------------------------------------------------------------------------- answers


def asking(model: GgufModel, fake: FakeLlama, work: Callable[[LlamaCpp], Awaitable[T]]) -> T:
    """What `work` makes of a backend whose llama.cpp is the fake."""

    async def run() -> T:
        async with fake.listening():
            return await work(LlamaCpp(model, cast(Process, fake)))

    return asyncio.run(run())


def answered(model: GgufModel, fake: FakeLlama, asked: Request) -> tuple[Completion, list[Piece]]:
    pieces: list[Piece] = []
    completion = asking(model, fake, lambda backend: backend.ask(asked, pieces.append))
    assert "".join(piece.text for piece in pieces) == completion.text
    assert [piece.completion for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].completion == completion
    return completion, pieces


def last(pieces: list[Piece]) -> Completion:
    completion = pieces[-1].completion
    assert completion is not None
    return completion


WORDS: Script = [("return", [50]), (" x", [51]), ("\n", [52]), ("y", [53])]


def test_an_answer_comes_in_pieces(model: GgufModel) -> None:
    fake = FakeLlama([*WORDS, ("", [1])], cached=2)
    completion, pieces = answered(model, fake, request())
    assert completion.text == "return x\ny" and completion.stop_reason == "end"
    assert (completion.tokens, completion.prompt_tokens, completion.cached_tokens) == (5, 3, 2)
    assert len(pieces) == 5 and completion.prefill_ms > 0
    assert fake.keys == ["Bearer secret"] and fake.asked[0]["prompt"] == [5, 6, 7]


def test_why_an_answer_ended(model: GgufModel) -> None:
    def ended(asked: Request, stop_type: str = "limit", script: Script = WORDS) -> Completion:
        return answered(model, FakeLlama(script, stop_type), asked)[0]

    assert ended(request()).stop_reason == "length"
    assert ended(request(), "eos").stop_reason == "end"
    assert ended(request(), "limit", [("a", [50]), ("", [1]), ("b", [51])]).text == "a"
    stopped = ended(request(stops=Stops(("x",))))
    assert (stopped.text, stopped.stop_reason, stopped.rule) == ("return ", "stop", "stop_string")
    single = ended(request(stops=Stops.editor(single_line=True), prefix="def f(x):\n    "))
    assert (single.text, single.rule) == ("return x", "single_line")
    enough = ended(request(enough=lambda text: "x" in text))
    assert (enough.text, enough.rule) == ("return x", "enough")


def test_characters_stay_whole_and_are_counted(model: GgufModel) -> None:
    fake = FakeLlama([("🎉", [60, 61, 62]), ("é", [63, 64])], "limit")
    completion, pieces = answered(model, fake, request())
    assert [piece.text for piece in pieces[:2]] == ["🎉", "é"] and completion.tokens == 5


def test_a_forced_beginning_is_not_shown(model: GgufModel) -> None:
    fake = FakeLlama([("re", [50]), ("turn", [51]), (" é", [52])])
    completion, _ = answered(model, fake, request(forced=b"retu"))
    assert completion.text == "rn é" and fake.asked[0]["grammar"] == 'root ::= "retu" .*'


def test_nothing_to_write_warms_the_slot(model: GgufModel) -> None:
    fake = FakeLlama([("a", [50])], "limit")
    whole = request([5] * model.context, 0)
    completion, _ = answered(model, fake, whole)
    assert (completion.text, completion.tokens, completion.stop_reason) == ("", 0, "length")
    assert completion.prompt_tokens == model.context
    assert len(fake.asked[0]["prompt"]) == model.context - 1


def test_an_empty_prompt_is_an_end_of_text(model: GgufModel) -> None:
    fake = FakeLlama(WORDS)
    asked = replace(request(), prompt=Prompt([], frozenset([7, 3]), Layout.CAUSAL))
    assert answered(model, fake, asked)[0].prompt_tokens == 0
    assert fake.asked[0]["prompt"] == [3]


def test_what_does_not_fit_is_refused_before_it_is_asked(model: GgufModel) -> None:
    fake = FakeLlama(WORDS)
    for asked, said in (
        (request([model.rows]), "token id"),
        (request([5] * model.context, 1), "exceed the model's"),
        (request(max_tokens=-1), "max-tokens"),
    ):
        with pytest.raises(UserError, match=said):
            answered(model, fake, asked)
    assert not fake.asked


def test_a_budget_ends_an_answer(model: GgufModel) -> None:
    fake = FakeLlama(WORDS * 50, pause=0.02)
    completion, _ = answered(model, fake, request(max_tokens=200, budget=1.0))
    assert completion.stop_reason == "time" and completion.text.startswith("return")


def test_who_leaves_hangs_up_and_frees_the_slot(model: GgufModel) -> None:
    fake = FakeLlama(WORDS * 500, pause=0.005)

    async def leave(backend: LlamaCpp) -> None:
        pieces: list[Piece] = []
        task = asyncio.create_task(backend.ask(request(max_tokens=200), pieces.append))
        while not fake.asked:
            await asyncio.sleep(0.001)
        assert backend.requests == (1, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert last(pieces).stop_reason == "cancelled"
        assert backend.requests == (0, 0)
        while not fake.left:
            await asyncio.sleep(0.001)

    asking(model, fake, leave)


def test_an_answer_that_stops_hangs_up(model: GgufModel) -> None:
    fake = FakeLlama(WORDS * 500, pause=0.002)

    async def stop(backend: LlamaCpp) -> None:
        assert (await backend.ask(request(stops=Stops(("x",))))).rule == "stop_string"
        while not fake.left:
            await asyncio.sleep(0.001)

    asking(model, fake, stop)


def test_slots_are_reused_by_their_owner_alone(model: GgufModel) -> None:
    fake = FakeLlama(WORDS)
    ids = list(range(5, 25))

    async def three(backend: LlamaCpp) -> None:
        for owner, more in (("me", [30]), ("me", [30, 31]), ("you", [30, 31, 32])):
            await backend.ask(request([*ids, *more], owner=owner))
        assert backend.kept == (2, (22 + 23) * model.token_bytes * 2)

    asking(model, fake, three)
    assert [each["id_slot"] for each in fake.asked] == [0, 0, 1]
    assert [each["cache_prompt"] for each in fake.asked] == [False, True, False]


def test_faults_of_llama_cpp_are_told_apart(model: GgufModel) -> None:
    with pytest.raises(UserError, match="refuses this: no"):
        answered(model, FakeLlama(WORDS, status=400), request())
    with pytest.raises(RuntimeError, match="failed: no"):
        answered(model, FakeLlama(WORDS, status=500), request())
    with pytest.raises(UnavailableError, match="is not ready; ask again"):
        answered(model, FakeLlama(WORDS, status=503), request())
    for fake in (FakeLlama(WORDS, status=503), FakeLlama(WORDS, broken_after=2)):
        with pytest.raises(UnavailableError):
            answered(model, fake, request())


def test_its_own_failures_are_not_the_clients(
    model: GgufModel, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeLlama(WORDS)
    events = fake.events()[:-1]
    fake.events = lambda: events  # type: ignore[method-assign]
    with pytest.raises(BrokenError, match="ask again"):
        answered(model, fake, request())

    class Dead(FakeLlama):
        def start(self) -> bool:
            raise UserError("m.gguf: llama.cpp can't load it (/secret/m.gguf is gone)")

    with pytest.raises(BrokenError) as refused:
        answered(model, Dead(WORDS, alive=False), request())
    status, shown = errors.said(refused.value)
    assert status == 503 and "secret" not in str(shown) and "load" not in str(shown)
    one, other = (record.getMessage() for record in caplog.records)
    assert "without saying why" in one and "/secret/m.gguf is gone" in other


def test_a_dead_llama_cpp_is_started_again_and_a_closed_one_is_not(model: GgufModel) -> None:
    fake = FakeLlama(WORDS)

    async def twice(backend: LlamaCpp) -> None:
        await backend.ask(request())
        fake.alive = False
        assert (await backend.ask(request())).text == "return x\ny"
        assert fake.started == 1
        backend.close()
        with pytest.raises(UserError, match="closed"):
            await backend.ask(request())

    asking(model, fake, twice)


def test_log_probabilities_are_passed_on(model: GgufModel) -> None:
    fake = FakeLlama([("a", [50])])
    events = fake.events()
    top = [{"id": 50, "logprob": -0.5}, {"id": 51, "logprob": None}]
    events[0]["completion_probabilities"] = [{"id": 50, "logprob": -0.5, "top_logprobs": top}]
    fake.events = lambda: events  # type: ignore[method-assign]
    [token] = answered(model, fake, request(sampling=Sampling(logprobs=2)))[0].logprobs
    assert (token.id, token.logprob, token.top) == (50, -0.5, ((50, -0.5), (51, float("-inf"))))


# ---------------------------------------------------------------------------------------- prompts


@given(st.text(max_size=300), st.text(max_size=200), st.integers(1, 200))
@settings(max_examples=50)
def test_prompts_are_the_engines(
    model: GgufModel, engine: Engine, prefix: str, suffix: str, most: int
) -> None:
    backend = LlamaCpp(model, cast(Process, FakeLlama()))
    assert backend.prompt(prefix, suffix, max_tokens=most) == engine.prompt(
        prefix, suffix, max_tokens=most
    )


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Engine:
    return Engine.load(model_dir, Settings("cpu", "float32", 1))


def test_the_service_asks_it_like_any_other(model: GgufModel) -> None:
    fake = FakeLlama(WORDS)

    async def serve(backend: LlamaCpp) -> None:
        service = Service(lambda: {"tiny": backend})
        service.load()
        ask = Ask("def f(x):\n    ret", "\n", max_tokens=8, typing=True)
        first = await service.answers(service.default, ask)
        assert fake.asked[0]["grammar"].startswith('root ::= "')
        assert b'codegen25_answers_total{reason="end"} 1.0' in service.measured()
        [through] = await service.answers(
            service.default, replace(ask, prefix=ask.prefix + first[0].text[:2])
        )
        assert through.rule == "typed through" and len(fake.asked) == 1
        assert b"codegen25_cache_sequences 1.0" in service.measured()
        with pytest.raises(UserError, match="no probabilities"):
            await Served("tiny", backend).score([5], 1)

    asking(model, fake, serve)


def test_what_llama_cpp_cannot_do_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="leave sure out"):
        sampling_fields(Sampling(sure=0.5), "key")

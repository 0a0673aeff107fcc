"""OpenAI's own Python client, unchanged."""

from typing import Any

import pytest

from serving import Running

openai = pytest.importorskip("openai", reason="make test-clients installs the openai client")
pytestmark = pytest.mark.clients

PREFIX, SUFFIX = "def area(width, height):\n    return ", "\n\n\nprint(area(2, 3))\n"


@pytest.fixture
def client(server: Running) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_fills_in(client: Any, server: Running) -> None:
    answer = client.completions.create(
        model="default", prompt=PREFIX, suffix=SUFFIX, max_tokens=24, temperature=0
    )
    expected = server.engine.infill(PREFIX, SUFFIX, max_tokens=24)
    assert answer.choices[0].text == expected.text != ""
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == expected.prompt_tokens


def test_streams(client: Any, server: Running) -> None:
    stream = client.completions.create(
        model="default", prompt=PREFIX, suffix=SUFFIX, max_tokens=24, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text == server.engine.infill(PREFIX, SUFFIX, max_tokens=24).text
    assert chunks[-1].usage.completion_tokens > 0


def test_lists_models(client: Any, server: Running) -> None:
    assert [each.id for each in client.models.list()] == [server.service.default.name]
    assert client.models.retrieve(server.service.default.name).id == server.service.default.name


def test_probabilities_and_several_answers(client: Any) -> None:
    answer = client.completions.create(
        model="default", prompt="import ", n=2, max_tokens=4, temperature=1, seed=1, logprobs=3
    )
    assert [each.index for each in answer.choices] == [0, 1]
    found = answer.choices[0].logprobs
    assert len(found.tokens) == len(found.token_logprobs) == len(found.top_logprobs)
    assert all(value <= 0 for value in found.token_logprobs)


def test_faults_are_the_clients_own(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        client.completions.create(model="gpt-9", prompt="x")
    with pytest.raises(openai.BadRequestError, match="max_tokens"):
        client.completions.create(model="default", prompt="x", max_tokens=-3)


def test_leaving_a_stream_ends_it(
    client: Any, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, submit = [], server.engine.submit

    def noted(*arguments: Any) -> Any:
        asked.append(submit(*arguments))
        return asked[-1]

    monkeypatch.setattr(server.engine, "submit", noted)
    stream = client.completions.create(  # by itself this ends for its length
        model="default", prompt="x = [", max_tokens=400, temperature=1, seed=1, stream=True
    )
    next(iter(stream))
    stream.close()
    assert server.idle(5)
    assert all(each.wait(5) or each.done for each in asked)
    assert [each.result().stop_reason for each in asked] == ["cancelled"]

"""Ollama's own Python client, unchanged."""

from typing import Any

import pytest

from serving import Running

ollama = pytest.importorskip("ollama", reason="make test-clients installs the ollama client")
pytestmark = pytest.mark.clients

PREFIX, SUFFIX = "def area(width, height):\n    return ", "\n\n\nprint(area(2, 3))\n"


@pytest.fixture
def client(server: Running) -> Any:
    return ollama.Client(host=server.url, trust_env=False)


@pytest.fixture
def name(server: Running) -> str:
    return server.service.default.name


def test_fills_in(client: Any, server: Running, name: str) -> None:
    answer = client.generate(name, PREFIX, suffix=SUFFIX, options={"num_predict": 24})
    assert answer.response.strip()
    assert answer.done and answer.done_reason == "stop" and answer.model == name
    assert answer.prompt_eval_count > 0
    parts = client.generate(name, PREFIX, suffix=SUFFIX, options={"num_predict": 24}, stream=True)
    assert "".join(each.response for each in parts) == answer.response
    assert server.idle()


def test_streams(client: Any, name: str) -> None:
    asked = {"prompt": "import ", "options": {"num_predict": 12, "seed": 1}}
    whole = client.generate(name, **asked)
    parts = list(client.generate(name, **asked, stream=True))
    assert "".join(each.response for each in parts) == whole.response != ""
    assert [each.done for each in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count == whole.eval_count == 12 and parts[-1].done_reason == "length"


def test_lists_and_shows(client: Any, server: Running, name: str) -> None:
    assert [each.model for each in client.list().models] == [f"{name}:latest"]
    assert [each.model for each in client.ps().models] == [f"{name}:latest"]
    for asked in (name, f"{name}:latest"):
        shown = client.show(asked)
        assert ".Suffix" in shown.template and "insert" in shown.capabilities
        assert shown.modelinfo["llama.context_length"] == server.engine.context


def test_a_model_that_only_completes_does_not_chat(client: Any, name: str) -> None:
    with pytest.raises(ollama.ResponseError) as refused:
        client.chat(name, [{"role": "user", "content": "Hello"}])
    assert refused.value.status_code == 404
    assert refused.value.error.startswith(name) and "chat" in refused.value.error


def test_faults_are_the_clients_own(client: Any, name: str) -> None:
    with pytest.raises(ollama.ResponseError, match="llama9") as refused:
        client.generate("llama9", "x")
    assert refused.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match=r"options\.temperature") as refused:
        client.generate(name, "x", options={"temperature": -1})
    assert refused.value.status_code == 400


def test_leaving_a_stream_ends_it(client: Any, server: Running, name: str) -> None:
    options = {"num_predict": 500, "temperature": 1}
    stream = client.generate(name, "x = [", stream=True, options=options)
    next(stream)
    stream.close()
    assert server.idle(5)

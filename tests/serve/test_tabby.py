from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from dialect_helpers import asked, recorded

from codegen25.serve.accepted import Accepted
from serving import Running


def test_tabby_agent_gets_a_completion(client: httpx.Client, server: Running) -> None:
    answer = asked(client, "/v1/completions", recorded("tabby_agent", temperature=0))
    assert answer["id"].startswith("cmpl-") and answer["mode"] == "standard"
    assert answer["choices"][0]["index"] == 0 and answer["choices"][0]["text"]


def test_other_files_are_shown_to_the_model(client: httpx.Client, server: Running) -> None:
    def evaluated(**segments: object) -> float:
        before = server.service.measured().decode()
        body = recorded("tabby_agent")
        body["segments"] |= segments
        asked(client, "/v1/completions", body)
        after = server.service.measured().decode()
        return _count(after, "prompt_tokens") - _count(before, "prompt_tokens")

    bare = {"declarations": None, "relevant_snippets_from_changed_files": None, "clipboard": None}
    prefix = "def g(radius):\n    "
    assert evaluated(prefix=prefix) > evaluated(prefix=prefix, **bare)


def _count(metrics: str, name: str) -> float:
    line = next(each for each in metrics.splitlines() if each.startswith(f"codegen25_{name}_total"))
    return float(line.split()[-1])


@pytest.mark.parametrize(
    ("segments", "param"),
    [
        ({}, "segments.prefix"),
        ({"prefix": 3}, "segments.prefix"),
        ({"prefix": "x", "declarations": [{"body": 1}]}, "segments.declarations.0.body"),
        ({"prefix": "x", "clipboard": []}, "segments.clipboard"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, segments: object, param: str) -> None:
    error = asked(client, "/v1/completions", {"segments": segments}, 400)["error"]
    assert error["param"].endswith(param)


def test_starts_as_tabby_agent_does(client: httpx.Client, server: Running) -> None:
    for health in (client.get("/v1/health"), client.post("/v1/health", json={})):
        body = health.json()
        assert body["version"]["git_describe"].startswith("v0.") and body["device"] == "cpu"
        assert body["models"]["embedding"] and body["model"] == server.service.default.name
    assert client.get("/v1beta/server_setting").json() == {"disable_client_side_telemetry": True}
    models = client.get("/v1beta/models").json()
    assert models == {"completion": [server.service.default.name], "chat": []}


def test_events_are_counted_and_accepted_code_is_kept_when_asked(
    client: httpx.Client, server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = recorded("tabby_agent", temperature=0)
    monkeypatch.setattr(server.service, "events", Accepted(tmp_path, keep=True))
    answer = asked(client, "/v1/completions", body)
    event = {"completion_id": answer["id"], "choice_index": 0, "view_id": "v", "elapsed": 300}
    for kind in ("view", "select"):
        assert client.post("/v1/events", json={"type": kind, **event}).status_code == 200
    [row] = map(json.loads, (tmp_path / "accepted.jsonl").read_text().splitlines())
    assert {key: row[key] for key in ("prefix", "suffix")}.items() <= body["segments"].items()
    assert row["middle"] == answer["choices"][0]["text"] and row["language"] == "python"
    assert 'suggestions_total{event="select"}' in server.service.measured().decode()


def test_an_unknown_event_is_refused(client: httpx.Client) -> None:
    body = {"type": "steal", "completion_id": "x"}
    assert asked(client, "/v1/events", body, 400)["error"]["param"] == "type"
    assert client.post("/v1/events", json={"type": "select", "completion_id": "?"}).is_success

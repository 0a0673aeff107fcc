import socket

import httpx
import pytest

from codegen25.errors import UserError
from codegen25.serve.command import Options, is_loopback, keys, listening, models
from serving import SHIPPED, Running, engine, serving


def test_a_foreign_host_header_is_refused(client: httpx.Client) -> None:
    for path in ("/", "/v1/models", "/health"):
        response = client.get(path, headers={"host": "evil.example"})
        assert response.status_code == 403 and "Host" in response.json()["error"]["message"]
    refused = client.get("/api/tags", headers={"host": "evil.example"})  # in Ollama's shape
    assert refused.status_code == 403 and "Host" in refused.json()["error"]


def test_web_pages_of_other_places_are_refused(client: httpx.Client) -> None:
    body = {"prompt": "x", "max_tokens": 1}
    for origin, status in (
        ("https://evil.example", 403),
        (str(client.base_url), 200),
        ("null", 403),
        ("http://[", 403),
        ("http://localhost]", 403),
        ("", 403),
    ):
        response = client.post("/v1/completions", json=body, headers={"origin": origin})
        assert response.status_code == status


def test_json_need_not_be_said_to_be_json(client: httpx.Client) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    content = b'{"prompt":"x","max_tokens":1}'
    assert client.post("/v1/completions", content=content, headers=form).status_code == 200


def test_no_cross_origin_headers(client: httpx.Client) -> None:
    origin = {"origin": "https://evil.example"}
    answers = [
        client.get("/v1/models", headers=origin),
        client.options(
            "/v1/completions", headers={**origin, "access-control-request-method": "POST"}
        ),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_keys() -> None:
    with (
        serving({"m": engine()}, keys=("one", "two")) as running,
        httpx.Client(base_url=running.url, trust_env=False) as client,
    ):
        assert client.get("/health").status_code == 200
        for headers in ({}, {"authorization": "Bearer three"}, {"authorization": "Bearer"}):
            answer = client.get("/v1/models", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        for headers in (
            {"authorization": "Bearer one"}, {"authorization": "bearer two"},
            {"x-api-key": "two"}, {"api-key": "one"},
        ):  # fmt: skip
            assert client.get("/v1/models", headers=headers).status_code == 200
        _shares_nothing(client)
        _reads_little_of_strangers(client)


def _shares_nothing(client: httpx.Client) -> None:
    body = {"prompt": "# a secret that only one of them wrote\n" * 4, "max_tokens": 1}

    def cached(key: str) -> int:
        answer = client.post("/v1/completions", json=body, headers={"x-api-key": key}).json()
        found: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
        return found

    assert cached("one") == 0 and cached("two") == 0 and cached("one") > 0


def _reads_little_of_strangers(client: httpx.Client) -> None:
    for path in ("/", "/playground/x", "/health", "/v1/models"):
        assert client.post(path, content=b"x" * 9000).status_code == 401
    assert client.post("/v1/health", content=b"{}").status_code == 200  # Tabby's agents

    def parts():  # type: ignore[no-untyped-def]
        for _ in range(20):
            yield b"x" * 100

    for body in (b"x" * 2000, parts()):
        refused = client.post("/v1/health", content=body)
        assert refused.status_code == 413 and "1000 bytes" in refused.text


@pytest.mark.parametrize("pieces", [1, 300])
def test_large_headers_are_refused(client: httpx.Client, pieces: int) -> None:
    port = httpx.URL(client.base_url).port
    for size, said in ((33_000, b"431"), (30_000, b"200")):
        each = b"a" * (size // pieces - 8)
        fields = b"".join(b"X%03d: %s\r\n" % (i, each) for i in range(pieces))
        with socket.create_connection(("127.0.0.1", port)) as made:
            made.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n")
            assert made.recv(100).split()[1] == said


def test_an_empty_bearer_is_fine_without_keys(client: httpx.Client) -> None:
    port = httpx.URL(client.base_url).port
    with socket.create_connection(("127.0.0.1", port)) as made:
        head = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \r\n\r\n"
        made.sendall(head.encode())
        assert made.recv(100).startswith(b"HTTP/1.1 200")


def test_a_wrong_method_is_told_the_right_one(client: httpx.Client) -> None:
    for path, method in (("/v1/completions", "POST"), ("/api/tags", "GET")):
        refused = client.request("TRACE", path)
        assert refused.status_code == 405 and refused.headers["allow"] == method


def test_large_and_deep_bodies_are_refused(client: httpx.Client) -> None:
    large = client.post("/v1/completions", content=b'{"prompt":"' + b"x" * (5 << 20) + b'"}')
    assert large.status_code == 413

    def parts():  # type: ignore[no-untyped-def]
        for _ in range(6):
            yield b"x" * (1 << 20)

    assert client.post("/v1/completions", content=parts()).status_code == 413
    for deep in (b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000):
        assert client.post("/v1/completions", content=deep).status_code == 400


def test_only_loopback_goes_without_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("CODEGEN25_API_KEY", raising=False)
    assert is_loopback("::1") and is_loopback("127.9.9.9") and not is_loopback("example.org")
    assert keys(Options()) == ()
    for host in ("0.0.0.0", "::", "192.168.1.2", "box.lan"):
        with pytest.raises(UserError, match="api-key"):
            keys(Options(host=host))
    monkeypatch.setenv("CODEGEN25_API_KEY", "e f")
    assert keys(Options(host="0.0.0.0")) == ("e", "f")
    monkeypatch.delenv("CODEGEN25_API_KEY")
    file = tmp_path / "keys"
    file.write_text("")
    with pytest.raises(UserError, match="holds no key"):
        keys(Options(api_key_file=file))
    file.write_text("a\nb\n")
    assert keys(Options(api_key_file=file)) == ("a", "b")


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listening(Options(port=0)) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_adapters_have_names_of_their_own() -> None:
    served = models(Options(adapters=(f"mine={SHIPPED}",)))
    assert list(served) == [SHIPPED.name, "mine"]
    for wrong in ("mine", f"={SHIPPED}", f"{SHIPPED.name}={SHIPPED}", "mine=nowhere"):
        with pytest.raises(UserError):
            models(Options(adapters=(wrong,)))


def test_metrics_count_and_name_no_text(client: httpx.Client, server: Running) -> None:
    client.post("/v1/completions", json={"prompt": "confidential = ", "max_tokens": 3})
    text = client.get("/metrics").text
    assert 'codegen25_request_seconds_count{path="/v1/completions",status="200"}' in text
    assert "codegen25_generated_tokens_total" in text and "codegen25_cache_bytes" in text
    assert "confidential" not in text
    client.get("/some/secret/path")
    assert "secret" not in client.get("/metrics").text

"""Nothing phones home: the server opens no socket but the one it listens at."""

import subprocess
import sys

GUARDED = """
import socket, sys, threading, time, urllib.request
real = socket.socket.connect
opened = []
def connect(self, address):
    opened.append(address)
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
        print("OUTBOUND", address, flush=True)
    return real(self, address)
socket.socket.connect = connect
lookup = socket.getaddrinfo
def resolve(host, *args, **kw):
    if host not in (None, "127.0.0.1", "localhost", "::1", b"127.0.0.1"):
        print("LOOKUP", host, flush=True)
    return lookup(host, *args, **kw)
socket.getaddrinfo = resolve
sys.path.insert(0, sys.argv[1])
from serving import serving
with serving() as running:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    def ask(path, body=None):
        kind = {"content-type": "application/json"}
        asked = urllib.request.Request(running.url + path, body, kind)
        return opener.open(asked, timeout=60).read()
    for path in ("/health", "/metrics", "/openapi.json", "/v1/models"):
        ask(path)
    ask("/v1/completions", b'{"prompt":"x = ","suffix":"y","max_tokens":8}')
    ask("/infill", b'{"input_prefix":"x = ","input_suffix":"y","n_predict":4}')
    ask("/api/generate", b'{"model":"default","prompt":"x = ","suffix":"y"}')
    ask("/v1/engines/copilot-codex/completions", b'{"prompt":"x = ","max_tokens":4}')
    ask("/v1/fim/completions", b'{"prompt":"x = ","suffix":"y","max_tokens":4}')
    ask("/v1/completions", b'{"segments":{"prefix":"x = ","suffix":"y"},"language":"python"}')
print("ASKED", len(opened), flush=True)
"""


def test_no_outbound_socket(request) -> None:  # type: ignore[no-untyped-def]
    folder = str(request.path.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, folder], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "ASKED 10" in done.stdout
    assert "OUTBOUND" not in done.stdout and "LOOKUP" not in done.stdout

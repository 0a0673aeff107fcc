from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen25.serve.rules import Rules

RULES = Rules.of("127.0.0.1", ["box.lan"], [])


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8025", "127.0.0.1:1", "[::1]:8025", "box.lan", "localhost."]
)
def test_knows_its_own_names(host: str) -> None:
    assert RULES.host_is_known(host)


def test_a_server_of_all_addresses_is_known_by_any_of_them() -> None:
    for bind in ("0.0.0.0", "::"):
        rules = Rules.of(bind, ["box.lan"], ["key"])
        for host in ("192.168.1.7:8025", "[fe80::1]:8025", "10.0.0.1", "box.lan", "localhost"):
            assert rules.host_is_known(host)
        for host in ("evil.example", "192.168.1.7.nip.io", "192.168.1", "3232235783", "", "[::"):
            assert not rules.host_is_known(host)
        own, other = "http://192.168.1.7:8025", "http://203.0.113.9"
        assert rules.origin_is_known(own, "192.168.1.7:8025")
        assert rules.origin_is_known("https://box.lan", "192.168.1.7:8025")
        assert not rules.origin_is_known(other, "192.168.1.7:8025")
    assert not Rules.of("192.168.1.7", [], ["key"]).host_is_known("192.168.1.8")


@given(st.text() | st.text("[]:/@.%htp0"), st.text("[]:.0a"))
def test_any_origin_is_judged(origin: str, host: str) -> None:
    for rules in (RULES, Rules.of("::", [], ["key"])):
        assert rules.origin_is_known(origin, host) in (True, False)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "[", "0.0.0.0", ":"]
)
def test_refuses_other_names(host: str) -> None:
    assert not RULES.host_is_known(host)

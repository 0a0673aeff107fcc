"""Who may ask: host names against a web page that would borrow this server, and keys.

The Host header is held against an allow-list, so that a web page can't reach a server on loopback
under a name of its own (DNS rebinding); keys are compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MAX_BODY = 4 << 20


@dataclass(frozen=True)
class Rules:
    """Which hosts the server answers to, and for which keys; without keys everybody may ask.

    `addresses`: any IP address is a name of this server. A page can't make a browser send an
    address that it did not connect to, so this opens no way to DNS rebinding.
    """

    hosts: frozenset[str]
    keys: tuple[str, ...] = ()
    max_body: int = MAX_BODY
    addresses: bool = False

    @classmethod
    def of(cls, bind: str, hosts: Collection[str], keys: Sequence[str]) -> Rules:
        """The rules of a server bound to an address, for whom further host names are allowed.

        One bound to all of the machine's addresses is known by any of them.
        """
        everywhere = bind in ("0.0.0.0", "::")
        names = {*LOOPBACK, *hosts, *(() if everywhere else (bind,))}
        return cls(frozenset(map(str.lower, names)), tuple(keys), addresses=everywhere)

    def host_is_known(self, header: str) -> bool:
        """Whether a Host header, with or without a port, names this server."""
        name = _name(header)
        return self._is_listed(name) or (self.addresses and _is_address(name))

    def origin_is_known(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may ask a server that it calls `host`.

        An address that nobody listed counts only if page and server have the same.
        """
        try:
            name = _name(urlsplit(origin).netloc)
        except ValueError:
            return self._is_listed("")
        return self._is_listed(name) or (
            self.addresses and _is_address(name) and name == _name(host)
        )

    def _is_listed(self, name: str) -> bool:
        return name in self.hosts or "*" in self.hosts

    def owner(self, key: str) -> str | None:
        """Who asks, by a key: a name for the owner's share of the cache, None if it is refused."""
        if not self.keys:
            return ""
        given = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        found = None
        for each in self.keys:  # all of them, whichever matches: the time tells nothing
            if hmac.compare_digest(hashlib.sha256(each.encode()).digest(), given):
                found = hashlib.sha256(b"owner" + given).hexdigest()[:16]
        return found


def key_of(headers: Mapping[bytes, str]) -> str:
    """The key that a request's headers hold; none is empty."""
    given = headers.get(b"authorization", "")
    if given[:7].lower() == "bearer ":
        return given[7:].strip()
    return headers.get(b"x-api-key", headers.get(b"api-key", ""))


def _name(header: str) -> str:
    """The host that a header names, as it is compared; nothing if it names none."""
    try:
        name = urlsplit(f"//{header}").hostname
    except ValueError:
        return ""
    return (name or "").lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        return not ipaddress.ip_address(name).is_unspecified
    except ValueError:
        return False

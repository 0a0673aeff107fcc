"""The filter as the kernel reads it, for every call: checked by running it here."""

from __future__ import annotations

import struct

import pytest

from codegen25.evaluate.sandbox.inside import seccomp

ALLOW, REFUSE, UNKNOWN, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
MACHINES = list(seccomp._COLUMN)


def answer(program: bytes, architecture: int, number: int, first: int = 0, second: int = 0) -> int:
    """What a filter says of a call (classic BPF, the instructions that we use)."""
    data = struct.pack("=IIQQQ", number, architecture, 0, first, second)
    place, held = 0, 0
    while True:
        code, yes, no, value = struct.unpack_from("=HBBI", program, 8 * place)
        place += 1
        if code == 0x20:
            (held,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            met = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            place += yes if met else no


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(seccomp, "MACHINE", request.param)
    return str(request.param)


@pytest.mark.parametrize("processes", [False, True])
def test_every_call_has_the_answer_of_the_table(machine: str, processes: bool) -> None:
    program = seccomp._build(processes)
    column, architecture = seccomp._COLUMN[machine], seccomp._ARCHITECTURE[machine]
    refused = set(seccomp._numbers(seccomp._REFUSED, column))
    if not processes:
        refused |= set(seccomp._numbers(seccomp._PROCESSES, column))
        refused |= {call[column] for call in (seccomp._KILL, seccomp._TGKILL, seccomp._CLONE)}
    refused.add(seccomp._PRLIMIT[column])  # of another process
    for number in (*range(600), 0x40000000, 0x40000000 + 59, 0xFFFFFFFF):
        newer = number > 451 or number == 435
        expected = UNKNOWN if newer else REFUSE if number in refused else ALLOW
        assert answer(program, architecture, number, first=7) == expected, number
    assert answer(program, architecture ^ 1, 0) == KILL
    assert len(program) // 8 < 512


def test_arguments_decide_where_they_must(machine: str) -> None:
    program = seccomp._build(processes=False)
    column, architecture = seccomp._COLUMN[machine], seccomp._ARCHITECTURE[machine]

    def said(call: tuple[int, int], first: int = 0, second: int = 0) -> int:
        return answer(program, architecture, call[column], first, second)

    assert said(seccomp._CLONE, first=0x3D0F00) == ALLOW  # a thread
    assert said(seccomp._CLONE, first=0x1200011) == REFUSE  # a fork
    assert said(seccomp._PRLIMIT) == ALLOW and said(seccomp._PRLIMIT, first=1) == REFUSE
    assert said(seccomp._FCNTL, second=8) == REFUSE and said(seccomp._FCNTL, second=2) == ALLOW
    assert said(seccomp._IOCTL, second=0x5412) == REFUSE
    assert said(seccomp._IOCTL, second=0x5401) == ALLOW


def test_no_call_takes_many_steps(machine: str) -> None:
    """When a filter is entered the kernel tries it on every number."""
    depth = len(seccomp._spans(False, seccomp._COLUMN[machine])).bit_length()
    assert depth <= 8

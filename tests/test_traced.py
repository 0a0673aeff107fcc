"""What logs say of errors: kinds and lines, never a message."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest

from codegen25.infill import Layout, Prompt
from codegen25.sample.request import Handle, Request
from codegen25.sample.scheduler import Scheduler
from codegen25.traced import DEEPEST, traced

SECRET = "confidential_name"


def fail(*_: object, **__: object) -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise RuntimeError(f"at {SECRET}") from error


def deep(levels: int) -> None:
    if not levels:
        fail()
    deep(levels - 1)


def test_kinds_causes_and_lines_are_said() -> None:
    with pytest.raises(RuntimeError) as raised:
        fail()
    place = r"tests/test_traced\.py:\d+"
    said = traced(raised.value)
    assert re.fullmatch(rf"RuntimeError \({place} {place}\) from KeyError \({place}\)", said)
    assert traced(ValueError(SECRET)) == "ValueError ()"


def test_of_a_deep_failure_the_innermost_lines_are_said() -> None:
    with pytest.raises(RuntimeError) as raised:
        deep(3 * DEEPEST)
    assert traced(raised.value).partition(" from ")[0].count(".py:") == DEEPEST


def test_a_callback_that_raises_is_logged_without_what_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handle = Handle(Request(Prompt([1], frozenset(), Layout.CAUSAL), 1))
    handle.then(fail)
    handle.finish(None, RuntimeError(SECRET))
    assert_told(caplog)


def test_a_draft_model_that_fails_is_logged_without_what_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = SimpleNamespace(width=fail, gate=None)
    scheduler = SimpleNamespace(_chunk=lambda: 8, model=model)
    answer = SimpleNamespace(prompt=[1], ids=[2], left=5, request=None)
    guess = Scheduler._by_model(*cast(Any, (scheduler, answer, model)))
    assert guess.ids == [] and scheduler.model is None
    assert_told(caplog)


def assert_told(caplog: pytest.LogCaptureFixture) -> None:
    [record] = caplog.records
    assert record.levelno >= logging.WARNING and record.exc_info is None
    assert "RuntimeError (" in record.getMessage() and SECRET not in caplog.text

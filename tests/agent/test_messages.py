"""The words that both sides share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messages import Wanted


@given(st.integers(0, 10**15 - 1), st.from_regex(r"\A(?:[0-9A-Za-z][0-9A-Za-z.+!-]{0,63})?\Z"))
def test_what_is_wanted_is_read_as_it_was_written(settings: int, release: str) -> None:
    wanted = Wanted(settings=settings, release=release)
    assert Wanted.decode(wanted.encode()) == wanted


@pytest.mark.parametrize(
    "text", ["settings=-1", "settings=1e3", "release=../x", "release=a;settings=1", "x=1", "\x00"]
)
def test_what_cannot_be_read_wants_nothing(text: str) -> None:
    assert Wanted.decode(text) == Wanted()

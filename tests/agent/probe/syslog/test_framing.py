"""Messages out of streams, however they are cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probe.syslog.framing import MAX_COUNTED_BYTES, Framer

LINES = st.lists(
    st.binary(min_size=1, max_size=40).map(
        lambda data: b"<13>" + data.replace(b"\n", b"").strip(b"\r\0 ") + b"."
    ),
    max_size=8,
)


def fed(framer: Framer, pieces: list[bytes]) -> list[bytes]:
    return [message for piece in pieces for message in framer.feed(piece)] + framer.rest()


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(each % (len(data) + 1) for each in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@given(LINES, st.lists(st.integers(min_value=0), max_size=12))
def test_both_framings_give_the_same_messages_however_the_stream_is_cut(
    messages: list[bytes], cuts: list[int]
) -> None:
    lines = b"".join(each + b"\n" for each in messages)
    counted = b"".join(b"%d %s" % (len(each), each) for each in messages)
    assert fed(Framer(4096), cut(lines, cuts)) == messages
    assert fed(Framer(4096), cut(counted, cuts)) == messages


@given(st.binary(max_size=300), st.lists(st.integers(min_value=0), max_size=12))
def test_no_stream_makes_it_hold_more_than_its_limit_or_give_longer_messages(
    data: bytes, cuts: list[int]
) -> None:
    framer = Framer(32)
    for piece in cut(data, cuts):
        assert all(len(each) <= 32 for each in framer.feed(piece))
        assert len(framer._held) <= 32 + 8 + 1
    assert not framer.broken or data.lstrip(b"\r\n\0 ")[:1].isdigit()


def test_what_is_too_long_is_cut_counted_and_the_next_message_is_whole() -> None:
    lines, counted = Framer(480), Framer(480)
    assert fed(lines, [b"<1>" + b"x" * 1000, b"yyy\n<1>next\n"]) == [b"<1>" + b"x" * 477, b"<1>next"]
    long = b"<1>" + b"x" * 1000
    assert fed(counted, [b"1003 " + long[:900], long[900:] + b"7 <1>next"]) == [long[:480], b"<1>next"]
    assert (lines.cut, counted.cut) == (1, 1)


def test_a_last_line_without_end_counts_and_a_counted_half_does_not() -> None:
    assert fed(Framer(480), [b"<1>one\n<1>tw", b"o"]) == [b"<1>one", b"<1>two"]
    assert fed(Framer(480), [b"6 <1>one9 <1>t"]) == [b"<1>one"]


def test_devices_that_end_with_zero_or_add_an_end_to_counted_messages() -> None:
    assert fed(Framer(480), [b"<1>one\0\n<1>two\r\n\n"]) == [b"<1>one", b"<1>two"]
    assert fed(Framer(480), [b"6 <1>one\n6 <1>two\n"]) == [b"<1>one", b"<1>two"]


@pytest.mark.parametrize(
    "wrong", [b"7x <1>", b"12345678 <1>", b"garbage", b"0 <1>", b"%d " % (MAX_COUNTED_BYTES + 1)]
)
def test_what_came_before_a_count_that_is_none_counts_and_nothing_after_it(wrong: bytes) -> None:
    framer = Framer(480)
    assert framer.feed(b"6 <1>one6 <1>two" + wrong + b"x" * 20) == [b"<1>one", b"<1>two"]
    assert framer.broken
    assert framer.feed(b"6 <1>one") == []
    assert framer.rest() == []


@pytest.mark.parametrize(
    ("stream", "broken"),
    [(b"6 <1>one9 <1>t", True), (b"6 <1>one12", True), (b"6 <1>one", False), (b"<1>one\n<1>tw", False)],
)
def test_a_connection_that_ends_within_a_counted_message_is_broken(stream: bytes, broken: bool) -> None:
    framer = Framer(480)
    framer.feed(stream)
    framer.rest()
    assert framer.broken is broken

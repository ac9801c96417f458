"""What a collector answers, as bytes on a connection."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.answers import MalformedAnswerError, read_answer

MOST = 100


def test_an_answer_with_a_length_leaves_the_next_one_where_it_is() -> None:
    stream = io.BytesIO(
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\nVonggac-Time:  17.5 \r\n\r\nabc"
        b"HTTP/1.1 204 \r\nServer: x\r\n\r\nHTTP/1.1 429\r\nRetry-After: 9\ncontent-length: 0\r\n\r\n"
    )
    first = read_answer(stream, MOST)
    assert (first.status, first.body, first.ends, first.field("vonggac-TIME")) == (202, b"abc", False, "17.5")
    assert first.field("Retry-After") is None
    assert read_answer(stream, MOST).status == 204
    assert read_answer(stream, MOST).field("Retry-After") == "9"
    with pytest.raises(ConnectionResetError, match="without an answer"):
        read_answer(stream, MOST)


def test_interim_answers_are_passed_over() -> None:
    answer = read_answer(
        io.BytesIO(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), MOST
    )
    assert answer.status == 200
    with pytest.raises(MalformedAnswerError, match="to its end"):
        read_answer(io.BytesIO(b"HTTP/1.1 102 \r\n\r\n" * 20), MOST)


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\n", b"ab", b"ab"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", b"ab", b"ab"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"until the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", b"x" * 200, b"x" * MOST),
    ],
)
def test_a_connection_ends_where_it_says_so_or_more_comes_than_is_read(
    head: bytes, body: bytes, expected: bytes
) -> None:
    answer = read_answer(io.BytesIO(head + body), MOST)
    assert (answer.body, answer.ends) == (expected, True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_said(data: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        read_answer(io.BytesIO(data), MOST)


@pytest.mark.parametrize("cut", [10, 30, 40, 42])
def test_an_answer_that_is_cut_off_is_a_lost_connection(cut: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with pytest.raises(OSError, match=r"cut off|not an answer|not a header"):
        read_answer(io.BytesIO(whole[:cut]), MOST)


@given(st.binary(max_size=400))
def test_no_bytes_do_anything_but_answer_or_fail_as_a_connection_does(data: bytes) -> None:
    for begin in (b"", b"HTTP/1.1 200 OK\r\n"):
        try:
            answer = read_answer(io.BytesIO(begin + data), MOST)
        except OSError:
            continue
        assert len(answer.body) <= MOST

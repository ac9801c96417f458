"""A device that answers something else than was asked, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from agent.probe.snmp import oids
from agent.probe.snmp.credentials import Secret
from agent.probe.snmp.session import DeviceError, Session
from agent.probe.snmp.settings import Credential

if TYPE_CHECKING:
    from collections.abc import Iterator

_GET_REQUEST, _GETBULK_REQUEST, _RESPONSE, _INTEGER = 0xA0, 0xA5, 0xA2, 0x02


def _of_another_request(question: bytes) -> bytes:
    answer = bytearray(question)
    start = next(at for at, octet in enumerate(answer) if octet in (_GET_REQUEST, _GETBULK_REQUEST))
    answer[start] = _RESPONSE
    assert answer[start + 2] == _INTEGER
    answer[start + 3 + answer[start + 3]] ^= 0x55
    return bytes(answer)


@pytest.fixture
def port() -> Iterator[int]:
    """Answers of other requests, every tenth of a second, to whoever asked."""
    ended = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        here.settimeout(0.1)

        def serve() -> None:
            asked: dict[tuple[str, int], bytes] = {}
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    question, who = here.recvfrom(4_096)
                    asked[who] = _of_another_request(question)
                for who, answer in asked.items():
                    with contextlib.suppress(OSError):
                        here.sendto(answer, who)

        thread = threading.Thread(target=serve)
        thread.start()
        yield here.getsockname()[1]
        ended.set()
        thread.join()


def test_answers_of_other_requests_are_no_answer(port: int) -> None:
    secret = Secret(Credential("c", version="2c", community_file="x"), community="public")
    session = Session("127.0.0.1", port, secret, timeout=0.3, retries=0)

    async def ask() -> None:
        with pytest.raises(DeviceError):
            await session.get((oids.SYS_UP_TIME,))
        with pytest.raises(DeviceError):
            await session.walk(oids.SYS_UP_TIME, 10)

    asyncio.run(asyncio.wait_for(ask(), 60))

"""Polling over SNMP: 1,000 devices of 60 values from one process, and GETBULK against pysnmp, in the same run.

The devices are one answering process on the loopback interface, which takes no part in what is measured: it answers
each question about a table of its own from memory, as fast as it can.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from soc_api.bench.registry import Figure, benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DEVICES: Final = 1_000
_VALUES: Final = 60
_PERIOD_SECONDS: Final = 60.0
_COLUMN: Final = "1.3.6.1.2.1.31.1.1.1.6"
_ROWS: Final = 400
_BULK: Final = 24
_WALKS: Final = 5
_AT_ONCE: Final = 64
_GET_AT_ONCE: Final = 24


@benchmark("snmp.poll", "1,000 devices of 60 values each over SNMP from one process; GETBULK against pysnmp")
def measure_poll(tell: Callable[[str], None]) -> Iterator[Figure]:
    ready: Any = multiprocessing.get_context("spawn").Queue()
    answering = multiprocessing.get_context("spawn").Process(target=_answer, args=(ready,), daemon=True)
    answering.start()
    try:
        port = ready.get(timeout=30)
        tell(f"{_DEVICES} devices, {_VALUES} values each")
        seconds, spent, values = asyncio.run(_poll(port))
        share = spent / _PERIOD_SECONDS
        yield Figure(
            round(100 * share, 1),
            f"% of a core for {values:,} values in {_PERIOD_SECONDS:.0f} s",
            "at most 25",
            share <= 0.25,
        )
        yield Figure(
            round(seconds, 1), "s for one round of all, wall clock", "at most 60", seconds <= _PERIOD_SECONDS
        )
        tell("a table of 400 rows by GETBULK: gufo-snmp, then pysnmp")
        ours = asyncio.run(_walks(_gufo_walk, port, _WALKS * 10))
        theirs = asyncio.run(_walks(_pysnmp_walk, port, _WALKS))
        yield Figure(round(ours), "rows/s by GETBULK, gufo-snmp, processor time", "-", None)
        yield Figure(round(theirs), "rows/s by GETBULK, pysnmp, processor time", "-", None)
        yield Figure(round(ours / theirs, 1), "times pysnmp", "at least 10", ours >= 10 * theirs)
    finally:
        answering.terminate()
        answering.join(10)


async def _poll(port: int) -> tuple[float, float, int]:
    """One round as the part asks: ``(seconds, processor seconds, values)``; each device has a session of its own."""
    from gufo.snmp.aio import SnmpSession

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DEVICES + 256, hard), hard))
    wanted = [f"{_COLUMN}.{row}" for row in range(1, _VALUES + 1)]
    sessions = [SnmpSession("127.0.0.1", port, community="x", timeout=10) for _ in range(_DEVICES)]
    turn = asyncio.Semaphore(_AT_ONCE)
    count = 0

    async def ask(session: SnmpSession) -> None:
        nonlocal count
        async with turn:
            for start in range(0, len(wanted), _GET_AT_ONCE):
                found = await session.get_many(wanted[start : start + _GET_AT_ONCE])
                count += len(found)

    began, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask(session) for session in sessions))
    return time.perf_counter() - began, time.process_time() - spent, count


async def _walks(walk: Callable[[int], Any], port: int, times: int) -> float:
    """Rows a second of this process's processor time: who answers is another's."""
    await walk(port)
    began = time.process_time()
    rows = 0
    for _ in range(times):
        rows += await walk(port)
    return rows / (time.process_time() - began)


async def _gufo_walk(port: int) -> int:
    from gufo.snmp.aio import SnmpSession

    rows = 0
    async for _ in SnmpSession("127.0.0.1", port, community="x", timeout=10).getbulk(_COLUMN, _BULK):
        rows += 1
    return rows


async def _pysnmp_walk(port: int) -> int:
    from pysnmp.hlapi.v3arch.asyncio import (
        CommunityData,
        ContextData,
        ObjectIdentity,
        ObjectType,
        SnmpEngine,
        UdpTransportTarget,
        bulk_walk_cmd,
    )

    engine = _kept.setdefault("engine", SnmpEngine())
    target = await UdpTransportTarget.create(("127.0.0.1", port), timeout=10)
    rows = 0
    async for error, _status, _index, values in bulk_walk_cmd(
        engine,
        CommunityData("x"),
        target,
        ContextData(),
        0,
        _BULK,
        ObjectType(ObjectIdentity(_COLUMN)),
        lookupMib=False,
        lexicographicMode=False,
    ):
        if error:
            raise RuntimeError(f"pysnmp: {error}")
        rows += len(values)
    return rows


#: pysnmp's engine: made once, as a program would.
_kept: dict[str, Any] = {}


# -- who answers ---------------------------------------------------------------------------------------------------


def _answer(ready: Any) -> None:
    """Answers GET and GETBULK over ``_COLUMN`` with 64-bit counters (RFC 3416), until it is ended."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        heard.bind(("127.0.0.1", 0))
        ready.put(heard.getsockname()[1])
        rows = {_oid(f"{_COLUMN}.{row}"): _row(row) for row in range(1, _ROWS + 1)}
        order = list(rows)
        after = dict(zip([_oid(_COLUMN), *order], range(_ROWS + 1), strict=True))
        last = _tlv(0x30, _tlv(6, _oid("1.3.6.1.2.1.31.1.1.1.7.1")) + _tlv(0x46, b"\x01"))
        while True:
            data, sender = heard.recvfrom(65535)
            kind, identity, numbers, names = _asked(data)
            if kind == 0xA5:
                start = after.get(names[0], _ROWS)
                found = [rows[name] for name in order[start : start + numbers]]
                bindings = b"".join(found) if len(found) == numbers else b"".join([*found, last])
            else:
                bindings = b"".join(rows[name] for name in names)
            pdu = _tlv(0xA2, identity + b"\x02\x01\x00\x02\x01\x00" + _tlv(0x30, bindings))
            heard.sendto(_tlv(0x30, b"\x02\x01\x01\x04\x01x" + pdu), sender)


def _asked(data: bytes) -> tuple[int, bytes, int, list[bytes]]:
    """``(kind of PDU, request-id as it came, max-repetitions, names)`` of a well-formed question of version 2c."""
    at = _inner(data, 0)
    for _ in range(2):  # version, community
        at = _behind(data, at)
    kind, at = data[at], _inner(data, at)
    identity_end = _behind(data, at)
    identity = data[at:identity_end]
    at = _behind(data, identity_end)
    end = _behind(data, at)
    repetitions = int.from_bytes(data[_inner(data, at) : end], "big")
    names = []
    at = _inner(data, end)
    while at < len(data):
        name = _inner(data, at)
        names.append(data[_inner(data, name) : _behind(data, name)])
        at = _behind(data, at)
    return kind, identity, repetitions, names


def _length(data: bytes, at: int) -> tuple[int, int]:
    size = data[at + 1]
    if size < 0x80:
        return size, at + 2
    count = size & 0x7F
    return int.from_bytes(data[at + 2 : at + 2 + count], "big"), at + 2 + count


def _inner(data: bytes, at: int) -> int:
    return _length(data, at)[1]


def _behind(data: bytes, at: int) -> int:
    size, start = _length(data, at)
    return start + size


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _row(row: int) -> bytes:
    value = (row * 1_000_003 + (1 << 40)).to_bytes(7, "big")
    return _tlv(0x30, _tlv(6, _oid(f"{_COLUMN}.{row}")) + _tlv(0x46, value))


def _oid(text: str) -> bytes:
    parts = [int(part) for part in text.split(".")]
    out = bytearray([40 * parts[0] + parts[1]])
    for part in parts[2:]:
        digits = [part & 0x7F]
        while part := part >> 7:
            digits.append(0x80 | (part & 0x7F))
        out += bytes(reversed(digits))
    return bytes(out)

"""One process that answers SNMPv2c on a port of the loopback interface as a switch does, from memory and as fast as it
can: who measures an asking side asks it."""

from __future__ import annotations

import bisect
import multiprocessing
import socket
import time
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMUNITY: Final = "x"
#: A column of so many 64-bit counters.
LONG_COLUMN: Final = "1.3.6.1.4.1.99999.1"
ROWS: Final = 400
#: Ports, and cards behind each.
PORTS: Final = 5
CARDS: Final = 4

_INTEGER, _OCTETS, _OID, _COUNTER, _GAUGE, _TICKS, _COUNTER64 = 0x02, 0x04, 0x06, 0x41, 0x42, 0x43, 0x46
_NO_SUCH_INSTANCE: Final = b"\x81\x00"
_END: Final = b"\x82\x00"
_GETBULK: Final = 0xA5
#: Of what grows: by how much a second.
_RATES: Final = {_COUNTER64: 1_000_003, _COUNTER: 0, _TICKS: 100}

Parts = tuple[int, ...]
#: A value is encoded already, or grows from a number: ``(tag, number)``.
Value = bytes | tuple[int, int]


@contextmanager
def answering() -> Iterator[int]:
    """The port; the process is gone when the block ends."""
    spawn = multiprocessing.get_context("spawn")
    ready: Any = spawn.Queue()
    process = spawn.Process(target=_answer, args=(ready,), daemon=True)
    process.start()
    try:
        yield int(ready.get(timeout=60))
    finally:
        process.terminate()
        process.join(10)


def _switch() -> dict[str, Value]:
    """A switch of ``PORTS`` ports by the public MIBs: system, interfaces, LLDP, forwarding."""
    found: dict[str, Value] = {
        "1.3.6.1.2.1.1.1.0": _text("Switch"),
        "1.3.6.1.2.1.1.2.0": _tlv(_OID, _name((1, 3, 6, 1, 4, 1, 99999, 1))),
        "1.3.6.1.2.1.1.3.0": (_TICKS, 8_640_000),
        "1.3.6.1.2.1.1.5.0": _text("sw"),
        "1.3.6.1.2.1.1.6.0": _text("Phòng máy chủ"),
        "1.3.6.1.2.1.1.7.0": _number(_INTEGER, 2),
        "1.0.8802.1.1.2.1.3.1.0": _number(_INTEGER, 4),
        "1.0.8802.1.1.2.1.3.2.0": _tlv(_OCTETS, b"\x02\x00\x00\x00\x01\x00"),
    }
    table, more, bridge = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1", "1.3.6.1.2.1.17"
    for port in range(1, PORTS + 1):
        rows: dict[str, Value] = {
            f"{table}.2": _text(f"Gi0/{port}"),
            f"{table}.3": _number(_INTEGER, 6),
            f"{table}.5": _number(_GAUGE, 1_000_000_000),
            f"{table}.6": _tlv(_OCTETS, bytes((2, 0, 0, 0, 1, port))),
            f"{table}.7": _number(_INTEGER, 1),
            f"{table}.8": _number(_INTEGER, 1),
            f"{table}.9": _number(_TICKS, 100),
            **{f"{table}.{column}": (_COUNTER, port) for column in (13, 14, 19, 20)},
            f"{more}.1": _text(f"Gi0/{port}"),
            **{f"{more}.{column}": (_COUNTER64, port << 40) for column in (6, 7, 10, 11)},
            f"{more}.15": _number(_GAUGE, 1_000),
            f"{more}.18": _text(f"cổng {port}"),
            f"{more}.19": _number(_TICKS, 0),
            f"{bridge}.1.4.1.2": _number(_INTEGER, port),
            "1.0.8802.1.1.2.1.3.7.1.2": _number(_INTEGER, 5),
            "1.0.8802.1.1.2.1.3.7.1.3": _text(f"Gi0/{port}"),
        }
        found.update({f"{column}.{port}": value for column, value in rows.items()})
        for card in range(CARDS):
            index = f"1.2.0.0.0.{port}.{card}"
            found[f"{bridge}.7.1.2.2.1.2.{index}"] = _number(_INTEGER, port)
            found[f"{bridge}.7.1.2.2.1.3.{index}"] = _number(_INTEGER, 3)
    for column, value in (
        (4, _number(_INTEGER, 4)),
        (5, _tlv(_OCTETS, b"\x02\x00\x00\x00\x02\x00")),
        (6, _number(_INTEGER, 5)),
        (7, _text("Gi0/1")),
        (9, _text("core")),
        (12, _tlv(_OCTETS, b"\x28\x00")),
    ):
        found[f"1.0.8802.1.1.2.1.4.1.1.{column}.0.1.1"] = value
    for row in range(1, ROWS + 1):
        found[f"{LONG_COLUMN}.{row}"] = (_COUNTER64, row << 40)
    return found


def _answer(ready: Any) -> None:
    """Answers GET and GETBULK of one column (RFC 3416), until it is ended."""
    values = {tuple(map(int, oid.split("."))): value for oid, value in _switch().items()}
    order = sorted(values)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        heard.bind(("127.0.0.1", 0))
        ready.put(heard.getsockname()[1])
        began = time.monotonic()
        while True:
            data, sender = heard.recvfrom(65535)
            kind, identity, numbers, names = _asked(data)
            passed = time.monotonic() - began
            if kind == _GETBULK:
                start = bisect.bisect_right(order, names[0])
                bindings = [_binding(name, values[name], passed) for name in order[start : start + numbers]]
                if len(bindings) < numbers:
                    bindings.append(_tlv(0x30, _tlv(_OID, _name(names[0])) + _END))
            else:
                bindings = [_binding(name, values.get(name, _NO_SUCH_INSTANCE), passed) for name in names]
            pdu = _tlv(0xA2, identity + b"\x02\x01\x00\x02\x01\x00" + _tlv(0x30, b"".join(bindings)))
            heard.sendto(_tlv(0x30, b"\x02\x01\x01" + _text(COMMUNITY) + pdu), sender)


def _binding(name: Parts, value: Value, passed: float) -> bytes:
    if isinstance(value, tuple):
        tag, number = value
        value = _number(tag, number + int(_RATES[tag] * passed))
    return _tlv(0x30, _tlv(_OID, _name(name)) + value)


def _asked(data: bytes) -> tuple[int, bytes, int, list[Parts]]:
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
        names.append(_parts(data[_inner(data, name) : _behind(data, name)]))
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


def _number(tag: int, value: int) -> bytes:
    """Not negative, so that the first bit is none of its sign."""
    return _tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _text(text: str) -> bytes:
    return _tlv(_OCTETS, text.encode())


@lru_cache(maxsize=8_192)
def _parts(name: bytes) -> Parts:
    parts, part = [*divmod(name[0], 40)], 0
    for octet in name[1:]:
        part = part << 7 | octet & 0x7F
        if octet < 0x80:
            parts.append(part)
            part = 0
    return tuple(parts)


@lru_cache(maxsize=8_192)
def _name(parts: Parts) -> bytes:
    out = bytearray([40 * parts[0] + parts[1]])
    for part in parts[2:]:
        digits = [part & 0x7F]
        while part := part >> 7:
            digits.append(0x80 | (part & 0x7F))
        out += bytes(reversed(digits))
    return bytes(out)

"""The kernel's filter before the probe: classic BPF (Linux, Documentation/networking/filter.rst).

Passes what opens, refuses or ends a TCP connection, TCP without ACK, the first fragments of TCP, UDP, and ICMP, of IPv4
and IPv6; other content of TCP connections never reaches the probe. Offsets go by the network header
(``SKF_NET_OFF``), so VLAN tags do not matter.
"""

from __future__ import annotations

import struct
from typing import Final

#: How much of a frame is copied: Ethernet, IPv6, TCP; or ICMP with the header that it answers to.
SNAP_BYTES: Final = 96
#: UDP with a port of these, or with both ports from 1024, is content: one in several is looked at.
QUIC_PORT: Final = 443
FIRST_HIGH_PORT: Final = 1024

_NET: Final = -0x100000 & 0xFFFFFFFF
_PROTOCOL: Final = -0x1000 & 0xFFFFFFFF
_RANDOM: Final = (-0x1000 + 56) & 0xFFFFFFFF
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_HALF_X, _LOAD_BYTE_X = 0x48, 0x50
_X_HEADER, _X_CONSTANT = 0xB1, 0x01
_AND, _MODULO = 0x54, 0x94
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45
_RETURN: Final = 0x06
_TESTS: Final = (_EQUAL, _AT_LEAST, _ANY_BIT)

#: A label, or (code, k, where to when true, where to when false); an empty place is the next instruction.
_Step = str | tuple[int, int, str, str]


def filter_program(*, one_in: int, bulk_one_in: int) -> bytes:
    """The program as the kernel wants it (``struct sock_filter`` one after another). ``one_in``: of all frames,
    ``bulk_one_in``: of UDP content."""
    steps: list[_Step] = []
    if one_in > 1:
        steps += [(_LOAD_WORD, _RANDOM, "", ""), (_MODULO, one_in, "", ""), (_EQUAL, 0, "", "drop")]
    steps += [
        (_LOAD_WORD, _PROTOCOL, "", ""),
        (_EQUAL, 0x0800, "v4", ""),
        (_EQUAL, 0x86DD, "v6", "drop"),
        "v4",
        (_LOAD_HALF, _NET + 6, "", ""),
        (_ANY_BIT, 0x1FFF, "drop", ""),  # a later fragment: no ports
        (_X_HEADER, _NET, "", ""),
        (_LOAD_BYTE, _NET + 9, "", ""),
        (_EQUAL, 6, "tcp4", ""),
        (_EQUAL, 17, "udp", ""),
        (_EQUAL, 1, "take", "drop"),
        "v6",
        (_X_CONSTANT, 40, "", ""),
        (_LOAD_BYTE, _NET + 6, "", ""),
        (_EQUAL, 6, "tcp", ""),
        (_EQUAL, 17, "udp", ""),
        (_EQUAL, 58, "", "drop"),
        (_LOAD_BYTE, _NET + 40, "", ""),
        (_EQUAL, 1, "take", ""),
        (_AND, 0xFE, "", ""),
        (_EQUAL, 128, "take", "drop"),
        "tcp4",
        (_LOAD_BYTE, _NET + 6, "", ""),
        (_ANY_BIT, 0x20, "take", ""),  # the first fragment, which may hold no flags
        "tcp",
        (_LOAD_BYTE_X, _NET + 13, "", ""),
        (_ANY_BIT, 0x07, "take", ""),
        (_ANY_BIT, 0x10, "drop", "take"),
        "udp",
        (_LOAD_HALF_X, _NET, "", ""),
        (_EQUAL, QUIC_PORT, "bulk", ""),
        (_AT_LEAST, FIRST_HIGH_PORT, "high", ""),
        (_LOAD_HALF_X, _NET + 2, "", ""),
        (_EQUAL, QUIC_PORT, "bulk", "take"),
        "high",
        (_LOAD_HALF_X, _NET + 2, "", ""),
        (_EQUAL, QUIC_PORT, "bulk", ""),
        (_AT_LEAST, FIRST_HIGH_PORT, "bulk", "take"),
        "bulk",
        (_LOAD_WORD, _RANDOM, "", ""),
        (_MODULO, bulk_one_in, "", ""),
        (_EQUAL, 0, "take", "drop"),
        "take",
        (_RETURN, SNAP_BYTES, "", ""),
        "drop",
        (_RETURN, 0, "", ""),
    ]
    return _assembled(steps)


def _assembled(steps: list[_Step]) -> bytes:
    places: dict[str, int] = {}
    code: list[tuple[int, int, str, str]] = []
    for step in steps:
        if isinstance(step, str):
            places[step] = len(code)
        else:
            code.append(step)
    out = b""
    for number, (operation, k, true, false) in enumerate(code):
        jumps = [places[where] - number - 1 if where else 0 for where in (true, false)]
        out += struct.pack("=HBBI", operation, *(jumps if operation in _TESTS else (0, 0)), k & 0xFFFFFFFF)
    return out

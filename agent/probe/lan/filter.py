"""The filter that the kernel applies to the packet socket: only what the part reads reaches its process.

Classic BPF, assembled here so that no library (nor libpcap) is needed at run time; a test compares it with what the
same words come to with libpcap.
"""

from __future__ import annotations

import struct
from typing import Final

_LDH, _LDB, _LD = 0x28, 0x30, 0x20
_LDH_X, _LDX_MSH = 0x48, 0xB1
_JEQ, _JGT, _JGE, _JSET = 0x15, 0x25, 0x35, 0x45
_RET = 0x06
_INSTRUCTION = struct.Struct("=HBBI")
#: The most of a frame that is read.
SNAPLEN: Final = 1_600

#: In the words of pcap-filter(7); the program below lets pass what these do (untagged frames).
WORDS: Final = (
    "arp or ether proto 0x88cc "
    "or (ether[12:2] <= 1500 and ether[14:4] = 0xaaaa0300 and ether[18:4] = 0x000c2000) "
    "or (ip and udp and ip[6:2] & 0x1fff = 0 "
    "and (udp port 67 or udp port 5353 or udp dst port 137 or udp dst port 138))"
    " or (ip6[6] = 58 and (ip6[40] = 129 or (ip6[40] >= 133 and ip6[40] <= 136)))"
    " or (ip6[6] = 17 and (ip6[40:2] = 5353 or ip6[42:2] = 5353 or ip6[42:2] = 546 or ip6[42:2] = 547))"
)

#: ``(label, code, operand, where it is so, where not)``; an empty label: the next instruction.
_PROGRAM: Final[list[tuple[str, int, int, str, str]]] = [
    ("", _LDH, 12, "", ""),
    ("", _JEQ, 0x0806, "pass", ""),
    ("", _JEQ, 0x88CC, "pass", ""),
    ("", _JEQ, 0x0800, "ipv4", ""),
    ("", _JEQ, 0x86DD, "ipv6", ""),
    ("", _JGT, 1500, "drop", ""),
    ("", _LD, 14, "", ""),
    ("", _JEQ, 0xAAAA0300, "", "drop"),
    ("", _LD, 18, "", ""),
    ("", _JEQ, 0x000C2000, "pass", "drop"),
    ("ipv4", _LDB, 23, "", ""),
    ("", _JEQ, 17, "", "drop"),
    ("", _LDH, 20, "", ""),
    ("", _JSET, 0x1FFF, "drop", ""),
    ("", _LDX_MSH, 14, "", ""),
    ("", _LDH_X, 14, "", ""),
    ("", _JEQ, 67, "pass", ""),
    ("", _JEQ, 5353, "pass", ""),
    ("", _LDH_X, 16, "", ""),
    ("", _JEQ, 67, "pass", ""),
    ("", _JEQ, 5353, "pass", ""),
    ("", _JEQ, 137, "pass", ""),
    ("", _JEQ, 138, "pass", "drop"),
    ("ipv6", _LDB, 20, "", ""),
    ("", _JEQ, 58, "icmp", ""),
    ("", _JEQ, 17, "", "drop"),
    ("", _LDH, 54, "", ""),
    ("", _JEQ, 5353, "pass", ""),
    ("", _LDH, 56, "", ""),
    ("", _JEQ, 5353, "pass", ""),
    ("", _JEQ, 546, "pass", ""),
    ("", _JEQ, 547, "pass", "drop"),
    ("icmp", _LDB, 54, "", ""),
    ("", _JEQ, 129, "pass", ""),
    ("", _JGE, 133, "", "drop"),
    ("", _JGT, 136, "drop", "pass"),
    ("pass", _RET, SNAPLEN, "", ""),
    ("drop", _RET, 0, "", ""),
]


def program() -> bytes:
    """``struct sock_filter[]`` (linux/filter.h)."""
    at = {line[0]: number for number, line in enumerate(_PROGRAM) if line[0]}
    made = []
    for number, (_label, code, operand, yes, no) in enumerate(_PROGRAM):
        jumps = [at[label] - number - 1 if label else 0 for label in (yes, no)]
        made.append(_INSTRUCTION.pack(code, *jumps, operand))
    return b"".join(made)


def length() -> int:
    return len(_PROGRAM)

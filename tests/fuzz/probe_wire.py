"""Parsers of the parts ``wire`` and ``eve``: frames of anybody, and lines that hold what strangers sent."""

from __future__ import annotations

from typing import Final

from agent.probe.eve import lines
from agent.probe.wire import watch
from agent.probe.wire.settings import WireSettings
from tests.agent.probe.eve.lines import ALERT, DNS, DNS3, FLOW, HTTP, TLS, line
from tests.agent.probe.wire.frames import ACK, ETHERNET, FIN, SYN, echo, refused, tcp, udp
from tests.fuzz.parser import Parser, parser

_NOW: Final = 1_800_000_000.0
_TYPES: Final = ("alert", "anomaly", "dns", "http", "tls", "flow")
_ASKED: Final = udp("10.0.0.1", 40_000, "10.0.0.2", 53)


def _watched(frame: bytes) -> object:
    made = watch.Watch(WireSettings())
    for second in range(3):
        made.take(frame, 0, 0, ETHERNET, len(frame), len(frame), int(_NOW) + second)
    for second in range(3, 20):
        made.tick(int(_NOW) + second)
    return [event.fields for event in made.collect()], made.sources, made.untracked


PARSERS: Final[tuple[Parser, ...]] = (
    parser(
        "bytes",
        _watched,
        watch.Watch.take,
        seeds=(
            tcp("10.0.0.1", 40_000, "10.0.0.2", 22, SYN),
            tcp("10.0.0.2", 22, "10.0.0.1", 40_000, SYN | ACK),
            tcp("fd00::1", 22, "fd00::2", 40_000, FIN | ACK),
            _ASKED,
            udp("fd00::1", 53, "fd00::2", 40_000),
            refused("10.0.0.2", _ASKED),
            echo("10.0.0.1", "10.0.0.2"),
            echo("fd00::1", "fd00::2", reply=True),
        ),
        longest=256,
    ),
    parser(
        "bytes",
        lambda data: lines.parse_eve_line(data, _TYPES, _NOW),
        lines.parse_eve_line,
        seeds=tuple(line(each) for each in (ALERT, DNS, DNS3, HTTP, TLS, FLOW)),
        raises=(ValueError,),
    ),
)

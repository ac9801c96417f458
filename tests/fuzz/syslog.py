"""Parsers of the parts ``syslog`` and ``backups``: what any device sends, and sums beside backups; and of the pipelines
that read what devices say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from agent.probe.backups import files
from agent.probe.syslog import framing, message, stamps
from collector.backups import reports
from collector.sources import reading
from rules.logsources import LogSources, shipped
from tests.collector.pipeline import T0
from tests.fuzz.parser import Parser, parser

_LINES: Final = tuple(
    each["line"]
    for each in yaml.safe_load(
        (Path(__file__).parents[1] / "rules/appliances.yml").read_text(encoding="utf-8")
    )
)
_PIPELINES: Final = LogSources(shipped())
_CLOCK: Final = stamps.Clock()


def _framed(data: bytes) -> object:
    framer = framing.Framer(480)
    half = len(data) // 2
    found = framer.feed(data[:half]) + framer.feed(data[half:]) + framer.rest()
    if any(len(each) > 480 for each in found):
        raise AssertionError("longer than the limit")
    return found


def _line(data: bytes) -> object:
    """As the probe and then the collector read it; doing the second twice does no more."""
    seconds, fields = message.read_message(message.text_of(data), T0, _CLOCK)
    made, sources = _PIPELINES.read("", "syslog", "", fields)
    if _PIPELINES.read("", "syslog", "", made)[0] != made:
        raise AssertionError("doing it twice does more")
    return seconds, made, sources


PARSERS: Final[tuple[Parser, ...]] = (
    parser(
        "bytes",
        _line,
        message.read_message,
        message.text_of,
        message.read_structured_data,
        longest=16_384,
        seeds=tuple(line.encode() for line in _LINES),
    ),
    parser(
        "text",
        lambda text: (stamps.read_stamp(text), _CLOCK.seconds(text, T0)),
        stamps.read_stamp,
        longest=128,
        seeds=(
            "Nov 22 10:00:00",
            "2026-11-22T10:00:00.123456+07:00",
            "2028 Feb 29 23:59:60.5 UTC",
            "Nov 22 2026 1:0",
        ),
    ),
    parser(
        "bytes",
        _framed,
        framing.Framer.feed,
        longest=1 << 18,
        seeds=(b"<13>one\n<13>two\r\n", b"7 <13>one7 <13>two", b"999999 x", b"\0\n \r<1>x\0"),
    ),
    parser(
        "bytes",
        files.parse_sum,
        files.parse_sum,
        seeds=(b"a" * 64 + b"  db.dump\n", b"SHA2-256(x)= " + b"0" * 64),
    ),
    parser(
        "bytes",
        reports._claimed,
        reports._claimed,
        longest=reports.MAX_BYTES,
        seeds=(b'{"system": "portal-db", "ok": true}',),
    ),
    parser(
        "value",
        lambda value: (
            reading._report(1, "e", (value, [T0], 1, 60.0, value, value, value), T0)
            if isinstance(value, str)
            else None
        ),
        reading._report,
        seeds=("192.0.2.1", "fe80::1%eth0", "::ffff:192.0.2.1"),
    ),
)

"""What correlations cost over the matching of the rules that they refer to."""

from __future__ import annotations

import gc
import random
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psutil

from rules.engine import Engine, Event
from soc_api.bench.registry import Figure, benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_RULES: Final = 500
_GROUPS: Final = 100_000
_EVENTS: Final = 120_000
_SLICE: Final = 5_000
#: One event in so many matches a rule that a correlation refers to; the others match none.
_ONE_IN: Final = 4
_GOAL_MICROSECONDS: Final = 10.0
#: Type, condition, how many rules it refers to.
_KINDS: Final = (
    ("event_count", "{gte: 25}", 1),
    ("event_count", "{gt: 40}", 1),
    ("value_count", "{field: user.name, gte: 15}", 1),
    ("value_count", "{field: [user.name, destination.port], gte: 30}", 1),
    ("temporal", "", 2),
    ("temporal_ordered", "", 2),
    ("temporal", "{0} and not {1}", 2),
    ("value_sum", "{field: network.bytes, gte: 60000}", 1),
    ("value_avg", "{field: network.bytes, gt: 2900}", 1),
    ("value_median", "{field: network.bytes, gt: 2900}", 1),
)


def _rule(number: int) -> str:
    return (
        f"title: Rule {number}\nid: 00000000-0000-4000-8000-{number:012d}\nname: rule_{number}\n"
        f"logsource: {{category: bench}}\ndetection:\n  s: {{event.code: code-{number}}}\n  condition: s\n"
    )


def _correlation(number: int) -> str:
    kind, condition, count = _KINDS[number % len(_KINDS)]
    # A rule in three is part of a second correlation, as the second of its rules.
    rules = [f"rule_{number}", f"rule_{(number + 1) % _RULES}"][:count]
    group_by = "[host.id]" if number % 2 else "[host.id, source.ip]"
    asked = f"  condition: {condition.format(*rules) if '{0}' in condition else condition}\n"
    return (
        f"title: Correlation {number}\nid: 00000000-0000-4000-9000-{number:012d}\ncorrelation:\n"
        f"  type: {kind}\n  rules: [{', '.join(rules)}]\n  group-by: {group_by}\n  timespan: 10m\n"
        f"{asked if condition else ''}"
    )


def _line(number: int, host: int, code: str, chance: random.Random) -> bytes:
    return msgspec.json.encode(
        {
            "event": {"code": code, "action": "logon", "outcome": "failure"},
            "host": {"id": f"host-{host}", "name": f"may-{host}"},
            "source": {"ip": f"10.1.{host // 250}.{host % 250}", "port": 1024 + number % 60000},
            "destination": {"ip": "10.0.0.5", "port": chance.choice((22, 443, 3389))},
            "user": {"name": f"user{chance.randrange(40)}", "domain": "AGENCY"},
            "network": {"bytes": chance.randrange(3000)},
            "process": {"name": "sshd", "pid": number, "command_line": "/usr/sbin/sshd -D -R " + "x" * 40},
            "message": "Failed password for an account from an address " + "y" * 60,
        }
    )


@benchmark(
    "sigma.correlate",
    "500 correlation rules of all types with 100,000 live groups, over matching the rules they refer to",
)
def correlate(tell: Callable[[str], None]) -> Iterable[Figure]:
    """The same events through the same rules with and without the correlations, in turns; CPU time."""
    rules = [_rule(number) for number in range(_RULES)]
    limits: dict[str, Any] = {"state_limit": 1_000_000, "lateness_seconds": 3_600.0}
    plain = Engine(rules, **limits)
    full = Engine([*rules, *map(_correlation, range(_RULES))], **limits)
    if full.unsupported:
        raise RuntimeError(f"rules were refused: {full.unsupported[:3]}")
    chance = random.Random(7)  # noqa: S311 - the same events in every run
    hosts = _GROUPS // _RULES
    groups = [(rule, host) for rule in range(_RULES) for host in range(hosts)]
    chance.shuffle(groups)
    fill = [_line(number, host, f"code-{rule}", chance) for number, (rule, host) in enumerate(groups)]
    lines = []
    for number in range(_EVENTS):
        rule, host = chance.choice(groups)
        code = f"code-{rule}" if number % _ONE_IN == 0 else "other"
        lines.append(_line(number, host, code, chance))
    tell(f"{_GROUPS:,} groups, {_EVENTS:,} events, one in {_ONE_IN} of them in correlations")
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    _feed(full, fill, 0)
    memory = process.memory_info().rss - before
    _feed(plain, fill[:_SLICE], 0)
    spent: list[float] = []
    base: list[float] = []
    for start in range(0, _EVENTS, _SLICE):
        part = lines[start : start + _SLICE]
        first = _feed(plain, part, _GROUPS + start)
        second = _feed(full, part, _GROUPS + start)
        base.append(first / _SLICE * 1e6)
        spent.append((second - first) / _SLICE * 1e6)
    over = statistics.median(spent)
    share = 100 // _ONE_IN
    yield Figure(
        round(over, 2),
        f"µs an event over base cost ({share} % of events enter correlations)",
        f"at most {_GOAL_MICROSECONDS:g}",
        over <= _GOAL_MICROSECONDS,
    )
    yield Figure(round(over * _ONE_IN, 2), "µs an event that enters correlations", "none", None)
    yield Figure(
        round(statistics.median(base), 2), "µs an event at base cost (decoding included)", "none", None
    )
    yield Figure(round(memory / 2**20), "MiB of state", "at most 250", memory <= 250 << 20)
    yield Figure(full.evicted, "entries evicted", "0", full.evicted == 0)
    began = time.process_time()
    kept = full.snapshot()
    seconds = time.process_time() - began
    yield Figure(round(seconds, 2), "s for a snapshot", "at most 1", seconds <= 1)
    yield Figure(round(len(kept) / 2**20), "MiB the snapshot", "none", None)


def _feed(engine: Engine, lines: list[bytes], first: int) -> float:
    """CPU seconds for these events, decoding included; a hundredth of a second of event time lies between them."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    began = time.process_time()
    for number, line in enumerate(lines, first):
        engine.process(Event(str(number), 1.7e9 + number / 100, "", "bench", "", decoder.decode(line)))
    return time.process_time() - began

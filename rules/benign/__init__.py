"""Ordinary days on which the rules should be quiet: events of a province's offices where nothing bad happened.

``*.jsonl``: one event a line (``time``, ``logsource``, ``fields``). ``known.yml``: the rules that may fire all the
same, each with how often, since when, until when and why.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from rules.engine import Engine, Event, RuleError
from rules.evidence import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

FOLDER: Final = Path(__file__).parent
_KNOWN: Final = "known.yml"


@dataclass(frozen=True, slots=True)
class Known:
    """``times``: how often it fires on the whole corpus. ``until``: the last day on which nobody need look again."""

    rule: str
    times: int
    since: date
    until: date
    why: str


def events(folder: Path = FOLDER) -> Iterator[Event]:
    """Every event of the corpus, in order. Raise :class:`RuleError` where a line is no such event."""
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            try:
                record = json.loads(line)
                source = record["logsource"]
                yield Event(
                    f"{path.name}:{number}",
                    record["time"],
                    source.get("product", ""),
                    source.get("category", ""),
                    source.get("service", ""),
                    {**CONTEXT, **record["fields"]},
                )
            except (ValueError, TypeError, KeyError, AttributeError) as problem:
                raise RuleError(
                    f"line {number + 1} is no event of a corpus: {problem!r}", str(path)
                ) from problem


def known(folder: Path = FOLDER) -> list[Known]:
    """Raise :class:`RuleError` where the list is of another form."""
    path = folder / _KNOWN
    if not path.exists():
        return []
    try:
        return [
            Known(str(each["rule"]), int(each["times"]), each["since"], each["until"], str(each["why"]))
            for each in yaml.safe_load(path.read_text(encoding="utf-8")) or []
        ]
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as problem:
        raise RuleError(
            f"not a list of rule, times, since, until and why: {problem!r}", str(path)
        ) from problem


def faults(rules: Iterable[Path], today: date, folder: Path = FOLDER) -> Iterator[tuple[str, str]]:
    """Rule id and sentence for each rule that fires other than is known, and for each entry that has expired."""
    engine = Engine(list(rules))
    fired: Counter[str] = Counter()
    count = 0
    for event in events(folder):
        count += 1
        fired.update(finding.rule_id for finding in engine.process(event))
    expected = {each.rule: each for each in known(folder)}
    for rule in sorted(fired.keys() | expected.keys()):
        entry = expected.get(rule)
        if entry is None:
            yield rule, f"fires {fired[rule]} times on {count:,} ordinary events"
        elif entry.times != fired[rule]:
            yield (
                rule,
                f"fires {fired[rule]} times on the ordinary events; {_KNOWN} says {entry.times} ({entry.why})",
            )
        elif entry.until < today:
            yield rule, f"its entry in {_KNOWN} expired on {entry.until}: look again ({entry.why})"

"""Evidence beside a rule: events that must fire it and near misses that must not.

``<rule>.evidence.yml`` holds two lists, ``fires`` and ``near_misses``, of cases: ``why`` (a sentence) and ``events``.
An event is a mapping of fields; keys that begin with ``_`` say how it comes:

- ``_logsource``: product, category, service; by default the rule's own;
- ``_at``: seconds after the case's start, by default where the one before ended;
- ``_repeat``, ``_every``: so many times, so many seconds apart (by default once, one second);
- ``_each``: ``{field: [values]}``, one event a value.

Every event carries a machine and an agency as the worker gives them (:data:`CONTEXT`), unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from rules.engine import Engine, Event, RuleError
from rules.engine.loading import EVIDENCE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rules.catalogue import RuleInfo

#: What every event says of its endpoint, as the detection worker does.
CONTEXT: Final[Mapping[str, Any]] = {
    "host.id": "7f0c3a52-5b52-4b8a-9a65-0d3f6f0d9a10",
    "host.name": "may-tram-07",
    "host.role": "workstation",
    "agency.id": 1,
    "agency.code": "so-noi-vu",
    "agency.name": "Sở Nội vụ",
    "simulated": False,
}
#: The start of a case; any time would do.
_START: Final = 1_760_000_000.0
_MAX_EVENTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Case:
    """``fires``: whether the rule must fire on at least one of ``events``, or on none of them."""

    fires: bool
    why: str
    events: tuple[Event, ...]


def evidence_path(rule: Path) -> Path:
    return rule.with_name(rule.stem + EVIDENCE_SUFFIX)


def load_evidence(info: RuleInfo, path: Path) -> list[Case]:
    """The cases of ``path``. Raise :class:`RuleError` where it is missing or not of the form above."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise RuleError(f"evidence cannot be read: {problem}", str(path)) from problem
    if not isinstance(data, dict) or not data.keys() <= {"fires", "near_misses"}:
        raise RuleError("evidence holds the lists fires and near_misses and nothing else", str(path))
    cases: list[Case] = []
    for kind in ("fires", "near_misses"):
        for case in data.get(kind) or []:
            if not isinstance(case, dict) or case.keys() != {"why", "events"} or not case["events"]:
                raise RuleError(f"each case of {kind} has why and events", str(path))
            events = tuple(_events(case["events"], info, str(path)))
            cases.append(Case(kind == "fires", str(case["why"]), events))
    return cases


def _events(entries: Iterable[Any], info: RuleInfo, path: str) -> Iterator[Event]:
    at = 0.0
    number = 0
    for entry in entries:
        if not isinstance(entry, dict):
            raise RuleError("an event is a mapping of fields", path)
        how = {key: value for key, value in entry.items() if key.startswith("_")}
        unknown = how.keys() - {"_logsource", "_at", "_repeat", "_every", "_each"}
        if unknown:
            raise RuleError(f"unknown key {min(unknown)}", path)
        source = how.get("_logsource") or dict(info.logsource)
        at = float(how.get("_at", at))
        variants = [{key: value} for key, values in how.get("_each", {}).items() for value in values] or [{}]
        for variant in variants * int(how.get("_repeat", 1)):
            number += 1
            if number > _MAX_EVENTS:
                raise RuleError(f"more than {_MAX_EVENTS} events in one case", path)
            fields = {**CONTEXT, **{k: v for k, v in entry.items() if not k.startswith("_")}, **variant}
            fields["event.id"] = str(number)
            yield Event(
                str(number),
                _START + at,
                source.get("product", ""),
                source.get("category", ""),
                source.get("service", ""),
                fields,
            )
            at += float(how.get("_every", 1))


def needed_files(info: RuleInfo, rules: Mapping[str, RuleInfo]) -> list[Path]:
    """The rule's file and those of the rules that it refers to, through correlations over correlations."""
    by_name = {each.name: each for each in rules.values() if each.name}
    found: dict[str, None] = {}
    waiting = [info]
    while waiting:
        here = waiting.pop()
        if here.path in found:
            continue
        found[here.path] = None
        for key in here.references:
            needed = rules.get(key) or by_name.get(key)
            if needed is not None:
                waiting.append(needed)
    return [Path(path) for path in found]


def failures(info: RuleInfo, cases: Iterable[Case], folders: Iterable[Path]) -> Iterator[str]:
    """Run the cases with all rules of ``folders`` (or files); one sentence for each that fails. Each case of a
    correlation begins with nothing remembered."""
    folders = list(folders)
    engine: Engine | None = None
    for case in cases:
        if engine is None or info.references:
            engine = Engine(folders, report_all=True)
        found = [finding for event in case.events for finding in engine.process(event)]
        fired = any(finding.rule_id == info.id for finding in found)
        if fired != case.fires:
            yield f"{'does not fire' if case.fires else 'fires'}: {case.why}"


def is_proven(info: RuleInfo, rules: Mapping[str, RuleInfo]) -> bool:
    """Whether the rule has evidence beside it that fires it, and all of it holds."""
    try:
        cases = load_evidence(info, evidence_path(Path(info.path)))
    except RuleError:
        return False
    return any(case.fires for case in cases) and not any(failures(info, cases, needed_files(info, rules)))

"""SigmaHQ's regression cases: ``info.yml`` beside a file of events that its rule must match."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import yaml

from rules.engine import RuleError
from rules.engine.scan import Match, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rules.catalogue import RuleInfo


@dataclass(frozen=True, slots=True)
class RegressionCase:
    """``least``: how many of the file's events the rule matches at least."""

    rule: str
    name: str
    events: Path
    least: int


def regression_cases(folder: Path) -> Iterator[RegressionCase]:
    """The cases under ``folder``, sorted. Raise :class:`RuleError` where an ``info.yml`` is of another form."""
    for info in sorted(folder.rglob("info.yml")):
        try:
            data = yaml.safe_load(info.read_text(encoding="utf-8"))
            rule = str(data["rule_metadata"][0]["id"])
            for test in data["regression_tests_info"]:
                # The path is that of the source repository; the file lies beside the case under the same name.
                events = info.parent / PurePosixPath(str(test["path"])).name
                yield RegressionCase(rule, str(test.get("name", "")), events, int(test.get("match_count", 1)))
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            yaml.YAMLError,
        ) as problem:
            raise RuleError(f"no regression case of SigmaHQ's form: {problem!r}", str(info)) from problem


def regression_faults(
    cases: Sequence[RegressionCase],
    rules: Mapping[str, RuleInfo],
    progress: Callable[[Path, int], None] = lambda _path, _events: None,
) -> list[str]:
    """Why each case fails, in order; empty where it holds. ``progress`` is told the file and its events read so far."""
    names = Counter(case.events.name for case in cases)
    # Most cases are about one event's rule and a file of its own name: those run together, compiled once.
    together = [
        case
        for case in cases
        if case.rule in rules
        and not rules[case.rule].references
        and names[case.events.name] == 1
        and case.events.is_file()
    ]
    matched: Counter[tuple[str, str]] = Counter()
    if together:
        paths = dict.fromkeys(Path(rules[case.rule].path) for case in together)
        try:
            scan(
                list(paths),
                [case.events for case in together],
                lambda match: matched.update([(match.file, match.rule)]),
                progress,
            )
        except RuleError:
            together = []  # a file cannot be read: each by itself says which
    done = {id(case) for case in together}
    return [
        _told(case, matched[case.events.name, case.rule]) if id(case) in done else _alone(case, rules)
        for case in cases
    ]


def _alone(case: RegressionCase, rules: Mapping[str, RuleInfo]) -> str:
    rule = rules.get(case.rule)
    if rule is None:
        return "its rule is not among the rules"
    if not case.events.is_file():
        return f"{case.events.name} is missing"
    found: list[Match] = []
    try:
        scan([Path(rule.path)], [case.events], found.append)
    except RuleError as problem:
        return problem.reason
    return _told(case, sum(match.rule == case.rule for match in found))


def _told(case: RegressionCase, matched: int) -> str:
    return "" if matched >= case.least else f"matches {matched} events; {case.least} expected at least"

"""SigmaHQ's regression cases: ``info.yml`` beside a file of events that its rule must match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import yaml

from rules.engine import RuleError
from rules.engine.scan import Match, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def regression_fault(case: RegressionCase, rules: Mapping[str, RuleInfo]) -> str:
    """Why the case fails; empty where it holds."""
    rule = rules.get(case.rule)
    if rule is None:
        return "its rule is not among the rules"
    if not case.events.is_file():
        return f"{case.events.name} is missing"
    found: list[Match] = []
    stats = scan([Path(rule.path)], [case.events], found.append)
    matched = sum(match.rule == case.rule for match in found)
    if matched < case.least:
        return f"matches {matched} of {stats.events} events; {case.least} expected at least"
    return ""

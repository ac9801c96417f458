"""What ``vonggac sigma check`` says beyond "does it load": pySigma's validators (:mod:`rules.validators`), what is
nearly always a mistake in any rule, and for our own rules the house rules (:mod:`rules.house_rules`).

Everything found is data; nothing here raises for what a rule holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError

from rules.attack import attack, techniques_of
from rules.engine import Engine
from rules.engine import modifiers as _modifiers  # noqa: F401 - registers what pySigma's table lacks
from rules.engine.loading import rule_files
from rules.positions import Positions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEEPS_ONLY: Final = (
    "the filter keeps only what it describes, which is nearly always a mistake: to suppress it write "
    "'condition: not selection'"
)


@dataclass(frozen=True, slots=True)
class Issue:
    """``severity`` is ``error`` or ``warning``. ``rule`` is an id, or empty where the file has none. ``line`` counts
    from 1; 0: not known. ``check``: which check found it."""

    severity: str
    path: str
    rule: str
    message: str
    line: int = 0
    check: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.severity}: {self.message}"


@dataclass(slots=True)
class Checked:
    """One document of a rule file. ``sigma`` is None where pySigma does not take it (told by the engine)."""

    key: str
    path: str
    number: int
    document: dict[str, Any]
    positions: Positions
    sigma: Any = None


def lint(
    folders: Iterable[Path],
    *,
    own: bool,
    config: Path | None = None,
    progress: Callable[[str], None] = lambda _step: None,
) -> list[Issue]:
    """Check all rules under ``folders``. ``own``: also by the house rules that ours keep and SigmaHQ's need not.
    ``config``: another choice of validators than ``checks.yml``; raise :class:`RuleError` where that is of no use.
    ``progress`` is told what is being done."""
    from rules.house_rules import own_issues
    from rules.validators import validator_issues

    folders = list(folders)
    texts = _texts(folders)
    progress(f"{len(texts):,} files: does the engine take them")
    issues = list(_refused(folders, texts))
    broken = {(issue.path, issue.rule) for issue in issues}
    progress(f"{len(texts):,} files: reading them with pySigma")
    checked = [each for path, positions in texts.items() for each in _documents(path, positions)]
    for each in checked:
        if (each.path, each.key) not in broken:
            each.sigma = _parsed(each.document)
    progress(f"{len(checked):,} rules: validators")
    issues.extend(validator_issues(checked, config))
    for each in checked:
        issues.extend(_general(each))
    if own:
        issues.extend(own_issues(folders, checked))
    return sorted(set(issues), key=lambda issue: (issue.path, issue.line, issue.severity, issue.message))


def _texts(folders: list[Path]) -> dict[str, Positions]:
    texts: dict[str, Positions] = {}
    for path in dict.fromkeys(path for folder in folders for path in rule_files(folder)):
        try:
            texts[str(path)] = Positions(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # the engine says why
    return texts


def _refused(folders: list[Path], texts: dict[str, Positions]) -> Iterator[Issue]:
    for each in Engine(folders).unsupported:
        issue = Issue("error", each.path, each.id, each.reason, getattr(each, "line", None) or 0, "engine")
        positions = texts.get(each.path)
        if not issue.line and positions is not None:
            line = positions.line_of_problem(each.reason, positions.document_of(each.id))
            issue = replace(issue, line=line)
        yield issue


def _documents(path: str, positions: Positions) -> Iterator[Checked]:
    try:
        documents = [each for each in yaml.load_all(positions.text, Loader=_LOADER) if each is not None]
    except (yaml.YAMLError, ValueError, RecursionError):
        return  # the engine says why
    if any(isinstance(each, dict) and "action" in each for each in documents):
        return  # documents that only make sense together (Sigma's old collections) are for the engine alone
    for number, document in enumerate(documents):
        if isinstance(document, dict):
            key = str(document.get("id") or document.get("name") or Path(path).name)
            yield Checked(key, path, number, document, positions)


def _parsed(document: dict[str, Any]) -> Any:
    try:
        found = SigmaCollection.from_dicts([document], collect_filters=True, resolve_references=False)
    except (SigmaError, TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError):
        return None  # the engine says why
    every = [*found.rules, *found.filters]
    return every[0] if every else None


def _general(checked: Checked) -> Iterator[Issue]:
    """What is nearly always a mistake, whoever wrote the rule."""
    filter_ = checked.document.get("filter")
    if isinstance(filter_, dict):
        condition = filter_.get("condition")
        words = " ".join(condition) if isinstance(condition, list) else str(condition)
        if "not" not in words.replace("(", " ").split():
            line = checked.positions.line(("filter", "condition"), checked.number)
            yield Issue("warning", checked.path, checked.key, _KEEPS_ONLY, line, "filter_keeps_only")
    tags = checked.document.get("tags")
    texts = [str(each) for each in tags] if isinstance(tags, list) else []
    for number, tag in enumerate(texts):
        for technique in techniques_of([tag]) - attack().techniques.keys():
            message = f"ATT&CK {attack().version} has no technique {technique}"
            line = checked.positions.line(("tags", number), checked.number)
            yield Issue("warning", checked.path, checked.key, message, line, "attack_technique")

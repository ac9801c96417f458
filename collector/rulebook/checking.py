"""Looks at a rule's text before it is stored: is it one rule, does it compile, is it sound, does its evidence hold."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import yaml

from collector.rulebook.files import head_of
from collector.rulebook.models import Checked, TextFault
from rules.catalogue import LEVELS, YAML_LOADER
from rules.engine import Engine, RuleError
from rules.evidence import evidence_path, failures, load_evidence
from rules.lint import lint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.orm import Session

    from collector.rulebook.models import Book
    from collector.rulebook.sources import Rulebook
    from rules.catalogue import RuleInfo

_MAX_FAULTS: Final = 20
_MAX_RELATED: Final = 200
#: What the evidence of one rule may ask the engine to look at, all cases together.
_MAX_EVENTS: Final = 20_000


def check(
    session: Session, rulebook: Rulebook, book: Book, text: str, evidence: str = "", *, rule_id: str = ""
) -> Checked:
    """Everything that is wrong with ``text``, and with ``evidence`` where it is given. Nothing is stored.

    ``rule_id``: the rule that it is to replace; another id is then a fault. Rules of the book that a correlation
    refers to stand by.
    """
    document, faults = _document(text)
    if document is None:
        return Checked(None, tuple(faults))
    head = head_of(document, "")
    if head is None:
        return Checked(None, (TextFault("the rule has no id: `vonggac sigma new` begins one that has", 1),))
    faults = list(_form(text, head.info, rule_id))
    if any(fault.severity == "error" for fault in faults):
        return Checked(head.info, tuple(faults))
    with tempfile.TemporaryDirectory(prefix="vonggac-rule-") as folder:
        place = Path(folder)
        path = place / "rule.yml"
        path.write_text(text, encoding="utf-8")
        related = _related(session, rulebook, book, head.info)
        for number, other in enumerate(related.values()):
            (place / f"related{number}.yml").write_text(other, encoding="utf-8")
        faults += _engine_faults(place, path, text, head.info, filters=head.kind == "filter")
        cases = 0
        if not any(fault.severity == "error" for fault in faults):
            faults += _lint_faults(place, path, text)
            if evidence.strip():
                found, cases = _evidence_faults(head.info, path, place, evidence)
                faults += found
    return Checked(head.info, tuple(dict.fromkeys(faults))[:_MAX_FAULTS], cases)


def _document(text: str) -> tuple[dict[str, object] | None, list[TextFault]]:
    if not text.strip():
        return None, [TextFault("the text is empty", 1)]
    try:
        documents = [each for each in yaml.load_all(text, Loader=YAML_LOADER) if each is not None]
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        words = getattr(problem, "problem", None) or str(problem)
        return None, [TextFault(f"not YAML: {_one_line(words)}", 0 if mark is None else mark.line + 1)]
    except (ValueError, RecursionError) as problem:
        return None, [TextFault(f"not YAML: {_one_line(problem)}", 1)]
    if len(documents) != 1:
        second = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith("---")]
        return None, [TextFault("one rule a text: add the others by themselves", second[-1] if second else 1)]
    if not isinstance(documents[0], dict):
        return None, [TextFault("a rule is a YAML mapping", 1)]
    return documents[0], []


def _form(text: str, info: RuleInfo, rule_id: str) -> Iterator[TextFault]:
    try:
        canonical = str(UUID(info.id)) == info.id
    except ValueError:
        canonical = False
    if not canonical:
        yield TextFault("the id is no UUID in lower case", line_of_key(text, "id"))
    elif rule_id and info.id != rule_id:
        yield TextFault(f"the id is not that of the rule ({rule_id})", line_of_key(text, "id"))
    if not info.title["en"]:
        yield TextFault("the title is missing", 1)
    if info.level not in LEVELS:
        yield TextFault(f"the level is one of {', '.join(LEVELS)}", line_of_key(text, "level"))


def _related(session: Session, rulebook: Rulebook, book: Book, info: RuleInfo) -> dict[str, str]:
    """The texts of the rules that a correlation needs, through correlations over correlations."""
    found: dict[str, str] = {}
    waiting = list(info.references)
    while waiting and len(found) < _MAX_RELATED:
        entry = book.named(waiting.pop())
        if entry is None or entry.id in found or entry.id == info.id:
            continue
        found[entry.id] = rulebook.text(session, entry)
        waiting += entry.info.references
    return found


def _engine_faults(
    place: Path, path: Path, text: str, info: RuleInfo, *, filters: bool
) -> Iterator[TextFault]:
    """``filters``: a filter fits rules that are not here; that it fits none cannot be said."""
    for refusal in Engine([place]).unsupported:
        if refusal.path == str(path) or (not refusal.path and refusal.id == info.id):
            if filters and "fits no loaded rule" in refusal.reason:
                continue
            line = refusal.line or _guess_line(text, refusal.reason)
            yield TextFault(refusal.reason, line)


def _lint_faults(place: Path, path: Path, text: str) -> Iterator[TextFault]:
    for issue in lint([place], own=False):
        if issue.path == str(path):
            line = issue.line or _guess_line(text, issue.message)
            yield TextFault(issue.message, line, issue.severity)


def _evidence_faults(info: RuleInfo, path: Path, place: Path, evidence: str) -> tuple[list[TextFault], int]:
    if (asked := _events_of(evidence)) > _MAX_EVENTS:
        message = f"evidence makes {asked:,} events; at most {_MAX_EVENTS:,}"
        return [TextFault(message, 1, part="evidence")], 0
    beside = evidence_path(path)
    beside.write_text(evidence, encoding="utf-8")
    try:
        cases = load_evidence(info, beside)
    except RuleError as problem:
        line = problem.line or _line_in(problem.reason)
        return [TextFault(problem.reason, line, part="evidence")], 0
    except (TypeError, ValueError, AttributeError) as problem:
        return [TextFault(f"evidence cannot be read: {_one_line(problem)}", 1, part="evidence")], 0
    faults = [
        TextFault(message, line_of_text(evidence, message.partition(": ")[2]), part="evidence")
        for message in failures(info, cases, [place])
    ]
    if not any(case.fires for case in cases):
        faults.append(TextFault("evidence has no case that fires", 1, "warning", "evidence"))
    if all(case.fires for case in cases):
        faults.append(TextFault("evidence has no near miss", 1, "warning", "evidence"))
    return faults, len(cases)


def _events_of(evidence: str) -> int:
    """How many events the evidence would make; 0 where it is not of its form, which is told elsewhere."""
    try:
        data = next(iter(yaml.load_all(evidence, Loader=YAML_LOADER)))
        cases = [case for kind in ("fires", "near_misses") for case in data.get(kind) or ()]
        return sum(_copies(event) for case in cases for event in case["events"])
    except (
        yaml.YAMLError,
        AttributeError,
        LookupError,
        StopIteration,
        TypeError,
        ValueError,
        RecursionError,
    ):
        return 0


def _copies(event: Mapping[str, Any]) -> int:
    each = sum(len(values) for values in (event.get("_each") or {}).values()) or 1
    return int(event.get("_repeat", 1)) * each


def line_of_key(text: str, key: str) -> int:
    """The line of a key at the top of the rule; 1 where it is not there."""
    return next((n for n, line in enumerate(text.splitlines(), 1) if re.match(rf"{key}\s*:", line)), 1)


def line_of_text(text: str, words: str) -> int:
    """The first line that holds the beginning of ``words``; 0 where none does."""
    start = words.strip()[:40]
    return next((n for n, line in enumerate(text.splitlines(), 1) if start and start in line), 0)


def _guess_line(text: str, reason: str) -> int:
    from rules.positions import line_of_problem

    return line_of_problem(text, reason)


def _line_in(reason: str) -> int:
    found = re.search(r"line (\d+)", reason)
    return int(found[1]) if found else 0


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split())[:300]

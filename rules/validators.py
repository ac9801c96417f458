"""pySigma's validators, as ``checks.yml`` chooses them, and the line of what they find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from sigma.rule import SigmaRule
from sigma.validation import SigmaValidator
from sigma.validators.core import validators as known_validators

from rules.engine.errors import RuleError
from rules.lint import Issue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules.lint import Checked

CHECKS: Final = Path(__file__).with_name("checks.yml")
SEVERITIES: Final = ("error", "warning")
#: What a validator looks at where its finding does not say it closer, by pySigma's module that it is of.
_PLACES: Final = {"condition": ("detection", "condition"), "tags": ("tags",), "logsources": ("logsource",)}
_METADATA: Final = {"title": ("title",), "identifier": ("id",), "reference": ("references",)}


def chosen_validators(config: Path | None = None) -> dict[str, str]:
    """Validators by name, with the severity of what they find. Raise :class:`RuleError` where ``config`` is wrong."""
    path = config or CHECKS
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        chosen = {str(name): str(severity) for name, severity in data["validators"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as problem:
        raise RuleError(f"not a list of validators and severities: {problem!r}", str(path)) from problem
    for name, severity in chosen.items():
        if name not in known_validators:
            raise RuleError(f"pySigma has no validator {name}", str(path))
        if severity not in SEVERITIES:
            raise RuleError(f"the severity of {name} is one of {', '.join(SEVERITIES)}", str(path))
    return chosen


def validator_issues(every: Sequence[Checked], config: Path | None = None) -> Iterator[Issue]:
    """What the validators find in those of ``every`` that pySigma takes."""
    by_object = {id(each.sigma): each for each in every if each.sigma is not None}
    for name, severity in chosen_validators(config).items():
        validator = SigmaValidator([known_validators[name]])
        found: list[Any] = []
        for each in by_object.values():
            if isinstance(each.sigma, SigmaRule):
                found.extend(validator.validate_rule(each.sigma))
        found.extend(validator.finalize())
        for issue in found:
            for rule in issue.rules:
                checked = by_object.get(id(rule))
                if checked is not None:
                    yield Issue(
                        severity, checked.path, checked.key, _message(issue), _line(issue, checked), name
                    )


def _message(issue: Any) -> str:
    detail = ", ".join(
        f"{name} {getattr(issue, name)}" for name in _fields(issue) if name != "detection_item"
    )
    item = getattr(issue, "detection_item", None)
    if item is not None:
        detail = f"field {item.field}" if item.field else "keywords"
    return " ".join(f"{issue.description}{f' ({detail})' if detail else ''}".split())[:300]


def _line(issue: Any, checked: Checked) -> int:
    positions, number = checked.positions, checked.number
    item = getattr(issue, "detection_item", None)
    words = []
    if item is not None:
        modifiers = "".join(f"|{_modifier(each)}" for each in item.modifiers)
        values = item.original_value if isinstance(item.original_value, list) else [item.original_value]
        words = [f"{item.field}{modifiers}", *map(_text, values), str(item.field)]
    for name in _fields(issue):
        if name != "detection_item":
            words.append(_text(getattr(issue, name)))
    words += [word.strip("*") for word in words if word.startswith("*") or word.endswith("*")]  # of |contains
    line = positions.line_of_word(filter(None, words), number)
    if line:
        return line
    place = next((_METADATA[name] for name in _fields(issue) if name in _METADATA), ("detection",))
    return positions.line(_PLACES.get(type(issue).__module__.rpartition(".")[2], place), number)


def _text(value: object) -> str:
    """As it is written in the rule, where pySigma keeps that."""
    return str(getattr(value, "original", None) or value)


def _modifier(kind: Any) -> str:
    from sigma.modifiers import reverse_modifier_mapping

    return str(reverse_modifier_mapping.get(kind.__name__, ""))


def _fields(issue: Any) -> list[str]:
    return [name for name in issue.__dataclass_fields__ if name not in ("rules", "description", "severity")]

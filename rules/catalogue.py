"""What people read about our own rules, in Vietnamese and English, from the same YAML that the engine runs.

Sigma's own fields are English; the block ``vonggac`` holds the Vietnamese, the triage steps, the plan targets a rule
serves (ids of ``rules/targets``) and the event fields that make up an alert's subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from rules.engine.errors import RuleError
from rules.engine.loading import rule_files

#: Where our own rules lie.
OWN_RULES: Final = Path(__file__).parent / "sigma"
LANGUAGES: Final = ("vi", "en")
LEVELS: Final = ("informational", "low", "medium", "high", "critical")

#: libyaml's reader where it is there: ten times as fast over thousands of rules.
YAML_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Texts = Mapping[str, str]
Lists = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """One rule or correlation. ``title``, ``description``: language to text; ``falsepositives``, ``triage``:
    language to lines. Where a rule has no ``vonggac`` block (SigmaHQ's), Vietnamese falls back to English.

    ``subject``: event fields (or group-by names) that tell one alert of the rule from another.
    ``logsource``: product, category, service as written; of a correlation ``{}``.
    ``clears``: the rule describes a state. A later event of the same log source and subject that the rule is
    offered but does not match says that the state has passed (the alert is marked cleared, a person still closes it).
    ``references``: of a correlation the ids or names of its rules. ``internal``: a building block of correlations
    that is never reported by itself.
    """

    id: str
    name: str
    title: Texts
    description: Texts
    level: str
    status: str
    tags: tuple[str, ...]
    falsepositives: Lists
    triage: Lists
    targets: tuple[str, ...]
    subject: tuple[str, ...]
    path: str
    logsource: Mapping[str, str]
    clears: bool
    author: str
    references: tuple[str, ...]
    internal: bool

    @property
    def techniques(self) -> tuple[str, ...]:
        """ATT&CK technique ids of the tags, as ``T1110`` or ``T1110.001``."""
        return tuple(
            tag.removeprefix("attack.").upper()
            for tag in self.tags
            if tag.startswith(("attack.t1", "attack.t0"))
        )


class Catalogue(Mapping[str, RuleInfo]):
    """Rules by id, in the order of their files."""

    def __init__(self, rules: Iterable[RuleInfo]) -> None:
        self._rules: dict[str, RuleInfo] = {}
        for rule in rules:
            if rule.id in self._rules:
                raise RuleError(f"the id {rule.id} is taken by {self._rules[rule.id].path}", rule.path)
            self._rules[rule.id] = rule

    def __getitem__(self, key: str) -> RuleInfo:
        return self._rules[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)


def load_catalogue(folders: Iterable[Path] = (OWN_RULES,)) -> Catalogue:
    """Read every rule under ``folders``. A document that is no rule is left out (the engine names and refuses it).

    Raise :class:`RuleError` where two rules share an id.
    """
    found: list[RuleInfo] = []
    generated: set[str] = set()
    for folder in folders:
        for path in rule_files(folder):
            try:
                documents = list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=YAML_LOADER))
            except (OSError, ValueError, yaml.YAMLError, RecursionError):
                continue
            for document in documents:
                info = rule_info(document, str(path))
                if info is not None and "filter" not in document:
                    found.append(info)
                    generated.update(info.references if generates(document) else ())
    return Catalogue(with_internal(found, generated))


def with_internal(found: Iterable[RuleInfo], generated: Iterable[str]) -> list[RuleInfo]:
    """The same rules, each knowing whether it only serves correlations; ``generated`` are the references (ids or
    names) of correlations that ask for their rules' own findings too."""
    found = list(found)
    silent = {each for info in found for each in info.references}.difference(generated)
    return [replace(info, internal=info.id in silent or info.name in silent) for info in found]


def generates(document: Mapping[str, Any]) -> bool:
    """Whether a correlation lets its rules be reported by themselves too."""
    return document.get("generate") is True or _mapping(document.get("correlation")).get("generate") is True


def rule_info(document: Any, path: str) -> RuleInfo | None:
    """What is said of a rule, a correlation or a filter in its YAML document; None where that is none with an id."""
    if not isinstance(document, dict) or "id" not in document:
        return None
    own = _mapping(document.get("vonggac"))
    correlation = _mapping(document.get("correlation"))
    triage = _mapping(own.get("triage"))
    title, description = _text(document.get("title")), _text(document.get("description"))
    mistakes = _lines(document.get("falsepositives"))
    rule_id = str(document["id"])
    return RuleInfo(
        id=rule_id,
        name=_text(document.get("name")),
        title={"vi": _text(own.get("title_vi")) or title, "en": title},
        description={"vi": _text(own.get("description_vi")) or description, "en": description},
        level=_text(document.get("level")) or "medium",
        status=_text(document.get("status")) or "test",
        tags=_lines(document.get("tags")),
        falsepositives={"vi": _lines(own.get("falsepositives_vi")) or mistakes, "en": mistakes},
        triage={language: _lines(triage.get(language)) for language in LANGUAGES},
        targets=_lines(own.get("targets")),
        subject=_lines(own.get("subject")) or ("host.id",),
        path=path,
        logsource={k: str(v) for k, v in _mapping(document.get("logsource")).items()},
        clears=own.get("clears") is True,
        author=_text(document.get("author")),
        references=_lines(correlation.get("rules")),
        internal=False,
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return " ".join(str(value).split()) if value is not None else ""


def _lines(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_text(value),)
    return tuple(_text(each) for each in value) if isinstance(value, list) else ()

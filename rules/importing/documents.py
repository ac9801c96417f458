"""The rules in a release's files, read as data: ids, choices, and a digest of what they do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import yaml

from rules.importing.manifest import Related
from rules.importing.sources import Source
from rules.positions import line_of_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LOGIC: Final = ("logsource", "detection", "correlation", "filter")
#: YAML's aliases can make a small text stand for a huge value; no rule has so many parts.
_MAX_PARTS: Final = 50_000
_MAX_DEPTH: Final = 50


class UnusableError(Exception):
    """A file or document that is no rule we can take: the reason, and its line."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """One rule, correlation or filter. ``references``: of a correlation the ids or names of its rules."""

    id: str
    name: str
    file: str
    title: str
    level: str
    status: str
    kind: str
    logsource: Source
    logic: str
    references: tuple[str, ...]
    related: tuple[Related, ...]


def documents_of(file: str, text: str) -> Iterator[Document]:
    """The rules of one file; none where it is YAML of another kind.

    Raises:
        UnusableError: not YAML, or a rule that cannot be known by an id.
    """
    try:
        documents = list(yaml.load_all(text, Loader=_LOADER))
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise UnusableError(f"not YAML: {_line(problem)}", line_of_problem(text, problem)) from problem
    for document in documents:
        if isinstance(document, dict) and any(
            name in document for name in ("detection", "correlation", "filter")
        ):
            yield _document(file, document)


def _document(file: str, document: dict[Any, Any]) -> Document:
    key = str(document.get("id", ""))
    try:
        known = str(UUID(key))
    except ValueError:
        raise UnusableError(f"the rule {_line(document.get('title'))[:80]!r} has no UUID as its id") from None
    kind = next(name for name in ("correlation", "filter", "detection") if name in document)
    correlation = document.get("correlation")
    references = correlation.get("rules") if isinstance(correlation, dict) else ()
    logsource = document.get("logsource")
    return Document(
        id=known,
        name=_line(document.get("name")),
        file=file,
        title=_line(document.get("title"))[:300],
        level=_line(document.get("level")).lower(),
        status=_line(document.get("status")).lower(),
        kind=kind,
        logsource=Source.of(logsource) if isinstance(logsource, dict) else Source(),
        logic=_digest({name: document.get(name) for name in _LOGIC}),
        references=tuple(map(str, references)) if isinstance(references, list) else (),
        related=tuple(_related(document.get("related"))),
    )


def _related(value: Any) -> Iterator[Related]:
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            yield Related(_line(each.get("id")).lower(), _line(each.get("type")).lower())


def _digest(value: Any) -> str:
    budget = [_MAX_PARTS]
    plain = json.dumps(_plain(value, budget, 0), ensure_ascii=False)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any, budget: list[int], depth: int) -> Any:
    """``value`` with every key as text and in order, so that only a change of meaning changes the digest."""
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_DEPTH:
        raise UnusableError("unfolds to more parts than any rule has")
    if isinstance(value, dict):
        entries = sorted(((str(key), each) for key, each in value.items()), key=lambda entry: entry[0])
        return {key: _plain(each, budget, depth + 1) for key, each in entries}
    if isinstance(value, (list, tuple, set)):
        return [_plain(each, budget, depth + 1) for each in value]
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _line(value: object) -> str:
    return " ".join(str(value).split()) if value is not None else ""

"""The plans' targets as data: one YAML file a document, one entry for each statement that can be checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from datetime import date

FOLDER: Final = Path(__file__).parent
KINDS: Final = ("target", "status", "task")
#: Measured automatically, partly, or by a register kept by hand.
MODES: Final = {"A": "automatic", "P": "partly", "M": "manual"}
LEVELS: Final = ("tinh", "huyen", "xa", "truc_thuoc", "khac")
_FIELDS: Final = {
    "id", "kind", "topic", "quote", "value", "levels", "scope", "due", "current", "mode", "measure",
}  # fmt: skip


class TargetError(Exception):
    """The shipped data is not of its form: the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Document:
    """A plan or report. ``key`` begins the ids of its targets; ``period``: the years it is about."""

    key: str
    title: str
    province: str
    date: date
    period: str


@dataclass(frozen=True, slots=True)
class Target:
    """One statement. ``quote``, ``topic``, ``value``, ``scope``, ``due``, ``current`` are Vietnamese, as the document
    says them; empty where it says nothing. ``kind``: ``target`` (to be reached), ``status`` (said to be so), ``task``
    (to be done). ``levels``: which levels of government. ``mode``: see :data:`MODES`; ``measure``: how, in English.
    """

    id: str
    document: Document
    kind: str
    topic: str
    quote: str
    value: str
    levels: tuple[str, ...]
    scope: str
    due: str
    current: str
    mode: str
    measure: str


@cache
def load_targets(folder: Path = FOLDER) -> tuple[Target, ...]:
    """All targets, by document in the order of their dates, then as listed. Raise :class:`TargetError`."""
    targets: list[Target] = []
    for path in sorted(folder.glob("*.yml")):
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
            document = Document(
                data["document"], data["title"], data["province"], data["date"], data["period"]
            )
            targets.extend(_target(each, document, path.name) for each in data["targets"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as problem:
            raise TargetError(f"{path}: {problem!r}") from problem
    ids = [target.id for target in targets]
    if len(set(ids)) != len(ids):
        raise TargetError(f"{folder}: an id is there twice: {next(x for x in ids if ids.count(x) > 1)}")
    return tuple(sorted(targets, key=lambda target: target.document.date))


def _target(data: dict[str, Any], document: Document, file: str) -> Target:
    if data.keys() != _FIELDS:
        raise TargetError(
            f"{file}: {data.get('id')}: fields {sorted(data.keys() ^ _FIELDS)} are missing or unknown"
        )
    values = {**data, "levels": tuple(data["levels"])}
    faults = [name for name, value in values.items() if name != "levels" and not isinstance(value, str)]
    if not str(data["id"]).startswith(f"{document.key}-"):
        faults.append("id")
    if data["kind"] not in KINDS or data["mode"] not in MODES or not set(data["levels"]) <= set(LEVELS):
        faults.append("kind, mode or levels")
    if faults:
        raise TargetError(f"{file}: {data['id']}: wrong {', '.join(faults)}")
    return Target(document=document, **values)

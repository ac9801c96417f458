"""What an update would change for the rules that run here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rules.importing.manifest import Manifest

#: The relations by which a rule of a release takes another's place.
_SUCCEEDS: Final = ("obsolete", "obsoletes", "renamed", "merged")


@dataclass(frozen=True, slots=True)
class Added:
    id: str
    title: str
    level: str


@dataclass(frozen=True, slots=True)
class Removed:
    """``why``: gone from the release, or not chosen any more. ``successors``: rules that say they take its place."""

    id: str
    title: str
    why: str
    successors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """``what``: of ``title level status logic text``, with before and after where they are words."""

    id: str
    title: str
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    added: tuple[Added, ...]
    removed: tuple[Removed, ...]
    changed: tuple[Changed, ...]
    unchanged: int


def changes_between(before: Manifest | None, after: Manifest) -> Changes:
    """Of the chosen rules. ``text``: only words around the rule changed (description, references, comments)."""
    old, new = before.chosen if before else {}, after.chosen
    added = [Added(key, rule.title, rule.level) for key, rule in new.items() if key not in old]
    removed = []
    for key, rule in old.items():
        if key not in new:
            now = after.rules.get(key)
            why = "gone from the release" if now is None else f"{now.reason}: {now.detail}".strip(": ")
            removed.append(Removed(key, rule.title, why, _successors(key, after)))
    changed = []
    unchanged = 0
    for key in old.keys() & new.keys():
        a, b = old[key], new[key]
        what = [
            f"{name}: {getattr(a, name)} → {getattr(b, name)}"
            for name in ("title", "level", "status")
            if getattr(a, name) != getattr(b, name)
        ]
        if a.logic != b.logic:
            what.append("logic")
        if not what and a.sha256 != b.sha256:
            what.append("text")
        if what:
            changed.append(Changed(key, b.title, tuple(what)))
        else:
            unchanged += 1
    return Changes(
        tuple(sorted(added, key=lambda each: each.title)),
        tuple(sorted(removed, key=lambda each: each.title)),
        tuple(sorted(changed, key=lambda each: each.title)),
        unchanged,
    )


def _successors(key: str, after: Manifest) -> tuple[str, ...]:
    return tuple(
        sorted(
            other
            for other, rule in after.rules.items()
            if other != key and any(each.id == key and each.type in _SUCCEEDS for each in rule.related)
        )
    )

"""What changed between two versions of a document. Pure; bodies are an agent's words and may hold
anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MAX_PATHS = 200
_MAX_PREVIOUS_LIST = 64
_MAX_NAMES = 500
_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """``paths`` lead from the body's root (``gateway.mac``); ``previous`` holds the old scalars, nested
    alike.

    Lists are compared whole; an old list is kept where it holds scalars only and is short.
    """

    paths: list[str] = field(default_factory=list)
    previous: dict[str, Any] = field(default_factory=dict)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """At most the first 200 paths, in the order of their names."""
    found = Difference()
    _compare(old, new, "", found.paths, found.previous)
    return found


def _compare(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str, paths: list[str], previous: dict[str, Any]
) -> None:
    for key in sorted(old.keys() | new.keys()):
        if len(paths) >= _MAX_PATHS:
            return
        before, after = old.get(key, _MISSING), new.get(key, _MISSING)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            inner: dict[str, Any] = {}
            _compare(before, after, f"{prefix}{key}.", paths, inner)
            if inner:
                previous[key] = inner
        elif not same(before, after):
            paths.append(f"{prefix}{key}")
            if before is not _MISSING and _worth_keeping(before):
                previous[key] = before


def same(one: object, other: object) -> bool:
    """Equal as JSON: ``1`` and ``true`` are not, ``1`` and ``1.0`` are."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, Sequence) and not isinstance(one, str) and isinstance(other, Sequence):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def _worth_keeping(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= _MAX_PREVIOUS_LIST and not any(isinstance(each, list | dict) for each in value)
    return not isinstance(value, Mapping)


def packages_difference(old: object, new: object) -> dict[str, Any]:
    """``added``, ``removed`` and ``updated`` packages, with their counts (the lists end after 500).

    A package is known by name, architecture and manager; several versions beside each other (kernels) are one
    package each. Anything that is not a package is passed over.
    """
    before, after = _packages(old), _packages(new)
    added: list[dict[str, str]] = []
    removed: list[dict[str, str]] = []
    updated: list[dict[str, str]] = []
    for key in sorted(before.keys() | after.keys()):
        name, architecture, manager = key
        here = {"name": name, "architecture": architecture, "manager": manager}
        gone, come = (
            sorted(before.get(key, set()) - after.get(key, set())),
            sorted(after.get(key, set()) - before.get(key, set())),
        )
        if len(gone) == 1 and len(come) == 1:
            updated.append({**here, "version": come[0], "previous_version": gone[0]})
        else:
            added.extend({**here, "version": version} for version in come)
            removed.extend({**here, "version": version} for version in gone)
    return {
        "added": added[:_MAX_NAMES],
        "removed": removed[:_MAX_NAMES],
        "updated": updated[:_MAX_NAMES],
        "added_count": len(added),
        "removed_count": len(removed),
        "updated_count": len(updated),
    }


def _packages(body: object) -> dict[tuple[str, str, str], set[str]]:
    found: dict[tuple[str, str, str], set[str]] = {}
    listed = body.get("packages") if isinstance(body, Mapping) else None
    if not isinstance(listed, list):
        return found
    for package in listed:
        if isinstance(package, Mapping) and isinstance(package.get("name"), str):
            name, architecture, manager, version = (
                value if isinstance(value := package.get(key), str) else ""
                for key in ("name", "architecture", "manager", "version")
            )
            found.setdefault((name, architecture, manager), set()).add(version)
    return found

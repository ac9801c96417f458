"""Documents that are tables (accounts, listening ports, services): one event a row that came, went or changed.

Such a document has lists of rows, each row an object with a ``name``. What changed of it is told row by row, so that
rules and alerts can be about an account and not about a list of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from collector.documents.diff import difference, same

#: By kind of document: its lists, and what one row of each is called in events.
TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "accounts": {"users": "user", "groups": "group"},
    "listening": {"ports": "port"},
    "services": {"units": "unit"},
    "network_device": {"interfaces": "interface", "neighbours": "neighbour"},
    "network_addresses": {"entries": "entry"},
}
#: What of the whole stands in the event of a row too, where there are several documents of a kind: whose row it is, and
#: what rules that clear an alert ask for, so that a row of the same document never clears it wrongly.
_WITH_ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "network_device": ("name", "address", "kind", "reachable", "ups"),
    "network_addresses": ("name", "address"),
}
#: More rows of one change are counted in the document's own event, not told.
MAX_ROWS: Final = 100


class RowChange(NamedTuple):
    """One row. ``fields`` are the event's beside its action: the row under the document's kind and the row's word
    (``accounts.user.name``), ``changed`` and ``previous``."""

    action: Literal["added", "removed", "changed"]
    fields: dict[str, Any]


def without_tables(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the document says of the whole."""
    return {key: value for key, value in body.items() if key not in TABLES[kind]}


def is_cut(kind: str, body: Mapping[str, Any]) -> bool:
    """Whether a body says that it lists not all there are: its state, or a ``count`` beyond its first table."""
    count, listed = body.get("count"), body.get(next(iter(TABLES[kind])))
    more = isinstance(count, int) and isinstance(listed, list) and count > len(listed)
    return body.get("state") == "partial" or more


def row_changes(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[RowChange], int]:
    """``(changes, how many more there were)`` between two bodies: additions first, in the order of their names. Of
    rows that a cut body does not list nothing is known: none is removed."""
    found: list[RowChange] = []
    for table, word in TABLES[kind].items():
        before, after = _rows(old.get(table)), _rows(new.get(table))
        come = sorted(after.keys() - before.keys())
        gone = [] if is_cut(kind, new) else sorted(before.keys() - after.keys())
        found += [RowChange("added", {kind: {word: after[name]}, "changed": []}) for name in come]
        found += [RowChange("removed", {kind: {word: before[name]}, "changed": []}) for name in gone]
        stayed = sorted(name for name in before.keys() & after.keys() if not same(before[name], after[name]))
        found += [_changed(kind, word, before[name], after[name]) for name in stayed]
    whole = {key: new[key] for key in _WITH_ROWS.get(kind, ()) if key in new}
    for change in found:
        change.fields[kind] = {**whole, **change.fields[kind]}
    order = ("added", "changed", "removed")
    found.sort(key=lambda change: order.index(change.action))
    return found[:MAX_ROWS], max(0, len(found) - MAX_ROWS)


def differences(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The change as a history keeps it: what is said of the whole, and the rows that came, went or changed."""
    changes, more = row_changes(kind, old, new)
    rows = [
        {"action": change.action, **change.fields[kind], "changed": change.fields["changed"]}
        for change in changes
    ]
    return {**without_tables(kind, new), "rows": rows, "untold_count": more}


def _changed(kind: str, word: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> RowChange:
    change = difference(before, after)
    fields = {
        kind: {word: after},
        "changed": [f"{kind}.{word}.{path}" for path in change.paths],
        "previous": {kind: {word: change.previous}},
    }
    return RowChange("changed", fields)


def _rows(listed: object) -> dict[str, dict[str, Any]]:
    """By name; anything that is no row is passed over, of two of one name the last counts."""
    return {
        row["name"]: dict(row)
        for row in (listed if isinstance(listed, list) else [])
        if isinstance(row, Mapping) and isinstance(row.get("name"), str) and row["name"]
    }

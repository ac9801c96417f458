"""Whom or what an alert is about: from the rule's subject fields and the event, a key and words for
people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules.engine import Finding

# People read names, keys hold ids.
_SPOKEN = {"host.id": "host.name", "agency.id": "agency.name"}
_MAX_PART = 200
#: What an event has that a device logged to a probe (syslog).
_DEVICE = "log.syslog.transport"


def lookup(fields: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, whether ``fields`` is flat (``a.b`` a key) or nested; None where there is
    none.
    """
    if path in fields:
        return fields[path]
    value: Any = fields
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def subject_of(
    names: Sequence[str], fields: Mapping[str, Any], group: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """The key (unambiguous, stable) and the text of a subject.

    A correlation's ``group`` values win over the completing event's. Where none of the fields has a value the
    subject is the host, so that findings about different machines never share an alert.
    """
    values = _values(names, fields, group or {})
    if all(value == "" for _, value in values):
        values = _values(("host.id",), fields, {})
    if (
        any(name == "host.id" for name, _ in values)
        and "observer.ip" not in names
        and lookup(fields, _DEVICE)
    ):
        # The host is only the probe that the device told; the device is whom it is about.
        values += _values(("observer.ip",), fields, {})
    key = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    spoken = [_as_text(lookup(fields, _SPOKEN[name])) if name in _SPOKEN else "" for name, _ in values]
    parts = [text or value for text, (_, value) in zip(spoken, values, strict=True)]
    return key, " · ".join(part for part in parts if part)


def subject_of_finding(names: Sequence[str], finding: Finding) -> tuple[str, str]:
    """As :func:`subject_of`; what is about no host and no agency (an address, an account) is told agency by agency.

    So no officer reads another agency's events in an alert of his own. A finding that itself spans agencies is one
    for those who see them all.
    """
    key, text = subject_of(names, finding.event.fields, finding.group)
    if {"host.id", "agency.id"}.isdisjoint(names) and (agencies := agencies_of(finding)):
        key = f"{key}@{next(iter(agencies)) if len(agencies) == 1 else 'several'}"
    return key, text


def agencies_of(finding: Finding) -> frozenset[object]:
    """Ids of the agencies whose events are behind a finding; None among them for events of no agency."""
    events = finding.events or (finding.event,)
    return frozenset(lookup(event.fields, "agency.id") for event in events)


def hosts_of(finding: Finding) -> frozenset[object]:
    events = finding.events or (finding.event,)
    return frozenset(lookup(event.fields, "host.id") for event in events)


def _values(
    names: Sequence[str], fields: Mapping[str, Any], group: Mapping[str, str]
) -> list[tuple[str, str]]:
    return [(name, _as_text(group[name] if name in group else lookup(fields, name))) for name in names]


def _as_text(value: object) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(_as_text(each) for each in value)[:_MAX_PART]
    return str(value)[:_MAX_PART]

"""Conditions of pipelines on an event's fields, and reading a field by its dotted name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rules.engine.fields import read_field

if TYPE_CHECKING:
    from rules.logsources.strict_yaml import Place

#: What :func:`value_at` gives where the event has no such field.
MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Condition:
    """One field of the event. ``values``: lower-case texts, one of which one of the field's values must equal
    (``negated``: none may); ``None`` where only ``present`` counts: whether the field has a value other than null."""

    field: str
    values: frozenset[str] | None = None
    present: bool = True
    negated: bool = False

    def __str__(self) -> str:
        if self.values is None:
            return f"{self.field} {'present' if self.present else 'absent'}"
        return f"{self.field}{'!=' if self.negated else '='}{'|'.join(sorted(self.values))}"

    def holds(self, fields: Mapping[str, Any]) -> bool:
        """Never raises, whatever JSON ``fields`` hold."""
        value = fields.get(self.field)
        if type(value) is str:  # nearly always
            return self.present if self.values is None else (value.lower() in self.values) is not self.negated
        if value is None and "." not in self.field:  # absent, or null
            return self.negated if self.values is not None else not self.present
        found = read_field(fields, self.field)
        if self.values is None:
            return (found.present and not found.null) is self.present
        return self.values.isdisjoint(found.lows) is self.negated


#: All of them must hold.
Conditions = tuple[Condition, ...]


def hold(conditions: Conditions, fields: Mapping[str, Any]) -> bool:
    for each in conditions:  # noqa: SIM110 - a loop is quicker, and this is asked for every event
        if not each.holds(fields):
            return False
    return True


def read_conditions(place: Place) -> Conditions:
    """``{field: text, or list of texts, or {present: true|false}, or {not: text or list}}``; ``{}`` holds always."""
    return tuple(_condition(name, each) for name, each in place.mapping().items())


def _condition(name: str, place: Place) -> Condition:
    if place.is_mapping():
        found = place.mapping(known=("present", "not"))
        if len(found) != 1:
            place.fail("say 'present' or 'not'")
        if "present" in found:
            return Condition(name, None, found["present"].flag())
        return Condition(name, _lower(found["not"]), negated=True)
    return Condition(name, _lower(place))


def _lower(place: Place) -> frozenset[str]:
    return frozenset(text.lower() for text in place.texts())


def value_at(fields: Mapping[str, Any], name: str) -> object:
    """The value of the key ``name``, or of the nested key that its dots lead to; a list of maps on the way gives a
    list. :data:`MISSING` where there is none. A key that holds null counts as there."""
    found = fields.get(name, MISSING)
    if found is not MISSING or "." not in name:
        return found
    at = name.find(".")
    while at >= 0:
        child = fields.get(name[:at])
        rest = name[at + 1 :]
        if isinstance(child, Mapping):
            found = value_at(child, rest)
            if found is not MISSING:
                return found
        elif isinstance(child, (list, tuple)):
            inner = [value_at(each, rest) for each in child if isinstance(each, Mapping)]
            kept = [each for each in inner if each is not MISSING]
            if kept:
                return kept
        at = name.find(".", at + 1)
    return MISSING

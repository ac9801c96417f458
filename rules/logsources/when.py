"""Conditions of pipelines on an event's fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rules.engine.fields import read_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules.logsources.strict_yaml import Place


@dataclass(frozen=True, slots=True)
class Condition:
    """One field of the event. ``values``: lower-case texts, one of which one of the field's values must equal
    (``negated``: none may); ``None`` where only ``present`` counts: whether the field has a value other than null."""

    field: str
    values: frozenset[str] | None = None
    present: bool = True
    negated: bool = False

    def _is_absent(self, fields: Mapping[str, Any]) -> bool:
        """Whether it is plain that nothing but null is there; asked where there is no such key."""
        head, dot, rest = self.field.partition(".")
        if not dot:
            return True
        if "." in rest:
            return False  # too many ways to lead there
        child = fields.get(head)
        return child is None or (type(child) is dict and child.get(rest) is None)

    def __str__(self) -> str:
        if self.values is None:
            return f"{self.field} {'present' if self.present else 'absent'}"
        return f"{self.field}{'!=' if self.negated else '='}{'|'.join(sorted(self.values))}"

    def holds(self, fields: Mapping[str, Any]) -> bool:
        """Never raises, whatever JSON ``fields`` hold."""
        value = fields.get(self.field)
        if type(value) is str:  # nearly always
            return self.present if self.values is None else (value.lower() in self.values) is not self.negated
        if value is None and self._is_absent(fields):  # or null
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


def needed(conditions: Conditions) -> tuple[tuple[str, str], ...]:
    """Pairs of names: where an event has neither name of one of them as a key, the conditions do not hold. To be looked
    at first, since most events are not what a pipeline is about."""
    found = []
    for each in conditions:
        head, _, rest = each.field.partition(".")
        if "." not in rest and (each.present if each.values is None else not each.negated):
            found.append((each.field, head))
    return tuple(found)


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

"""Compiled rules as plain data, and a rule set: all rules of some files, one of each id, with filters applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import msgspec

from rules.engine.conditions import And, Node
from rules.engine.correlation_plan import CorrelationPlan  # noqa: TC001 - msgspec reads the types of fields
from rules.engine.errors import Refusal
from rules.engine.predicates import witness_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Rule = TypeVar("Rule", "Compiled", "CorrelationPlan", "CompiledFilter")


class LogSource(msgspec.Struct, frozen=True, array_like=True):
    """Sigma's log source; ``""`` where the rule does not name one."""

    product: str = ""
    category: str = ""
    service: str = ""

    def covers(self, other: LogSource) -> bool:
        """Whether each part that this one names is the other's too."""
        return all(mine in ("", its) for mine, its in zip(self._parts(), other._parts(), strict=True))

    def _parts(self) -> tuple[str, str, str]:
        return self.product, self.category, self.service


class Compiled(msgspec.Struct, frozen=True, array_like=True):
    """A rule. ``key``: its id, or its name or file where it has none. ``compares``: its condition compares two fields
    of an event. ``witness``: see :func:`rules.engine.predicates.witness_of`. ``path``: its file, ``""`` for inline
    YAML."""

    key: str
    name: str
    logsource: LogSource
    condition: Node
    compares: bool = False
    witness: tuple[int, ...] | None = None
    path: str = ""


class CompiledFilter(msgspec.Struct, frozen=True, array_like=True):
    """A Sigma filter: ``condition`` joins those of the rules it names. ``rules``: ids and names; ``None``: any."""

    key: str
    rules: tuple[str, ...] | None
    logsource: LogSource
    condition: Node
    compares: bool = False
    path: str = ""

    def fits(self, rule: Compiled) -> bool:
        if not self.logsource.covers(rule.logsource):
            return False
        return self.rules is None or any(
            each in (rule.key, rule.name) or _same_id(each, rule.key) for each in self.rules
        )


class CompiledFile(msgspec.Struct, frozen=True, array_like=True):
    """What one file of rules holds. ``path`` of everything in it is set when it is taken into a set."""

    rules: tuple[Compiled, ...] = ()
    correlations: tuple[CorrelationPlan, ...] = ()
    filters: tuple[CompiledFilter, ...] = ()
    refused: tuple[Refusal, ...] = ()


@dataclass(slots=True)
class RuleSet:
    """Rules by key, in the order in which they came. ``rules`` are as written; :meth:`effective` has filters in."""

    rules: dict[str, Compiled] = field(default_factory=dict)
    correlations: dict[str, CorrelationPlan] = field(default_factory=dict)
    filters: dict[str, CompiledFilter] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)

    def add(self, file: CompiledFile, path: str) -> None:
        """Take in a file's rules; an id that is taken is refused."""
        self.refused.extend(refusal._replace(path=path) for refusal in file.refused)
        self._take(self.rules, file.rules, path)
        self._take(self.correlations, file.correlations, path)
        self._take(self.filters, file.filters, path)

    def get(self, key: str) -> Compiled | CorrelationPlan | CompiledFilter | None:
        return self.rules.get(key) or self.correlations.get(key) or self.filters.get(key)

    def drop(self, key: str) -> None:
        self.rules.pop(key, None)
        self.correlations.pop(key, None)
        self.filters.pop(key, None)

    def replace(self, new: RuleSet, drop: Iterable[str]) -> None:
        """Remove ``drop``, and put the rules of ``new`` where rules of the same id were, or at the end."""
        for key in drop:
            self.drop(key)
        self._put(self.rules, new.rules)
        self._put(self.correlations, new.correlations)
        self._put(self.filters, new.filters)

    def names(self) -> dict[str, str]:
        """Keys by the names of rules and correlations."""
        found = {each.name: each.key for each in self.rules.values() if each.name}
        return found | {each.name: each.key for each in self.correlations.values() if each.name}

    def effective(self) -> dict[str, Compiled]:
        """The rules with the conditions of the filters that fit them."""
        if not self.filters:
            return dict(self.rules)
        return {key: self._filtered(rule) for key, rule in self.rules.items()}

    def idle_filters(self) -> list[Refusal]:
        """The filters that fit no rule."""
        reason = "the filter fits no loaded rule (names and log source)"
        return [
            Refusal(each.key, reason, each.path)
            for each in self.filters.values()
            if not any(map(each.fits, self.rules.values()))
        ]

    def copy(self) -> RuleSet:
        return RuleSet(dict(self.rules), dict(self.correlations), dict(self.filters), list(self.refused))

    def _take(self, mine: dict[str, Rule], found: Iterable[Rule], path: str) -> None:
        for each in found:
            earlier = self.get(each.key)
            if earlier is not None:
                reason = f"the id is taken by {earlier.path or 'an earlier rule'}"
                self.refused.append(Refusal(each.key, reason, path))
            else:
                mine[each.key] = msgspec.structs.replace(each, path=path)

    def _put(self, mine: dict[str, Rule], its: Mapping[str, Rule]) -> None:
        for key, each in its.items():
            if key not in mine:
                self.drop(key)
            mine[key] = each

    def _filtered(self, rule: Compiled) -> Compiled:
        fitting = [each for each in self.filters.values() if each.fits(rule)]
        if not fitting:
            return rule
        compares = rule.compares or any(each.compares for each in fitting)
        condition = And((rule.condition, *(each.condition for each in fitting)))
        return msgspec.structs.replace(
            rule, condition=condition, compares=compares, witness=witness_of(condition)
        )


def _same_id(written: str, key: str) -> bool:
    try:
        return str(UUID(written)) == key
    except ValueError:
        return False

"""From rules to what is asked of the events table.

The table has the columns ``product``, ``category``, ``service`` and ``body`` (the event's fields as JSON, written by
``msgspec``), columns for some fields (text in lower case, ``''`` where absent), and ``odd``: 0 where each of these says
all there is to say of its field, 1 where one of the fields is a list or an object, 2 and more where the body has
letters that the database and Python bring to lower case differently.

Rows that are not odd are counted by SQL: ``sure`` are matches; ``maybe`` and not ``sure`` are shown to the engine. Of
the odd ones those that ``narrow`` leaves are all shown to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rules.engine.conditions import Node, renamed
from rules.history.fields import Fields
from rules.history.sql import FALSE, Parameters, all_of, any_of
from rules.history.translating import Translator
from rules.history.values import Pair, both, either
from rules.history.ways import CATEGORY, PRODUCT, SERVICE, Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rules.engine.ruleset import Compiled

_LABELS: Final = {PRODUCT: "product", CATEGORY: "category", SERVICE: "service"}


@dataclass(frozen=True, slots=True)
class HuntPlan:
    """SQL conditions over the events table and the values they are bound to. ``cheap`` and ``literal`` hold for every
    row that is not odd and for which ``maybe`` does, and ask less of the store.
    """

    sure: str
    maybe: str
    cheap: str
    literal: str
    narrow: str
    values: Mapping[str, Any]

    @property
    def exact(self) -> bool:
        """Whether SQL alone tells of the rows that are not odd."""
        return self.sure == self.maybe

    @property
    def straight(self) -> str:
        """Rows that are not odd and may match."""
        return all_of(["odd = 0", self.cheap, self.literal, self.maybe])

    @property
    def other(self) -> str:
        """Rows of which only the engine can tell."""
        return all_of(["odd != 0", self.narrow])


def plan_of(
    rules: Iterable[tuple[Compiled, Sequence[Way]]], columns: Mapping[str, str], body: str = "body"
) -> HuntPlan:
    """The events that any of ``rules`` matches, each with the ways that lead to it. ``columns``: fields that have a
    column, and its name."""
    bind = Parameters()
    translator = Translator(Fields({**columns, **_LABELS}, bind, body), bind)
    labels_only = Translator(Fields(_LABELS, bind, body), bind)
    exact: list[Pair] = []
    cheap: list[str] = []
    literal: list[str] = []
    narrow: list[str] = []
    for rule, ways in rules:
        by_renames: dict[tuple[tuple[str, str], ...], list[Node]] = {}
        for way in ways:
            by_renames.setdefault(tuple(sorted(way.renames.items())), []).append(way.condition)
        for renames, conditions in by_renames.items():
            condition = renamed(rule.condition, dict(renames))
            found = translator.exact(condition)
            columns_only = translator.cheap(condition).maybe
            anywhere = translator.literals(condition, columns=True)
            told: list[Pair] = []
            untold: list[str] = []
            for where in map(translator.outline, conditions):
                # Where SQL cannot tell whether an event comes this way, the engine has to look anyhow.
                told += [where] if where.sure != FALSE else []
                untold += [where.maybe] if where.sure == FALSE else []
            if told:
                exact.append(both([either(told), found]))
            if any_of(untold) != FALSE:
                exact.append(Pair(FALSE, all_of([any_of(untold), anywhere])))
            reach = any_of([*(each.maybe for each in told), *untold])
            cheap.append(all_of([reach, columns_only]))
            literal.append(FALSE if reach == FALSE else translator.literals(condition, columns=False))
            labels = any_of([labels_only.cheap(each).maybe for each in conditions])
            narrow.append(all_of([labels, any_of(["odd >= 2", anywhere])]))
    sure, maybe = either(exact)
    return HuntPlan(sure, maybe, any_of(cheap), any_of(literal), any_of(narrow), dict(bind.values))

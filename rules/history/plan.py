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

from rules.engine.conditions import renamed
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
        for way in ways:
            condition = renamed(rule.condition, dict(way.renames))
            where = translator.outline(way.condition)
            if where.maybe == FALSE:
                continue
            anywhere = translator.literals(condition, columns=True)
            if (
                where.sure == FALSE
            ):  # SQL cannot tell whether an event comes this way, so the engine has to look anyhow
                exact.append(Pair(FALSE, all_of([where.maybe, anywhere])))
            else:
                exact.append(both([where, translator.exact(condition)]))
            cheap.append(all_of([where.maybe, translator.cheap(condition).maybe]))
            literal.append(translator.literals(condition, columns=False))
            narrow.append(all_of([labels_only.cheap(way.condition).maybe, any_of(["odd >= 2", anywhere])]))
    sure, maybe = either(exact)
    return HuntPlan(sure, maybe, any_of(cheap), any_of(literal), any_of(narrow), dict(bind.values))

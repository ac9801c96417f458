"""SQL says of stored events what the engine says of the same events as they come."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from collector.store.schema import FIELD_COLUMNS
from rules.engine.conditions import (
    ANY_ONE,
    ANY_RUN,
    And,
    Compare,
    Exists,
    Field,
    Keywords,
    Network,
    Node,
    Not,
    Null,
    Or,
    Reference,
    Regex,
    Text,
    TimePart,
    Value,
)
from rules.engine.fields import View
from rules.engine.plain import plain_test
from rules.engine.ruleset import Compiled, LogSource
from rules.history.plan import plan_of
from rules.history.ways import ways_to
from tests.soc_api.hunting.conftest import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Values that tell a careless translation from a right one.
VALUES: list[Any] = [
    "", "a", "A", "ab", "xAby", "a\\b", "C:\\Windows\\System32\\cmd.exe", '"q"', "it's", "a%b", "a_b", "a*b", "100%",
    "line\nbreak", "tab\t", "\x1f", "đại", "ĐẠI", "ạ", "K\u212aK", "kkk", "İi", "i", "ΑΣ", "ας", "ασ", "ß", "\u1c89",
    "[]", "[1]", "{", "{}", '["a"]', "true", "True", "null", "0", "-0", "1", "1.0", "1.5", "10", "1e3", "1000",
    "4688", "0x1f", "10.1.2.3", "10.1.2.03", "10.1.2.300", "::1", "::ffff:10.1.2.3", "2026-11-21T08:15:00Z",
    0, 1, -1, 1.0, 1.5, -0.0, 0.1, 1e3, 1e16, 1e22, 1e-7, 4688, 2**53 + 1, 10**15, 123456789012345678, True, False,
    None, [], ["a"], ["A", "b"], [None], [1, "x"], [[1], ["ab"]], {"x": "a"}, [{"x": "a"}], {},
]  # fmt: skip
TEXTS = ["a", "ab", "b", "1", "1.5", "1.0", "1000", "0", "-0", "10", "4688", "[", "{", "true", "kk", "i", "đại", "ạ",
         "ας", "ασ", "σ", "\\", "a\\b", '"', "'", "%", "_", "\n", "\t", "\x1f", "cmd.exe", "1e", "e", ".", "null",
         "123456789012345678"]  # fmt: skip
NAMES = [
    "CommandLine",
    "EventID",
    "Image",
    "type",
    "other",
    "deep.x",
    "deep.er.x",
    "a.b",
    "event.category",
    "gone",
]


def some_value(dice: random.Random) -> Value:
    match dice.randrange(12):
        case 0:
            return Null()
        case 1:
            return Exists(dice.random() < 0.5)
        case 2:
            return Compare(dice.choice(["lt", "lte", "gt", "gte"]), dice.choice([0, 1, 1.2, -1, 1000, 2**53]))
        case 3:
            return Network(dice.choice(["10.0.0.0/8", "10.1.2.0/24", "::/0", "0.0.0.0/0"]))
        case 4:
            return Regex(
                dice.choice(["a", "^a", "b$", "a.b", "^$", "[0-9]+", "K", "(?:x|a)b", r"\\", "^[^a]*$"]),
                dice.choice(["", "i", "s", "im"]),
            )
        case 5:
            return Reference(dice.choice(NAMES), dice.random() < 0.4, dice.random() < 0.4)
        case 6:
            return TimePart("hour", 8)
        case _:
            return some_text(dice)


def some_text(dice: random.Random) -> Text:
    cased = dice.random() < 0.2
    text = dice.choice(TEXTS)
    text = dice.choice([text, text.upper()]) if cased else text.lower()
    parts = dice.choice(
        [(), (text,), (text, ANY_RUN), (ANY_RUN, text), (ANY_RUN, text, ANY_RUN), (ANY_RUN,), (ANY_ONE, text),
         (text, ANY_ONE, ANY_RUN), (ANY_RUN, text, ANY_ONE), (ANY_ONE,), (ANY_ONE, ANY_RUN),
         (text[:1], ANY_RUN, text[-1:])]
    )  # fmt: skip
    return Text(tuple(parts), cased)


def some_node(dice: random.Random, depth: int = 0) -> Node:
    kind = dice.randrange(10)
    if depth < 3 and kind < 4:
        nodes = tuple(some_node(dice, depth + 1) for _ in range(dice.randrange(1, 4)))
        made: list[Node] = [And(nodes), Or(nodes), Not(nodes[0])]
        return dice.choice(made)
    if kind == 4:
        return Keywords(
            tuple(
                Text((ANY_RUN, dice.choice(TEXTS).lower(), ANY_RUN))
                if dice.random() < 0.8
                else Regex("a", "i")
                for _ in range(dice.randrange(1, 3))
            )
        )
    return Field(dice.choice(NAMES), tuple(some_value(dice) for _ in range(dice.randrange(1, 4))))


def some_event(dice: random.Random) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name in NAMES[:5]:
        if dice.random() < 0.7:
            event[name] = dice.choice(VALUES)
    if dice.random() < 0.7:
        event["deep"] = dice.choice(
            [
                {"x": dice.choice(VALUES)},
                {"er": {"x": dice.choice(VALUES)}},
                {"er.x": "a"},
                [{"x": "ab"}, {"x": 1}],
                "a",
                None,
            ]
        )
    if dice.random() < 0.3:
        event["deep.x"] = dice.choice(VALUES)
    if dice.random() < 0.3:
        event["a.b" if dice.random() < 0.5 else "a"] = dice.choice([{"b": "a"}, "a", [{"b": "ab"}]])
    if dice.random() < 0.3:
        event["event"] = {"category": dice.choice(VALUES)}
    if dice.random() < 0.1:
        event["event.category"] = dice.choice(VALUES)
    return event


@pytest.fixture(scope="module")
def odd_ones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stored, list[View]]]:
    dice = random.Random(20261121)
    events = [some_event(dice) for _ in range(1_500)]
    events += [{"CommandLine": value} for value in VALUES] + [{"other": value} for value in VALUES]
    store = Stored(tmp_path_factory.mktemp("odd"))
    store.put(*events)
    yield store, [View(msgspec.json.decode(msgspec.json.encode(event))) for event in events]
    store.close()


def split(store: Stored, rule: Compiled, pipelines: Any = ()) -> tuple[set[int], set[int]]:
    """The events that SQL is sure of, and those that it would show to the engine."""
    plan = plan_of([(rule, ways_to(rule.logsource, pipelines))], FIELD_COLUMNS)
    values = dict(plan.values)
    rows = store.query(f"SELECT event_id, {plan.sure} AS sure FROM events WHERE {plan.straight}", values)
    others = store.query(f"SELECT event_id FROM events WHERE {plan.other}", values)
    sure = {int(row["event_id"]) for row in rows if row["sure"]}
    return sure, {int(row["event_id"]) for row in [*rows, *others]} - sure


@pytest.mark.parametrize("seed", range(150))
def test_whatever_is_asked_of_whatever_values_sql_is_sure_only_of_matches_and_misses_none(
    odd_ones: tuple[Stored, list[View]], seed: int
) -> None:
    store, views = odd_ones
    node = some_node(random.Random(seed))
    test = plain_test(node)
    matches = {number for number, view in enumerate(views) if test(view)}
    sure, maybe = split(store, Compiled("x", "", LogSource("windows", "process_creation"), node))
    assert sure <= matches, (
        node,
        msgspec.json.encode([views[number].fields for number in sorted(sure - matches)[:3]]),
    )
    missed = matches - sure - maybe
    assert not missed, (node, msgspec.json.encode([views[number].fields for number in sorted(missed)[:3]]))

"""The fast matcher and the plain evaluator say the same of any rules and any events, however full the caches are."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.engine import matcher as matching
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
    renamed,
)
from rules.engine.fields import View
from rules.engine.guard import Guard
from rules.engine.index import Budget
from rules.engine.offers import Counts
from rules.engine.plain import plain_test
from rules.engine.predicates import compares_fields, witness_of
from rules.engine.reading import decoded
from rules.engine.routing import Router, Sources, sources_of
from rules.engine.ruleset import Compiled, LogSource

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = sources_of("", "test", "")
#: Among them: the Kelvin sign and the dotted I, whose lower case is (or begins with) ASCII; the final sigma; NUL; a
#: lone surrogate; what JSON escapes; and a character outside the first plane.
WORDS = ["kill", "KILL", "\u212aill", "k\u0130ll", "kill/all", "a\\b", 'say "x"', "ΑΣ", "ασα", "ß", "ſ", "đề án",
         "a\nb", "a\0b", "\ud800", "😀", "*", "?", "-x", "", "a", "ab", "abc", "null", "true", "1", "10.0.0.7", "::1",
         "1e16", "abcΑΣ", "fe80::1", "2026-03-09T23:07:00Z", "1000000000000000", "inf", "kilo", "e", " ",
    ]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 7, 1.0, 0.0, -0.0, 1.5, 10**15, 1e15, 1e16, 10**16, 2**53 + 1, float(2**53), 10**30, -(10**18),
           True, False]  # fmt: skip
NAMES = ["a", "b", "a.b", "a.b.c", "Name With Space", "kill", "é", *(f"f{number}" for number in range(30))]
HOT = NAMES[:5]

texts = st.lists(st.sampled_from(WORDS), max_size=3).map("".join)
scalars = texts | st.sampled_from([*NUMBERS, None]) | st.sampled_from(WORDS)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["b", "c", "b.c"]), inner),
    max_leaves=5,
)
names = st.sampled_from(HOT) | st.sampled_from(NAMES)
events = st.dictionaries(names, scalars, max_size=6) | st.dictionaries(names, values, max_size=8)


@st.composite
def patterns(draw: st.DrawFn) -> Text:
    cased = draw(st.booleans())
    parts: list[str | int] = []
    for part in draw(
        st.lists(st.sampled_from(WORDS) | st.sampled_from([ANY_RUN, ANY_RUN, ANY_ONE]), max_size=4)
    ):
        if isinstance(part, str):
            text = part if cased else part.lower()
            if parts and isinstance(parts[-1], str):
                parts[-1] += text
            elif text:
                parts.append(text)
        elif not (part == ANY_RUN and parts[-1:] == [ANY_RUN]):
            parts.append(part)
    return Text(tuple(parts), cased)


regexes = st.builds(
    Regex,
    st.sampled_from(["kill", "k.ll", "^a", "b$", r"\d+", "[kK]", "", "ill|abc", "(?:a|é)b?", r"\bkill\b", "s", ".{4,}",
                     r"k\w+l", r"\\b$"]),
    st.sampled_from(["", "i", "im", "ims", "s"]),
)  # fmt: skip
plain_values = (
    patterns()
    | regexes
    | st.builds(
        Compare, st.sampled_from(["lt", "lte", "gt", "gte"]), st.sampled_from([0, 1, 1.5, 10**15, -1])
    )
    | st.sampled_from([Network("10.0.0.0/8"), Network("::/0"), Network("fe80::/10"), Network("10.0.0.7/32")])
    | st.sampled_from([Null(), Exists(True), Exists(False)])
    | st.builds(TimePart, st.sampled_from(["hour", "year", "week"]), st.sampled_from([23, 2026, 11, 0, 1970]))
)


def around(text: Text) -> Text:
    parts = text.parts
    before = () if parts[:1] == (ANY_RUN,) else (ANY_RUN,)
    after = () if not parts or parts[-1] == ANY_RUN else (ANY_RUN,)
    return Text((*before, *parts, *after), text.cased)


#: Long enough to be sieved by, and any.
words_sieved = st.sampled_from(
    ["kill", "kilo", "abc", "ΑΣΑΣ", "abcΑΣ", "true", "1e16!", "ll/all", 'say "', "đề án", "a10.0"]
)
long_keywords = st.builds(
    lambda word, cased: around(Text((word if cased else word.lower(),), cased)), words_sieved, st.booleans()
)
keywords = st.lists(
    st.builds(lambda word: around(Text((word,))), words_sieved), min_size=1, max_size=3
) | st.lists(patterns().map(around) | regexes, min_size=1, max_size=3)
leaves: st.SearchStrategy[Node] = (
    st.builds(Field, names, st.lists(plain_values, min_size=1, max_size=4).map(tuple))
    | st.builds(Keywords, keywords.map(tuple))
    | st.builds(
        lambda name, other, starts, ends: Field(name, (Reference(other, starts, ends),)),
        names,
        names,
        st.booleans(),
        st.booleans(),
    )
)
conditions: st.SearchStrategy[Node] = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda nodes: And(tuple(nodes)), st.lists(inner, min_size=2, max_size=3))
        | st.builds(lambda nodes: Or(tuple(nodes)), st.lists(inner, min_size=2, max_size=3))
        | st.builds(Not, inner)
    ),
    max_leaves=6,
)
#: Rules whose keywords are all long, so that an event's JSON text is sieved.
sieved = st.builds(
    lambda words, node: And((Keywords(tuple(words)), node)) if node is not None else Keywords(tuple(words)),
    st.lists(long_keywords, min_size=1, max_size=2),
    st.none() | st.builds(Field, names, st.lists(plain_values, min_size=1, max_size=2).map(tuple)),
)


def written(value: Any, luck: random.Random) -> str:
    """JSON in one of the many ways in which the same value can be written."""
    if isinstance(value, dict):
        inside = ",".join(f"{written(key, luck)}: {written(each, luck)}" for key, each in value.items())
        return "{" + inside + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(each, luck) for each in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    return '"' + "".join(_character(each, luck) for each in value) + '"'


def _character(each: str, luck: random.Random) -> str:
    chance = luck.random()
    if each == "/" and chance < 0.5:
        return r"\/"
    if ord(each) < 0x10000 and (chance < 0.05 or "\ud800" <= each <= "\udfff"):
        return f"\\u{ord(each):04x}" if luck.random() < 0.5 else f"\\u{ord(each):04X}"
    return json.dumps(each, ensure_ascii=luck.random() < 0.2)[1:-1]


def matcher_of(nodes: list[Node], budget_bytes: int) -> tuple[Any, Guard]:
    guard = Guard()
    rules = [
        (
            Compiled(
                str(place), "", LogSource("", "test", ""), node, compares_fields(node), witness_of(node)
            ),
            Counts(),
        )
        for place, node in enumerate(nodes)
    ]
    found = Router(rules, Budget(budget_bytes), guard).matcher(SOURCES)
    assert found is not None
    return found, guard


def compare(
    nodes: list[Node], happened: list[dict[str, Any]], seed: int, budget_bytes: int = 1 << 20
) -> None:
    matcher, guard = matcher_of(nodes, budget_bytes)
    tests = [plain_test(node) for node in nodes]
    luck = random.Random(seed)
    for _ in range(2):
        for fields in happened:
            raw = written(fields, luck).encode("utf-8", "surrogatepass")
            record = decoded(raw)
            assert isinstance(record, dict)
            expected = [str(place) for place, test in enumerate(tests) if test(View(record))]
            assert [offer.key for offer in matcher.match(record)] == expected
            assert [offer.key for offer in matcher.match(record, raw)] == expected
    assert guard.shadow_misses == 0


LIGHT = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@LIGHT
@given(st.lists(conditions, min_size=1, max_size=8), st.lists(events, max_size=6), st.integers(0, 99))
def test_any_rules_on_any_events(nodes: list[Node], happened: list[dict[str, Any]], seed: int) -> None:
    compare(nodes, happened, seed)


@LIGHT
@given(st.lists(conditions, min_size=1, max_size=4), st.lists(events, max_size=8), st.integers(0, 99))
def test_caches_that_are_emptied_all_the_time(
    nodes: list[Node], happened: list[dict[str, Any]], seed: int
) -> None:
    compare(nodes, happened, seed, budget_bytes=1)


@LIGHT
@given(st.lists(sieved, min_size=1, max_size=5), st.lists(events, max_size=6), st.integers(0, 99))
def test_keywords_sieved_by_the_events_text(
    nodes: list[Node], happened: list[dict[str, Any]], seed: int
) -> None:
    compare(nodes, happened, seed)


@LIGHT
@given(
    st.lists(
        st.builds(Field, names, st.lists(patterns(), min_size=1, max_size=12).map(tuple)),
        min_size=4,
        max_size=24,
    ),
    st.lists(events, max_size=6),
    st.integers(0, 99),
)
def test_many_texts_of_one_field(nodes: list[Node], happened: list[dict[str, Any]], seed: int) -> None:
    compare(nodes, happened, seed)


@pytest.fixture
def narrow() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_WIDE", 1)
        patch.setattr(matching, "_SHAPES_LIMIT", 2)
        patch.setattr(matching, "SIGNATURES_LIMIT", 2)
        yield


@LIGHT
@given(st.lists(conditions, min_size=1, max_size=6), st.lists(events, max_size=8), st.integers(0, 99))
def test_few_shapes_and_few_signatures(
    narrow: None, nodes: list[Node], happened: list[dict[str, Any]], seed: int
) -> None:
    compare(nodes, happened, seed)


@LIGHT
@given(st.lists(conditions, max_size=6), st.lists(events, max_size=6), st.integers(0, 99))
def test_rules_with_very_many_fields(nodes: list[Node], happened: list[dict[str, Any]], seed: int) -> None:
    many: list[Node] = [Field(f"f{number}", (Text(("kill",)), Null())) for number in range(30)]
    compare([*nodes, *many, Or(tuple(many[:9])), Not(many[3])], happened, seed)


#: What most rules of a log source have in common: a value of one field that each of them needs.
kinds = st.lists(
    st.lists(st.sampled_from(["1", "0", "true", "kill", "ab", ""]).map(lambda word: Text((word,) if word else ())),
             min_size=1, max_size=3).map(lambda found: Field("a", tuple(found)))
    | st.just(Field("a", (Text(("KILL",), cased=True),))),
    min_size=9,
    max_size=9,
)  # fmt: skip


@LIGHT
@given(kinds, st.lists(conditions, min_size=9, max_size=9), st.lists(conditions, max_size=3),
       st.lists(events, min_size=2, max_size=6), st.integers(0, 99), st.sampled_from([1, 5_000, 1 << 20]))  # fmt: skip
def test_rules_that_each_need_a_value_of_the_same_field(
    needed: list[Node],
    nodes: list[Node],
    others: list[Node],
    happened: list[dict[str, Any]],
    seed: int,
    budget_bytes: int,
) -> None:
    joined: list[Node] = [And((first, node)) for first, node in zip(needed, nodes, strict=True)]
    repeated = [
        {**fields, "a": value}
        for fields in happened[:2]
        for value in ("1", 1, True, 1.0, ["0", "kill"], "KILL")
    ]
    compare([*joined, *others, *needed[:2]], [*happened, *repeated], seed, budget_bytes)


#: Events of several kinds that are offered the same rules, by the same or by other names.
WAYS = [
    sources_of("", "test", ""),
    sources_of("", "test", "more"),
    Sources("", frozenset(), frozenset([("test", (("a", "b"), ("a.b", "a")))])),
    Sources("", frozenset(["more"]), frozenset([("test", (("b", "kill"),)), ("other", ())])),
]


@LIGHT
@given(
    st.lists(st.tuples(st.sampled_from(["test", "other"]), conditions), min_size=1, max_size=6),
    st.lists(
        st.builds(Field, st.just("a"), st.lists(plain_values, min_size=1, max_size=3).map(tuple)),
        min_size=20,
        max_size=24,
    ),
    st.lists(events, max_size=5),
)
def test_kinds_of_events_that_share_rules(
    some: list[tuple[str, Node]], many: list[Node], happened: list[dict[str, Any]]
) -> None:
    nodes = [*some, *(("test", node) for node in many), ("other", many[0])]
    rules = [
        (
            Compiled(
                str(place), "", LogSource("", category, ""), node, compares_fields(node), witness_of(node)
            ),
            Counts(),
        )
        for place, (category, node) in enumerate(nodes)
    ]
    router = Router(rules, Budget(1 << 20), guard := Guard())
    for sources in WAYS:
        matcher = router.matcher(sources)
        assert matcher is not None
        ways = [
            (str(place), plain_test(renamed(node, dict(renames))))
            for place, (category, node) in enumerate(nodes)
            for wanted, renames in sources.categories
            if wanted == category
        ]
        for fields in happened:
            expected = [key for key, test in ways if test(View(fields))]
            assert [offer.key for offer in matcher.match(fields)] == expected
    assert guard.shadow_misses == 0

"""Whoever sends events cannot make the matcher grow: values, classes, signatures, shapes and names are bounded."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rules.engine import Engine
from rules.engine import matcher as matching
from rules.engine.routing import sources_of
from rules.engine.statistics import Throttle
from tests.rules.helpers import event, rule, rule_id

SOURCES = sources_of("", "test", "")


def matcher_of(engine: Engine) -> Any:
    found = engine._base.matcher(SOURCES)
    assert found is not None
    return found


def word_rules(count: int) -> list[str]:
    return [
        rule(f"s: {{a|contains: w{number:03d}x}}\ncondition: s", number=number + 1) for number in range(count)
    ]


def test_values_that_match_ever_other_sets_of_rules_do_not_fill_memory() -> None:
    engine = Engine(word_rules(60), values_bytes=200_000)
    luck = random.Random(1)
    for _ in range(1_500):
        chosen = sorted(luck.sample(range(60), 20))
        fields = {"a": " ".join(f"w{number:03d}x" for number in chosen)}
        found = [offer.key for offer in engine.match(fields, SOURCES)]
        assert found == [rule_id(number + 1) for number in chosen]
    matcher = matcher_of(engine)
    assert sum(map(len, matcher._fields[0].sets)) < 10_000
    assert len(matcher._verdicts) < 300
    assert engine._budget.derived_bytes <= 210_000
    assert engine.statistics()[rule_id(1)].offered == 1_500


def test_names_that_never_come_again_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_WIDE", 0)
    monkeypatch.setattr(matching, "_SHAPES_LIMIT", 50)
    engine = Engine(word_rules(2))
    for number in range(500):
        assert engine.match({"a": "w001x", f"n{number}": 1}, SOURCES)
        assert engine.match({"a": "w001x", "n" * 100_000 + str(number): 1}, SOURCES)
    matcher = matcher_of(engine)
    assert len(matcher._by_shape) <= 50
    assert sum(len(name) for shape in matcher._by_shape for name in shape) < 10_000
    assert len(matcher._verdicts) == 1, "what is learnt survives names that no rule asks for"


def test_signatures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "SIGNATURES_LIMIT", 20)
    engine = Engine([rule(f"s: {{a{n}: x}}\ncondition: s", number=n + 1) for n in range(10)])
    for number in range(1_024):
        fields = {f"a{place}": "x" if number >> place & 1 else "y" for place in range(10)}
        assert len(engine.match(fields, SOURCES)) == number.bit_count()
    assert len(matcher_of(engine)._verdicts) <= 20
    statistics = engine.statistics()
    assert {each.offered for each in statistics.values()} == {1_024}
    assert {each.candidates for each in statistics.values()} == {512}


def test_where_the_fast_matcher_is_wrong_the_plain_evaluator_is_followed_for_what_is_known_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(matching, "_CHECK_HITS", 3)
    engine = Engine([rule("s: {a: x}\ncondition: s", number=1), rule("s: {b: x}\ncondition: s", number=2)])
    matcher = matcher_of(engine)
    for offer in matcher.offers:
        offer._holds = lambda _true: False
    both: dict[str, Any] = {"a": "x", "b": "x"}
    assert engine.match({"a": "x"}, SOURCES) == ()
    for _ in range(3):
        engine.match(both, SOURCES)
    assert len(engine.match(both, SOURCES)) == 2
    assert len(engine.match({"a": "x"}, SOURCES)) == 1, "a signature that came before"
    assert engine.guard.shadow_misses == 2
    assert "differ" in caplog.text


@pytest.mark.parametrize("far", [4e9, 1e300, float("inf"), float("nan")])
def test_a_time_far_ahead_does_not_silence_a_throttled_rule(far: float) -> None:
    throttle = Throttle()
    throttle.set({"noisy": 2})
    for _ in range(10):
        throttle.lets("noisy", far)
    assert [throttle.lets("noisy", 7_200.0 + second) for second in range(3)] == [True, True, False]
    assert throttle.held_back["noisy"] == 9


def test_a_throttle_keeps_a_bounded_number_of_hours() -> None:
    throttle = Throttle()
    throttle.set({"noisy": 1})
    assert all(throttle.lets("noisy", hour * 3600.0) for hour in range(1_000))
    assert len(throttle._hours["noisy"]) <= 48


@pytest.mark.parametrize("digits", [1_300, 4_200])
def test_numbers_of_any_length_that_json_has_are_compared_in_decimal(digits: int) -> None:
    engine = Engine([rule(f"s: {{a: '{'7' * digits}'}}\ncondition: s")])
    assert engine.process(event({"a": int("7" * digits)}))


def test_a_cased_keyword_is_found_whatever_stands_around_it() -> None:
    engine = Engine([rule("k: {'|cased': abcΑΣ}\ncondition: k")])
    assert engine.process(event({"m": "xabcΑΣΑ"})), "Σ has another lower case at the end of a word"


def test_lists_of_the_field_that_tells_events_apart_do_not_fill_memory() -> None:
    engine = Engine(
        [rule(f"s: {{id: {n}, a: x}}\ncondition: s", number=n + 1) for n in range(50)], values_bytes=100_000
    )
    luck = random.Random(2)
    for _ in range(1_500):
        chosen = sorted(luck.sample(range(50), 12))
        found = [offer.key for offer in engine.match({"id": chosen, "a": "x"}, SOURCES)]
        assert found == [rule_id(number + 1) for number in chosen]
    assert len(matcher_of(engine)._index.sets) < 200
    assert {each.offered for each in engine.statistics().values()} == {1_500}

"""What correlations remember: over a restart, over a change of rules, in bounded memory."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine.correlation_plan import CorrelationPlan
from rules.engine.events import Event, Finding
from rules.engine.fields import View
from tests.rules.correlations import correlations_of, plan

if TYPE_CHECKING:
    from rules.engine.correlation import Correlations
    from rules.engine.errors import Refusal


def text(
    kind: str = "event_count",
    condition: str = "{gte: 3}",
    *,
    name: str = "corr",
    rules: str = "[a]",
    group_by: str = "[host]",
    more: str = "",
) -> str:
    asked = f"  condition: {condition}\n" if condition else ""
    return (
        f"title: C\nname: {name}\n{more}correlation:\n  type: {kind}\n  rules: {rules}\n{asked}"
        f"  group-by: {group_by}\n  timespan: 1m\n"
    )


def give(correlations: Correlations, at: float, rule: str = "a", **fields: Any) -> list[Finding]:
    fields = {"host": "h", **fields}
    event = Event(str(at), at, "linux", "test", "", fields)
    return correlations.take(event, View(fields), {rule: {}})


ALL = [
    text(),
    text("value_count", "{field: user, gte: 3}", name="values"),
    text("value_avg", "{field: size, gte: 1.5}", name="mean"),
    text("temporal", "", name="both", rules="[a, b]"),
    text("temporal", "", name="many", rules=f"[{', '.join('abcdefghi')}]"),
    text("temporal_ordered", "", name="order", rules="[a, b]", group_by="[host, user]"),
]
EVENTS: list[tuple[float, str, dict[str, Any]]] = [
    (1.0, "a", {"user": "x", "size": 1}),
    (2.0, "a", {"user": ["x", "\ud800"], "size": [0.5, 2**70]}),
    (2.5, "b", {"user": "y" * 5000, "host": "Hà Nội"}),
    (70.0, "b", {"user": "x", "size": 3}),
    (3.0, "a", {"user": "z", "size": 9}),
]


def test_state_goes_on_after_a_restart_as_if_there_had_been_none() -> None:
    steady = correlations_of(*ALL, rules="abcdefghi")
    for cut in range(len(EVENTS) + 1):
        restarted = correlations_of(*ALL, rules="abcdefghi")
        for at, rule, fields in EVENTS[:cut]:
            give(restarted, at, rule, **fields)
        again = correlations_of(*ALL, rules="abcdefghi")
        assert again.restore(restarted.snapshot())
        found = [give(again, at, rule, **fields) for at, rule, fields in EVENTS[cut:]]
        steady = correlations_of(*ALL, rules="abcdefghi")
        expected = [give(steady, at, rule, **fields) for at, rule, fields in EVENTS][cut:]
        assert found == expected
        assert [len(finding.events) for each in found for finding in each] == [
            len(finding.events) for each in expected for finding in each
        ]


def test_a_changed_correlation_begins_anew_and_the_others_go_on() -> None:
    before = correlations_of(text(name="same"), text(name="other", condition="{gte: 2}"))
    give(before, 1)
    give(before, 2)
    after = correlations_of(text(name="same"), text(name="other", condition="{gte: 3}"))
    assert after.restore(before.snapshot())
    assert [each.rule_id for each in give(after, 3)] == ["same"]


def test_a_snapshot_of_other_rules_is_not_taken() -> None:
    before = correlations_of(text(condition="{gte: 7}"))
    after = correlations_of(text())
    give(after, 1)
    give(after, 2)
    assert not after.restore(before.snapshot())
    assert give(after, 3)


def test_restoring_an_empty_snapshot_forgets_everything() -> None:
    correlations = correlations_of(text())
    blank = correlations.snapshot()
    give(correlations, 1)
    give(correlations, 2)
    assert correlations.restore(blank)
    assert not give(correlations, 3)
    assert correlations_of().restore(correlations_of().snapshot())


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_snapshot_is_refused_and_changes_nothing(data: st.DataObject) -> None:
    source = correlations_of(*ALL, rules="abcdefghi")
    for at, rule, fields in EVENTS:
        give(source, at, rule, **fields)
    good = source.snapshot()
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] ^= data.draw(st.integers(1, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))]
    fresh = correlations_of(*ALL, rules="abcdefghi")
    assert not fresh.restore(bytes(damaged)) or bytes(damaged) == good
    assert all(each.groups == 0 for each in fresh.statistics().values()) or bytes(damaged) == good


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_made_up_snapshot_with_a_right_checksum_raises_nothing(data: st.DataObject) -> None:
    source = correlations_of(*ALL, rules="abcdefghi")
    for at, rule, fields in EVENTS:
        give(source, at, rule, **fields)
    forged = forge(source.snapshot(), data)
    fresh = correlations_of(*ALL, rules="abcdefghi")
    fresh.restore(forged)
    for at, rule, fields in EVENTS:
        for finding in give(fresh, at, rule, **fields):
            assert len(finding.events) <= 20
            assert [dict(event.fields) for event in finding.events]
    fresh.snapshot()


def forge(snapshot: bytes, data: st.DataObject) -> bytes:
    """The snapshot with one of its values replaced, as an attacker who can write the file would."""
    import hashlib

    body = msgspec.msgpack.decode(snapshot[24:])
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(items):
            places.append((value, key))
            if isinstance(inner, (dict, list)):
                walk(inner)

    walk(body)
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(
        st.sampled_from([None, -1, 2**62, 1e308, "", "x", b"", b"\xff" * 8, b"\x00" * 16, [], [[]], {}])
        | st.binary(max_size=40)
        | st.lists(st.integers(-2, 600) | st.text(max_size=3), max_size=4)
    )
    packed = msgspec.msgpack.encode(body)
    return snapshot[:8] + hashlib.blake2b(packed, digest_size=16).digest() + packed


def changed(correlations: Correlations, *texts: str, rules: str = "abc") -> Correlations:
    refused: list[Refusal] = []
    new = correlations.changed(
        [plan(each) for each in texts], set(rules), {each: each for each in rules}, refused
    )
    assert refused == []
    return new


def test_a_change_of_rules_leaves_the_state_of_the_others() -> None:
    first = text(name="first")
    before = correlations_of(first, text(name="second"))
    give(before, 1)
    give(before, 2)
    after = changed(before, first, text(name="second", condition="{gte: 2}"), text(name="third"))
    assert [each.rule_id for each in give(after, 3)] == ["first"]
    assert {key: each.entries for key, each in after.statistics().items()} == {
        "first": 3,
        "second": 1,
        "third": 1,
    }


def test_a_change_that_is_not_used_has_changed_nothing() -> None:
    before = correlations_of(text())
    give(before, 1)
    give(before, 2)
    changed(before, text(condition="{gte: 9}"))
    assert give(before, 3)


def test_a_correlation_that_only_generates_more_keeps_its_state() -> None:
    before = correlations_of(text())
    give(before, 1)
    give(before, 2)
    assert not before.reports("a")
    after = changed(before, text(more="generate: true\n"))
    assert after.reports("a")
    assert give(after, 3)


def test_what_a_dropped_correlation_lost_to_a_limit_stays_counted() -> None:
    before = correlations_of(text(name="wide"), text(name="stays"), state_limit=10)
    for at in range(50):
        give(before, float(at), host=str(at))
    assert before.evicted > 0
    assert changed(before, text(name="stays")).evicted == before.evicted


def test_the_correlation_that_holds_most_gives_up_its_groups_first() -> None:
    quiet = text(name="quiet", rules="[b]", condition="{gte: 2}")
    correlations = correlations_of(quiet, text(name="noisy"), state_limit=50)
    give(correlations, 0.0, "b")
    for at in range(500):
        give(correlations, at / 100, host=str(at))
    counts = correlations.statistics()
    assert counts["noisy"].evicted > 0
    assert counts["quiet"].evicted == 0
    assert give(correlations, 6.0, "b")


def test_groups_that_no_event_can_reach_any_more_are_forgotten_without_a_limit() -> None:
    correlations = correlations_of(text(), lateness_seconds=60.0)
    for at in range(20_000):
        give(correlations, float(at), host=str(at))
    counts = correlations.statistics()["corr"]
    assert counts.groups < 1_500
    assert counts.evicted == 0


def test_one_clock_that_runs_ahead_does_not_age_the_others() -> None:
    correlations = correlations_of(text(), lateness_seconds=60.0)
    for at in range(1_000):
        give(correlations, float(at % 50), host=str(at))
        if at % 10 == 0:
            give(correlations, 4e9, host="future")
    assert correlations.statistics()["corr"].groups == 1_001


def test_a_late_event_counts_up_to_the_lateness_and_is_counted_beyond_it() -> None:
    correlations = correlations_of(text(condition="{gte: 2}"), lateness_seconds=100.0)
    give(correlations, 1000.0)
    assert not give(correlations, 840.0)
    assert give(correlations, 845.0)
    assert not give(correlations, 839.9)
    assert correlations.statistics()["corr"].late == 1


def test_statistics_count_occurrences_findings_and_what_is_held() -> None:
    correlations = correlations_of(text(condition="{gte: 2}"))
    for at, host in enumerate("xxyx"):
        give(correlations, float(at), host=host)
    assert correlations.statistics()["corr"] == (4, 2, 2, 4, 0, 0)


def test_evidence_is_bounded_in_bytes_and_correlations_fire_all_the_same() -> None:
    correlations = correlations_of(text(condition="{gte: 2}"), evidence_bytes=100_000)
    for at in range(3_000):
        found = give(correlations, at / 1000, note="x" * 500)
        assert len(found) == min(at, 1)
    assert correlations._evidence.size_bytes <= 100_000
    assert 1 <= len(found[0].events) <= 20
    assert found[0].events[-1] is found[0].event


def test_one_event_larger_than_the_bound_still_counts() -> None:
    correlations = correlations_of(text(condition="{gte: 2}"), evidence_bytes=1_000)
    give(correlations, 0.0, note="x" * 5_000)
    assert [len(each.events) for each in give(correlations, 1.0, note="x" * 5_000)] == [1]


def test_evidence_reads_like_the_events_that_went_in() -> None:
    correlations = correlations_of(text(condition="{gte: 2}"))
    give(correlations, 0.0, deep={"list": [1, None, {"a": "ế"}]}, large=2**70)
    (found,) = give(correlations, 1.0)
    first = found.events[0]
    assert (first.id, first.time, first.product, first.category) == ("0.0", 0.0, "linux", "test")
    assert first.fields == {"host": "h", "deep": {"list": [1, None, {"a": "ế"}]}, "large": str(2**70)}
    assert "deep" in first.fields
    assert len(first.fields) == 3
    assert pickle.loads(pickle.dumps(found.events[1:])) == (found.event,)


def test_evidence_of_a_temporal_correlation_shows_each_of_its_rules() -> None:
    correlations = correlations_of(text("temporal", "", rules="[a, b]"))
    give(correlations, 0.0, "a")
    for at in range(1, 50):
        found = give(correlations, at / 2, "b")
    assert found[0].events[0].id == "0.0"
    assert len(found[0].events) == 20


@pytest.mark.parametrize("name", ["host", "a.host"])
def test_long_and_broken_values_are_told_apart(name: str) -> None:
    correlations = correlations_of(text(condition="{gte: 2}", group_by=f"[{name}]"))

    def fields(value: str) -> dict[str, Any]:
        return {"a": {"host": value}, "host": value}

    for value in ("x" * 10_000 + "1", "x" * 10_000 + "2", "\ud800", "\ud801"):
        assert not give(correlations, 0.0, **fields(value))
        assert [each.group for each in give(correlations, 1.0, **fields(value))] == [{name: value}]


@pytest.mark.parametrize("written", ALL)
def test_a_plan_is_the_same_after_a_cache(written: str) -> None:
    one = plan(written)
    packed = msgspec.msgpack.encode(one)
    assert msgspec.msgpack.decode(packed, type=CorrelationPlan) == one
    assert msgspec.msgpack.decode(packed, type=CorrelationPlan).digest() == one.digest()

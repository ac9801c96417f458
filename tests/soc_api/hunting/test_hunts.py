"""What a hunt does beside matching: time, scope, bounds, correlations, texts that cannot be run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from collector.errors import NotFoundError
from collector.state.scope import Scope
from collector.store.errors import QueryError
from rules.engine import Engine, Event
from soc_api.hunting import service
from soc_api.hunting.errors import HuntError
from soc_api.hunting.models import Question
from soc_api.hunting.service import Hunt
from soc_api.hunting.subject import Subjects
from soc_api.hunting.when import parse_when
from tests.soc_api.hunting.conftest import START, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BEGIN = datetime.fromtimestamp(START, UTC)
RULE = """
title: Dump
id: 7a0a5c6e-9c5b-4b75-9d38-2b1e58c3f001
logsource: {product: windows, category: process_creation}
detection:
  selection: {CommandLine|contains: dump}
  condition: selection
"""
CORRELATION = """
title: Several users fail
id: 7a0a5c6e-9c5b-4b75-9d38-2b1e58c3f003
correlation:
  type: value_count
  rules: [failed]
  group-by: [SourceIP]
  timespan: 10m
  condition: {field: User, gte: 3}
"""
FAILED = """
title: Failed
id: 7a0a5c6e-9c5b-4b75-9d38-2b1e58c3f002
name: failed
logsource: {product: linux, service: auth}
detection:
  selection: {event.action: ssh_login_failed}
  condition: selection
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    store = Stored(tmp_path_factory.mktemp("history"))
    hour: dict[str, Any] = {"every_seconds": 3_600.0}
    store.put(*({"CommandLine": f"{number} DUMP"} for number in range(60)), **hour)  # 0 to 59
    store.put({"CommandLine": "dump"}, simulated=True, **hour)  # 60
    store.put({"CommandLine": "dump"}, agency_id=9, **hour)  # 61
    store.put({"CommandLine": ["x", "Dumper"]}, {"CommandLine": "d\u212aump"}, **hour)  # 62, 63
    store.put(
        *(
            {"event": {"action": "ssh_login_failed"}, "SourceIP": f"10.0.0.{n % 3}", "User": f"u{n % 7}"}
            for n in range(200)
        ),
        product="linux",
        category="",
        service="auth",
        every_seconds=3_600.0,
    )
    yield store
    store.close()


def asked(**changes: Any) -> Question:
    return Question(**{"since": BEGIN, "until": BEGIN + timedelta(days=30), "limit": 1_000, **changes})


def test_hits_are_counted_by_the_day_received_in_indochina_time_and_quiet_days_are_there(
    history: Stored,
) -> None:
    answer = Hunt(history, Subjects().by_text(RULE), asked()).run()
    local = [BEGIN + timedelta(hours=7 + hour) for hour in (*range(60), 61, 62)]
    expected = {
        day: sum(each.date().isoformat() == day for each in local)
        for day in {each.date().isoformat() for each in local}
    }
    assert {day.day: day.hits for day in answer.days if day.hits} == expected
    assert len(answer.days) == 31
    assert answer.title["en"] == "Dump"


def test_lists_and_odd_letters_are_looked_at_by_the_engine(history: Stored) -> None:
    answer = Hunt(history, Subjects().by_text(RULE), asked()).run()
    assert "00000062" in {each.event_id for each in answer.found}
    assert "00000063" not in {each.event_id for each in answer.found}
    assert answer.method == "checked"
    assert answer.checked == 2


def test_the_newest_are_given_and_all_are_counted(history: Stored) -> None:
    answer = Hunt(history, Subjects().by_text(RULE), asked(limit=3)).run()
    assert [each.event_id for each in answer.found] == ["00000062", "00000061", "00000059"]
    assert answer.hits == 62


def test_a_preview_gives_no_events(history: Stored) -> None:
    answer = Hunt(history, Subjects().by_text(RULE), asked(limit=0)).run()
    assert (answer.hits, answer.found) == (62, [])


def test_only_what_was_received_in_the_time_counts_the_beginning_included(history: Stored) -> None:
    question = asked(since=BEGIN + timedelta(hours=10), until=BEGIN + timedelta(hours=12))
    answer = Hunt(history, Subjects().by_text(RULE), question).run()
    assert [each.event_id for each in answer.found] == ["00000011", "00000010"]


def test_simulated_events_and_other_agencies_stay_out_unless_they_are_asked_for(history: Stored) -> None:
    subject = Subjects().by_text(RULE)
    assert Hunt(history, subject, asked(simulated=True)).run().hits == 63
    assert Hunt(history, subject, asked(scope=Scope(frozenset({9})))).run().hits == 1
    assert Hunt(history, subject, asked(scope=Scope(frozenset()))).run().hits == 0


def test_a_correlation_completes_with_the_events_with_which_the_live_engine_completes_it(
    history: Stored,
) -> None:
    text = CORRELATION.replace("10m", "12h")
    live = Engine([text, FAILED])
    expected = []
    for number in range(200):
        fields = {
            "event": {"action": "ssh_login_failed"},
            "SourceIP": f"10.0.0.{number % 3}",
            "User": f"u{number % 7}",
        }
        event = Event(f"{64 + number:08d}", START + (64 + number) * 3_600, "linux", "", "auth", fields)
        expected += [(finding.event.id, finding.group) for finding in live.process(event)]
    answer = Hunt(history, Subjects().by_text(f"{text}\n---\n{FAILED}"), asked()).run()
    assert expected
    assert [(each.event_id, dict(each.group)) for each in reversed(answer.found)] == expected
    assert answer.method == "correlated"
    assert answer.found[0].events > 1


def test_a_hunt_is_stopped_by_whoever_asked_and_says_what_it_looked_at(history: Stored) -> None:
    turns = iter([False, True])
    answer = Hunt(history, Subjects().by_text(RULE), asked(), stop=lambda: next(turns)).run()
    assert (answer.complete, answer.stopped) == (False, "cancelled")
    assert answer.covered_until == asked().until
    assert answer.covered_since > BEGIN


def test_a_hunt_ends_with_its_time(history: Stored) -> None:
    assert Hunt(history, Subjects().by_text(RULE), asked(seconds=-1)).run().stopped == "time"


def test_the_engine_looks_at_no_more_than_so_many_events(
    history: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_CHECKED", 1)
    assert Hunt(history, Subjects().by_text(RULE), asked()).run().stopped == "rows"


class Slow:
    """A store that gives up on anything wider than an hour."""

    def __init__(self, store: Stored) -> None:
        self._store = store
        self.refused = 0

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, since: datetime | None = None
    ) -> list[dict[str, Any]]:
        values: Mapping[str, Any] = parameters or {}
        if values["until"] - values["since"] > 3_600_000_000 * 24:
            self.refused += 1
            raise QueryError("Timeout exceeded: elapsed 10.01 seconds, maximum: 10")
        return self._store.query(sql, parameters, since=since)


def test_a_slice_that_is_too_much_for_the_store_is_asked_again_in_parts(history: Stored) -> None:
    store = Slow(history)
    assert Hunt(store, Subjects().by_text(RULE), asked()).run().hits == 62
    assert store.refused > 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "not YAML"),
        ("{}", "title"),
        (RULE.replace("condition: selection", "condition: selecton"), ""),
        (CORRELATION, "known"),
        (f"{RULE}\n---\n{FAILED}", "one at a time"),
        ("x" * (1 << 21), "longer"),
    ],
)
def test_a_text_that_cannot_be_run_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(HuntError) as caught:
        Subjects().by_text(text)
    assert reason in str(caught.value)


def test_an_id_that_nobody_knows_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        Subjects().by_id("nothing")


def test_what_a_rule_says_is_bound_and_never_part_of_the_query() -> None:
    hostile = "') OR 1=1 --\\' {x:String}"
    plan = Subjects().by_text(RULE.replace("dump", f'"{hostile}"'.replace("\\", "\\\\"))).plan
    assert not any(
        hostile.lower()[:8] in text for text in (plan.sure, plan.maybe, plan.cheap, plan.literal, plan.narrow)
    )
    assert hostile.lower() in plan.values.values()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", datetime(2026, 10, 22, 3, 0, tzinfo=UTC)),
        ("90m", datetime(2026, 11, 21, 1, 30, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 10, 31, 17, 0, tzinfo=UTC)),
        ("2026-11-01T00:00:00+00:00", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_times_are_written_as_people_do(text: str, expected: datetime) -> None:
    assert parse_when(text, datetime(2026, 11, 21, 3, 0, tzinfo=UTC)) == expected


@pytest.mark.parametrize("text", ["", "30", "yesterday", "-3d", "999999999d", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        parse_when(text, datetime(2026, 11, 21, tzinfo=UTC))

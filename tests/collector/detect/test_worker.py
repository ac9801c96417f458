"""The worker: what it makes of batches, and that a crash anywhere leaves nothing missing and nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from sqlalchemy import select

from collector.detect.commit import commit_step
from collector.detect.patience import StoppedError
from collector.detect.upkeep import Upkeep
from collector.log.errors import LogDamagedError
from collector.partitions import all_from
from collector.settings import Detect, Settings
from collector.state.tables import Alert, AlertEvidence, DeadLetter, Document, Endpoint, Stream
from tests.collector.pipeline import STREAM, T0, Clock, MemoryLog, Pipeline, add_endpoint, document, event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.alerts.service import Applied
    from collector.detect.step import WorkStep
    from collector.log.interface import LogRow

BAD_PROCESS = """
title: Bad process
id: 00000000-0000-4000-8000-000000000001
status: test
level: high
logsource: {product: linux, category: process_creation}
detection: {selection: {Image|endswith: /evil}, condition: selection}
"""
ANTIVIRUS_OFF = """
title: Antivirus off
id: 00000000-0000-4000-8000-000000000002
status: test
level: high
logsource: {product: vonggac, category: antivirus}
detection: {selection: {antivirus.state: 'off'}, condition: selection}
vonggac: {subject: [host.id, antivirus.product], clears: true}
"""
BURST = """
title: Failed sign-in
id: 00000000-0000-4000-8000-000000000003
name: failed
status: test
level: low
logsource: {product: linux, category: auth}
detection: {selection: {event.action: ssh_login_failed}, condition: selection}
---
title: Burst of failures
id: 00000000-0000-4000-8000-000000000004
status: test
level: high
correlation: {type: event_count, rules: [failed], group-by: [host.id], timespan: 5m, condition: {gte: 3}}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path, BAD_PROCESS, ANTIVIRUS_OFF, BURST)


def alerts(pipeline: Pipeline) -> list[tuple[str, str, int]]:
    with pipeline.state.read() as session:
        rows = session.scalars(select(Alert).order_by(Alert.id)).all()
        return [(row.rule_id[-1], row.subject, row.count) for row in rows]


def test_an_event_is_stored_with_its_context_and_opens_an_alert(pipeline: Pipeline) -> None:
    pipeline.batch(events=[event(Image="/tmp/evil"), event(Image="/bin/ls")])
    pipeline.work()
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    first, second = pipeline.store.events
    assert (first.rules, second.rules) == (["00000000-0000-4000-8000-000000000001"], [])
    fields = pipeline.store.of("process_creation")[0]
    assert fields["host"] == {"id": "ep-1", "name": "host-ep-1", "role": "unknown"}
    assert fields["agency"]["code"] == "so-tai-chinh"
    assert fields["event"]["id"] == first.event_id
    assert len(first.event_id) == 32


def test_an_agent_cannot_speak_for_another_host_or_for_the_collector(pipeline: Pipeline) -> None:
    spoof = event(Image="/bin/ls")
    spoof["fields"] |= {"host.id": "victim", "agency": {"id": 99}, "simulated": True, "event.id": "x"}
    own = {"time": T0, "logsource": {"product": "VongGac", "category": "silence"}, "fields": {}}
    pipeline.batch(events=[spoof, own], documents=[document("protection", {"state": "protected"})])
    pipeline.work()
    (fields,) = pipeline.store.of("process_creation")
    assert fields["host"]["id"] == "ep-1"
    assert "host.id" not in fields
    assert fields["agency"]["id"] == pipeline.agency_id
    assert fields["simulated"] is False
    assert fields["event"]["id"] != "x"
    with pipeline.state.read() as session:
        reasons = {letter.part: letter.reason for letter in session.scalars(select(DeadLetter))}
    assert set(reasons) == {"events[1]", "documents[0]"}
    assert pipeline.store.of("silence") == []


def test_a_bad_part_is_a_dead_letter_and_the_rest_goes_on(pipeline: Pipeline) -> None:
    pipeline.batch(events=[{"time": "noon"}, event(Image="/tmp/evil")], metrics=[{"name": "x"}])
    pipeline.work()
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    with pipeline.state.read() as session:
        parts = session.scalars(select(DeadLetter.part).order_by(DeadLetter.part)).all()
        endpoint = session.get_one(Endpoint, "ep-1")
    assert parts == ["events[0]", "metrics[0]"]
    assert endpoint.dead_letters == 2


def test_rubbish_does_not_stop_what_comes_after_it(pipeline: Pipeline) -> None:
    pipeline.raw(b"no zstandard at all")
    pipeline.raw(b"")
    pipeline.batch(events=[event(Image="/tmp/evil")])
    pipeline.work()
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    with pipeline.state.read() as session:
        assert len(session.scalars(select(DeadLetter)).all()) == 2
        assert session.get_one(Stream, ("ep-1", STREAM)).missing == 0


def test_dead_letters_of_one_batch_and_of_one_endpoint_are_bounded_but_all_counted(
    pipeline: Pipeline,
) -> None:
    for _ in range(15):
        pipeline.batch(events=[{"bad": 1}] * 50)
    pipeline.work()
    with pipeline.state.read() as session:
        letters = session.scalars(select(DeadLetter)).all()
        assert len(letters) == 200
        assert session.get_one(Endpoint, "ep-1").dead_letters == 300
    assert "31 further parts" in max(letters, key=lambda letter: letter.id).reason


def test_a_repeated_batch_changes_nothing(pipeline: Pipeline) -> None:
    for seq in (1, 1):
        pipeline.batch(seq=seq, events=[event(Image="/tmp/evil")])
    pipeline.work()
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    assert len(pipeline.store.events) == 1
    assert pipeline.worker.metrics.repeated._value.get() == 1


def test_missing_numbers_are_counted_and_a_late_one_is_taken_back(pipeline: Pipeline) -> None:
    pipeline.batch(seq=1)
    pipeline.batch(seq=5)
    pipeline.batch(seq=3, events=[event(Image="/tmp/evil")])
    pipeline.work()
    (lost,) = pipeline.store.of("stream")
    assert (lost["stream"]["missing"], lost["stream"]["new_missing"]) == (3, 3)
    with pipeline.state.read() as session:
        stream = session.get_one(Stream, ("ep-1", STREAM))
    assert (stream.last_seq, stream.missing, stream.gaps) == (5, 2, [[2, 2], [4, 4]])
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]


def test_what_an_agent_dropped_is_told_when_it_grows(pipeline: Pipeline) -> None:
    pipeline.batch(dropped={"events": 3})
    pipeline.batch(dropped={"events": 3})
    pipeline.batch(dropped={"events": 5, "metrics": 1})
    pipeline.work()
    assert [each["stream"]["new_dropped"] for each in pipeline.store.of("stream")] == [3, 3]


@pytest.mark.parametrize("year", [-2208988800.0, T0 + 10 * 365 * 86400, 1e300, -1e300])
def test_an_absurd_time_is_kept_as_claimed_and_not_believed(pipeline: Pipeline, year: float) -> None:
    pipeline.batch(events=[event(year, Image="/tmp/evil")])
    pipeline.work()
    (row,) = pipeline.store.events
    assert row.time == T0
    (fields,) = pipeline.store.of("process_creation")
    assert fields["event"]["time_suspicious"] is True
    assert fields["event"]["reported_time"] == year
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]


def test_a_document_seen_first_changes_and_goes_away_as_events(pipeline: Pipeline) -> None:
    disk = {"mount": "/", "used_percent": 50, "read_only": False}
    pipeline.batch(documents=[document("storage", disk, "/")])
    pipeline.batch(documents=[document("storage", disk, "/")])
    pipeline.batch(documents=[document("storage", {**disk, "used_percent": 95}, "/")])
    pipeline.batch(documents=[document("storage", None, "/")])
    pipeline.work()
    first, changed, removed = pipeline.store.of("storage")
    assert (first["event"]["action"], first["changed"]) == ("first", [])
    assert changed["changed"] == ["storage.used_percent"]
    assert changed["previous"]["storage"] == {"used_percent": 50}
    assert changed["storage"]["used_percent"] == 95
    assert removed["event"]["action"] == "removed"
    assert removed["storage"]["mount"] == "/"
    with pipeline.state.read() as session:
        assert session.scalars(select(Document.kind)).all() == []


def test_software_tells_only_what_came_and_went(pipeline: Pipeline) -> None:
    def packages(*pairs: tuple[str, str]) -> dict[str, object]:
        listed = [{"name": n, "version": v, "architecture": "amd64", "manager": "dpkg"} for n, v in pairs]
        return {"packages": listed, "count": len(listed)}

    pipeline.batch(documents=[document("software", packages(("bash", "1"), ("vim", "1")))])
    pipeline.batch(documents=[document("software", packages(("bash", "2"), ("nmap", "7")))])
    pipeline.work()
    first, second = (fields["software"] for fields in pipeline.store.of("software"))
    assert first == {"count": 2}
    assert [package["name"] for package in second["added"]] == ["nmap"]
    assert [package["name"] for package in second["removed"]] == ["vim"]
    assert second["updated"][0]["previous_version"] == "1"


def test_an_alert_clears_when_the_state_has_passed_and_opens_again_after_it_was_closed(
    pipeline: Pipeline,
) -> None:
    for state in ("off", "on"):
        pipeline.batch(documents=[document("antivirus", {"product": "clamav", "state": state}, "clamav")])
        pipeline.work()
    with pipeline.state.write() as session:
        (alert,) = session.scalars(select(Alert))
        assert alert.subject == "host-ep-1 · clamav"
        assert alert.cleared_at is not None
        alert.status = "closed"
    pipeline.batch(documents=[document("antivirus", {"product": "clamav", "state": "off"}, "clamav")])
    pipeline.work()
    with pipeline.state.read() as session:
        newest = session.scalars(select(Alert).order_by(Alert.id.desc())).first()
    assert newest is not None
    assert (newest.status, newest.cleared_at, newest.count) == ("open", None, 1)


def test_protection_is_summed_up_when_it_changes(pipeline: Pipeline) -> None:
    def clamav(**more: object) -> dict[str, Any]:
        return document(
            "antivirus", {"product": "clamav", "state": "on", "signature_time": T0 - 86400, **more}, "clamav"
        )

    pipeline.batch(documents=[clamav()])
    pipeline.batch(documents=[clamav(engine_version="1.4")])
    pipeline.batch(documents=[clamav(state="off")])
    pipeline.batch(
        health=[{"name": "antivirus_clamav", "ok": False, "duration_seconds": 1.0, "reason": "timeout"}]
    )
    pipeline.work()
    states = [fields["protection"]["state"] for fields in pipeline.store.of("protection")]
    assert states == ["protected", "off", "unknown"]
    assert pipeline.store.of("protection")[1]["previous"]["protection"]["state"] == "protected"
    assert pipeline.store.of("antivirus")[0]["antivirus"]["signature_age_days"] == 1
    assert pipeline.store.of("antivirus")[0]["antivirus"]["signature_overdue_days"] == -2
    (health,) = pipeline.store.of("collector_health")
    assert health["health"]["ok"] is False


def test_the_clock_tells_each_day_once_even_over_a_restart(pipeline: Pipeline) -> None:
    body = {"product": "clamav", "state": "on", "signature_time": T0 - 3600}
    pipeline.batch(documents=[document("antivirus", body, "clamav")])
    pipeline.work()
    for seconds in (3600, 82_800, 82_900, 169_200):
        pipeline.clock.seconds = T0 + seconds
        pipeline.restart()
        pipeline.turn()
        pipeline.turn()
    passed = [
        fields for fields in pipeline.store.of("antivirus") if fields["event"]["action"] == "day_passed"
    ]
    assert [fields["antivirus"]["signature_age_days"] for fields in passed] == [1, 2]
    assert passed[1]["previous"] == {"antivirus": {"signature_age_days": 1}}
    assert [fields["protection"]["signature_age_days"] for fields in pipeline.store.of("protection")] == [
        0,
        1,
        2,
    ]


def test_silence_is_told_at_each_mark_once_and_so_is_the_return(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, settings=Settings(detect=Detect(silence_marks_seconds=(900, 3600))))
    pipeline.heartbeat()
    pipeline.work()
    for seconds in (100, 901, 950, 3601, 9000):
        pipeline.clock.seconds = T0 + seconds
        pipeline.turn()
    assert [fields["silence"]["seconds"] for fields in pipeline.store.of("silence")] == [900, 3600]
    pipeline.heartbeat()
    pipeline.work()
    back = pipeline.store.of("silence")[-1]
    assert (back["silence"]["seconds"], back["previous"]["silence"]["seconds"]) == (0, 3600)
    assert back["event"]["action"] == "returned"


def test_machines_that_are_told_of_already_do_not_hide_the_next(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.detect.clock._MAX_DUE", 2)
    for name in ("a", "b", "c", "d", "e"):
        add_endpoint(pipeline.state, name, pipeline.agency_id)
    pipeline.clock.seconds += 1000
    for _ in range(4):
        pipeline.turn()
    told = {fields["host"]["id"] for fields in pipeline.store.of("silence")}
    assert told >= {"a", "b", "c", "d", "e"}


def test_after_the_collector_was_away_nobody_is_called_silent_at_once(pipeline: Pipeline) -> None:
    pipeline.heartbeat()
    pipeline.work()
    pipeline.clock.seconds = T0 + 7200
    pipeline.restart()
    pipeline.turn()
    assert pipeline.store.of("silence") == []
    pipeline.clock.seconds += 901
    pipeline.turn()
    assert [fields["silence"]["seconds"] for fields in pipeline.store.of("silence")] == [3600]


def test_a_skewed_clock_is_told_when_it_moves(pipeline: Pipeline) -> None:
    for skew in (0.4, 400.0, 402.0, 0.1):
        pipeline.heartbeat(skew=skew)
    pipeline.work()
    assert [fields["clock"]["skew_abs_seconds"] for fields in pipeline.store.of("clock")] == [400.0, 0.1]


def test_a_removed_endpoint_does_not_stop_its_waiting_batches_or_others(pipeline: Pipeline) -> None:
    pipeline.batch(endpoint_id="gone", events=[event(Image="/tmp/evil")])
    pipeline.batch(events=[event(Image="/tmp/evil")])
    pipeline.work()
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    assert pipeline.worker.metrics.orphaned._value.get() == 1


def test_an_endpoint_removed_between_reading_and_writing_is_left_out(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = pipeline.store.insert_events

    def remove_then_insert(rows: object, epochs: object) -> None:
        with pipeline.state.write() as session:
            session.delete(session.get_one(Endpoint, "ep-1"))
        insert(rows, epochs)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(pipeline.store, "insert_events", remove_then_insert)
    lan = {"gateway": {"ip": "10.0.0.1", "mac": "00:11:22:33:44:55"}}
    pipeline.batch(
        events=[event(Image="/tmp/evil")],
        documents=[
            document("host", {"name": "a", "mac_addresses": ["00:11:22:33:44:66"]}),
            document("lan", lan),
        ],
    )
    pipeline.work()
    with pipeline.state.read() as session:
        (alert,) = session.scalars(select(Alert))
    assert (alert.endpoint_id, alert.subject) == (None, "a")
    assert pipeline.position == 1


def test_a_store_that_is_away_is_waited_for_and_nothing_counts_twice(pipeline: Pipeline) -> None:
    pipeline.batch(
        events=[event(Image="/tmp/evil")],
        metrics=[{"name": "a.b_ratio", "time": T0, "value": 1.0, "unit": "ratio"}],
    )
    pipeline.store.fail = 3
    pipeline.store.fail_after_insert = 2
    pipeline.work()
    assert len(pipeline.store.events) == 1
    assert len(pipeline.store.metrics) == 1
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    assert pipeline.stop.waits == 5


def test_told_to_stop_while_the_store_is_away_it_gives_the_step_up(pipeline: Pipeline) -> None:
    pipeline.batch(events=[event(Image="/tmp/evil")])
    pipeline.store.fail = 10**9
    pipeline.stop.set()
    with pytest.raises(StoppedError):
        pipeline.worker.step_rows()
    assert pipeline.position == 0


@pytest.mark.parametrize(
    "where", ["before the insert", "after the insert", "before the commit", "after the commit"]
)
def test_a_crash_anywhere_leaves_nothing_missing_and_nothing_twice(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    class Crash(BaseException):
        pass

    def failing(*_: object) -> NoReturn:
        raise Crash

    def after(call: Callable[..., Any]) -> Callable[..., NoReturn]:
        def crashing(*given: Any) -> NoReturn:
            call(*given)
            raise Crash

        return crashing

    for number in range(3):
        fail = {"time": T0 + number, "logsource": {"product": "linux", "category": "auth"}}
        pipeline.batch(
            events=[{**fail, "fields": {"event.action": "ssh_login_failed"}}, event(Image="/tmp/evil")],
            documents=[document("storage", {"used_percent": number}, "/")],
        )
    pipeline.worker._settings = Settings(detect=Detect(batch_rows=2))
    with monkeypatch.context() as patch:
        store, worker = pipeline.store, pipeline.worker._stepper
        insert, commit = store.insert_events, worker._commit
        if where == "before the insert":
            patch.setattr(store, "insert_events", failing)
        elif where == "after the insert":
            patch.setattr(store, "insert_events", after(insert))
        elif where == "before the commit":
            patch.setattr(worker, "_commit", failing)
        else:
            patch.setattr(worker, "_commit", after(commit))
        with pytest.raises(Crash):
            pipeline.worker.step_rows()
    pipeline.restart()
    pipeline.work()
    ids = [row.event_id for row in pipeline.store.events]
    assert len(ids) == len(set(ids)) == 9
    assert sorted(alerts(pipeline)) == [("1", "host-ep-1", 3), ("4", "host-ep-1", 1)]
    assert pipeline.committed() == 3


def test_a_correlation_goes_on_over_a_restart_without_telling_what_it_told(pipeline: Pipeline) -> None:
    def fail(seconds: float) -> None:
        source = {"product": "linux", "category": "auth"}
        pipeline.batch(
            events=[
                {"time": T0 + seconds, "logsource": source, "fields": {"event.action": "ssh_login_failed"}}
            ]
        )
        pipeline.work()

    fail(0)
    fail(1)
    pipeline.restart()
    assert [entry for entry in alerts(pipeline) if entry[0] == "4"] == []
    fail(2)
    assert [entry for entry in alerts(pipeline) if entry[0] == "4"] == [("4", "host-ep-1", 1)]
    pipeline.restart()
    assert [entry for entry in alerts(pipeline) if entry[0] == "4"] == [("4", "host-ep-1", 1)]


def test_an_internal_error_in_one_row_is_a_dead_letter(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr("collector.detect.rows.take_document", explode)
    pipeline.batch(documents=[document("host", {"name": "x"})])
    monkeypatch.setattr("collector.detect.derive.digest_of", explode)
    pipeline.work()
    monkeypatch.undo()
    pipeline.batch(events=[event(Image="/tmp/evil")])
    pipeline.work()
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    with pipeline.state.read() as session:
        (letter,) = session.scalars(select(DeadLetter))
    assert "a bug of ours" in letter.reason


def test_a_row_that_cannot_be_written_is_found_and_put_aside(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_on_the_second(session: Session, step: WorkStep, *rest: Any) -> Applied:
        if any(record.log_offset == 2 for record in step.events):
            raise ZeroDivisionError("a bug of ours")
        return commit_step(session, step, *rest)

    monkeypatch.setattr("collector.detect.stepping.commit_step", fails_on_the_second)
    for _ in range(3):
        pipeline.batch(events=[event(Image="/tmp/evil")])
    pipeline.work()
    assert alerts(pipeline) == [("1", "host-ep-1", 2)]
    assert [row.log_offset for row in pipeline.store.events] == [1, 3]
    with pipeline.state.read() as session:
        (letter,) = session.scalars(select(DeadLetter))
        assert pipeline.committed() == 3
    assert (letter.log_offset, letter.part) == (2, "")
    assert "a bug of ours" in letter.reason


def test_a_step_that_is_done_again_counts_no_event_twice(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {
        "time": T0,
        "logsource": {"product": "linux", "category": "auth"},
        "fields": {"event.action": "ssh_login_failed"},
    }
    calls = 0

    def fails_once(session: Session, step: WorkStep, *rest: Any) -> Applied:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError("a bug of ours")
        return commit_step(session, step, *rest)

    monkeypatch.setattr("collector.detect.stepping.commit_step", fails_once)
    for _ in range(2):
        pipeline.batch(events=[failed])
    pipeline.work()
    assert alerts(pipeline) == []
    assert len(pipeline.store.events) == 2


def test_done_rows_older_than_kept_are_trimmed_from_the_log(pipeline: Pipeline) -> None:
    for hour in range(0, 100, 10):
        pipeline.clock.seconds = T0 + hour * 3600
        pipeline.heartbeat()
    upkeep = Upkeep(pipeline.state, pipeline.log, pipeline.settings)
    upkeep.run(T0 + 90 * 3600)
    assert len(pipeline.log.rows) == 10
    pipeline.work()
    upkeep.run(T0 + 91 * 3600)
    # 72 hours are kept: hours 20 to 90.
    assert [row.offset for row in pipeline.log.rows] == list(range(3, 11))
    pipeline.heartbeat()
    upkeep.run(T0 + 900 * 3600)
    assert [row.offset for row in pipeline.log.rows] == [11]


def test_an_endpoint_that_invents_streams_fills_no_table(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.detect.streams.MAX_STREAMS", 3)
    for number in range(5):
        pipeline.batch(stream=f"{number:032x}", events=[event(Image="/bin/ls")])
    pipeline.work()
    pipeline.batch(stream=f"{9:032x}", events=[event(Image="/bin/ls")])
    pipeline.batch(stream=f"{0:032x}", seq=2, events=[event(Image="/bin/ls")])
    pipeline.work()
    assert [row.log_offset for row in pipeline.store.events] == [1, 2, 3, 7]
    with pipeline.state.read() as session:
        assert len(session.scalars(select(Stream)).all()) == 3
        letters = session.scalars(select(DeadLetter)).all()
    assert {(letter.log_offset, letter.reason) for letter in letters} == {
        (offset, "more than 3 streams") for offset in (4, 5, 6)
    }


def test_rules_that_fail_on_an_event_do_not_lose_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline.worker._stepper._engine, "match", explode)
    pipeline.batch(events=[event(Image="/tmp/evil")])
    pipeline.work()
    assert len(pipeline.store.events) == 1
    assert pipeline.worker.metrics.rule_errors._value.get() == 1


def test_evidence_of_an_alert_is_the_first_ten_and_the_newest_ten(pipeline: Pipeline) -> None:
    for number in range(35):
        pipeline.batch(events=[event(T0 + number, Image="/tmp/evil")])
        if number % 3 == 0:
            pipeline.work()
    pipeline.work()
    assert alerts(pipeline) == [("1", "host-ep-1", 35)]
    with pipeline.state.read() as session:
        times = session.scalars(select(AlertEvidence.event_time).order_by(AlertEvidence.event_time)).all()
    assert [time.timestamp() - T0 for time in times] == [*range(10), *range(25, 35)]


def test_ids_depend_on_the_batch_alone(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pipeline = Pipeline(tmp_path / name)
        pipeline.batch(events=[event(Image="a"), event(Image="a")], documents=[document("lan", {"a": 1})])
        pipeline.work()
        ids.append([row.event_id for row in pipeline.store.events])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3


def test_run_works_until_it_is_told_to_stop(pipeline: Pipeline) -> None:
    pipeline.batch(events=[event(Image="/tmp/evil")])
    pipeline.clock = Clock()

    def wait(_timeout: float | None = None) -> bool:
        pipeline.stop.set()
        return True

    pipeline.stop.wait = wait  # type: ignore[assignment,method-assign] # the loop's only pause
    pipeline.worker.run()
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    assert pipeline.committed() == 1


def test_under_steady_load_the_clock_still_runs(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    add_endpoint(pipeline.state, "quiet", pipeline.agency_id)
    pipeline.clock.seconds += 1000
    read = pipeline.log.read

    def never_empty(positions: Mapping[int, int], limit: int) -> list[LogRow]:
        pipeline.heartbeat()
        if len(pipeline.log.rows) > 20:
            pipeline.stop.set()
        return read(positions, limit)

    monkeypatch.setattr(pipeline.log, "read", never_empty)
    pipeline.worker.run()
    assert [fields["host"]["id"] for fields in pipeline.store.of("silence")] == ["quiet"]


def test_far_behind_nobody_is_called_silent(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    add_endpoint(pipeline.state, "quiet", pipeline.agency_id)
    for _ in range(20):
        pipeline.heartbeat()
    pipeline.clock.seconds += 1000
    pipeline.worker._settings = Settings(detect=Detect(batch_rows=1))
    steps = pipeline.worker.step_rows

    def step() -> int:
        taken = steps()
        if pipeline.position == 19:
            pipeline.stop.set()
        return taken

    monkeypatch.setattr(pipeline.worker, "step_rows", step)
    pipeline.worker.run()
    assert pipeline.store.of("silence") == []


def test_a_log_that_is_behind_the_checkpoint_is_not_read_in_silence(pipeline: Pipeline) -> None:
    pipeline.heartbeat()
    pipeline.heartbeat()
    pipeline.work()
    pipeline.log = MemoryLog()
    with pytest.raises(LogDamagedError, match="ends at offset 0, but 2 were read already"):
        pipeline.restart()


def test_rows_that_a_healthy_store_refuses_are_dead_letters_and_the_rest_goes_in_once(
    pipeline: Pipeline,
) -> None:
    images = ["/bin/ls", "/bad/one", "/tmp/evil", "/bad/two", "/bin/cat"]
    metrics = [
        {"name": name, "time": T0, "value": 1.0, "unit": "ratio"} for name in ("a.b_ratio", "a.bad_ratio")
    ]
    pipeline.store.refused = "bad"
    pipeline.batch(events=[event(Image=image) for image in images], metrics=metrics)
    pipeline.batch(events=[event(Image="/bin/true")])
    pipeline.work()
    stored = [fields["Image"] for fields in pipeline.store.of("process_creation")]
    assert stored == ["/bin/ls", "/tmp/evil", "/bin/cat", "/bin/true"]
    assert [row.name for row in pipeline.store.metrics] == ["a.b_ratio"]
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    assert pipeline.position == 2
    assert pipeline.store.rewind(all_from(2), {}) == 0
    with pipeline.state.read() as session:
        letters = session.scalars(select(DeadLetter).order_by(DeadLetter.id)).all()
    assert [letter.log_offset for letter in letters] == [1, 1, 1]
    assert letters[0].reason == "refused by the event store: Code: 117. bad is not to its taste"
    assert b"/bad/one" in letters[0].body
    assert b"a.bad_ratio" in letters[2].body


@pytest.mark.parametrize("inserts", [4, 5, 6, 7, 30])
def test_a_store_whose_disk_is_full_is_waited_for_and_no_row_is_blamed(
    pipeline: Pipeline, inserts: int
) -> None:
    pipeline.batch(events=[event(Image="/tmp/evil"), event(Image="/bin/ls")])
    pipeline.store.full = inserts
    pipeline.work()
    assert len(pipeline.store.events) == 2
    assert alerts(pipeline) == [("1", "host-ep-1", 1)]
    with pipeline.state.read() as session:
        assert session.scalars(select(DeadLetter)).all() == []


def test_an_event_of_the_clock_that_is_refused_is_a_dead_letter_too(pipeline: Pipeline) -> None:
    add_endpoint(pipeline.state, "bad", pipeline.agency_id)
    pipeline.store.refused = "host-bad"
    pipeline.clock.seconds += 1000
    pipeline.turn()
    assert [fields["host"]["id"] for fields in pipeline.store.of("silence")] == ["ep-1"]
    assert len(pipeline.store.events) == 1
    with pipeline.state.read() as session:
        (letter,) = session.scalars(select(DeadLetter))
    assert letter.endpoint_id == "bad"


def test_a_worker_that_is_close_behind_rests_after_a_step_so_that_the_next_holds_more(
    pipeline: Pipeline,
) -> None:
    pipeline.batch(events=[event()])
    pipeline.worker.step_rows()
    assert 0 < pipeline.worker.rest_seconds <= 0.5


def test_a_worker_that_is_behind_does_not_rest(pipeline: Pipeline) -> None:
    pipeline.batch(events=[event()])
    pipeline.clock.seconds += 3.0
    pipeline.worker.step_rows()
    assert pipeline.worker.rest_seconds == 0.0

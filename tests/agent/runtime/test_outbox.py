from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.registry import Output
from agent.messages import (
    MAX_BATCH_PARTS,
    MAX_BODY_BYTES,
    Batch,
    CollectorHealth,
    Event,
    Importance,
    LogSource,
    Metric,
    StatusDocument,
    decode_batch,
)
from agent.reasons import translate
from agent.runtime.errors import SpoolError
from agent.runtime.outbox import OFFLINE_GATHER_SECONDS, InvalidOutputError, Outbox
from agent.runtime.packing import Content, pack
from agent.runtime.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path


class Bench:
    def __init__(self, folder: Path, limit: int = 8 << 20, **more: Any) -> None:
        self.clock = 1000.0
        self.spool = Spool(folder / "spool", folder / "cursors.json", limit)
        self.outbox = Outbox(self.spool, time=self.now, monotonic=self.now, metrics_seconds=300, **more)

    def now(self) -> float:
        return self.clock

    def take(self, output: Output, name: str = "host", **memory: Any) -> None:
        self.outbox.take(name, output, {**self.outbox.memory(name), **memory})

    def sent(self) -> list[Batch]:
        """Everything that is in the spool, taken out of it."""
        batches: list[Batch] = []
        while (outgoing := self.spool.next()) is not None:
            batches.append(unpacked(outgoing.body))
            self.spool.acknowledge(outgoing)
        return batches

    def flushed(self) -> list[Batch]:
        self.outbox.flush()
        return self.sent()


def unpacked(body: bytes) -> Batch:
    return decode_batch(zstandard.ZstdDecompressor().decompress(body))


def document(item: str = "", **body: object) -> StatusDocument:
    return StatusDocument(kind="storage", item=item, observed_at=1.0, body=body)


def event(**fields: object) -> Event:
    return Event(time=1.0, logsource=LogSource(product="linux", service="auth"), fields=fields)


def metric(value: float = 1.0) -> Metric:
    return Metric(name="host.uptime_seconds", time=1.0, value=value, unit="seconds")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_unchanged_document_is_not_sent_again(bench: Bench) -> None:
    bench.take(Output(documents=[document(used_percent=10)]))
    assert [d.body for b in bench.flushed() for d in b.documents] == [{"used_percent": 10}]
    later = StatusDocument(kind="storage", observed_at=99.0, body={"used_percent": 10})
    bench.take(Output(documents=[later]))
    assert bench.outbox.due() == float("inf")
    assert bench.flushed() == []
    bench.take(Output(documents=[document(used_percent=11)]))
    assert len(bench.flushed()) == 1


def test_the_order_of_keys_is_not_a_change(bench: Bench) -> None:
    bench.take(Output(documents=[document(a=1, b=2)]))
    assert len(bench.flushed()) == 1
    bench.take(Output(documents=[document(b=2, a=1)]))
    assert bench.flushed() == []


def test_an_unchanged_document_is_not_sent_again_after_a_restart(bench: Bench, tmp_path: Path) -> None:
    bench.take(Output(documents=[document(used_percent=10)]))
    bench.outbox.flush()
    again = Bench(tmp_path)
    again.take(Output(documents=[document(used_percent=10)]))
    assert len(again.flushed()) == 1


def test_an_item_that_is_no_longer_reported_is_said_to_be_gone_once(bench: Bench) -> None:
    bench.take(Output(documents=[document("/", a=1), document("/mnt", a=1)]))
    assert len(bench.flushed()) == 1
    bench.take(Output(documents=[document("/", a=1)]))
    assert [(d.item, d.body) for b in bench.flushed() for d in b.documents] == [("/mnt", None)]
    bench.take(Output(documents=[document("/", a=1)]))
    assert bench.flushed() == []


def test_an_item_gone_and_back_before_anything_was_sent_is_not_news(bench: Bench) -> None:
    bench.take(Output(documents=[document("/", a=1)]))
    assert len(bench.flushed()) == 1
    bench.take(Output())
    bench.take(Output(documents=[document("/", a=1)]))
    assert [d.body for b in bench.flushed() for d in b.documents] == [{"a": 1}]


def test_one_collectors_silence_says_nothing_of_anothers_documents(bench: Bench) -> None:
    bench.take(Output(documents=[document("/", a=1)]), name="storage")
    assert len(bench.flushed()) == 1
    bench.take(Output(), name="host")
    assert bench.flushed() == []


def test_documents_of_a_collector_that_was_turned_off_are_gone(bench: Bench) -> None:
    bench.take(Output(documents=[document("/", a=1)]), name="storage")
    assert len(bench.flushed()) == 1
    bench.outbox.retire(["host"])
    assert [d.body for b in bench.flushed() for d in b.documents] == [None]


def test_events_are_due_at_once_documents_in_a_second_metrics_in_five_minutes(bench: Bench) -> None:
    bench.take(Output(metrics=[metric()]))
    assert bench.outbox.due() == 1300.0
    bench.take(Output(documents=[document(a=1)]))
    assert bench.outbox.due() == 1001.0
    bench.take(Output(events=[event(User="lan")]))
    assert bench.outbox.due() == 1000.0
    assert [(len(b.events), len(b.documents), len(b.metrics)) for b in bench.flushed()] == [
        (0, 1, 0),
        (1, 0, 1),
    ]


def test_what_an_antivirus_found_and_status_leave_before_everything_else(bench: Bench) -> None:
    found = Event(time=1.0, logsource=LogSource(product="linux", category="antivirus"), fields={"n": 2})
    for number in range(3):
        bench.take(Output(events=[event(n=number)], metrics=[metric()]))
        bench.outbox.flush()
    bench.take(Output(metrics=[metric()]))
    bench.outbox.flush()
    bench.take(Output(events=[event(n=3), found], documents=[document(a=1)], metrics=[metric()]))
    bench.outbox.flush()
    order = []
    while (outgoing := bench.spool.next()) is not None:
        batch = unpacked(outgoing.body)
        order.append((outgoing.importance, [e.fields["n"] for e in batch.events], len(batch.documents)))
        bench.spool.acknowledge(outgoing)
    assert order == [
        (Importance.STATUS, [2], 0),
        (Importance.STATUS, [], 1),
        *((Importance.EVENTS, [number], 0) for number in range(4)),
        (Importance.CHATTER, [], 0),
    ]


def test_events_are_gathered_while_nobody_can_be_reached(bench: Bench) -> None:
    bench.outbox.offline = True
    bench.take(Output(events=[event(User="lan")]))
    assert bench.outbox.due() == 1000.0 + OFFLINE_GATHER_SECONDS


def test_a_collectors_memory_is_saved_with_its_events(bench: Bench, tmp_path: Path) -> None:
    bench.take(Output(events=[event(User="lan")]), name="auth_log", offset=10)
    assert bench.outbox.memory("auth_log") == {"offset": 10}
    assert Bench(tmp_path).outbox.memory("auth_log") == {}
    bench.outbox.flush()
    assert Bench(tmp_path).outbox.memory("auth_log") == {"offset": 10}


def test_a_memory_that_moved_over_nothing_is_saved_on_a_clean_stop(bench: Bench, tmp_path: Path) -> None:
    bench.take(Output(), name="auth_log", offset=10)
    assert bench.flushed() == []
    bench.outbox.checkpoint()
    assert Bench(tmp_path).outbox.memory("auth_log") == {"offset": 10}


def test_a_run_cannot_change_the_memory_it_was_given(bench: Bench) -> None:
    bench.take(Output(), name="auth_log", seen=[1])
    bench.outbox.memory("auth_log")["seen"].append(2)
    assert bench.outbox.memory("auth_log") == {"seen": [1]}


@pytest.mark.parametrize(
    "output",
    [
        Output(documents=[StatusDocument(kind="Not A Kind", observed_at=1.0, body={})]),
        Output(documents=[StatusDocument(kind="host", observed_at=1.0, body={"a": object()})]),
        Output(documents=[StatusDocument(kind="host", observed_at=1.0, body={}, item="a\x1fb")]),
        Output(metrics=[Metric(name="x", time=1.0, value=float("nan"), unit="count")]),
    ],
)
def test_what_the_contract_does_not_allow_never_reaches_the_spool(bench: Bench, output: Output) -> None:
    with pytest.raises(InvalidOutputError):
        bench.take(output)
    assert bench.flushed() == []


def test_an_event_that_cannot_be_encoded_is_counted_and_the_others_go(bench: Bench) -> None:
    bad = [event(Message="\udcff"), event(Message=object())]
    bench.take(Output(events=[event(n=1), bad[0], event(n=2), bad[1], event(n=3)]))
    (batch,) = bench.flushed()
    assert [e.fields["n"] for e in batch.events] == [1, 2, 3]
    assert batch.dropped == {"events": 2}


def test_health_travels_when_it_changes(bench: Bench) -> None:
    fine = CollectorHealth(name="lan", ok=True, duration_seconds=0.1)
    bench.outbox.report(fine)
    bench.outbox.report(CollectorHealth(name="lan", ok=True, duration_seconds=0.2))
    bench.outbox.report(CollectorHealth(name="lan", ok=False, duration_seconds=0.2, reason="x"))
    (batch,) = bench.flushed()
    assert [(h.ok, h.reason) for h in batch.health] == [(False, "x")]


def test_a_document_let_go_by_a_full_spool_is_owed_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limit=70_000)
    noise = os.urandom(20_000).hex()
    bench.take(Output(documents=[document(a=noise)]))
    bench.outbox.flush()
    for _ in range(3):
        bench.take(Output(events=[event(a=os.urandom(20_000).hex())]), name="auth_log")
        bench.outbox.flush()
    assert bench.spool.documents_lost
    assert all(not b.documents for b in bench.sent())
    bench.take(Output(documents=[document(a=noise)]))
    (batch,) = bench.flushed()
    assert [d.body for d in batch.documents] == [{"a": noise}]
    assert batch.dropped == {"documents": 1}


def test_nothing_is_forgotten_while_the_disk_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("agent.runtime.spool.write_atomically", full)
        bench.take(Output(events=[event(n=1)], documents=[document(a=1)]), offset=1)
        with pytest.raises(SpoolError):
            bench.outbox.flush()
        assert bench.outbox.due() > bench.clock
        bench.take(Output(events=[event(n=2)], documents=[document(a=1)]), offset=2)
    status, events = bench.flushed()
    assert [e.fields["n"] for e in events.events] == [1, 2]
    assert len(status.documents) == 1
    assert bench.spool.saved.cursors == {"host": {"offset": 2}}


def test_much_content_becomes_several_batches_in_order_none_too_large(bench: Bench) -> None:
    events = [event(n=n, noise=os.urandom(2000).hex()) for n in range(1500)]
    bench.take(Output(events=events, documents=[document(a=1)], metrics=[metric()]), offset=1500)
    bench.outbox.flush()
    numbers: list[int] = []
    documents = 0
    while (outgoing := bench.spool.next()) is not None:
        assert len(outgoing.body) <= MAX_BODY_BYTES
        batch = unpacked(outgoing.body)
        numbers += [e.fields["n"] for e in batch.events]
        documents += len(batch.documents)
        bench.spool.acknowledge(outgoing)
    assert numbers == list(range(1500))
    assert documents == 1


def test_a_crowd_of_small_parts_becomes_batches_that_the_collector_reads() -> None:
    crowd = Content(metrics=[metric()] * (MAX_BATCH_PARTS + 1))
    pieces, left_out = pack(crowd, 0.0, {})
    assert [piece.counts["metrics"] for piece in pieces] == [MAX_BATCH_PARTS // 2, MAX_BATCH_PARTS // 2 + 1]
    assert left_out.empty


def test_an_item_that_no_batch_can_carry_is_counted(bench: Bench) -> None:
    bench.take(Output(events=[event(n=1), event(noise=os.urandom(3 << 20).hex()), event(n=2)]))
    batches = bench.flushed()
    assert [e.fields["n"] for b in batches for e in b.events] == [1, 2]
    assert bench.spool.saved.dropped == {"events": 1}


def test_what_another_source_tells_now_is_not_said_to_be_gone(tmp_path: Path) -> None:
    """A part that has another name since an update, beside a collector of its former name."""
    before = Bench(tmp_path)
    before.take(Output(documents=[document("portal", state="up")]), name="services")
    before.flushed()
    bench = Bench(tmp_path)
    bench.outbox.retire({"services", "service_checks"})
    bench.take(Output(documents=[document("portal", state="up")]), name="service_checks")
    told = bench.flushed()
    bench.take(Output(documents=[]), name="services")
    told += bench.flushed()
    bench.take(Output(documents=[document("portal", state="up")]), name="service_checks")
    told += bench.flushed()
    assert [[each.body for each in batch.documents] for batch in told] == [[{"state": "up"}]]

    bench.take(Output(documents=[]), name="service_checks")
    (batch,) = bench.flushed()
    assert [each.body for each in batch.documents] == [None]


def test_a_source_is_well_again_where_the_server_holds_its_document(tmp_path: Path) -> None:
    judged: list[CollectorHealth] = []
    bench = Bench(tmp_path, judged=judged.append)
    fine = CollectorHealth(name="host", ok=True, duration_seconds=0.0)
    large = os.urandom(3 << 20).hex()

    def fares(*documents: StatusDocument, partial: bool = False) -> bool:
        bench.outbox.take("host", Output(documents=list(documents)), {}, partial=partial)
        bench.outbox.flush()
        return bench.outbox.report(fine).ok

    assert [fares(document(a=1)), fares(document(a=large)), fares(document(a=1))] == [True, False, True]
    gone = StatusDocument(kind="storage", item="sw-1", observed_at=1.0, body=None)
    assert [fares(document("sw-1", a=large), partial=True), fares(gone, partial=True)] == [False, True]

    bench.outbox.take("host", Output(documents=[document(a=large)]), {})
    bench.outbox.retire({"agent"})
    judged.clear()
    bench.outbox.flush()
    assert judged == []


def test_a_source_whose_document_no_batch_can_carry_fails_until_it_fits(tmp_path: Path) -> None:
    judged: list[CollectorHealth] = []
    bench = Bench(tmp_path, judged=judged.append)
    fine = CollectorHealth(name="host", ok=True, duration_seconds=0.0)
    bench.take(Output(documents=[document("eth0", noise=os.urandom(3 << 20).hex()), document("eth1", a=1)]))
    assert bench.outbox.report(fine).ok
    (batch,) = bench.flushed()
    assert [each.item for each in batch.documents] == ["eth1"]
    (failing,) = judged
    assert (failing.name, failing.ok) == ("host", False)
    assert "storage eth0" in failing.reason
    assert "storage eth0" in translate(failing.reason, "vi")
    assert translate(failing.reason, "vi") != failing.reason
    assert not bench.outbox.report(fine).ok, "a run that went well makes the document no smaller"
    assert bench.outbox.report(CollectorHealth(name="lan", ok=True, duration_seconds=0.0)).ok
    assert {each.name: each.ok for each in bench.flushed()[0].health} == {"host": False, "lan": True}
    bench.take(Output(documents=[document("eth0", a=1), document("eth1", a=1)]))
    (batch,) = bench.flushed()
    assert [each.item for each in batch.documents] == ["eth0"]
    assert judged[-1].ok
    assert [each.ok for each in bench.flushed()[0].health] == [True]


def test_a_source_is_well_again_where_its_large_document_is_gone(bench: Bench) -> None:
    fine = CollectorHealth(name="host", ok=True, duration_seconds=0.0)
    bench.take(Output(documents=[document("eth0", noise=os.urandom(3 << 20).hex())]))
    bench.flushed()
    assert not bench.outbox.report(fine).ok
    bench.take(Output(documents=[]))
    assert bench.outbox.report(fine).ok


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_halving_loses_nothing_and_keeps_the_order(
    events: int, documents: int, metrics: int, health: int
) -> None:
    content = Content(
        events=[event(n=n) for n in range(events)],
        documents=[document(str(n)) for n in range(documents)],
        metrics=[metric(n) for n in range(metrics)],
        health=[CollectorHealth(name=f"c{n}", ok=True, duration_seconds=0.0) for n in range(health)],
    )
    first, second = content.halves()
    assert first.events + second.events == content.events
    assert first.documents + second.documents == content.documents
    assert first.metrics + second.metrics == content.metrics
    assert first.health + second.health == content.health
    if sum(content.counts.values()) > 1:
        assert not first.empty
        assert not second.empty


def test_the_collector_can_see_a_batchs_size_before_opening_it() -> None:
    pieces, oversized = pack(Content(events=[event(n=1)]), 1.0, {})
    assert oversized.empty
    declared = zstandard.get_frame_parameters(pieces[0].body).content_size
    assert declared == len(zstandard.ZstdDecompressor().decompress(pieces[0].body))

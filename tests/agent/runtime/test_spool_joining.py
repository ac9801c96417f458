"""What waited through an outage leaves in few batches, each event once and in order; what waited too long is let go."""

from __future__ import annotations

import contextlib
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.messages import Batch, Event, LogSource, Metric, StatusDocument, decode_batch
from agent.runtime import spool as spool_module
from agent.runtime.errors import SpoolError
from agent.runtime.packing import Content, join, pack
from agent.runtime.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.runtime.models import Outgoing
    from agent.runtime.spool_file import FileName

SSHD = LogSource(product="linux", service="auth")
ANTIVIRUS = LogSource(product="linux", category="antivirus")
HOUR = 3600.0


def opened(folder: Path, limit_seconds: float = float("inf")) -> Spool:
    return Spool(folder / "spool", folder / "cursors.json", 1 << 20, limit_seconds=limit_seconds)


def event(number: int, source: LogSource = SSHD) -> Event:
    return Event(time=float(number), logsource=source, fields={"number": number})


def append(spool: Spool, *events: Event, **more: list[StatusDocument] | list[Metric]) -> None:
    pieces, _ = pack(Content(events=list(events), **more), 1.0, {"metrics": 3})  # type: ignore[arg-type]
    spool.append([*pieces], {"tail": {"at": events[-1].time if events else 0}}, 1.0)


def read(outgoing: Outgoing) -> Batch:
    return decode_batch(zstandard.ZstdDecompressor().decompress(outgoing.body))


def numbers(batches: Sequence[Batch]) -> list[int]:
    return [each.fields["number"] for batch in batches for each in batch.events]


def drain(spool: Spool) -> list[Outgoing]:
    sent = []
    while (outgoing := spool.next()) is not None:
        sent.append(outgoing)
        spool.acknowledge(outgoing)
    return sent


def test_many_small_batches_leave_as_one_and_few_as_they_are(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(100):
        append(spool, event(number))
    sent = drain(spool)
    assert [each.seq for each in sent] == [1]
    assert numbers([read(each) for each in sent]) == list(range(100))
    assert list((tmp_path / "spool").glob("*.zst")) == []
    for number in range(3):
        append(spool, event(number))
    assert [each.seq for each in drain(spool)] == [2, 3, 4]


def test_everything_of_a_batch_is_joined_in_its_order() -> None:
    content = [
        Content(
            events=[event(number)],
            metrics=[Metric(name="load.ratio", time=1.0, value=number / 4, unit="ratio")],
        )
        for number in range(4)
    ]
    bodies = [pack(each, float(at), {"events": at})[0][0].body for at, each in enumerate(content)]
    taken, body = join(bodies)
    whole = decode_batch(zstandard.ZstdDecompressor().decompress(body))
    assert taken == 4
    assert numbers([whole]) == [0, 1, 2, 3]
    assert [each.value for each in whole.metrics] == [0.0, 0.25, 0.5, 0.75]
    assert (whole.created_at, whole.dropped) == (3.0, {"events": 3})
    assert join([bodies[0], b"torn", bodies[1]])[0] == 1
    assert join([b"torn"]) == (0, b"")


def test_a_joined_batch_is_bounded() -> None:
    large = Event(time=1.0, logsource=SSHD, fields={"number": 1, "text": "x" * 200_000})
    body = pack(Content(events=[large]), 1.0, {})[0][0].body
    taken, _ = join([body] * 10)
    assert taken == 2


def test_a_crash_at_any_moment_of_joining_neither_loses_nor_doubles(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(20):
        append(spool, event(number))
    first = spool.next()
    assert first is not None
    for _ in range(2):  # before the files that it replaces are gone, and behind that
        spool = opened(tmp_path)
        again = spool.next()
        assert again is not None
        assert (again.seq, again.body) == (first.seq, first.body)
        assert spool.saved.cursors == {"tail": {"at": 19.0}}
    append(spool, event(20))
    assert numbers([read(each) for each in drain(spool)]) == list(range(21))


def test_documents_of_a_joined_batch_are_owed_again_where_it_is_let_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", tmp_path / "cursors.json", 1 << 20)
    for number in range(10):
        document = StatusDocument(kind="lan", observed_at=1.0, body={"number": number})
        pieces, _ = pack(Content(documents=[document]), 1.0, {})
        spool.append(
            [each.with_digests({("lan", ""): "lan"}, {"lan": f"d{number}"}) for each in pieces], {}, 1.0
        )
    outgoing = spool.next()
    assert outgoing is not None
    assert len(read(outgoing).documents) == 10
    assert spool.saved.digests == {"lan": "d9"}
    spool = Spool(tmp_path / "spool", tmp_path / "cursors.json", 1 << 20)  # what it was made of is gone now
    again = spool.next()
    assert again is not None
    spool.refuse(again, "too strange")
    assert (spool.saved.dropped, spool.saved.refused) == ({"documents": 10}, 1)


def test_a_joined_batch_that_is_refused_is_taken_apart_and_one_alone_is_refused(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(12):
        append(spool, event(number))
    joined = spool.next()
    assert joined is not None
    append(spool, event(12))
    spool.refuse(joined, "413")
    assert (spool.saved.dropped, spool.saved.refused, spool.backlog().files) == ({}, 0, 13)
    first = spool.next()
    assert first is not None
    assert (first.seq, numbers([read(first)])) == (joined.seq, [0])
    spool = opened(tmp_path)
    first = spool.next()
    assert first is not None
    spool.refuse(first, "413")
    assert (spool.saved.dropped, spool.saved.refused) == ({"events": 1}, 1)
    sent = drain(spool)
    assert numbers([read(each) for each in sent]) == list(range(1, 13))
    assert [each.seq for each in sent] == list(range(2, 2 + len(sent)))


def test_large_batches_are_not_read_to_be_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    noise = random.Random(7)
    for number in range(10):
        text = noise.randbytes(60_000).hex()
        append(spool, Event(time=1.0, logsource=SSHD, fields={"number": number, "text": text}))
    opened_files: list[int] = []

    def counted(folder: Path, waiting: Sequence[FileName]) -> None:
        opened_files.append(len(waiting))

    monkeypatch.setattr(spool_module, "joined_file", counted)
    assert numbers([read(each) for each in drain(spool)]) == list(range(10))
    assert opened_files == [8, 8, 8]  # as many as may be one; seven are too few


def test_no_more_is_sent_than_could_be_sent_again_while_the_disk_takes_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    monkeypatch.setattr(spool_module, "_JOINED_LEAST", 1000)
    for number in range(50):
        append(spool, event(number))

    def full(path: Path, data: bytes, **_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool_module, "write_atomically", full)
    for number in range(32):
        outgoing = spool.next()
        assert outgoing is not None
        assert numbers([read(outgoing)]) == [number]
        with contextlib.suppress(SpoolError):
            spool.acknowledge(outgoing)
    with pytest.raises(SpoolError):
        spool.next()
    monkeypatch.undo()
    assert numbers([read(each) for each in drain(spool)]) == list(range(32, 50))


def test_a_disk_that_takes_no_joined_batch_is_sent_from_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    for number in range(12):
        append(spool, event(number))

    def full(path: Path, data: bytes, **_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool_module, "write_atomically", full)
    outgoing = spool.next()
    assert outgoing is not None
    assert numbers([read(outgoing)]) == [0]
    monkeypatch.undo()
    spool.acknowledge(outgoing)
    assert numbers([read(each) for each in drain(spool)]) == list(range(1, 12))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_happens_each_event_is_delivered_once_and_in_order(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = opened(Path(folder))
        made, delivered = 0, dict[int, list[int]]()
        waiting: Outgoing | None = None

        def take(outgoing: Outgoing) -> None:
            """As the collector does: what comes again under its number is the same."""
            told = numbers([read(outgoing)])
            assert delivered.setdefault(outgoing.seq, told) == told

        steps = st.lists(st.sampled_from(("append", "next", "acknowledge", "crash")), max_size=30)
        for step in data.draw(steps):
            if step == "append":
                for _ in range(data.draw(st.integers(1, 12))):
                    append(spool, event(made))
                    made += 1
            elif step == "next":
                waiting = spool.next()
            elif step == "acknowledge" and waiting is not None:
                take(waiting)
                spool.acknowledge(waiting)
                waiting = None
            elif step == "crash":
                spool, waiting = opened(Path(folder)), None
        for outgoing in drain(spool):
            take(outgoing)
    assert sorted(delivered) == list(range(1, len(delivered) + 1))
    assert [number for seq in sorted(delivered) for number in delivered[seq]] == list(range(made))


def test_what_waited_too_long_is_let_go_but_not_what_an_antivirus_found(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit_seconds=72 * HOUR)
    append(spool, event(0))
    append(spool, event(1, ANTIVIRUS))
    spool.grow_older(HOUR)
    append(spool, event(2))
    for _ in range(71):
        spool.grow_older(HOUR)
    assert spool.saved.dropped == {}
    spool.grow_older(HOUR)
    assert spool.saved.dropped == {"events": 1}
    spool = opened(tmp_path, limit_seconds=72 * HOUR)
    assert spool.saved.dropped == {"events": 1}
    spool.grow_older(2 * HOUR)
    assert spool.saved.dropped == {"events": 2}
    assert numbers([read(each) for each in drain(spool)]) == [1]


def test_time_in_which_the_agent_did_not_run_does_not_count_and_a_delivered_spool_has_no_age(
    tmp_path: Path,
) -> None:
    spool = opened(tmp_path, limit_seconds=72 * HOUR)
    append(spool, event(0))
    spool.grow_older(60 * HOUR)
    spool = opened(tmp_path, limit_seconds=72 * HOUR)
    spool.grow_older(10 * HOUR)
    assert numbers([read(each) for each in drain(spool)]) == [0]
    spool.grow_older(30 * HOUR)
    append(spool, event(1))
    spool.grow_older(60 * HOUR)
    assert (spool.saved.dropped, spool.backlog().files) == ({}, 1)


def test_the_batch_being_sent_is_not_too_old(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit_seconds=HOUR)
    append(spool, event(0))
    outgoing = spool.next()
    assert outgoing is not None
    spool.grow_older(1.0)
    spool.grow_older(2 * HOUR)
    spool.acknowledge(outgoing)
    assert spool.saved.dropped == {}
    with pytest.raises(SpoolError):
        spool.acknowledge(outgoing)

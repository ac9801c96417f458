from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.messages import Importance
from agent.runtime.errors import SpoolError, TornFileError
from agent.runtime.models import Outgoing, Piece
from agent.runtime.spool import Spool
from agent.runtime.spool_file import (
    ALARMS,
    CHATTER,
    DOCUMENTS,
    EVENTS,
    FileName,
    Head,
    decode_file,
    encode_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1 << 20


def opened(folder: Path, limit: int = LIMIT, **options: str) -> Spool:
    folder.mkdir(exist_ok=True)
    return Spool(folder / "spool", folder / "cursors.json", limit, **options)  # type: ignore[arg-type]


def piece(body: bytes = b"body", weight: int = EVENTS, **digests: str | None) -> Piece:
    kind = {CHATTER: "metrics", DOCUMENTS: "documents", EVENTS: "events", ALARMS: "events"}[weight]
    return Piece(body=body, weight=weight, counts={kind: 1}, digests=digests)


def drain(spool: Spool) -> Iterator[Outgoing]:
    while (outgoing := spool.next()) is not None:
        yield outgoing
        spool.acknowledge(outgoing)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "spool").glob("*.zst"))


def test_batches_leave_in_order_with_consecutive_numbers(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for body in (b"1", b"2", b"3"):
        spool.append([piece(body)], {}, 1.0)
    assert [(o.seq, o.body) for o in drain(spool)] == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert files(tmp_path) == []


def test_the_important_goes_first_and_what_is_held_back_keeps_its_number(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece(b"metrics", CHATTER)], {}, 1.0)
    held = spool.next()
    assert held is not None
    for body, weight in ((b"event", EVENTS), (b"status", DOCUMENTS), (b"alarm", ALARMS)):
        spool.append([piece(body, weight)], {}, 1.0)
    assert [o.body for o in (spool.next(Importance.STATUS), spool.next(Importance.STATUS)) if o] == [
        b"status"
    ] * 2
    spool = opened(tmp_path)
    assert [(o.seq, o.body) for o in drain(spool)] == [
        (2, b"status"),
        (3, b"alarm"),
        (4, b"event"),
        (1, b"metrics"),
    ]
    assert files(tmp_path) == []


def test_nothing_important_is_no_batch(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece(b"event", EVENTS)], {}, 1.0)
    assert spool.next(Importance.STATUS) is None
    assert spool.next(Importance.EVENTS) is not None


def test_a_batch_stays_until_it_is_acknowledged_and_keeps_its_number(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece()], {}, 1.0)
    assert spool.next() == spool.next()
    reopened = opened(tmp_path)
    again = reopened.next()
    assert again is not None
    assert (again.stream, again.seq) == (spool.saved.stream, 1)


def test_numbers_go_on_after_a_restart_with_an_empty_spool(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece()], {}, 1.0)
    assert [o.seq for o in drain(spool)] == [1]
    spool = opened(tmp_path)
    spool.append([piece()], {}, 2.0)
    assert [o.seq for o in drain(spool)] == [2]


def test_a_cursor_is_committed_with_its_batch_even_without_a_checkpoint(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece()], {"auth_log": {"offset": 7}}, 1.0)
    assert opened(tmp_path).saved.cursors == {"auth_log": {"offset": 7}}


def test_a_cursor_survives_its_batch(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece()], {"auth_log": {"offset": 7}}, 1.0)
    assert len(list(drain(spool))) == 1
    assert opened(tmp_path).saved.cursors == {"auth_log": {"offset": 7}}


def test_a_commit_of_several_files_cut_off_in_the_middle_never_was(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece(b"a"), piece(b"b"), piece(b"c")], {"log": {"at": 3}}, 1.0)
    (tmp_path / "spool" / files(tmp_path)[-1]).unlink()
    spool = opened(tmp_path)
    assert list(drain(spool)) == []
    assert spool.saved.cursors == {}


def test_acknowledged_files_left_by_a_crash_are_sent_again_under_their_old_numbers(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for body in (b"1", b"2", b"3"):
        spool.append([piece(body)], {}, 1.0)
    for _ in range(2):
        outgoing = spool.next()
        assert outgoing is not None
        spool.acknowledge(outgoing)
    again = [(o.seq, o.body) for o in drain(opened(tmp_path))]
    assert again == [(1, b"1"), (2, b"2"), (3, b"3")]


def test_a_torn_file_is_set_aside_counted_and_does_not_block(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece(b"1")], {"log": {"at": 1}}, 1.0)
    spool.append([piece(b"2")], {"log": {"at": 2}}, 1.0)
    path = tmp_path / "spool" / files(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-1])
    spool = opened(tmp_path)
    assert [(o.seq, o.body) for o in drain(spool)] == [(1, b"2")]
    assert spool.saved.dropped == {"batches": 1}
    assert len(list((tmp_path / "spool" / "torn").iterdir())) == 1


def test_a_file_torn_while_the_agent_runs_does_not_block(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece(b"1")], {}, 1.0)
    spool.append([piece(b"2")], {}, 1.0)
    (tmp_path / "spool" / files(tmp_path)[0]).write_bytes(b"VGS1 rubbish")
    assert [o.body for o in drain(spool)] == [b"2"]
    assert spool.backlog().files == 0
    assert spool.backlog().bytes == 0


def test_a_lost_memory_begins_a_new_stream_and_keeps_the_batches(tmp_path: Path) -> None:
    notices: list[str] = []
    spool = opened(tmp_path)
    stream = spool.saved.stream
    spool.append([piece(b"1")], {"log": {"at": 1}}, 1.0)
    (tmp_path / "cursors.json").write_text("{")
    spool = Spool(
        tmp_path / "spool", tmp_path / "cursors.json", LIMIT, notice=lambda event, _: notices.append(event)
    )
    assert spool.saved.stream != stream
    assert spool.saved.cursors == {"log": {"at": 1}}
    assert [o.body for o in drain(spool)] == [b"1"]
    assert notices == ["memory_lost"]


def test_a_new_identity_begins_a_new_stream_and_owes_all_documents(tmp_path: Path) -> None:
    spool = opened(tmp_path, endpoint_id="one")
    spool.append([piece(b"1", DOCUMENTS, k="d1")], {}, 1.0)
    assert spool.next() is not None
    other = opened(tmp_path, endpoint_id="two")
    assert other.saved.stream != spool.saved.stream
    assert other.saved.digests == {}
    assert [(o.seq, o.stream) for o in drain(other)] == [(1, other.saved.stream)]


def test_a_full_spool_lets_go_of_metrics_first_then_documents_then_the_oldest_events(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=3500)
    body = b"x" * 900
    spool.append([piece(b"e1" + body, EVENTS)], {}, 1.0)
    spool.append([piece(b"d1" + body, DOCUMENTS, k="d1")], {}, 1.0)
    spool.append([piece(b"m1" + body, CHATTER)], {}, 1.0)
    spool.append([piece(b"e2" + body, EVENTS)], {}, 1.0)
    assert spool.saved.dropped == {"metrics": 1}
    spool.append([piece(b"e3" + body, EVENTS)], {}, 1.0)
    assert spool.saved.dropped == {"metrics": 1, "documents": 1}
    assert spool.saved.digests == {}
    assert spool.documents_lost
    spool.append([piece(b"e4" + body, EVENTS)], {}, 1.0)
    spool.append([piece(b"e5" + body, EVENTS)], {}, 1.0)
    assert spool.saved.dropped == {"metrics": 1, "documents": 1, "events": 2}
    assert [(o.seq, o.body[:2]) for o in drain(spool)] == [(1, b"e3"), (2, b"e4"), (3, b"e5")]


def test_what_is_less_valuable_never_displaces_what_is_more(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=3000)
    for body in (b"1", b"2"):
        spool.append([piece(body * 1200, EVENTS)], {}, 1.0)
    spool.append([piece(b"m" * 1200, CHATTER)], {"load": {"n": 1}}, 1.0)
    assert spool.saved.dropped == {"metrics": 1}
    assert len(list(drain(spool))) == 2
    assert opened(tmp_path).saved.cursors == {"load": {"n": 1}}


def test_the_batch_being_sent_is_never_let_go(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=3000)
    spool.append([piece(b"1" * 1000, CHATTER)], {}, 1.0)
    first = spool.next()
    assert first is not None
    for _ in range(4):
        spool.append([piece(b"e" * 1000, EVENTS)], {}, 1.0)
    spool.acknowledge(first)
    assert [o.seq for o in drain(spool)] == [2]


def test_the_size_on_disk_stays_within_the_bound(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=20_000)
    for number in range(100):
        spool.append([piece(bytes([number]) * 700, number % 3)], {}, 1.0)
        on_disk = sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.zst"))
        assert on_disk == spool.backlog().bytes <= 20_000


def test_dropped_counts_survive_a_crash(tmp_path: Path) -> None:
    spool = opened(tmp_path, limit=3000)
    for _ in range(4):
        spool.append([piece(b"e" * 1200, EVENTS)], {}, 1.0)
    assert opened(tmp_path).saved.dropped == spool.saved.dropped == {"events": 2}


def test_a_refused_batch_is_kept_with_its_reason_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece(b"bad")], {}, 1.0)
    spool.append([piece(b"good")], {}, 1.0)
    bad = spool.next()
    assert bad is not None
    spool.refuse(bad, "422 events[0].time: not a number")
    assert [(o.seq, o.body) for o in drain(spool)] == [(2, b"good")]
    (reason,) = (tmp_path / "spool" / "refused").glob("*.txt")
    assert "events[0].time" in reason.read_text()
    assert decode_file(reason.with_suffix(".zst").read_bytes())[1] == b"bad"
    assert opened(tmp_path).saved.refused == 1


def test_only_the_batch_being_sent_can_be_settled(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([piece()], {}, 1.0)
    outgoing = spool.next()
    assert outgoing is not None
    spool.acknowledge(outgoing)
    with pytest.raises(SpoolError):
        spool.acknowledge(outgoing)


def test_a_disk_that_refuses_commits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    written = 0

    def full(path: Path, data: bytes, **_: object) -> None:
        nonlocal written
        written += 1
        if written == 2:
            raise OSError(28, "No space left on device")
        path.write_bytes(data)

    monkeypatch.setattr("agent.runtime.spool.write_atomically", full)
    with pytest.raises(SpoolError, match="No space left"):
        spool.append([piece(b"a"), piece(b"b")], {"log": {"at": 2}}, 1.0)
    assert files(tmp_path) == []
    assert spool.saved.cursors == {}
    assert spool.next() is None


def test_what_is_committed_stays_so_where_the_checkpoint_behind_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path, limit=400)
    spool.append([piece(b"1" * 200, CHATTER)], {}, 1.0)

    def full(path: Path, data: bytes, **_: object) -> None:
        if path.name == "cursors.json":
            raise OSError(28, "No space left on device")
        path.write_bytes(data)

    with monkeypatch.context() as patch:
        patch.setattr("agent.runtime.spool.write_atomically", full)
        spool.append([piece(b"2" * 200)], {"log": {"at": 2}}, 2.0)
    assert [outgoing.body for outgoing in drain(spool)] == [b"2" * 200]
    assert (spool.saved.cursors, spool.saved.dropped) == ({"log": {"at": 2}}, {"metrics": 1})
    assert files(tmp_path) == []


def test_files_that_cannot_be_removed_are_the_spools_error_and_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    spool.append([piece()], {}, 1.0)
    outgoing = spool.next()
    assert outgoing is not None

    def read_only(_path: Path, **_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        with pytest.raises(SpoolError, match="Read-only"):
            spool.acknowledge(outgoing)
    spool.checkpoint()
    assert files(tmp_path) == []


def test_a_disk_that_does_not_take_a_number_loses_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    spool.append([piece()], {}, 1.0)

    def read_only(_path: Path, _target: Path) -> Path:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", read_only)
        with pytest.raises(OSError, match="Read-only"):
            spool.next()
    assert [outgoing.seq for outgoing in drain(spool)] == [1]


@given(st.binary(max_size=300))
def test_no_bytes_can_upset_the_reader_of_spool_files(data: bytes) -> None:
    with pytest.raises(TornFileError):
        decode_file(data)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_spool_file_with_any_change_is_torn(body: bytes, data: st.DataObject) -> None:
    whole = encode_file(Head(made_at=1.0, cursors={"a": {"b": 1}}), body)
    assert decode_file(whole)[1] == body
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:at]
    else:
        broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    with pytest.raises(TornFileError):
        decode_file(broken)


@given(st.text(max_size=40))
def test_file_names_that_are_not_ours_are_left_alone(name: str) -> None:
    decoded = FileName.decode(name)
    assert decoded is None or decoded.encode() == name


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(1, 3)),
            st.tuples(st.just("send"), st.integers(0, 5)),
            st.tuples(st.just("crash"), st.just(0)),
            st.tuples(st.just("crash before the answer"), st.just(0)),
        ),
        max_size=30,
    )
)
def test_whatever_happens_each_event_reaches_the_collector_once_and_in_order(
    story: list[tuple[str, int]],
) -> None:
    """The log below holds the numbers 0, 1, 2…; a crash loses all memory; the collector de-duplicates."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spool = opened(folder)
        collector: dict[int, bytes] = {}
        written = 0

        def deliver(limit: int) -> None:
            for _ in range(limit):
                outgoing = spool.next()
                if outgoing is None:
                    return
                collector.setdefault(outgoing.seq, outgoing.body)
                spool.acknowledge(outgoing)

        for what, number in story:
            if what == "append":
                at = spool.saved.cursors.get("log", {}).get("at", 0)
                pieces = [piece(str(at + n).encode()) for n in range(number)]
                spool.append(pieces, {"log": {"at": at + number}}, 1.0)
                written = at + number
            elif what == "send":
                deliver(number)
            else:
                if what == "crash before the answer" and (outgoing := spool.next()) is not None:
                    collector.setdefault(outgoing.seq, outgoing.body)
                spool = opened(folder)
        deliver(1000)
        assert [collector[seq] for seq in sorted(collector)] == [str(n).encode() for n in range(written)]
        assert sorted(collector) == list(range(1, written + 1))

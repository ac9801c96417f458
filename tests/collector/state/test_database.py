"""What a state store promises, on either database."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from collector.state.base import utcnow
from collector.state.database import database_time
from collector.state.tables import Agency, Checkpoint, Handover, Stream, User, UserSession
from collector.state.upsert import upsert
from tests.collector.pipeline import NOW, add_agency, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    store = new_state(tmp_path)
    with store.write() as session:
        session.add(Checkpoint(worker="counter", log_offset=0, updated_at=NOW))
    return store


def offset(state: StateStore) -> int:
    with state.read() as session:
        return session.scalars(select(Checkpoint.log_offset).where(Checkpoint.worker == "counter")).one()


def test_writers_that_read_what_they_change_lose_no_change(state: StateStore) -> None:
    def add(times: int) -> None:
        for _ in range(times):
            with state.write() as session:
                row = session.get(Checkpoint, "counter")
                assert row is not None
                row.log_offset += 1

    threads = [threading.Thread(target=add, args=(15,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert offset(state) == 60


def test_a_writer_sees_what_the_one_it_waited_for_wrote(state: StateStore) -> None:
    """Its snapshot must not be from before it waited."""
    seen: list[int] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with state.write() as session:
            seen.append(session.scalars(select(Checkpoint.log_offset)).one())

    with state.write() as session:
        session.execute(update(Checkpoint).values(log_offset=6))
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        session.execute(update(Checkpoint).values(log_offset=7))
    thread.join()

    assert seen == [7]


def test_a_reader_sees_one_moment_however_long_it_looks_and_waits_for_nobody(state: StateStore) -> None:
    with state.read() as session:
        first = session.scalars(select(Checkpoint.log_offset)).one()
        with state.write() as writer:
            writer.execute(update(Checkpoint).values(log_offset=7))
            still = session.scalars(select(Checkpoint.log_offset)).one()
        after = session.scalars(select(Checkpoint.log_offset)).one()

    assert (first, still, after) == (0, 0, 0)
    assert offset(state) == 7


def test_what_raises_leaves_nothing_behind(state: StateStore) -> None:
    def change(session: Session) -> None:
        session.execute(update(Checkpoint).values(log_offset=7))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), state.write() as session:
        change(session)

    assert offset(state) == 0


def test_a_row_of_nobody_is_refused(state: StateStore) -> None:
    with pytest.raises(IntegrityError), state.write() as session:
        session.add(Stream(endpoint_id="nobody", stream="s", last_seq=1, updated_at=NOW))


def test_what_belongs_to_a_row_goes_with_it(state: StateStore) -> None:
    with state.write() as session:
        user = User(username="u", password_hash="", totp_secret="", role="admin", created_at=NOW)
        session.add(user)
        session.flush()
        session.add(
            UserSession(
                token_sha256="t",
                user_id=user.id,
                csrf_token="",
                created_at=NOW,
                last_used_at=NOW,
                address="",
                user_agent="",
            )
        )
    with state.write() as session:
        session.delete(session.scalars(select(User)).one())

    with state.read() as session:
        assert session.scalars(select(UserSession)).all() == []


def test_numbers_of_handovers_are_never_given_twice(state: StateStore) -> None:
    def leave() -> int:
        with state.write() as session:
            row = Handover(partition=1, log_offset=1, body=b"\0\xff", created_at=NOW)
            session.add(row)
            session.flush()
            return row.id

    first = leave()
    with state.write() as session:
        session.delete(session.get_one(Handover, first))

    assert leave() > first


@pytest.mark.parametrize("number", [2**31, 2**63 - 1])
def test_numbers_may_be_of_64_bits(state: StateStore, number: int) -> None:
    with state.write() as session:
        session.execute(update(Checkpoint).values(log_offset=number))

    assert offset(state) == number


def test_time_is_kept_to_the_microsecond_whatever_zone_it_was_said_in(state: StateStore) -> None:
    moment = datetime(2026, 11, 21, 10, 0, 0, 123456, timezone(timedelta(hours=7)))
    with state.write() as session:
        session.execute(update(Checkpoint).values(updated_at=moment))

    with state.read() as session:
        kept = session.scalars(select(Checkpoint.updated_at)).one()
        assert session.scalars(select(Checkpoint.worker).where(Checkpoint.updated_at == moment)).all() == [
            "counter"
        ]
    assert kept == moment
    assert kept.utcoffset() == timedelta(0)


def test_a_time_without_zone_is_a_mistake(state: StateStore) -> None:
    with pytest.raises(Exception, match="naive"), state.write() as session:
        session.execute(update(Checkpoint).values(updated_at=datetime(2026, 11, 21)))  # noqa: DTZ001 - the mistake


def test_text_is_sorted_by_its_code_points(state: StateStore) -> None:
    names = ["b", "a", "B", "A", "á", "đ", "-", "_", "a-b", "ab", "0"]
    for name in names:
        add_agency(state, name)

    with state.read() as session:
        kept = session.scalars(select(Agency.code).order_by(Agency.code)).all()
        above = session.scalars(select(Agency.code).where(Agency.code > "a")).all()
    assert kept == sorted(names)
    assert set(above) == {name for name in names if name > "a"}


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(
    text=st.text(st.characters(exclude_categories=())),
    tree=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.text(st.characters(exclude_categories=())),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_any_text_and_any_json_can_be_kept(state: StateStore, text: str, tree: object) -> None:
    """Hostile text must not stop a step; what cannot be stored becomes U+FFFD."""
    add_or_keep(state)
    gaps = [tree]
    row = {"endpoint_id": "ep-1", "stream": text, "last_seq": 1, "missing": 0, "dropped": 0, "gaps": gaps,
           "updated_at": NOW}  # fmt: skip
    with state.write() as session:
        upsert(session, Stream, [row], ("endpoint_id", "stream"))
    with state.write() as session:
        upsert(session, Stream, [row], ("endpoint_id", "stream"))

    with state.read() as session:
        kept = session.scalars(select(Stream).where(Stream.stream == text)).one()
    storable = "".join(
        "\N{REPLACEMENT CHARACTER}" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text
    )
    assert kept.stream == storable
    assert kept.gaps == gaps


def add_or_keep(state: StateStore) -> None:
    with state.write() as session:
        known = session.scalars(select(Agency.id).limit(1)).first()
    if known is None:
        add_endpoint(state, "ep-1", add_agency(state))


def test_the_database_has_a_clock(state: StateStore) -> None:
    with state.read() as session:
        first, second = database_time(session), database_time(session)

    assert first <= second
    assert abs(first - utcnow()) < timedelta(seconds=5)
    assert first.tzinfo is not None
    assert first.utcoffset() == UTC.utcoffset(None)

"""The audit log's chain and its encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from soc_api.accounts import audit

if TYPE_CHECKING:
    from soc_api.services import Services

pytestmark = pytest.mark.usefixtures("on_both_databases")


@pytest.fixture
def five_entries(services: Services, clock: Any) -> list[str]:
    heads = []
    with services.state.write() as session:
        for number in range(5):
            entry = audit.record(
                session, clock(), "admin", "user.create", f"user{number}", number=number, ratio=0.1
            )
            heads.append(entry.digest)
    return heads


def test_an_untouched_chain_verifies_to_its_head(services: Services, five_entries: list[str]) -> None:
    with services.state.read() as session:
        result = audit.verify(session)
    assert (result.entries, result.head, result.broken_at) == (5, five_entries[-1], None)


@pytest.mark.parametrize(
    ("damage", "first_broken"),
    [
        ("UPDATE audit_entry SET actor = 'somebody' WHERE id = 3", 3),
        ("UPDATE audit_entry SET detail = '{}' WHERE id = 2", 2),
        ("UPDATE audit_entry SET at = '2020-01-01 00:00:00.000000' WHERE id = 4", 4),
        ("DELETE FROM audit_entry WHERE id = 2", 3),
        ("DELETE FROM audit_entry WHERE id = 1", 2),
    ],
)
def test_a_changed_or_removed_entry_breaks_the_chain(
    services: Services, five_entries: list[str], damage: str, first_broken: int
) -> None:
    with services.state.write() as session:
        session.execute(text(damage))
    with services.state.read() as session:
        assert audit.verify(session).broken_at == first_broken


def test_a_cut_off_end_is_seen_by_whoever_kept_a_head(services: Services, five_entries: list[str]) -> None:
    with services.state.write() as session:
        session.execute(text("DELETE FROM audit_entry WHERE id = 5"))
    with services.state.read() as session:
        assert audit.verify(session).broken_at is None
        assert not audit.verify(session, five_entries[4]).contains
        assert audit.verify(session, five_entries[3]).contains


def test_entries_come_newest_first_and_by_subject(
    services: Services, five_entries: list[str], clock: Any
) -> None:
    with services.state.write() as session:
        audit.record(session, clock(), "admin", "alert.close", "alert:1")
    with services.state.read() as session:
        assert [entry.id for entry in audit.entries(session, limit=2)] == [6, 5]
        assert [entry.id for entry in audit.entries(session, before=5, limit=2)] == [4, 3]
        assert {entry.action for entry in audit.entries(session, action="user")} == {"user.create"}
        assert not audit.entries(session, action="use")


@given(st.text())
def test_no_text_can_break_a_line_or_turn_its_direction(value: str) -> None:
    encoded = audit.encode(value)
    assert isinstance(encoded, str)
    assert len(encoded.splitlines()) <= 1
    assert not set(encoded) & {"\r", "\n", "\x1b", "\u2028", "\u202e", "\u200b"}


def test_an_entry_falls_with_the_change_that_it_belongs_to(services: Services, clock: Any) -> None:
    def change() -> None:
        with services.state.write() as session:
            audit.record(session, clock(), "admin", "user.create", "x")
            raise LookupError

    with pytest.raises(LookupError):
        change()
    with services.state.read() as session:
        assert audit.verify(session).entries == 0

"""Documents that are tables become events of their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from collector.detect.tables import MAX_ROWS, TABLES, row_changes
from collector.state.tables import DocumentChange
from tests.collector.pipeline import Pipeline, document

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def user(name: str, uid: int, **more: object) -> dict[str, Any]:
    return {"name": name, "uid": uid, "administrator": False, "groups": [name], **more}


def accounts(*users: dict[str, Any], **more: object) -> dict[str, Any]:
    return document(
        "accounts", {"state": "ok", "count": len(users), "users": list(users), "groups": [], **more}
    )


def told(pipeline: Pipeline) -> list[tuple[str, str]]:
    pipeline.work()
    return [
        (fields["event"]["action"], fields["accounts"].get("user", {}).get("name", ""))
        for fields in pipeline.store.of("accounts")
    ]


def test_at_first_only_the_whole_is_told_then_each_row(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[accounts(user("root", 0), user("an", 1000), user("cu", 1001))])
    assert told(pipeline) == [("first", "")]
    (first,) = pipeline.store.of("accounts")
    assert first["accounts"] == {"state": "ok", "count": 3}
    pipeline.batch(
        documents=[
            accounts(
                user("root", 0), user("an", 1000, groups=["an", "sudo"], administrator=True), user("ma", 0)
            )
        ]
    )
    assert told(pipeline)[1:] == [("added", "ma"), ("changed", "an"), ("removed", "cu")]
    changed = pipeline.store.of("accounts")[2]
    assert changed["changed"] == ["accounts.user.administrator", "accounts.user.groups"]
    assert changed["previous"] == {"accounts": {"user": {"administrator": False, "groups": ["an"]}}}
    assert changed["accounts"]["user"]["administrator"] is True


def test_the_history_keeps_what_is_different_not_the_whole_table(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[accounts(user("root", 0), user("an", 1000))])
    pipeline.batch(documents=[accounts(user("root", 0), user("an", 1000), user("ma", 0))])
    pipeline.work()
    with pipeline.state.read() as session:
        bodies = list(session.scalars(select(DocumentChange.body).order_by(DocumentChange.id)))
    assert bodies[0] is not None
    assert len(bodies[0]["users"]) == 2
    assert bodies[1] == {
        "state": "ok",
        "count": 3,
        "rows": [{"action": "added", "user": user("ma", 0), "changed": []}],
        "untold_count": 0,
    }


def test_what_is_true_of_the_whole_is_told_when_it_changes_and_a_document_that_goes_away_removes_no_row(
    pipeline: Pipeline,
) -> None:
    pipeline.batch(documents=[accounts(user("root", 0))])
    pipeline.batch(documents=[accounts(user("root", 0), other_superusers=["toor"])])
    gone = {**accounts(), "body": None}
    pipeline.batch(documents=[gone])
    assert told(pipeline) == [("first", ""), ("changed", ""), ("removed", "")]
    assert pipeline.store.of("accounts")[1]["changed"] == ["accounts.other_superusers"]


def test_a_storm_of_rows_is_counted(pipeline: Pipeline) -> None:
    pipeline.batch(documents=[accounts(user("root", 0))])
    many = [user(f"u{number:03}", number) for number in range(MAX_ROWS + 7)]
    pipeline.batch(documents=[accounts(user("root", 0), *many)])
    actions = [action for action, _ in told(pipeline)]
    assert actions == ["first", "changed", *["added"] * MAX_ROWS]
    assert pipeline.store.of("accounts")[1]["accounts"]["untold_count"] == 7


@pytest.mark.parametrize(
    ("kind", "table", "more"),
    [
        ("listening", "ports", {"state": "partial", "count": 2}),
        ("accounts", "users", {"state": "ok", "count": 301}),
        ("services", "units", {"state": "ok", "count": 301}),
    ],
)
def test_what_a_list_that_was_cut_does_not_name_is_not_removed(
    kind: str, table: str, more: dict[str, Any]
) -> None:
    old = {"state": "ok", "count": 2, table: [{"name": "a"}, {"name": "b"}]}
    new = {table: [{"name": "b"}, {"name": "c"}]}
    changes, _ = row_changes(kind, old, {**new, **more})
    assert [change.action for change in changes] == ["added"]
    changes, _ = row_changes(kind, old, {**new, "state": "ok", "count": 2})
    assert [change.action for change in changes] == ["added", "removed"]


_ROWS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "x"]), inner),
    max_leaves=12,
)


@given(st.sampled_from(sorted(TABLES)), _ROWS, _ROWS)
def test_whatever_an_agent_puts_in_a_table_breaks_nothing(kind: str, old: object, new: object) -> None:
    table = next(iter(TABLES[kind]))
    changes, more = row_changes(kind, {table: old}, {table: new})
    assert more == 0
    assert row_changes(kind, {table: new}, {table: new}) == ([], 0)
    assert all(change.action in ("added", "removed", "changed") for change in changes)

"""Differences of documents."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from collector.documents.diff import difference, packages_difference, same
from collector.documents.service import DocumentsView, Stored, digest_of, trim_history
from collector.state.tables import Document, DocumentChange
from tests.collector.pipeline import NOW, add_agency, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_both_databases")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
BODY = st.dictionaries(st.text(max_size=4), JSON, max_size=5)


def test_nested_changes_are_paths_and_old_scalars_are_kept() -> None:
    old = {"gateway": {"mac": "a", "ip": "1"}, "dns": {"servers": ["x"]}, "gone": 1, "up": True}
    new = {"gateway": {"mac": "b", "ip": "1"}, "dns": {"servers": ["y"]}, "new": {"a": 1}, "up": 1}
    found = difference(old, new)
    assert found.paths == ["dns.servers", "gateway.mac", "gone", "new", "up"]
    assert found.previous == {"dns": {"servers": ["x"]}, "gateway": {"mac": "a"}, "gone": 1, "up": True}


def test_long_lists_and_objects_are_not_kept_as_previous() -> None:
    found = difference({"a": list(range(100)), "b": [{"x": 1}], "c": {"d": 1}}, {"a": [], "b": [], "c": 1})
    assert (found.paths, found.previous) == (["a", "b", "c"], {})


def test_a_true_is_not_a_one() -> None:
    assert not same(True, 1)
    assert same(1, 1.0)
    assert not same([1], [True])
    assert not same([1], [1, 2])


@given(BODY)
def test_a_document_does_not_differ_from_itself(body: dict[str, Any]) -> None:
    assert difference(body, body).paths == []


@given(BODY, BODY)
def test_two_documents_differ_in_paths_exactly_when_they_are_not_the_same(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    def equal(one: Any, other: Any) -> bool:
        if isinstance(one, dict) and isinstance(other, dict):
            return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
        return same(one, other)

    assert bool(difference(old, new).paths) is not equal(old, new)
    assert len(difference(old, new).paths) == len(difference(new, old).paths)


@given(JSON, JSON)
def test_any_body_has_a_packages_difference(old: object, new: object) -> None:
    found = packages_difference({"packages": old}, new)
    assert found["added_count"] >= len(found["added"])


def test_several_versions_beside_each_other_come_and_go_alone() -> None:
    def kernels(*versions: str) -> dict[str, Any]:
        return {"packages": [{"name": "linux", "version": version} for version in versions]}

    found = packages_difference(kernels("6.1"), kernels("6.1", "6.6"))
    assert ([each["version"] for each in found["added"]], found["removed"], found["updated"]) == (
        ["6.6"],
        [],
        [],
    )
    found = packages_difference(kernels("6.1", "6.6"), kernels("6.6", "6.12"))
    assert found["updated"][0]["previous_version"] == "6.1"


def test_long_lists_of_packages_end_but_are_counted() -> None:
    many = {"packages": [{"name": f"p{number}"} for number in range(700)]}
    found = packages_difference({}, many)
    assert (len(found["added"]), found["added_count"]) == (500, 700)


def test_a_step_sees_its_own_changes_and_history_keeps_each_and_is_bounded(tmp_path: Path) -> None:
    state = new_state(tmp_path)
    add_endpoint(state, "ep-1", add_agency(state))

    def stored(number: int) -> Stored:
        body = {"number": number}
        when = NOW + timedelta(seconds=number)
        return Stored("lan", "", body, digest_of(body), when, when, when)

    with state.read() as session:
        view = DocumentsView(session, ["ep-1"])
        for number in (1, 1, 2, 3):
            view.put("ep-1", stored(number))
        newest = view.get("ep-1", "lan")
        assert newest is not None
        assert newest.body == {"number": 3}
        view.remove("ep-1", "lan", "", NOW)
        view.put("ep-1", stored(4))
        view.put("gone", stored(1))
    with state.write() as session:
        view.flush(session, {"ep-1"})
        assert session.scalars(select(Document.body)).all() == [{"number": 4}]
        history = select(DocumentChange.body).order_by(DocumentChange.id)
        assert session.scalars(history).all() == [
            {"number": 1},
            {"number": 2},
            {"number": 3},
            None,
            {"number": 4},
        ]
        assert trim_history(session, keep=2) == 3
        assert session.scalars(history).all() == [None, {"number": 4}]

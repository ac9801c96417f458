"""The registry: import, names old and new, dated assignment."""

from __future__ import annotations

import contextlib
import unicodedata
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from collector.errors import NotFoundError
from collector.registry.errors import AgencyNotFoundError, AssignmentError, RegistryRowError
from collector.registry.files import builtin_rows, parse_agencies
from collector.registry.models import ImportResult
from collector.registry.names import plain_key, search_key
from collector.registry.service import (
    add_succession,
    agency_at,
    assign_endpoint,
    find_agencies,
    get_agency,
    import_agencies,
    list_agencies,
)
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Agency, Assignment
from tests.collector.pipeline import NOW, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    state = new_state(tmp_path)
    with state.write() as session:
        import_agencies(session, builtin_rows(), NOW)
    return state


def test_the_shipped_registry_holds_the_plans_49_agencies_and_3520_officials() -> None:
    rows = builtin_rows()
    officials = {
        level: sum(row.officials or 0 for row in rows if row.level == level) for level in ("tinh", "huyen")
    }
    assert (len(rows), officials) == (49, {"tinh": 1400, "huyen": 2120})


def test_importing_again_changes_nothing(state: StateStore) -> None:
    with state.write() as session:
        assert import_agencies(session, builtin_rows(), NOW) == ImportResult(0, 0, 49)
        assert session.scalar(select(func.count()).select_from(Agency)) == 49


def test_a_renamed_agency_keeps_its_id_and_is_found_by_both_names(state: StateStore) -> None:
    rows = [
        replace(row, name="Sở Khoa học, Công nghệ và Số")
        for row in builtin_rows()
        if row.code == "so-khoa-hoc-va-cong-nghe"
    ]
    with state.write() as session:
        before = get_agency(session, EVERYTHING, "so-khoa-hoc-va-cong-nghe").id
        assert import_agencies(session, rows, NOW) == ImportResult(0, 1, 0)
        for text in ("Sở Khoa học và Công nghệ", "công nghệ và số"):
            assert [agency.id for agency in find_agencies(session, EVERYTHING, text)] == [before]


def test_a_successor_is_found_by_its_predecessors_name(state: StateStore) -> None:
    with state.write() as session:
        finance, planning = (
            get_agency(session, EVERYTHING, code) for code in ("so-tai-chinh", "so-ke-hoach-va-dau-tu")
        )
        for _ in range(2):
            add_succession(session, planning, finance, "Nghị quyết thử", date(2025, 3, 1))
        found = [agency.code for agency in find_agencies(session, EVERYTHING, "sở kế hoạch và đầu tư")]
    assert found == ["so-ke-hoach-va-dau-tu", "so-tai-chinh"] or found == [
        "so-tai-chinh",
        "so-ke-hoach-va-dau-tu",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Hoằng Hóa",
        "hoằng hoá",
        "HOẰNG  HOÁ",
        "hoang hoa",
        "Hoang-Hoa",
        unicodedata.normalize("NFD", "Hoằng Hoá"),
    ],
)
def test_an_agency_is_found_however_its_name_is_typed(state: StateStore, text: str) -> None:
    with state.read() as session:
        assert [agency.code for agency in find_agencies(session, EVERYTHING, text)] == [
            "ubnd-huyen-hoang-hoa"
        ]


def test_a_whole_name_comes_before_names_that_hold_it(state: StateStore) -> None:
    with state.read() as session:
        assert find_agencies(session, EVERYTHING, "Sở Y tế")[0].code == "so-y-te"
        assert find_agencies(session, EVERYTHING, "  ") == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("Thanh Hóa", "Thanh Hoá"), ("Cẩm Thủy", "Cẩm Thuỷ"), ("khỏe", "khoẻ"), ("ĐÔNG SƠN", "đông sơn")],
)
def test_two_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    assert search_key(one) == search_key(other)


def test_names_that_differ_in_tone_or_vowel_stay_apart() -> None:
    assert len({search_key(name) for name in ("ma", "má", "mà", "mã", "mạ", "mả", "mâ", "mấ")}) == 8


@given(st.text(max_size=60))
def test_keys_do_not_depend_on_the_unicode_form_and_are_stable(text: str) -> None:
    for key in (search_key, plain_key):
        assert key(unicodedata.normalize("NFD", text)) == key(unicodedata.normalize("NFC", text))
        assert key(key(text)) == key(text)


@given(st.text(max_size=300))
def test_any_text_is_a_registry_or_a_named_error(text: str) -> None:
    rows = []
    with contextlib.suppress(RegistryRowError):
        rows = parse_agencies(text)
    assert all(row.code and row.name and row.level for row in rows)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ("Sở Tài chính,tên,tinh,1", "code"),
        ("x,,tinh,1", "name"),
        ("x,tên,quan,1", "level"),
        ("x,tên,tinh,-1", "officials"),
        ("x,tên,tinh,nhiều", "officials"),
        ("x,tên,tinh,1,2", ""),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(cells: str, column: str) -> None:
    with pytest.raises(RegistryRowError) as caught:
        parse_agencies(f"code,name,level,officials\n{cells}\n")
    assert (caught.value.row, caught.value.column) == (2, column)


def test_a_missing_head_count_is_not_zero() -> None:
    (row,) = parse_agencies("\ufeffcode,name,level,officials,valid_to\nx,Tên,xa,,2025-06-30\n")
    assert (row.officials, row.valid_to) == (None, date(2025, 6, 30))


def test_a_code_out_of_reach_looks_like_one_that_does_not_exist(state: StateStore) -> None:
    with state.read() as session:
        own = get_agency(session, EVERYTHING, "so-y-te")
        scope = Scope(frozenset({own.id}))
        assert [agency.code for agency in list_agencies(session, scope)] == ["so-y-te"]
        with pytest.raises(AgencyNotFoundError) as hidden:
            get_agency(session, scope, "so-tai-chinh")
        with pytest.raises(AgencyNotFoundError) as missing:
            get_agency(session, scope, "so-tai-chanh")
    assert str(hidden.value).replace("chinh", "") == str(missing.value).replace("chanh", "")


def test_a_mistyped_code_names_the_nearest(state: StateStore) -> None:
    with state.read() as session, pytest.raises(AgencyNotFoundError, match="'so-tai-chinh'"):
        get_agency(session, EVERYTHING, "so-tai-chin")


def test_an_endpoint_belongs_to_one_agency_at_any_time(state: StateStore) -> None:
    add_endpoint(state)
    later = NOW + timedelta(days=1)
    with state.write() as session:
        assign_endpoint(session, "ep-1", 1, NOW)
        assign_endpoint(session, "ep-1", 1, later)
        assign_endpoint(session, "ep-1", 2, later)
        history = list(session.scalars(select(Assignment).order_by(Assignment.valid_from)))
        assert [(each.agency_id, each.valid_to) for each in history] == [(1, later), (2, None)]
        assert [agency_at(history, when) for when in (NOW - timedelta(1), NOW, later)] == [None, 1, 2]
        with pytest.raises(AssignmentError):
            assign_endpoint(session, "ep-1", 3, NOW)


def test_assigning_what_does_not_exist_is_refused(state: StateStore) -> None:
    add_endpoint(state)
    with state.write() as session:
        with pytest.raises(NotFoundError):
            assign_endpoint(session, "nobody", 1, NOW)
        with pytest.raises(NotFoundError):
            assign_endpoint(session, "ep-1", 999, NOW)

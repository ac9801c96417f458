"""What Windows Update says waits."""

from __future__ import annotations

from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.updates import Update
from agent.collectors.windows_updates import AGAIN_SECONDS, judge
from agent.windows.automation import AutomationError, Result
from agent.windows.updates import CRITERIA, last_search, parse_date, reboot_required, search
from tests.agent.windows.reg_file import RegFile

SECURITY = "0FA1201D-4330-4FA8-8AE9-B877473B6441"
DEFINITIONS = "e0789628-ce08-4437-be74-2495b842f43b"
REBOOT = r"""
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired]
"9d1b3c4e"=dword:00000001
"""


class Fake:
    """An automation object of given members; a list is a collection. Counts how many are open."""

    open = 0

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members
        self.put_values: dict[str, bool] = {}

    def __enter__(self) -> Self:
        Fake.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        Fake.open -= 1

    def get(self, name: str, *arguments: int) -> Result:
        return self._result(self._members[name], arguments)

    def put(self, name: str, value: bool) -> None:
        self.put_values[name] = value

    def call(self, name: str, *arguments: str) -> Result:
        found = self._members[name]
        if isinstance(found, Exception):
            raise found
        return self._result(found(*arguments) if callable(found) else found, ())

    @staticmethod
    def _result(found: Any, arguments: tuple[int, ...]) -> Result:
        if isinstance(found, list):
            found = found[arguments[0]] if arguments else {"Count": len(found), "Item": found}
        return Fake(found) if isinstance(found, dict) else found


def update(number: str, severity: str | None, *categories: str) -> dict[str, Any]:
    return {
        "Identity": {"UpdateID": number},
        "MsrcSeverity": severity,
        "Categories": [{"CategoryID": each} for each in categories],
    }


def session(*updates: dict[str, Any]) -> tuple[Fake, Fake, list[str]]:
    asked: list[str] = []

    def answer(criteria: str) -> dict[str, Any]:
        asked.append(criteria)
        return {"Updates": list(updates)}

    searcher = Fake({"Search": answer})
    made = Fake({})
    made._members["CreateUpdateSearcher"] = lambda: searcher
    return made, searcher, asked


def test_what_waits_is_counted_and_what_is_about_security_is_known() -> None:
    made, searcher, asked = session(
        update("a", "Critical", SECURITY), update("b", None, SECURITY), update("c", None, DEFINITIONS)
    )
    assert search(made) == [Update("a", "", True), Update("b", "", True), Update("c", "", False)]
    assert asked == [CRITERIA]
    assert searcher.put_values == {"Online": False}
    assert Fake.open == 0


def test_what_is_no_object_is_an_error_and_nothing_stays_open() -> None:
    with pytest.raises(OSError, match="no object"):
        search(Fake({"CreateUpdateSearcher": None}))
    assert Fake.open == 0


@pytest.mark.parametrize(
    ("days", "expected"), [(46225.25, 1784700000.0), (0.0, None), (None, None), ("x", None), (True, None)]
)
def test_dates_of_automation(days: Result, expected: float | None) -> None:
    assert parse_date(days) == expected


def test_the_last_look_is_told() -> None:
    assert last_search(Fake({"Results": {"LastSearchSuccessDate": 46225.0}})) == (46225 - 25569) * 86400.0
    assert last_search(Fake({"Results": {"LastSearchSuccessDate": None}})) is None


def test_a_restart_that_waits_is_seen_even_where_it_may_not_be_read() -> None:
    assert reboot_required(RegFile(REBOOT))
    assert not reboot_required(RegFile(""))
    denied = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending"
    assert reboot_required(RegFile("", denied=(denied,)))


def test_the_search_is_asked_again_only_when_windows_looked_or_after_a_day() -> None:
    state: dict[str, Any] = {}
    asked = []

    def ask() -> list[Update]:
        asked.append(1)
        return [Update("a", "", True), Update("b", "", False)]

    first = judge(state, 1000.0, 900.0, False, ask)
    assert first == {
        "manager": "windows_update",
        "state": "ok",
        "reason": "",
        "pending": 2,
        "security_pending": 1,
        "pending_since": 1000.0,
        "reboot_required": False,
        "last_check_time": 900.0,
    }
    assert judge(state, 2000.0, 900.0, False, ask) == first
    assert len(asked) == 1
    judge(state, 3000.0, 2500.0, False, ask)
    assert len(asked) == 2
    later = judge(state, 3000.0 + AGAIN_SECONDS, 2500.0, False, ask)
    assert len(asked) == 3
    assert later["pending_since"] == 1000.0


def test_a_refusal_is_unknown_with_its_reason() -> None:
    def refuse() -> list[Update]:
        raise AutomationError("Search: error 0x80070422")

    body = judge({}, 1000.0, None, True, refuse)
    assert (body["state"], body["pending"], body["reboot_required"]) == ("unknown", None, True)
    assert body["reason"] == "Windows Update could not be asked: Search: error 0x80070422"


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans()))
def test_any_result_is_a_date_or_none(days: str | float | bool | None) -> None:
    found = parse_date(days)
    assert found is None or found > 0

"""A percentage on a page, as in a report, never hides a single machine by rounding."""

from __future__ import annotations

import pytest

from soc_api.i18n import translator


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (None, "—"),
        (0.0, "0,0 %"),
        (0.0001, "0,1 %"),
        (1 / 3, "33,3 %"),
        (0.9999, "99,9 %"),
        (1.0, "100,0 %"),
        (1.2, "120,0 %"),
    ],
)
def test_rounding_alone_makes_neither_nothing_nor_all(ratio: float | None, shown: str) -> None:
    assert translator("vi").percent(ratio) == shown

"""The endpoint's page on accounts, listening ports, services and watched files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from collector.state.tables import Document, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn
    from tests.soc_api.pages.conftest import Page

KINDS = ("accounts", "listening", "services", "file_integrity")


@pytest.fixture
def endpoint(province: Services) -> str:
    with province.state.read() as session:
        found = session.scalar(select(Document.endpoint_id).where(Document.kind == "accounts"))
    assert found is not None
    return found


def say(services: Services, endpoint: str, body: dict[str, Any]) -> None:
    """Let every document of ours of this endpoint say ``body``."""
    with services.state.write() as session:
        ours = (Document.endpoint_id == endpoint, Document.kind.in_(KINDS))
        session.execute(update(Document).where(*ours).values(body=body))
        assert session.scalar(select(Endpoint.id).where(Endpoint.id == endpoint)) == endpoint


def test_the_page_tells_ports_accounts_services_and_the_watch(
    endpoint: str, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    text = look(signed_in("admin"), f"/endpoints/{endpoint}", "vi").text
    for words in (
        "Cổng đang mở",
        "tcp/22",
        "Máy khác",
        "/usr/sbin/sshd",
        "quản trị viên",
        "Có mật khẩu từ 01/03/2026",
        "1 dịch vụ",
        "/usr/sbin/sshd -D",
        "Giám sát tệp quan trọng",
    ):
        assert words in text, words
    assert "daemon" not in text.partition("Tài khoản cục bộ")[2].partition("Dịch vụ tự khởi động")[0]


HOSTILE = "<script>alert(1)</script>\u202e"


@pytest.mark.parametrize(
    "rows",
    [
        None,
        7,
        "text",
        {"name": "x"},
        [None, 7, "text", [], {}],
        [
            {
                "name": HOSTILE,
                "scope": HOSTILE,
                "password": {},
                "groups": {"a": 1},
                "uid": [HOSTILE],
                "user": 7,
            }
        ],
        [{"name": [HOSTILE], "scope": None, "administrator": True, "password_changed": [HOSTILE]}],
        [{"name": "x"}] * 2000,
    ],
)
def test_a_body_of_any_shape_is_shown_as_text(
    rows: object, endpoint: str, province: Services, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    body: dict[str, Any] = dict.fromkeys(("users", "ports", "units", "files"), rows)
    say(province, endpoint, {**body, "state": rows, "reason": rows})
    page = look(signed_in("admin"), f"/endpoints/{endpoint}", "en")
    assert "Listening ports" in page.text
    assert not [attrs for tag, attrs in page.tags if tag == "script" and "src" not in attrs]
    assert "\u202e" not in page.text

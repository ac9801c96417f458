"""The endpoint's page on Windows' firewall and disk encryption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from collector.state.tables import Document

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc_api.services import Services
    from tests.soc_api.conftest import SignedIn
    from tests.soc_api.pages.conftest import Page

FIREWALL = {
    "state": "off",
    "reason": "off for these kinds of network: public",
    "backend": "windows_firewall",
    "input_policy": "accept",
    "rule_count": 212,
    "profiles": {"domain": "on", "private": "on", "public": "off"},
}
VOLUME = {
    "volume": "C:",
    "state": "off",
    "reason": "encrypted, but protection is suspended: the key lies open on the disk",
    "product": "bitlocker",
    "conversion": "encrypted",
    "method": "xts_aes_128",
    "type": "system",
}


@pytest.fixture
def endpoint(province: Services) -> str:
    with province.state.read() as session:
        found = session.scalar(select(Document.endpoint_id).where(Document.kind == "firewall"))
    assert found is not None
    return found


def say(services: Services, endpoint: str, kind: str, item: str, body: dict[str, Any]) -> None:
    with services.state.write() as session:
        like = session.scalars(select(Document).where(Document.endpoint_id == endpoint)).first()
        assert like is not None
        times = {name: getattr(like, name) for name in ("observed_at", "received_at", "changed_at")}
        made = Document(endpoint_id=endpoint, kind=kind, item=item, body=body, digest="0" * 64, **times)
        session.merge(made)


def test_the_page_tells_of_profiles_and_volumes(
    province: Services, endpoint: str, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    say(province, endpoint, "firewall", "", FIREWALL)
    say(province, endpoint, "disk_encryption", "C:", VOLUME)
    text = look(signed_in("admin"), f"/endpoints/{endpoint}", "vi").text
    for words in (
        "Windows Firewall",
        "đang tắt với loại mạng: public",
        "Trong mạng công cộng",
        "Mã hóa ổ đĩa",
        "đã mã hóa nhưng đang tạm ngưng bảo vệ",
        "Ổ hệ thống · Đã mã hóa",
    ):
        assert words in text, words
    assert "Disk encryption" in look(signed_in("admin"), f"/endpoints/{endpoint}", "en").text


@pytest.mark.parametrize("hostile", [None, 7, [], "<script>alert(1)</script>", {"a": 1}])
def test_what_an_agent_says_wrongly_breaks_nothing(
    hostile: object, province: Services, endpoint: str, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    say(province, endpoint, "firewall", "", dict.fromkeys(FIREWALL, hostile))
    say(province, endpoint, "disk_encryption", "C:", dict.fromkeys(VOLUME, hostile))
    page = look(signed_in("admin"), f"/endpoints/{endpoint}")
    assert all(attributes.get("src") or tag != "script" for tag, attributes in page.tags)
    assert "Firewall" in page.text

"""The live bar: it counts what is new, in words, within reach, and never keeps anybody signed in."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from collector.state.tables import UserSession
from soc_api.accounts import sessions
from soc_api.i18n import translator
from soc_api.pages import live

if TYPE_CHECKING:
    import pytest

    from soc_api.accounts.principal import Principal
    from tests.soc_api.conftest import SignedIn, World


def principal_of(world: World, signed_in: SignedIn, username: str) -> Principal:
    client = signed_in(username)
    value = client.cookies[sessions.COOKIE]
    services = world.services
    found = sessions.find(services.state, value, "", services.settings.web, services.clock())
    assert found is not None
    return found


def messages(
    world: World, principal: Principal, since: int, lang: str = "en", *, simulated: bool = False
) -> list[dict[str, Any]]:
    """What a stream sends until its session is ended."""
    request = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(closing=False)))

    async def connected() -> bool:
        return False

    request.is_disconnected = connected

    async def collect() -> list[bytes]:
        stream = live._stream(
            cast("Any", request), world.services, principal, translator(lang), since, False, simulated
        )
        chunks: list[bytes] = []
        async for chunk in stream:
            chunks.append(chunk)
            if chunk.startswith(b"event:"):
                world.clock.forward(days=2)  # the session ends
        return chunks

    found = asyncio.run(collect())
    return [
        msgspec.json.decode(chunk.split(b"data: ", 1)[1])
        for chunk in found
        if chunk.startswith(b"event: alerts\n")
    ]


def test_a_stream_tells_how_many_alerts_are_newer_than_the_page(
    world: World, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_POLL_SECONDS", 0.0)
    principal = principal_of(world, signed_in, "analyst")
    shown = world.alert(world.here, "old")
    world.alert(world.here, "new")
    world.alert(world.there, "newer")
    sent = messages(world, principal, shown, "vi")
    assert sent == [{"new": 2, "open": "3", "text": "2 cảnh báo mới", "show": "Hiển thị", "href": "/alerts"}]


def test_an_officer_hears_only_of_his_own_agency(
    world: World, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_POLL_SECONDS", 0.0)
    principal = principal_of(world, signed_in, "officer")
    world.alert(world.there, "foreign")
    world.alert(world.here, "ours")
    assert [message["new"] for message in messages(world, principal, 0)] == [1]


def test_simulated_alerts_are_announced_only_where_the_page_counts_them(
    world: World, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_POLL_SECONDS", 0.0)
    principal = principal_of(world, signed_in, "analyst")
    for name in ("made up", "made up too"):
        world.alert(world.here, name, simulated=True)
    world.alert(world.here, "real")
    real = messages(world, principal, 0)
    principal = principal_of(world, signed_in, "analyst")
    both = messages(world, principal, 0, simulated=True)
    assert [(m["new"], m["open"], m["href"]) for m in real] == [(1, "1", "/alerts")]
    assert [(m["new"], m["open"], m["href"]) for m in both] == [(3, "3", "/alerts?simulated=1")]


def test_watching_does_not_count_as_using_the_session(world: World, signed_in: SignedIn) -> None:
    principal = principal_of(world, signed_in, "analyst")
    with world.services.state.read() as session:
        before = session.query(UserSession).one().last_used_at
    world.clock.forward(minutes=29)
    assert live._count(world.services, principal, 0, False) is not None
    world.clock.forward(minutes=2)
    assert live._count(world.services, principal, 0, False) is None
    with world.services.state.read() as session:
        assert session.query(UserSession).one().last_used_at == before


def test_a_number_that_no_alert_can_have_is_refused_before_the_stream_begins(signed_in: SignedIn) -> None:
    assert signed_in("analyst").get(f"/live?since={2**63}").status_code == 422

"""``/live``: server-sent events that tell an open page of new alerts. It never changes what is being read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from collector.state.tables import Alert, User, UserSession
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.i18n import Translator
from soc_api.incidents.service import LARGEST_ID
from soc_api.pages.render import translator_of
from soc_api.services import Services

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ALERTS_READ))]
_POLL_SECONDS = 1.0
_COMMENT_EVERY = 15


@router.get("/live")
async def live(
    request: Request,
    services: RequestServices,
    principal: Reader,
    since: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    here: bool = False,
    simulated: bool = False,
) -> Response:
    """Event ``alerts`` with ``{new, open, text, show}`` as soon as it differs from what the page showed, then with
    every change; simulated alerts count where the page counts them. Ends with the session, with the server, and when
    the page goes away."""
    stream = _stream(request, services, principal, translator_of(request), since, here, simulated)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _stream(
    request: Request,
    services: Services,
    principal: Principal,
    t: Translator,
    since: int,
    here: bool,
    simulated: bool,
) -> AsyncIterator[bytes]:
    sent: tuple[int, int] | None = None
    turn = 0
    yield b": here\n\n"
    while not request.app.state.closing and not await request.is_disconnected():
        counts = await run_in_threadpool(_count, services, principal, since, simulated)
        if counts is None:
            return
        if counts != sent and (sent is not None or counts[0] > 0):
            yield _message(counts, t, here, simulated)
        sent = counts
        turn += 1
        if turn % _COMMENT_EVERY == 0:
            yield b": still here\n\n"
        await asyncio.sleep(_POLL_SECONDS)


def _message(counts: tuple[int, int], t: Translator, here: bool, simulated: bool) -> bytes:
    new, open_ = counts
    content = {
        "new": new,
        "open": t.number(open_) if open_ else "",
        "text": t.plural("%(num)s new alert", "%(num)s new alerts", new) if new else "",
        "show": t("Show"),
        "href": "" if here else "/alerts?simulated=1" if simulated else "/alerts",
    }
    return b"event: alerts\ndata: " + msgspec.json.encode(content) + b"\n\n"


def _count(services: Services, principal: Principal, since: int, simulated: bool) -> tuple[int, int] | None:
    """New and open alerts within reach; None where the session is over. Does not count as using the session, so
    that a page left open does not keep its reader signed in."""
    web, now = services.settings.web, services.clock()
    with services.state.read() as session:
        row = session.execute(
            select(UserSession.created_at, UserSession.last_used_at, User.disabled_at)
            .join(User, User.id == UserSession.user_id)
            .where(UserSession.csrf_token == principal.csrf_token, UserSession.user_id == principal.user_id)
        ).first()
        if row is None or row.disabled_at is not None:
            return None
        idle, age = (now - row.last_used_at).total_seconds(), (now - row.created_at).total_seconds()
        if idle >= web.session_idle_seconds or age >= web.session_lifetime_seconds:
            return None
        counted = [principal.scope.where(Alert.agency_id)]
        if not simulated:
            counted.append(Alert.simulated.is_(False))
        new = session.scalar(select(func.count()).where(Alert.id > since, Alert.status != "closed", *counted))
        open_ = session.scalar(select(func.count()).where(Alert.status == "open", *counted))
    return new or 0, open_ or 0

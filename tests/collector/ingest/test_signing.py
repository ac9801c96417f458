from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import OperationalError

from agent.messages import EnrolReply, TokenParts
from collector.enrolment import service
from collector.enrolment.errors import CertificateRequestError, TokenRefusedError
from collector.ingest.problems import RefusalError
from collector.ingest.signing import Signing
from collector.state.base import utcnow
from collector.state.tables import Endpoint, EnrolmentToken

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from agent.messages import EnrolRequest
    from tests.support.collector import Site


def enrolling(site: Site, request: EnrolRequest) -> Callable[[Session, datetime], EnrolReply]:
    return lambda session, now: service.enrol(session, request, site.prepared.authority, now)


def test_of_many_at_once_each_succeeds_or_fails_for_itself(site: Site) -> None:
    good = [site.request(site.token()) for _ in range(20)]
    spent = site.request(good[0].token)
    broken = site.request(site.token())
    broken = type(broken)(broken.token, "no request", broken.facts, broken.agent_version)

    def enrolled() -> int:
        with site.state.read() as session:
            return session.scalar(select(func.count()).select_from(Endpoint)) or 0

    before = enrolled()

    async def together() -> list[Any]:
        signing = Signing(site.state)
        works = [enrolling(site, request) for request in (*good, spent, broken)]
        return await asyncio.gather(*(signing.do(work) for work in works), return_exceptions=True)

    *replies, second, third = asyncio.run(together())
    assert len({reply.endpoint_id for reply in replies if isinstance(reply, EnrolReply)}) == 20
    assert isinstance(second, TokenRefusedError)
    assert isinstance(third, CertificateRequestError)
    assert enrolled() == before + 20
    with site.state.read() as session:
        assert service._usable_token(session, broken.token, utcnow()).used_at is None


def test_what_does_not_fit_what_is_stored_is_refused_alone(site: Site) -> None:
    requests = [site.request(site.token()) for _ in range(3)]

    def twice(session: Session, now: datetime) -> EnrolReply:
        reply = enrolling(site, requests[2])(session, now)
        session.execute(insert(Endpoint).values(id=reply.endpoint_id, hostname="h", enrolled_at=now))
        return reply

    async def together() -> list[Any]:
        signing = Signing(site.state)
        works = [enrolling(site, requests[0]), twice, enrolling(site, requests[1])]
        return await asyncio.gather(*(signing.do(work) for work in works), return_exceptions=True)

    first, refused, second = asyncio.run(together())
    assert isinstance(refused, RefusalError)
    assert (refused.status, refused.headers["retry-after"]) == (503, "10")
    with site.state.read() as session:
        for reply in (first, second):
            assert session.get(Endpoint, reply.endpoint_id) is not None
        token = TokenParts.decode(requests[2].token)
        assert session.get_one(EnrolmentToken, token.id).used_at is None


def test_a_state_store_that_fails_refuses_all_of_them_for_a_while_and_then_works_again(site: Site) -> None:
    def failing(_session: Session, _now: datetime) -> EnrolReply:
        raise OperationalError("BEGIN", {}, Exception("away"))

    async def both() -> tuple[Any, Any]:
        signing = Signing(site.state)
        with pytest.raises(RefusalError) as refused:
            await signing.do(failing)
        return refused.value, await signing.do(enrolling(site, site.request(site.token())))

    refusal, reply = asyncio.run(both())
    assert (refusal.status, refusal.headers["retry-after"]) == (503, "10")
    assert isinstance(reply, EnrolReply)

"""What the holder of a copied key tries: to outlive an order, to put the true machine out, to make machines without
end, and to hide others behind what he made."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, update

from agent.messages import EnrolRequest
from collector.enrolment import service
from collector.enrolment.errors import NotAuthenticatedError, RevokedError
from collector.errors import ConflictError
from collector.identity import comparing, following, links, splitting
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Certificate, Endpoint, IdentityNote, MachineLink
from tests.collector.identity.test_splitting import (
    MINE,
    NOW,
    THEIRS,
    Collector,
    digest_of,
    new_key,
    request_of,
)
from tests.collector.pipeline import add_agency
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from agent.messages import EnrolReply, HostFacts

pytestmark = pytest.mark.usefixtures("on_both_databases")
DAY = timedelta(days=1)


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    return Collector(new_state(tmp_path))


def speaks_for(collector: Collector, reply: EnrolReply, after: timedelta) -> str:
    """The endpoint that the certificate proves after that time; empty where it proves none."""
    with collector.state.read() as session:
        try:
            return service.authenticate(session, digest_of(session, reply), NOW + after).endpoint_id
        except (NotAuthenticatedError, RevokedError):
            return ""


def notes(collector: Collector) -> list[tuple[str, str]]:
    with collector.state.read() as session:
        found = session.scalars(select(IdentityNote).order_by(IdentityNote.id))
        return [(each.endpoint_id, each.action) for each in found]


def test_an_ordinary_renewal_with_the_copied_key_answers_the_open_order(collector: Collector) -> None:
    order = collector.order()
    true = collector.renew(collector.first, new_key(), rekey=order, facts=MINE)
    thief = collector.renew(collector.first, new_key(), at=timedelta(minutes=1))
    with collector.state.write() as session:
        splitting.close_rekey(session, collector.first.endpoint_id, "lan", NOW + timedelta(hours=1))

    assert thief.endpoint_id != collector.first.endpoint_id
    assert speaks_for(collector, true, 60 * DAY) == collector.first.endpoint_id
    assert speaks_for(collector, collector.first, DAY) == ""


def test_who_knows_of_no_orders_answers_by_renewing_and_an_answer_lost_is_given_again(
    collector: Collector,
) -> None:
    collector.order()
    key = new_key()
    kept = [collector.renew(collector.first, key) for _ in range(2)]

    assert {each.endpoint_id for each in kept} == {collector.first.endpoint_id}
    assert speaks_for(collector, kept[-1], 60 * DAY) == collector.first.endpoint_id
    assert collector.renew(collector.first, new_key()).endpoint_id != collector.first.endpoint_id


def test_two_holders_of_one_key_do_not_put_each_other_out_by_renewing_and_that_is_told(
    collector: Collector,
) -> None:
    one = collector.renew(collector.first, new_key(), at=60 * DAY)
    assert notes(collector) == []
    other = collector.renew(collector.first, new_key(), at=60 * DAY + timedelta(hours=5))

    for each in (one, other):
        assert speaks_for(collector, each, 100 * DAY) == collector.first.endpoint_id
    assert speaks_for(collector, collector.first, 68 * DAY) == ""
    assert notes(collector) == [(collector.first.endpoint_id, "two_places")]


def test_who_asks_again_with_his_key_is_one_place_and_his_certificates_do_not_gather(
    collector: Collector,
) -> None:
    own, renewed = new_key(), new_key()
    for _ in range(5):
        copy = collector.renew(collector.first, own, moved=True)
    for _ in range(5):
        collector.renew(collector.first, renewed)

    assert [action for _, action in notes(collector)] == ["copy_on_its_own"]
    with collector.state.read() as session:
        for endpoint_id in (copy.endpoint_id, collector.first.endpoint_id):
            lasting = session.scalar(
                select(func.count()).where(
                    Certificate.endpoint_id == endpoint_id, Certificate.not_after > NOW + 30 * DAY
                )
            )
            assert lasting == 1
    assert speaks_for(collector, copy, 60 * DAY) == copy.endpoint_id


def test_a_copy_that_nobody_has_confirmed_makes_no_copies(collector: Collector) -> None:
    copy = collector.renew(collector.first, new_key(), moved=True)
    with pytest.raises(ConflictError, match="nobody has confirmed"):
        collector.renew(copy, new_key(), moved=True)
    with collector.state.write() as session:
        splitting.confirm(session, copy.endpoint_id, "lan", NOW)
    assert collector.renew(copy, new_key(), moved=True).endpoint_id != copy.endpoint_id


def test_a_key_that_has_an_endpoint_gets_none_of_another_source(collector: Collector) -> None:
    key = new_key()
    collector.renew(collector.first, key, moved=True)
    copy = collector.renew(collector.first, new_key(), moved=True)
    with collector.state.write() as session:
        splitting.confirm(session, copy.endpoint_id, "lan", NOW)

    with pytest.raises(ConflictError, match="has an endpoint already"):
        collector.renew(copy, key, moved=True)


class Hidden:
    """``first`` of the collector is switched off; a machine of another agency, or its own, tries to stand before it."""

    def __init__(self, collector: Collector, *, elsewhere: bool) -> None:
        self.collector = collector
        self.victim = collector.first.endpoint_id
        self.agency = add_agency(collector.state, "so-y") if elsewhere else collector.agency
        self.seen(self.victim, timedelta(hours=1))

    def enrol(self, facts: HostFacts, at: timedelta) -> EnrolReply:
        with self.collector.state.write() as session:
            token = service.create_token(
                session,
                agency_id=self.agency,
                simulated=False,
                created_by="t",
                now=NOW,
                lifetime=DAY,
                ca_sha256=self.collector.authority.sha256,
            )
            request = EnrolRequest(
                token=token,
                csr_pem=request_of(new_key()),
                facts=facts,
                agent_version="1",
            )
            return service.enrol(session, request, self.collector.authority, NOW + at)

    def seen(self, endpoint_id: str, at: timedelta) -> None:
        with self.collector.state.write() as session:
            session.execute(update(Endpoint).where(Endpoint.id == endpoint_id).values(last_seen_at=NOW + at))

    def follow(self, at: timedelta) -> list[tuple[str, str]]:
        with self.collector.state.write() as session:
            comparing.compare_new(session, NOW + at)
            following.follow_pairs(session, NOW + at, DAY)
            return [(each.kind, each.state) for each in session.scalars(select(MachineLink))]

    @property
    def hidden(self) -> list[str]:
        with self.collector.state.read() as session:
            return list(session.scalars(select(Endpoint.id).where(links.counted_elsewhere())))


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_copy_with_copied_numbers_hides_nobody(collector: Collector, elsewhere: bool) -> None:
    trial = Hidden(collector, elsewhere=elsewhere)
    made = trial.enrol(THEIRS, timedelta(minutes=1))
    copy = collector.renew(made, new_key(), at=timedelta(hours=2), facts=MINE, moved=True)
    trial.seen(copy.endpoint_id, timedelta(hours=3))

    for at in (timedelta(hours=3), 9 * DAY):
        assert trial.follow(at) == [("reimaged", "proposed")]
        assert trial.hidden == []
    with collector.state.write() as session:
        link_id = session.scalars(select(MachineLink.id)).one()
        with pytest.raises(ConflictError, match="confirm that it is a machine of ours"):
            links.link_by_hand(session, EVERYTHING, link_id, "lan", NOW + 9 * DAY)
        splitting.confirm(session, copy.endpoint_id, "lan", NOW + 9 * DAY)
    # What a person has confirmed is a machine as any other: of the same agency only.
    assert trial.follow(9 * DAY) == [("reimaged", "proposed" if elsewhere else "linked")]


def test_a_link_across_agencies_is_a_persons_and_the_older_ones_people_see_and_undo_it(
    collector: Collector,
) -> None:
    trial = Hidden(collector, elsewhere=True)
    newer = trial.enrol(MINE, timedelta(hours=2))
    trial.seen(newer.endpoint_id, timedelta(hours=3))
    assert trial.follow(9 * DAY) == [("reimaged", "proposed")]
    assert trial.hidden == []

    ours, theirs = Scope(frozenset({collector.agency})), Scope(frozenset({trial.agency}))
    with collector.state.write() as session:
        assert links.list_pairs(session, ours) == ([], 0)
        link_id = session.scalars(select(MachineLink.id)).one()
        links.link_by_hand(session, EVERYTHING, link_id, "lan", NOW + 9 * DAY)
        told = session.scalars(select(IdentityNote).where(IdentityNote.action == "linked")).all()
        assert {each.endpoint_id for each in told} == {trial.victim, newer.endpoint_id}
        assert not any("other_id" in each.body or "other_name" in each.body for each in told)
    assert trial.hidden == [trial.victim]
    with collector.state.write() as session:
        [pair], _ = links.list_pairs(session, ours)
        assert (pair.older.id, pair.reached) == (trial.victim, False)
        assert links.list_pairs(session, theirs) == ([], 0)
        links.undo(session, ours, link_id, "officer", "ours is switched off", NOW + 9 * DAY)
    assert trial.hidden == []


def test_taking_the_newer_record_out_of_service_brings_the_older_one_back(collector: Collector) -> None:
    trial = Hidden(collector, elsewhere=False)
    newer = trial.enrol(MINE, timedelta(hours=2))
    trial.seen(newer.endpoint_id, timedelta(hours=3))
    assert trial.follow(2 * DAY) == [("reimaged", "linked")]
    assert trial.hidden == [trial.victim]

    with collector.state.write() as session:
        service.retire(session, newer.endpoint_id, "scrapped", NOW + 3 * DAY)
    assert trial.hidden == []
    assert trial.follow(3 * DAY) == [("reimaged", "undone")]
    with collector.state.write() as session:
        link = session.scalars(select(MachineLink)).one()
        assert link.reason == links.NEWER_RETIRED
        with pytest.raises(ConflictError, match="out of service"):
            links.link_by_hand(session, EVERYTHING, link.id, "lan", NOW + 3 * DAY)

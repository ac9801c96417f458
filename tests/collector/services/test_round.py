"""Several probes' words become one verdict, its events open and clear alerts, and its spans a share of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from agent.probe.services.sketch import sketch_of
from collector.alerts.findings import apply_outcomes
from collector.alerts.models import Outcome
from collector.detect.step import Step
from collector.documents.service import digest_of
from collector.services import register, spans
from collector.services.models import UP, Probed
from collector.services.round import Availability
from collector.services.verdicts import certificate_verdict
from collector.settings import Settings
from collector.state.tables import (
    Alert,
    AvailabilitySpan,
    Document,
    Endpoint,
    Service,
    ServiceContent,
    ServiceMaintenance,
)
from collector.state.upsert import upsert
from rules.catalogue import OWN_RULES, load_catalogue
from rules.engine import Engine
from tests.collector.pipeline import add_agency, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_both_databases")

T0 = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
DAY = 86_400.0
PAGE = [f"cổng thông tin {at}" for at in range(200)]


@pytest.fixture(scope="module")
def rules() -> tuple[Engine, Any]:
    folder = OWN_RULES / "services"
    return Engine([folder]), load_catalogue([folder])


def content(lines: list[str], **more: Any) -> dict[str, Any]:
    text = sketch_of(lines)
    return {
        "title": lines[0],
        "excerpt": " ".join(lines[:5]),
        "text": text,
        "structure": sketch_of(["html>body>div"]),
        "hosts": [],
        "words": [],
        "digest": digest_of({"lines": lines}),
        **more,
    }


class Site:
    """Three agencies with a probe each, and a look at all of them on a clock of the test's."""

    def __init__(self, folder: Path, rules: tuple[Engine, Any]) -> None:
        self.state = new_state(folder)
        self.engine, self.catalogue = rules
        self.now = T0
        self.agencies = [add_agency(self.state, code) for code in ("xa-a", "xa-b", "xa-c")]
        self.probes = [
            add_endpoint(
                self.state, f"probe-{at}", agency, last_seen_at=T0, enrolled_at=T0 - timedelta(days=9)
            )
            for at, agency in enumerate(self.agencies)
        ]
        self.restart()

    def restart(self) -> None:
        self.watch = Availability(
            Settings(), now=lambda: self.now.timestamp(), steady=lambda: self.now.timestamp()
        )

    def tell(self, probe: int, kind: str, item: str, body: dict[str, Any]) -> None:
        row = {
            "endpoint_id": self.probes[probe],
            "kind": kind,
            "item": item,
            "body": body,
            "digest": digest_of(body),
            "observed_at": self.now,
            "received_at": self.now,
            "changed_at": self.now,
        }
        with self.state.write() as session:
            upsert(session, Document, [row], ("endpoint_id", "kind", "item"))

    def check(self, *states: str, name: str = "portal", **more: Any) -> None:
        """What each probe finds of a service, in order."""
        for probe, state in enumerate(states):
            body = {"service": name, "kind": "http", "state": state, "findings": [], **more}
            self.tell(probe, "service_check", name, body)

    def sleep(self, seconds: float, silent: tuple[int, ...] = ()) -> None:
        """Time passes; all probes but those that are ``silent`` are heard."""
        self.now += timedelta(seconds=seconds)
        heard = [each for at, each in enumerate(self.probes) if at not in silent]
        with self.state.write() as session:
            session.execute(update(Endpoint).where(Endpoint.id.in_(heard)).values(last_seen_at=self.now))

    def look(self) -> list[dict[str, Any]]:
        """One look with all that follows from it; what it told."""
        with self.state.read() as session:
            look = self.watch.look(session, None)  # type: ignore[arg-type] # it asks no event store
        step = Step(Settings())
        self.watch.tell(step, look, 0)
        outcomes = [
            Outcome(each.event, tuple(self.engine.process(each.event)), tuple(self.engine.route(each.event)))
            for each in step.events
        ]
        with self.state.write() as session:
            apply_outcomes(session, outcomes, self.catalogue, self.now)
            self.watch.write(session, look)
        self.watch.done(look)
        return [dict(each.event.fields) for each in step.events]

    def actions(self) -> list[str]:
        return [each["event"]["action"] for each in self.look()]

    def open_alerts(self) -> list[str]:
        with self.state.read() as session:
            found = session.scalars(select(Alert).where(Alert.cleared_at.is_(None))).all()
            return sorted(self.catalogue[each.rule_id].title["en"] for each in found)

    def state_of(self, kind: str, subject: int = 1) -> str:
        with self.state.read() as session:
            return spans.open_spans(session, [kind])[kind, subject].state


@pytest.fixture
def site(tmp_path: Path, rules: tuple[Engine, Any]) -> Site:
    made = Site(tmp_path, rules)
    made.check("up", "up", "up", content=content(PAGE))
    made.look()  # enters the service
    made.look()  # learns its page
    assert made.look() == []
    return made


def test_down_for_one_commune_and_down_for_all_are_two_things(site: Site) -> None:
    site.check("up", "up", "down", reason="nothing answers at the other end")
    told = site.look()
    assert [each["event"]["action"] for each in told] == ["down_for_some"]
    assert told[0]["service"]["agencies"] == ["Xa-C"]
    assert (told[0]["service"]["asked_count"], told[0]["service"]["down_count"]) == (3, 1)
    assert site.open_alerts() == ["A service works, but not from some agencies"]

    site.sleep(60)
    site.check("up", "down", "down")
    assert site.actions() == ["down_for_all"]
    assert site.open_alerts() == ["A service of the province does not work from anywhere"]

    site.sleep(60)
    site.check("up", "up", "up")
    assert site.actions() == ["up_again"]
    assert site.open_alerts() == []


def test_many_machines_of_one_agency_have_one_vote(site: Site) -> None:
    for at in range(3, 9):
        site.probes.append(add_endpoint(site.state, f"probe-{at}", site.agencies[2], last_seen_at=site.now))
        site.tell(at, "service_check", "portal", {"state": "down"})
    site.check("up", "up", "down")
    assert site.actions() == ["down_for_some"]


def test_who_is_not_heard_has_no_voice_and_without_voices_nothing_is_known(site: Site) -> None:
    site.check("up", "down", "down")
    site.sleep(600, silent=(1, 2))
    site.look()
    assert site.state_of("service") == "up"
    site.sleep(600, silent=(0, 1, 2))
    site.look()
    assert site.state_of("service") == "unknown"


def test_an_outage_that_nobody_can_see_any_more_has_not_passed(site: Site) -> None:
    site.check("down", "down", "down")
    site.look()
    site.sleep(600, silent=(0, 1, 2))
    site.look()
    assert site.state_of("service") == "unknown"
    assert "A service of the province does not work from anywhere" in site.open_alerts()


def test_simulated_and_retired_machines_have_no_voice(site: Site) -> None:
    with site.state.write() as session:
        session.execute(update(Endpoint).where(Endpoint.id == site.probes[0]).values(simulated=True))
        session.execute(update(Endpoint).where(Endpoint.id == site.probes[1]).values(retired_at=site.now))
    site.check("down", "down", "up")
    assert site.look() == []


def test_planned_work_makes_no_alert(site: Site) -> None:
    with site.state.write() as session:
        session.add(
            ServiceMaintenance(
                service_id=1,
                begins_at=site.now,
                ends_at=site.now + timedelta(hours=1),
                reason="x",
                made_at=site.now,
                made_by="admin",
            )
        )
    site.check("down", "down", "down")
    assert site.actions() == ["down_for_all"]
    assert site.open_alerts() == []


def test_a_defaced_page_is_an_alert_until_somebody_accepts_it_and_a_second_change_is_another(
    site: Site,
) -> None:
    defaced = content(["hacked by x", "and nothing else"], words=["hacked by"])
    site.check("up", "up", "up", content=defaced)
    told = site.look()
    assert [each["event"]["action"] for each in told] == ["content_changed"]
    assert told[0]["service_content"]["title"] == "hacked by x"
    assert told[0]["service_content"]["score_ratio"] > 0.9
    assert site.open_alerts() == ["A page of the province looks defaced"]
    assert site.look() == []

    site.check("up", "up", "up", content=content(["another page", "entirely", "new"]))
    assert site.actions() == ["content_changed"]

    with site.state.write() as session:
        page = spans.open_spans(session, ["content"])["content", 1].detail
        session.add(register.accepted_page(1, page, site.now, by="admin", reason="new design"))
    assert site.actions() == ["content_accepted"]
    assert site.open_alerts() == []


def test_a_page_that_is_defaced_when_first_seen_is_not_learnt(
    tmp_path: Path, rules: tuple[Engine, Any]
) -> None:
    site = Site(tmp_path, rules)
    site.check("up", content=content(["hacked by x"], words=["hacked by"]))
    site.look()
    assert site.actions() == ["content_changed"]
    with site.state.read() as session:
        assert session.scalars(select(ServiceContent)).all() == []


def test_a_certificate_is_told_at_each_mark_and_when_it_is_renewed(site: Site) -> None:
    ends = (site.now + timedelta(days=40)).timestamp()

    def told_in(days: float, end: float) -> list[str]:
        site.sleep(days * DAY)
        site.check("up", "up", "up", content=content(PAGE), tls={"problem": "", "not_after": end})
        return site.actions()

    assert told_in(0, ends) == []
    assert told_in(11, ends) == ["certificate_expires"]
    assert told_in(1, ends) == []
    assert site.open_alerts() == []
    assert told_in(15, ends) == ["certificate_expires"]
    assert site.open_alerts() == ["A service's certificate ends soon or is not good"]
    assert told_in(1, ends + 365 * DAY) == ["certificate_valid"]
    assert site.open_alerts() == []


@pytest.mark.parametrize("end", [10**400, -(10**400), 1e308, 10**12, float("nan"), float("-inf"), -1, True])
def test_an_end_beyond_reason_is_none(end: float) -> None:
    def said(not_after: float) -> Probed:
        body = {"tls": {"problem": "", "not_after": not_after}}
        return Probed("probe-0", 1, "service_check", "portal", body, fresh=True)

    now = T0.timestamp()
    assert certificate_verdict(7, [said(end)], now) is None
    verdict = certificate_verdict(7, [said(end), said(now + 20 * DAY)], now)
    assert verdict is not None
    assert (verdict.state, verdict.fields["days_left"]) == ("30", 20)


def test_an_open_mail_domain_is_an_alert_until_it_is_closed(site: Site) -> None:
    site.check("up", name="mail", findings=["dmarc_none", "header_csp_missing"])
    site.look()
    assert site.actions() == ["posture_changed"]
    assert site.open_alerts() == ["Mail in the name of a domain of the province can be forged"]
    site.check("up", name="mail", findings=["header_csp_missing"])
    assert site.actions() == ["posture_changed"]
    assert site.open_alerts() == []


def link(site: Site, name: str, role: str, state: str, probe: int = 0) -> None:
    site.tell(probe, "link", name, {"name": name, "role": role, "state": state, "reason": ""})


def test_a_lost_lan_a_lost_wan_and_a_silent_agency_are_three_things(site: Site) -> None:
    agency = site.agencies[0]
    for name, role in (("gateway", "lan"), ("tslcd", "dedicated"), ("net", "internet")):
        link(site, name, role, "up")
    assert site.look() == []
    assert (site.state_of("lan", agency), site.state_of("wan", agency)) == ("connected", "connected")

    link(site, "tslcd", "dedicated", "down")
    assert site.actions() == ["wan_degraded"]
    assert site.open_alerts() == ["An agency's lines work, but badly or in part"]
    link(site, "net", "internet", "down")
    assert site.actions() == ["wan_lost"]
    assert site.open_alerts() == ["An agency's way to the province's network is gone"]
    link(site, "gateway", "lan", "down")
    assert site.actions() == ["lan_lost"]

    for name, role in (("gateway", "lan"), ("tslcd", "dedicated"), ("net", "internet")):
        link(site, name, role, "up")
    assert sorted(site.actions()) == ["lan_connected", "wan_connected"]
    site.sleep(600, silent=(0,))
    assert sorted(site.actions()) == ["lan_unknown", "wan_unreachable"]
    assert (site.state_of("lan", agency), site.state_of("wan", agency)) == ("unknown", "unreachable")
    assert site.open_alerts() == ["An agency's way to the province's network is gone"]


def test_a_silent_probe_beside_machines_that_are_heard_is_no_lost_line(site: Site) -> None:
    link(site, "gateway", "lan", "up")
    link(site, "tslcd", "dedicated", "up")
    site.look()
    other = add_endpoint(site.state, "desk", site.agencies[0], last_seen_at=site.now)
    site.probes.append(other)
    site.sleep(600, silent=(0,))
    assert sorted(site.actions()) == ["lan_unknown", "wan_unknown"]
    assert site.open_alerts() == []


def test_after_the_collector_was_away_nobody_is_called_silent_and_the_gap_is_unknown(site: Site) -> None:
    link(site, "gateway", "lan", "up")
    link(site, "tslcd", "dedicated", "up")
    site.look()
    site.sleep(60)
    site.look()
    gap_from = site.now
    site.now += timedelta(hours=2)  # nothing ran: nobody could be heard
    site.restart()
    assert site.look() == []
    assert site.state_of("wan", site.agencies[0]) == "connected"
    site.sleep(300)
    assert site.look() == []
    with site.state.read() as session:
        found = spans.spans_of(session, ["service"], gap_from - timedelta(hours=1))["service", 1]
        period = (gap_from - timedelta(hours=1), site.now)
        share = spans.share_of(found, {UP}, period)
    assert [span.state for span in found] == ["up", "unknown", "up"]
    assert share.unknown >= 2 * 3600
    assert share.ratio == 1.0


def span(state: str, begin: float, end: float | None) -> AvailabilitySpan:
    at = [None if each is None else T0 + timedelta(seconds=each) for each in (begin, end)]
    return AvailabilitySpan(
        kind="service", subject_id=1, state=state, began_at=at[0], ended_at=at[1], detail={}
    )


def test_a_share_counts_what_is_known_and_leaves_planned_work_out() -> None:
    found = [span("up", -50, 40), span("down_for_all", 40, 60), span("unknown", 60, 70), span("up", 70, None)]
    period = (T0, T0 + timedelta(seconds=100))
    share = spans.share_of(found, {"up"}, period)
    assert (share.good, share.bad, share.unknown, share.planned) == (70, 20, 10, 0)
    assert share.ratio == pytest.approx(70 / 90)

    def planned(begin: float, end: float) -> tuple[datetime, datetime]:
        return T0 + timedelta(seconds=begin), T0 + timedelta(seconds=end)

    share = spans.share_of(found, {"up"}, period, [planned(30, 50), planned(45, 55)])
    assert (share.good, share.bad, share.unknown, share.planned) == (60, 5, 10, 25)
    assert spans.share_of([], {"up"}, period).ratio is None
    assert spans.share_of([], {"up"}, period).unknown == 100


def test_the_worst_of_a_period_is_the_first_in_the_order_given() -> None:
    found = [span("up", 0, 40), span("down_for_all", 40, 60), span("up", 60, None)]
    order = ("down_for_all", "up")
    slots = [(T0 + timedelta(seconds=at), T0 + timedelta(seconds=at + 20)) for at in (-20, 0, 40, 60)]
    assert [spans.worst_of(found, slot, order) for slot in slots] == ["", "up", "down_for_all", "up"]


def test_names_that_no_service_can_have_are_not_entered(site: Site) -> None:
    site.check("up", name="<script>")
    site.check("up", name="x" * 80)
    site.look()
    with site.state.read() as session:
        assert [each.name for each in session.scalars(select(Service))] == ["portal"]


def test_what_ended_two_years_ago_is_dropped_and_what_lasts_is_not(site: Site) -> None:
    site.check("down", "down", "down")
    site.look()
    site.now += timedelta(days=900)
    site.sleep(1)
    site.restart()
    site.look()
    site.sleep(300)
    site.look()
    with site.state.read() as session:
        states = [span.state for span in session.scalars(select(AvailabilitySpan)) if span.kind == "service"]
    assert "up" not in states
    assert states[-1] == "down_for_all"

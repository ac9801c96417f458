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
from collector.errors import ConflictError
from collector.links.verdicts import agency_verdicts
from collector.services import register, spans
from collector.services.learning import ALONE_SECONDS, page_to_learn
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
from collector.store.errors import StoreUnavailableError
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
        self.rows: list[dict[str, Any]] | None = []
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
            look = self.watch.look(session, self)  # type: ignore[arg-type] # the event store, as far as it is asked
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

    def query(self, _sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """The event store's, of what :attr:`rows` holds; ``None``: it is down."""
        if self.rows is None:
            raise StoreUnavailableError("down")
        within = [row for row in self.rows if parameters["since"] < row["at"] <= parameters["until"]]
        return sorted(within, key=lambda row: -row["at"])

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


def test_one_agencys_probes_do_not_fill_the_register_and_people_are_never_kept_out(site: Site) -> None:
    for number in range(400):
        site.check("up", name=f"x{number:03}")
    site.tell(1, "service_check", "mail", {"state": "up"})
    for _ in range(3):
        site.look()
    with site.state.write() as session:
        services = session.scalars(select(Service)).all()
        told = [each for each in services if each.name.startswith("x")]
        assert (
            len(told) == register.MOST_UNDECIDED_EACH - 1
        )  # "portal" was told by all, and counts as its own
        assert {each.seen_agency_id for each in told} == {site.agencies[0]}
        assert "mail" in {each.name for each in services}
        # Nobody looks after what a person has not entered; it can go, with all that was kept of it.
        gone = told[0]
        subject = gone.id
        register.remove(session, gone)
        kept = register.get_service(session, "portal")
        kept.decided = True
        with pytest.raises(ConflictError, match="somebody has entered"):
            register.remove(session, kept)
    with site.state.read() as session:
        assert ("service", subject) not in spans.open_spans(session, ["service"])
    site.look()
    with site.state.read() as session:
        count = sum(each.name.startswith("x") for each in session.scalars(select(Service)))
    assert count == register.MOST_UNDECIDED_EACH, "what is still told of comes back, the bound stays"


def test_a_service_that_is_removed_while_it_is_judged_leaves_nothing_behind(site: Site) -> None:
    site.check("up", "up", "up", name="short", content=content(PAGE))
    site.look()
    with site.state.read() as session:
        look = site.watch.look(session, site)  # type: ignore[arg-type]
        subject = register.get_service(session, "short").id
    with site.state.write() as session:
        register.remove(session, register.get_service(session, "short"))
    with site.state.write() as session:
        site.watch.write(session, look)
        assert ("service", subject) not in spans.open_spans(session, ["service"])
        assert [each.service_id for each in session.scalars(select(ServiceContent))] == [1]


def test_who_flaps_on_purpose_makes_no_more_spans_and_hides_no_outage(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, most in spans.MOST_A_DAY.items():
        monkeypatch.setitem(spans.MOST_A_DAY, kind, most // 6)

    def flap(turn: int) -> None:
        state = ("up", "down")[turn % 2]
        site.check(
            "up",
            "up",
            state,
            findings=[f"f{turn}"],
            content=content([*PAGE, str(turn)] if turn % 2 else [f"other {turn} {at}" for at in range(50)]),
            tls={"problem": ("", "expired")[turn % 2], "not_after": T0.timestamp() + 400 * DAY},
        )

    told = 0
    for turn in range(3 * spans.MOST_A_DAY["service"]):
        flap(turn)
        told += len(site.look())
        site.sleep(30)
    with site.state.read() as session:
        rows = session.scalars(select(AvailabilitySpan)).all()
    by_kind = {kind: [row for row in rows if row.kind == kind] for kind in register.KINDS}
    for kind, found in by_kind.items():
        assert spans.MOST_A_DAY[kind] <= len(found) <= spans.MOST_A_DAY[kind] + 6, kind
    assert told <= sum(spans.MOST_A_DAY.values()) + 6 * len(register.KINDS)
    closed = [row.detail for row in by_kind["content"] if row.ended_at is not None]
    assert not any("text" in detail for detail in closed)

    # What gets worse is told all the same; what gets better only ten minutes later.
    site.check("down", "down", "down")
    assert "down_for_all" in site.actions()
    site.sleep(60)
    site.check("up", "up", "up")
    site.look()
    assert site.state_of("service") == "down_for_all"
    site.sleep(spans.HELD_SECONDS)
    assert "up_again" in site.actions()
    assert site.state_of("service") == "up"


def test_what_nobody_tells_any_more_is_unknown_and_an_outage_is_no_reason_for_that(site: Site) -> None:
    tls = {"problem": "", "not_after": T0.timestamp() + 400 * DAY}
    site.check("up", "up", "up", content=content(PAGE), tls=tls)
    site.look()
    kinds = ("content", "certificate", "posture")
    assert [site.state_of(kind) for kind in kinds] == ["accepted", "valid", "in_order"]
    site.check("down", "down", "down", content=content(PAGE))
    site.sleep(60)
    assert site.actions() == ["down_for_all"]
    site.sleep(3600)
    assert site.actions() == []
    assert [site.state_of(kind) for kind in kinds] == ["accepted", "valid", "in_order"]
    site.sleep(2 * DAY)
    assert site.actions() == []
    assert [site.state_of(kind) for kind in kinds] == ["accepted", "unknown", "unknown"]
    site.check("up", "up", "up", content=content(PAGE), tls={**tls, "problem": "expired"})
    assert sorted(site.actions()) == ["certificate_invalid", "posture_changed", "up_again"]
    site.sleep(600, silent=(0, 1, 2))
    site.look()
    assert [site.state_of(kind) for kind in kinds] == ["unknown"] * 3
    assert "A service's certificate ends soon or is not good" in site.open_alerts()


def seen(agency: int, lines: list[str], **more: Any) -> Probed:
    body = {"state": "up", "content": content(lines, **more)}
    return Probed(f"probe-{agency}", agency, "service_check", "portal", body, fresh=True)


def test_the_first_probes_page_does_not_become_right_for_all() -> None:
    true, false = [seen(agency, PAGE) for agency in (1, 2, 3)], seen(9, ["nothing", "of", "it"])
    bad = seen(8, ["hacked by x"], words=["hacked by"])
    everybody = {1, 2, 3, 8, 9}

    def learnt(
        *pages: Probed, owner: int | None = None, watching: set[int] = everybody, long: float = 1e9
    ) -> str:
        found = page_to_learn(pages, owner, watching, long)
        return "" if found is None else found["title"]

    assert learnt(false) == "", "others ask, too: what they see is waited for"
    assert learnt(false, true[0]) == "", "one against one"
    assert learnt(false, true[0], true[1]) == PAGE[0]
    assert learnt(false, bad, true[0], true[1]) == "", "half is not most"
    assert learnt(false, bad, *true) == PAGE[0]
    assert learnt(false, true[0], owner=1) == PAGE[0]
    assert learnt(false, bad, owner=8) == ""
    assert learnt(true[0], watching={1}) == PAGE[0]
    assert learnt(true[0], watching={1}, long=ALONE_SECONDS - 1) == ""
    assert learnt(bad, watching={8}) == ""


def test_a_page_that_agencies_do_not_agree_on_waits_for_a_person(
    tmp_path: Path, rules: tuple[Engine, Any]
) -> None:
    site = Site(tmp_path, rules)
    site.tell(0, "service_check", "portal", {"state": "up", "content": content(["x", "y", "z"])})
    site.tell(1, "service_check", "portal", {"state": "up", "content": content(PAGE)})
    site.look()
    assert site.look() == []
    assert site.state_of("content") == "unaccepted"
    site.tell(2, "service_check", "portal", {"state": "up", "content": content(PAGE)})
    assert site.actions() == ["content_changed"], "the first one's page is another than most see"


def test_a_line_is_not_lost_while_one_of_its_links_could_not_be_asked() -> None:
    def judged(*states: str) -> list[str]:
        links = [
            Probed("p", 1, "link", f"l{at}", {"role": "dedicated", "state": state}, fresh=True)
            for at, state in enumerate(states)
        ]
        return [each.state for each in agency_verdicts(1, links, heard=True) if each.kind == "wan"]

    assert judged("down", "down") == ["lost"]
    assert judged("down", "unknown") == ["degraded"]
    assert judged("unknown") == ["unknown"]
    assert judged("up", "unknown") == ["connected"]


LINE = {"device": "rt-1", "interface": "Gi0/0", "received_bits": 100e6, "sent_bits": 50e6}


def traffic(site: Site, received: float, sent: float, minutes: int = 15) -> None:
    """Time passes, and every five minutes the router's interface carried so much, in bits a second."""
    assert site.rows is not None
    for _ in range(minutes // 5):
        site.sleep(300)
        for name, bits in (("network.received_bytes", received), ("network.sent_bytes", sent)):
            row = {"endpoint_id": site.probes[0], "device": "rt-1", "interface": "Gi0/0", "name": name}
            site.rows.append({**row, "at": site.now.timestamp() - 1, "value": bits / 8})


def test_a_leased_line_that_is_full_for_long_is_an_alert_until_it_has_room(site: Site) -> None:
    agency = site.agencies[0]
    body = {"name": "tslcd", "role": "dedicated", "state": "up", "reason": "", "line": LINE}
    site.tell(0, "link", "tslcd", body)
    site.look()
    assert site.state_of("line", agency) == "unknown"
    traffic(site, 40e6, 10e6)
    assert site.actions() == ["line_free"]
    traffic(site, 99e6, 10e6, minutes=5)
    assert site.actions() == [], "a peak is no fault"
    traffic(site, 20e6, 45e6)
    [told] = site.look()
    assert told["event"]["action"] == "line_busy"
    line = told["leased_line"]
    assert (line["name"], line["line"], line["direction"], line["busy"]) == (
        "xa-a",
        "tslcd",
        "sent",
        ["tslcd"],
    )
    assert (line["used_ratio"], line["capacity_bits"]) == (0.9, 50e6)
    assert told["agency"]["code"] == "xa-a"
    assert site.open_alerts() == ["An agency's leased line is full for long"]
    traffic(site, 20e6, 38e6)
    assert site.actions() == [], "a little below is not free yet"
    assert site.state_of("line", agency) == "busy"
    site.rows = None
    site.sleep(120)
    assert site.actions() == [], "without the event store all stays as it was"
    site.rows = []
    traffic(site, 20e6, 10e6)
    assert site.actions() == ["line_free"]
    assert site.open_alerts() == []
    with site.state.read() as session:
        detail = spans.open_spans(session, ["line"])["line", agency].detail
    assert (detail["lines"][0]["received_ratio"], detail["lines"][0]["sent_ratio"]) == (0.2, 0.2)


@pytest.mark.parametrize(
    "line",
    [
        5,
        {},
        {**LINE, "device": ""},
        {**LINE, "interface": 7},
        {**LINE, "received_bits": 10**400},
        {**LINE, "sent_bits": 0},
        {**LINE, "sent_bits": True},
        {**LINE, "sent_bits": 1e300},
    ],
)
def test_a_line_that_cannot_be_meant_is_none(site: Site, line: Any) -> None:
    site.tell(0, "link", "tslcd", {"name": "tslcd", "role": "dedicated", "state": "up", "line": line})
    site.look()
    with site.state.read() as session:
        assert ("line", site.agencies[0]) not in spans.open_spans(session, ["line"])

"""Who logs and who does not: from probes' reports to alerts that open and clear."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select

from collector.alerts.findings import apply_outcomes
from collector.alerts.models import Outcome
from collector.detect.checkpoints import save_places
from collector.detect.step import Step
from collector.errors import ConflictError, NotFoundError
from collector.partitions import ALL
from collector.settings import Settings
from collector.sources import register, watch
from collector.sources.rhythm import Rhythm, patience, spoke
from collector.sources.watch import LogSources
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Alert, Document, Endpoint, LogSource
from collector.store.errors import StoreUnavailableError
from rules.catalogue import OWN_RULES, load_catalogue
from rules.engine import Engine
from tests.collector.pipeline import add_agency, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy.orm import Session

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")

T0 = datetime(2026, 11, 21, 3, 0, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
RULES = [OWN_RULES / "network" / f"availability_log_source_{name}.yml" for name in ("silent", "never_heard")]


@pytest.fixture(scope="module")
def rules() -> tuple[Engine, Any]:
    return Engine(RULES), load_catalogue([OWN_RULES / "network"])


@dataclass
class Heard:
    """Stands for the event store: what probes reported since the last question."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    forms: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False
    #: With their times, instead of ``reports``; in the store are those until ``worked_until``.
    received: list[tuple[float, dict[str, Any]]] | None = None
    worked_until: float = 0.0

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        if self.away:
            raise StoreUnavailableError("away")
        kind = "forms" if "log.format" in sql else "reports"
        if self.received is not None and parameters is not None:
            if kind == "forms":
                return []
            since, until = (float(str(parameters[name])) / 1e6 for name in ("since", "until"))
            return [row for at, row in self.received if since < at <= until and at <= self.worked_until]
        found: list[dict[str, Any]] = getattr(self, kind)
        setattr(self, kind, [])
        return found


class Site:
    """The watch on clocks of the test's, an agency with a probe, and the rules behind."""

    def __init__(self, folder: Path, rules: tuple[Engine, Any]) -> None:
        self.state: StateStore = new_state(folder)
        self.engine, self.catalogue = rules
        self.wall, self.steady = T0, 1_000.0
        self.store = Heard()
        self.agency = add_agency(self.state)
        add_endpoint(self.state, "probe-1", self.agency)
        self.listens(True)
        self.restart()

    def listens(self, switched_on: bool, *, well: bool = True) -> None:
        """The probe's part is switched on, or off; it does ``well`` or fails."""
        with self.state.write() as session:
            session.execute(delete(Document))
            bodies = {("collector_health", "syslog"): {"name": "syslog", "ok": well, "reason": ""}}
            if switched_on:
                bodies["syslog_input", ""] = {"tcp_port": 514}
            for (kind, item), body in bodies.items():
                session.add(
                    Document(
                        endpoint_id="probe-1", kind=kind, item=item, body=body, digest="",
                        observed_at=self.now(), received_at=self.now(), changed_at=self.now(),
                    )
                )  # fmt: skip

    def restart(self) -> None:
        self.watch = LogSources(Settings(), now=lambda: self.wall, steady=lambda: self.steady)

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall, UTC)

    def report(self, address: str = "192.0.2.1", messages: int = 60, **said: Any) -> None:
        """As :mod:`collector.sources.reading` gets it from the event store."""
        device = {"address": address, "times": [self.wall], "messages": messages, "seconds": 60.0, "hostname": "fw",
                  "transport": "tcp", "certificate": "", **said}  # fmt: skip
        agency = device.pop("agency", self.agency)
        row = {"agency_id": agency, "endpoint_id": "probe-1", "devices": [tuple(device.values())]}
        self.store.reports.append(row)

    def look(self, *, probe_heard: bool = True) -> list[dict[str, Any]]:
        """One look; what it told, also to the rules."""
        if probe_heard:
            with self.state.write() as session:
                session.get_one(Endpoint, "probe-1").last_seen_at = self.now()
        with self.state.read() as session:
            found = self.watch.look(session, self.store)  # type: ignore[arg-type]
        step = Step(Settings())
        self.watch.tell(step, found, 1)
        outcomes = [
            Outcome(each.event, tuple(self.engine.process(each.event)), self.engine.route(each.event))
            for each in step.events
        ]
        with self.state.write() as session:
            self.watch.write(session, found)
            apply_outcomes(session, outcomes, self.catalogue, self.now())
        self.watch.done(found)
        return [dict(each.event.fields) for each in step.events]

    def runs(self, seconds: float, every: float = 40 * MINUTE) -> list[dict[str, Any]]:
        """The firewall speaks for so long."""
        told = []
        for _ in range(int(seconds / every)):
            self.sleep(every)
            self.report()
            told += self.look()
        return told

    def source(self, address: str = "192.0.2.1") -> LogSource:
        with self.state.read() as session:
            return session.scalars(select(LogSource).where(LogSource.address == address)).one()

    def alerts(self) -> list[bool]:
        """Whether what each alert is about still holds."""
        with self.state.read() as session:
            return [each.cleared_at is None for each in session.scalars(select(Alert).order_by(Alert.id))]


@pytest.fixture
def site(tmp_path: Path, rules: tuple[Engine, Any]) -> Site:
    return Site(tmp_path, rules)


def declare(session: Session, site: Site, address: str, expected_seconds: float | None) -> None:
    register.declare(
        session,
        site.agency,
        address,
        name="fw-xa",
        expected_seconds=expected_seconds,
        reason="it must log",
        actor="an",
        now=site.now(),
    )


def actions(events: list[dict[str, Any]]) -> list[str]:
    return [each["event"]["action"] for each in events]


def test_a_firewall_that_speaks_all_day_and_then_no_more_is_an_alert_until_it_speaks_again(
    site: Site,
) -> None:
    assert actions(site.runs(13 * HOUR, every=20 * MINUTE)) == ["first_heard"]
    known = site.source()
    assert (known.standing, known.state, known.hostname, known.transport) == ("new", "heard", "fw", "tcp")
    assert known.rate == pytest.approx(1.0)
    site.sleep(39 * MINUTE)
    assert site.look() == []
    site.sleep(2 * MINUTE)  # longer than twice its longest pause
    [silent] = site.look()
    assert silent["event"]["action"] == "silent"
    assert silent["log_source"]["seconds"] == pytest.approx(41 * MINUTE)
    assert silent["log_source"]["expected_seconds"] == pytest.approx(40 * MINUTE)
    assert silent["agency"]["id"] == site.agency
    assert site.alerts() == [True]
    assert site.look() == []
    site.report()
    assert actions(site.look()) == ["heard_again"]
    assert site.alerts() == [False]


def test_a_device_that_was_declared_and_never_came_is_an_alert_until_it_comes(site: Site) -> None:
    with site.state.write() as session:
        declare(session, site, "192.0.2.9", HOUR)
    site.sleep(50 * MINUTE)
    assert site.look() == []
    site.sleep(20 * MINUTE)
    [told] = site.look()
    assert (told["event"]["action"], told["log_source"]["name"]) == ("never_heard", "fw-xa")
    assert site.alerts() == [True]
    site.report("192.0.2.9")
    assert actions(site.look()) == ["heard_again"]
    assert site.alerts() == [False]


def test_of_a_device_behind_a_silent_probe_nothing_is_said(site: Site) -> None:
    site.runs(13 * HOUR)
    site.sleep(3 * HOUR)
    assert actions(site.look(probe_heard=False)) == ["unheard"]
    assert site.look() == []
    site.sleep(81 * MINUTE)  # longer than twice its longest pause since the probe is heard
    assert actions(site.look()) == ["silent"]


@pytest.mark.parametrize(("switched_on", "well"), [(True, False), (False, True)])
def test_of_a_device_behind_a_part_that_fails_or_is_switched_off_is_told_that_nothing_is_known(
    site: Site, switched_on: bool, well: bool
) -> None:
    site.runs(13 * HOUR)
    site.listens(switched_on, well=well)
    site.sleep(3 * HOUR)
    [told] = site.look()
    assert (told["event"]["action"], told["log_source"]["state"]) == ("unheard", "unheard")
    site.sleep(DAY)
    assert site.look() == []
    assert site.alerts() == []
    site.listens(True)
    assert site.look() == []
    site.report()
    assert actions(site.look()) == ["heard_again"]
    site.sleep(2 * HOUR)
    assert actions(site.look()) == ["silent"]
    site.listens(switched_on, well=well)
    assert site.look() == []  # that it was silent is known
    assert site.alerts() == [True]


def test_what_was_set_wins_over_what_was_learnt_and_the_retired_are_left_alone(site: Site) -> None:
    site.runs(13 * HOUR)
    with site.state.write() as session:
        row = register.get_source(session, EVERYTHING, site.source().id)
        register.decide(
            row, "expected", expected_seconds=5 * HOUR, reason="little to say", actor="an", now=site.now()
        )
    site.sleep(4 * HOUR)
    assert site.look() == []
    site.sleep(2 * HOUR)
    assert actions(site.look()) == ["silent"]
    with site.state.write() as session:
        row = register.get_source(session, EVERYTHING, site.source().id)
        register.decide(row, "retired", reason="gone", actor="an", now=site.now())
    site.sleep(DAY)
    assert site.look() == []
    assert site.source().state == "heard"


def test_after_an_outage_of_the_collector_devices_get_time_to_come_back(site: Site) -> None:
    site.runs(13 * HOUR)
    site.sleep(2 * HOUR)
    site.restart()
    assert site.look() == []
    site.sleep(20 * MINUTE)
    assert actions(site.look()) == ["silent"]


def test_however_far_the_work_is_behind_nobody_is_called_silent_and_no_report_is_passed_over(
    site: Site,
) -> None:
    received = site.store.received = []
    count = 0

    def minutes(number: int, lag: float) -> list[str]:
        nonlocal count
        told: list[str] = []
        for _ in range(number):
            for at in range(6):
                site.sleep(MINUTE / 6)
                site.report(f"192.0.2.{at}")
                received.append((site.wall, site.store.reports.pop()))
                count += 60
            site.store.worked_until = site.wall - lag
            with site.state.write() as session:
                worked = datetime.fromtimestamp(site.store.worked_until, UTC)
                save_places(session, dict.fromkeys(ALL, 1), worked, site.now())
            told += actions(site.look())
        return told

    assert minutes(1, 0) == ["first_heard"] * 6
    with site.state.write() as session:
        for row in session.scalars(select(LogSource)):
            row.hours, row.longest_gap_seconds = 20, MINUTE
    for at in range(1, 41):
        assert minutes(1, at * MINUTE) == []
    for lag in (1200.0, 300.0, 45.0, 5.0, 0.0):
        assert minutes(1, lag) == []
    with site.state.read() as session:
        assert sum(session.scalars(select(LogSource.messages))) == count


def test_after_the_clock_was_set_back_devices_are_heard(site: Site) -> None:
    site.report()
    site.look()
    site.wall -= HOUR
    with site.state.write() as session:
        save_places(session, dict.fromkeys(ALL, 1), site.now(), site.now())
    site.look()
    site.sleep(MINUTE)
    with site.state.write() as session:
        save_places(session, dict.fromkeys(ALL, 1), site.now(), site.now())
    site.report("192.0.2.2")
    assert actions(site.look()) == ["first_heard"]


def test_a_store_that_is_away_loses_no_report(site: Site) -> None:
    site.report()
    site.store.away = True
    assert site.look() == []
    site.store.away = False
    assert actions(site.look()) == ["first_heard"]


@pytest.mark.parametrize("address", ["192.0.2.9\0", "192.0.2.9\ufffd", "010.0.0.1", "fw", "", "192.0.2.9/32"])
def test_what_is_no_address_is_no_device(site: Site, address: str) -> None:
    for _ in range(2):
        site.sleep(MINUTE)
        site.report(address)
        site.store.forms = [{"agency_id": site.agency, "samples": [(address, "x", "x", 1)]}]
        assert site.look() == []
    with site.state.read() as session:
        assert session.scalars(select(LogSource)).all() == []


def test_one_address_is_one_device_however_it_is_written(site: Site) -> None:
    for address in ("::FFFF:192.0.2.1", "192.0.2.1", "FE80::1%eth0", "fe80:0::1%eth1"):
        site.report(address)
    site.look()
    with site.state.read() as session:
        assert set(session.scalars(select(LogSource.address))) == {"192.0.2.1", "fe80::1"}


def test_names_that_would_deceive_are_not_taken_and_no_time_lies_ahead(site: Site) -> None:
    site.report(hostname="fw\u202egnp.exe", times=[site.wall + 9 * DAY])
    site.look()
    found = site.source()
    assert found.hostname == ""
    assert found.last_seen_at is not None
    assert found.last_seen_at.timestamp() <= site.wall


def test_the_share_of_known_messages_and_the_product_come_of_a_sample(site: Site) -> None:
    site.report()
    samples = [("192.0.2.1", "fortigate", "fortigate", 30), ("192.0.2.1", "", "", 10)]
    site.store.forms = [{"agency_id": site.agency, "samples": samples}]
    site.look()
    found = site.source()
    assert (found.product, found.known / found.sampled) == ("fortigate", 0.75)


def test_an_officer_reaches_the_sources_of_his_agency_only(site: Site) -> None:
    site.report()
    site.look()
    other = Scope(frozenset({site.agency + 1}))
    with site.state.write() as session:
        assert len(register.list_sources(session, Scope(frozenset({site.agency})))) == 1
        assert register.list_sources(session, other) == []
        with pytest.raises(NotFoundError):
            register.get_source(session, other, site.source().id)
        with pytest.raises(ConflictError):
            declare(session, site, "192.0.2.1", None)


def test_a_count_ends_where_a_database_can_still_hold_it_and_no_rate_is_without_end(site: Site) -> None:
    site.report(messages=10**9)
    site.look()
    with site.state.write() as session:
        session.scalars(select(LogSource)).one().messages = 2**63 - 10
    site.report(messages=10**9)
    site.report(messages=10**9, seconds=1e-300)
    site.sleep(MINUTE)
    site.look()
    found = site.source()
    assert found.messages == 2**53
    assert found.rate == pytest.approx(10**9 / 60)


def test_a_long_pause_is_forgotten_by_and_by() -> None:
    rhythm, settings = Rhythm(), Settings().sources
    at = T0
    for _ in range(20):
        at += HOUR
        spoke(rhythm, at, 1, 60)
    at += 3 * DAY
    spoke(rhythm, at, 1, 60)
    assert patience(rhythm, None, settings) == pytest.approx(6 * DAY)
    for _ in range(24 * 60):
        at += HOUR
        spoke(rhythm, at, 1, 60)
    assert patience(rhythm, None, settings) < DAY


def test_who_sends_from_ever_new_addresses_fills_his_own_agency_alone_and_is_forgotten(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MOST_SOURCES", 60)
    other = add_agency(site.state, "so-y-te")

    def addresses(agency: int) -> set[str]:
        with site.state.read() as session:
            return set(session.scalars(select(LogSource.address).where(LogSource.agency_id == agency)))

    for turn in range(2):
        for number in range(100):
            site.report(f"10.0.{turn}.{number}")
        site.report(f"192.0.2.{turn}", agency=other)
        site.sleep(MINUTE)
        site.look()
    assert len(addresses(site.agency)) == 60
    assert addresses(other) == {"192.0.2.0", "192.0.2.1"}
    with site.state.write() as session:
        session.scalars(select(LogSource).where(LogSource.address == "192.0.2.0")).one().standing = "expected"
    site.sleep(25 * HOUR)
    assert [each["observer"]["ip"] for each in site.look()] == ["192.0.2.0"]  # of strangers nothing is said
    assert len(addresses(site.agency)) == 60
    site.report("192.0.2.7")
    assert actions(site.look()) == ["first_heard"]  # in the place of one that was not heard for a day
    assert len(addresses(site.agency)) == 60
    assert "192.0.2.7" in addresses(site.agency)
    assert len(addresses(other)) == 2
    site.sleep(31 * DAY)
    site.look()
    assert addresses(site.agency) == set()
    assert addresses(other) == {"192.0.2.0"}


def test_a_report_of_several_times_is_as_many_words(site: Site) -> None:
    at = site.wall
    site.report(times=[at - 3 * HOUR, at - 2 * HOUR, at], messages=180, seconds=180.0)
    site.look()
    found = site.source()
    assert (found.hours, found.messages, found.longest_gap_seconds) == (3, 180, 2 * HOUR)
    assert found.rate == pytest.approx(1.0)
    assert found.first_seen_at is not None
    assert found.first_seen_at.timestamp() == at - 3 * HOUR

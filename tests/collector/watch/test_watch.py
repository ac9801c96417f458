"""The collector's watch over itself, from what processes write down to alerts that open and clear."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select, update

from agent.update.manifest import Manifest, Wheel
from collector.alerts.findings import apply_outcomes
from collector.alerts.models import Outcome
from collector.detect.step import Step
from collector.settings import DataDirectory, Settings
from collector.settings import Watch as WatchSettings
from collector.state.tables import Alert, Checkpoint, Endpoint, ProcessHealth, SourceActivity, WatchState
from collector.state.upsert import upsert
from collector.steering.releases import service as releases
from collector.steering.releases.rollout import Count, Judgement, Pace
from collector.store.errors import StoreUnavailableError
from collector.watch.record import PULSE
from collector.watch.service import Watch
from rules.catalogue import OWN_RULES, load_catalogue
from rules.engine import Engine
from tests.collector.pipeline import add_agency, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")

T0 = datetime(2026, 11, 21, 3, 0, tzinfo=UTC).timestamp()
DAY = 86_400.0
WELL = {
    "disk_free_bytes": 5e11,
    "disk_size_bytes": 1e12,
    "clock_jump_seconds": 0,
    "clock_synchronised": 1,
    "certificates": {"server": T0 + 300 * DAY},
}


@pytest.fixture(scope="module")
def rules() -> tuple[Engine, Any]:
    folder = OWN_RULES / "collector"
    return Engine([folder]), load_catalogue([folder])


@dataclass
class Heard:
    """Stands for the event store: ``rows`` are what the next query answers."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False
    asked: list[Mapping[str, object]] = field(default_factory=list)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        if self.away:
            raise StoreUnavailableError("away")
        self.asked.append(dict(parameters or {}))
        found, self.rows = self.rows, []
        return found


class Site:
    """A watch on clocks of the test's, and the rules behind it."""

    def __init__(self, folder: Path, rules: tuple[Engine, Any]) -> None:
        self.state: StateStore = new_state(folder)
        self.data = DataDirectory(folder / "data")
        self.data.create()
        self.engine, self.catalogue = rules
        self.wall, self.steady = T0, 1000.0
        self.store = Heard()
        self.events: list[dict[str, Any]] = []
        self.settings = Settings(watch=WatchSettings(source_seconds=1))
        self.restart()

    def restart(self) -> None:
        self.watch = Watch(self.settings, self.data, now=lambda: self.wall, steady=lambda: self.steady)

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def at(self, seconds: float = 0) -> datetime:
        return datetime.fromtimestamp(self.wall + seconds, UTC)

    def beat(self, name: str = "detect-1", *, kind: str = "detect", **figures: Any) -> None:
        machine = {**WELL, **figures.pop("machine", {})}
        row = {
            "process": f"soc1/{name}",
            "kind": kind,
            "host": "soc1",
            "pid": 1,
            "started_at": figures.pop("started_at", datetime.fromtimestamp(T0, UTC)),
            "beat_at": self.at(),
            "figures": {"machine": machine, "families": figures.pop("families", [])},
        }
        with self.state.write() as session:
            upsert(session, ProcessHealth, [row], ("process",))

    def checkpoint(self, lag: float = 0.0) -> None:
        row = {
            "worker": "partition/07",
            "log_offset": 1,
            "updated_at": self.at(),
            "received_at": self.at(-lag),
        }
        with self.state.write() as session:
            upsert(session, Checkpoint, [row], ("worker",))

    def look(self) -> list[dict[str, Any]]:
        """One look with all that follows from it; what it told."""
        with self.state.read() as session:
            look = self.watch.look(session, self.store)  # type: ignore[arg-type] # of a store it only queries
        step = Step(self.settings)
        self.watch.tell(step, look, 0)
        outcomes = [
            Outcome(each.event, tuple(self.engine.process(each.event)), tuple(self.engine.route(each.event)))
            for each in step.events
        ]
        with self.state.write() as session:
            apply_outcomes(session, outcomes, self.catalogue, self.at())
            self.watch.write(session, look)
        self.watch.done(look)
        told = [dict(each.event.fields) for each in step.events]
        self.events += told
        return told

    def well(self) -> list[dict[str, Any]]:
        """A look while the pipeline itself is well."""
        self.beat()
        self.checkpoint()
        return self.look()

    def alerts(self) -> dict[str, tuple[str, bool]]:
        """Title → subject, and whether the state has passed."""
        with self.state.read() as session:
            return {
                self.catalogue.get(alert.rule_id).title["en"]: (alert.subject, alert.cleared_at is not None)
                for alert in session.scalars(select(Alert))
            }


@pytest.fixture
def site(tmp_path: Path, rules: tuple[Engine, Any]) -> Site:
    made = Site(tmp_path, rules)
    made.beat()
    made.checkpoint()
    made.look()
    return made


def family(name: str, value: float, **labels: str) -> dict[str, Any]:
    return {"name": name, "type": "counter", "help": "", "samples": [[name, labels, value]]}


def test_a_well_collector_has_nothing_to_tell_and_shows_that_it_looked(site: Site) -> None:
    site.sleep(10)
    site.beat()
    site.checkpoint()

    assert site.look() == []
    assert site.alerts() == {}
    assert json.loads(site.data.pulse.read_bytes())["looked_at"] == site.wall
    with site.state.read() as session:
        pulse = session.get(WatchState, (PULSE, ""))
        assert pulse is not None
        assert pulse.looked_at == site.at()


def test_lag_is_an_alert_that_gets_graver_and_clears(site: Site) -> None:
    for lag in (0, 70, 90, 650, 200, 10):
        site.sleep(10)
        site.beat()
        site.checkpoint(lag)
        site.look()

    assert [each["collector"]["queue_lag"]["mark"] for each in site.events] == [60, 600, 60, 0]
    assert site.alerts() == {
        "Detection is behind by a minute or more": ("detect", True),
        "Detection is behind by ten minutes or more": ("detect", True),
    }


def test_a_process_that_was_killed_is_missed_and_one_that_left_is_not(site: Site) -> None:
    site.beat("store", kind="store")
    site.look()
    with site.state.write() as session:
        session.execute(delete(ProcessHealth).where(ProcessHealth.process == "soc1/store"))
    for _ in range(7):
        site.sleep(10)
        site.checkpoint()
        site.look()
    assert site.alerts() == {"A process of the collector is silent": ("soc1/detect-1", False)}

    site.sleep(10)
    site.beat()
    site.checkpoint()
    site.look()
    assert site.alerts() == {"A process of the collector is silent": ("soc1/detect-1", True)}


def test_a_process_in_trouble_that_is_taken_away_clears_its_alert(site: Site) -> None:
    site.sleep(70)
    site.checkpoint()
    site.look()
    with site.state.write() as session:
        session.execute(delete(ProcessHealth))
    site.look()

    assert site.alerts() == {"A process of the collector is silent": ("soc1/detect-1", True)}


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_set_by_a_day_is_told_and_makes_nobody_else_suspect(site: Site, jump: float) -> None:
    """Machines whose agents and processes are well stay well: only the clock is in trouble."""
    agency = add_agency(site.state)
    add_endpoint(site.state, "ep-1", agency, last_seen_at=site.at())
    with site.state.write() as session:
        session.execute(update(Endpoint).values(role="server"))
    site.sleep(20)
    site.look()

    site.wall += jump
    site.sleep(10)
    site.beat(machine={"clock_jump_seconds": jump})
    told = site.look()
    for _ in range(15):
        site.sleep(80)
        site.beat(machine={"clock_jump_seconds": jump})
        site.checkpoint()
        with site.state.write() as session:
            session.execute(update(Endpoint).values(last_seen_at=site.at()))
        site.look()
    site.beat()
    site.look()

    assert [list(each["collector"]) for each in told] == [["clock_jump"]]
    assert told[0]["collector"]["clock_jump"]["seconds"] == DAY
    assert site.alerts() == {"The collector's clock was set": ("soc1", True)}


def test_a_clock_without_ntp_is_told_after_an_hour(site: Site) -> None:
    for _ in range(8):
        site.sleep(600)
        site.beat(machine={"clock_synchronised": 0})
        site.checkpoint()
        site.look()
    assert site.alerts() == {"The collector's clock is not synchronised": ("soc1", False)}

    site.beat()
    site.look()
    assert site.alerts() == {"The collector's clock is not synchronised": ("soc1", True)}


def test_a_disk_that_fills_is_told_by_its_trend_before_it_is_short(site: Site) -> None:
    for hour in range(1, 13):
        site.sleep(3600)
        site.beat(machine={"disk_free_bytes": 5e11 - hour * 2e9})
        site.checkpoint()
        site.look()
    site.restart()  # the trend is kept
    site.beat(machine={"disk_free_bytes": 5e11 - 13 * 2e9})
    site.look()

    assert site.alerts() == {
        "The collector's disk will be full within two weeks": ("soc1", False),
    }
    runway = site.events[-1]["collector"]["disk_runway"]
    assert runway["mark"] == 14
    assert 9 < runway["days"] < 14


def test_a_full_disk_a_short_certificate_and_refused_batches(site: Site) -> None:
    ends = {"server": T0 + 5 * DAY}
    requests = "vonggac_ingest_requests_total"
    site.beat("ingest", kind="ingest", families=[family(requests, 4, reason="full", status="503")])
    site.look()
    site.sleep(10)
    site.beat(
        "ingest",
        kind="ingest",
        machine={"disk_free_bytes": 4e10, "certificates": ends},
        families=[family(requests, 9, reason="full", status="503")],
    )
    site.look()

    assert site.alerts() == {
        "Little room is left on the collector's disk": ("soc1", False),
        "A certificate of the collector is about to end": ("soc1 server", False),
        "The collector refuses agents' batches": ("soc1/ingest full", False),
    }
    refused = next(each for each in site.events if "refused_batches" in each["collector"])
    assert refused["collector"]["refused_batches"]["an_hour"] == 5


def test_a_slow_store_and_a_process_that_starts_again_and_again(site: Site) -> None:
    def inserts(seconds: float, count: float) -> list[dict[str, Any]]:
        name = "vonggac_store_insert_seconds"
        return [
            family(f"{name}_sum", seconds, table="events"),
            family(f"{name}_count", count, table="events"),
        ]

    for number, (seconds, count) in enumerate([(1.0, 100), (1.5, 150), (31.5, 160), (31.5, 160)]):
        site.sleep(10)
        site.beat("store", kind="store", families=inserts(seconds, count), started_at=site.at(-number))
        site.look()

    assert site.alerts() == {
        "A store of the collector is slow": ("events", False),
        "A process of the collector restarts again and again": ("soc1/store", False),
    }


def test_a_damaged_part_of_the_event_store_is_an_alert_until_it_is_gone(site: Site) -> None:
    name = "vonggac_store_insert_seconds"
    times = [family(f"{name}_sum", 0.1, table="events"), family(f"{name}_count", 1, table="events")]
    seen = []
    for count in (0, 2, 0):
        site.sleep(10)
        site.beat("store", kind="store", families=[*times, family("vonggac_store_damaged_parts", count)])
        site.look()
        seen.append(site.alerts())

    title = "Part of the event store is damaged"
    assert seen == [{}, {title: ("events", False)}, {title: ("events", True)}]


def test_a_rollout_that_halted_is_an_alert_until_somebody_resumes_or_stops_it(site: Site) -> None:
    with site.state.write() as session:
        made = Manifest(
            1, "vonggac", "0.3.0", 1, T0, [Wheel(name="x-1-py3-none-any.whl", size=1, sha256="0" * 64)]
        )
        releases.add_release(session, made, b"m", "test", site.at())
        rollout = releases.start(session, "0.3.0", Pace(), "test", site.at())
        judgement = Judgement("halt", 0, "failed", Count(1, failed=6, silent=1.2, due=40).numbers())
    site.sleep(10)
    assert site.well() == []
    with site.state.write() as session:
        releases.carry_out(session, rollout.id, judgement, site.at())
    seen = []
    for change in (lambda *_: None, releases.resume, releases.stop):
        with site.state.write() as session:
            change(session, "test", site.at())
        site.sleep(10)
        told = site.well()
        seen.append(([each["collector"]["rollout_halted"] for each in told], site.alerts()))
    title = "The rollout of an agent's release has halted"
    said = {"subject": "0.3.0", "count": 7, "mark": 1, "ring": 1, "failed": 6, "silent": 1}
    assert seen == [
        ([said], {title: ("0.3.0", False)}),
        ([{**said, "count": 0, "mark": 0}], {title: ("0.3.0", True)}),
        ([], {title: ("0.3.0", True)}),
    ]


def test_metrics_that_wait_and_that_are_lost_on_their_way_outside(site: Site) -> None:
    for lag, dropped, unexported in ((0.0, 0.0, 0.0), (4000.0, 0.0, 0.0), (4000.0, 7.0, 3.0)):
        site.sleep(10)
        waits = family("vonggac_export_lag_seconds", lag)
        lost = family("vonggac_export_dropped_points_total", dropped)
        site.beat("export", kind="export", families=[waits, lost])
        site.beat(families=[family("vonggac_detect_unexported_points_total", unexported)])
        site.checkpoint()
        site.look()

    assert set(site.alerts()) == {
        "Metrics do not reach the outside store",
        "Metrics were lost on their way to the outside store",
    }
    told = {
        each["collector"]["export_loss"]["subject"]
        for each in site.events
        if "export_loss" in each["collector"]
    }
    assert told == {"soc1/export", "soc1/detect-1"}


def test_dead_letters_of_an_hour(site: Site) -> None:
    agency = add_agency(site.state)
    add_endpoint(site.state, "ep-1", agency, last_seen_at=site.at())
    for count in (0, 4, 15):
        site.sleep(10)
        with site.state.write() as session:
            session.execute(update(Endpoint).values(dead_letters=count))
        site.look()

    assert [each["collector"]["dead_letters"]["an_hour"] for each in site.events] == [15]


def test_an_agency_with_a_server_is_missed_within_the_hour_and_returns(site: Site) -> None:
    agency = add_agency(site.state)
    add_endpoint(site.state, "ep-1", agency, last_seen_at=site.at())
    other = add_agency(site.state, "so-y-te")
    add_endpoint(site.state, "ep-2", other, last_seen_at=site.at())
    with site.state.write() as session:
        session.execute(update(Endpoint).where(Endpoint.id == "ep-1").values(role="server"))
    for _ in range(7):
        site.sleep(600)
        site.well()

    assert site.alerts() == {"Nothing is heard of a whole agency": ("So-Tai-Chinh", False)}
    with site.state.read() as session:
        assert session.scalars(select(Alert.agency_id)).all() == [agency]

    with site.state.write() as session:
        session.execute(update(Endpoint).values(last_seen_at=site.at()))
    site.look()
    assert site.alerts() == {"Nothing is heard of a whole agency": ("So-Tai-Chinh", True)}
    with site.state.read() as session:
        assert not session.scalars(select(WatchState).where(WatchState.concern == "agency_silence")).all()


def test_after_the_collector_itself_was_away_agencies_get_time_to_come_back(site: Site) -> None:
    agency = add_agency(site.state)
    add_endpoint(site.state, "ep-1", agency, last_seen_at=site.at())
    with site.state.write() as session:
        session.execute(update(Endpoint).values(role="server"))
    site.sleep(7200)
    site.restart()
    told = []
    for _ in range(8):
        site.sleep(100)
        site.beat()
        site.checkpoint()
        told += site.look()

    assert [each for each in told if "agency_silence" in each["collector"]] == []


def test_silence_is_not_told_of_what_was_not_read_yet(site: Site) -> None:
    agency = add_agency(site.state)
    add_endpoint(site.state, "ep-1", agency, last_seen_at=site.at(-2 * DAY))
    for _ in range(10):
        site.sleep(100)
        site.beat()
        site.checkpoint(lag=40)
        site.look()

    assert [each for each in site.events if "agency_silence" in each["collector"]] == []


def speak(site: Site, agency: int, source: str = "linux//auth") -> None:
    site.store.rows = [{"agency_id": agency, "source": source, "events": 5, "last": site.wall - 1}]


def habit(site: Site, agency: int) -> None:
    """A source that spoke by day for a week: its longest pause is a night."""
    with site.state.write() as session:
        session.add(
            SourceActivity(
                agency_id=agency,
                source="linux//auth",
                first_seen_at=site.at(-7 * DAY),
                last_seen_at=site.at(),
                hours=70,
                events=1000,
                longest_gap_seconds=14 * 3600.0,
            )
        )


def test_a_source_is_missed_once_it_is_silent_for_twice_its_longest_pause(site: Site) -> None:
    agency = add_agency(site.state)
    site.sleep(1000)
    habit(site, agency)
    for _ in range(7):
        site.sleep(4 * 3600)
        site.well()
    assert site.events == []

    site.sleep(4 * 3600)
    site.well()
    assert site.alerts() == {"A log source has gone silent": ("So-Tai-Chinh · linux//auth", False)}

    for _ in range(2):  # heard and written down; then looked at
        site.sleep(60)
        speak(site, agency)
        site.well()
    assert site.alerts() == {"A log source has gone silent": ("So-Tai-Chinh · linux//auth", True)}


def test_habits_are_learnt_from_what_is_heard(site: Site) -> None:
    agency = add_agency(site.state)
    site.sleep(1000)
    for hours in (1, 1, 5, 1):
        site.sleep(hours * 3600)
        speak(site, agency)
        site.well()
    speak(site, agency)  # within the hour
    site.sleep(30)
    site.well()

    with site.state.read() as session:
        row = session.get(SourceActivity, (agency, "linux//auth"))
        assert row is not None
        assert (row.hours, row.events, row.longest_gap_seconds) == (4, 25, 5 * 3600)


def test_an_event_store_that_is_away_is_asked_for_all_of_it_later(site: Site) -> None:
    agency = add_agency(site.state)
    site.sleep(1000)
    site.well()
    site.store.away = True
    site.sleep(60)
    site.well()
    site.store.away = False
    site.sleep(60)
    speak(site, agency)
    site.well()

    first, second = site.store.asked
    assert second["since"] == first["until"]
    with site.state.read() as session:
        row = session.get(SourceActivity, (agency, "linux//auth"))
        assert row is not None
        assert (row.events, row.hours) == (5, 1)


def test_a_process_nobody_misses_any_more_is_forgotten(site: Site) -> None:
    site.sleep(8 * DAY)
    site.look()
    site.look()

    with site.state.read() as session:
        assert session.scalars(select(ProcessHealth)).all() == []


def test_values_are_written_down_every_minute_and_troubles_at_once(site: Site) -> None:
    def written() -> datetime:
        with site.state.read() as session:
            row = session.get(WatchState, ("queue_lag", "detect"))
            assert row is not None
            return row.looked_at

    first = written()
    site.sleep(30)
    site.look()
    assert written() == first
    site.sleep(40)
    site.look()
    assert written() - first == timedelta(seconds=70)

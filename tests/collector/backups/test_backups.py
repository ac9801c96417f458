"""Backups of important systems: judged by the clock, from agents' files, signed reports and restore tests."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from collector.alerts.findings import apply_outcomes
from collector.alerts.models import Outcome
from collector.backups import register
from collector.backups.reports import ReportError, SignatureError, sign, take_report
from collector.backups.watch import Backups
from collector.detect.step import Step
from collector.errors import ConflictError, NotFoundError
from collector.settings import Settings
from collector.state.scope import EVERYTHING, Scope
from collector.state.tables import Alert, BackupRecord, BackupSystem, Document
from rules.catalogue import OWN_RULES, load_catalogue
from rules.engine import Engine
from tests.collector.pipeline import add_agency, add_endpoint
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")

T0 = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = [
    OWN_RULES / "network" / f"{name}.yml"
    for name in ("availability_backup_overdue", "posture_backup_restore_overdue")
]


@pytest.fixture(scope="module")
def rules() -> tuple[Engine, Any]:
    return Engine(RULES), load_catalogue([OWN_RULES / "network"])


class Site:
    """An agency with a system whose backups are watched: one a day, a restore test every 100 days."""

    def __init__(self, folder: Path, rules: tuple[Engine, Any]) -> None:
        self.state: StateStore = new_state(folder)
        self.engine, self.catalogue = rules
        self.now = T0
        self.agency = add_agency(self.state)
        self.other = add_agency(self.state, "so-noi-vu")
        add_endpoint(self.state, "server-1", self.agency)
        add_endpoint(self.state, "server-2", self.other)
        self.watch = Backups(Settings(), now=lambda: self.now.timestamp())
        with self.state.write() as session:
            register.add_system(
                session,
                self.agency,
                "portal-db",
                title="CSDL cổng thông tin",
                owner="Lê An",
                interval=DAY,
                restore=100 * DAY,
                actor="an",
                now=T0,
            )

    def key(self) -> str:
        with self.state.write() as session:
            return register.renew_key(register.get_system(session, EVERYTHING, "portal-db"))

    def look(self) -> list[Mapping[str, Any]]:
        with self.state.read() as session:
            found = self.watch.look(session, None)  # type: ignore[arg-type]
        step = Step(Settings())
        self.watch.tell(step, found, 1)
        outcomes = [
            Outcome(each.event, tuple(self.engine.process(each.event)), self.engine.route(each.event))
            for each in step.events
        ]
        with self.state.write() as session:
            self.watch.write(session, found)
            apply_outcomes(session, outcomes, self.catalogue, self.now)
        return [each.event.fields for each in step.events]

    def states(self) -> list[tuple[str, str]]:
        return [(each["backup"]["state"], each["backup"]["restore_state"]) for each in self.look()]

    def alerts(self) -> list[bool]:
        """Whether what each alert is about still holds."""
        with self.state.read() as session:
            return [each.cleared_at is None for each in session.scalars(select(Alert).order_by(Alert.id))]

    def body(self, **changes: Any) -> bytes:
        report = {
            "system": "portal-db",
            "at": self.now.timestamp() - 60,
            "sent_at": self.now.timestamp(),
            "nonce": f"run-{self.now.timestamp():.0f}",
            "ok": True,
            **changes,
        }
        return json.dumps(report).encode()

    def report(self, key: str, **changes: Any) -> None:
        body = self.body(**changes)
        with self.state.write() as session:
            take_report(session, body, sign(key, body), self.now)

    def document(self, endpoint_id: str = "server-1", **body: Any) -> None:
        with self.state.write() as session:
            session.merge(
                Document(
                    endpoint_id=endpoint_id,
                    kind="backup",
                    item="portal-db",
                    body=body,
                    digest="0",
                    observed_at=self.now,
                    received_at=self.now,
                    changed_at=self.now,
                )
            )


@pytest.fixture
def site(tmp_path: Path, rules: tuple[Engine, Any]) -> Site:
    return Site(tmp_path, rules)


def test_a_backup_that_is_reported_then_overdue_then_there_again(site: Site) -> None:
    key = site.key()
    assert site.states() == [("ok", "ok")]  # it has a day for its first
    site.now += timedelta(hours=20)
    site.report(key)
    assert site.states() == []
    site.now += timedelta(hours=23)
    assert site.states() == []
    site.now += timedelta(hours=2)
    [told] = site.look()
    assert told["backup"]["state"] == "overdue"
    assert told["backup"]["age_seconds"] == pytest.approx(25 * 3600 + 60)
    assert told["backup"]["owner"] == "Lê An"
    assert told["agency"]["id"] == site.agency
    assert told["previous"] == {"backup": {"state": "ok", "restore_state": "ok"}}
    assert site.alerts() == [True]
    site.report(key, nonce="the-next-one")
    assert site.states() == [("ok", "ok")]
    assert site.alerts() == [False]


def test_a_backup_that_never_came_and_one_that_fails(site: Site) -> None:
    key = site.key()
    site.look()
    site.now += 2 * DAY
    assert site.states() == [("never", "ok")]
    site.report(key, ok=False, note="disk full")
    [told] = site.look()
    assert (told["backup"]["state"], told["backup"]["note"]) == ("failed", "disk full")
    site.now += timedelta(minutes=1)
    site.report(key)
    assert site.states() == [("ok", "ok")]
    site.now += timedelta(minutes=1)
    site.report(key, ok=False)
    assert site.states() == [("failed", "ok")]


def test_what_an_agent_found_of_the_files_counts_if_it_is_of_the_same_agency(site: Site) -> None:
    site.look()
    site.now += 2 * DAY
    site.document("server-2", state="good", newest_time=site.now.timestamp() - 60)
    assert site.states() == [("never", "ok")]
    site.document(state="good", newest_time=site.now.timestamp() - 60, size_bytes=5)
    assert site.states() == [("ok", "ok")]
    assert site.states() == []
    site.document(state="small", newest_time=site.now.timestamp(), reason="12 bytes, at least 1000")
    [told] = site.look()
    assert (told["backup"]["state"], told["backup"]["way"]) == ("failed", "file")
    for nonsense in (
        {},
        {"newest_time": "x"},
        {"newest_time": True},
        {"newest_time": site.now.timestamp() + 9e9},
    ):
        site.document(state="good", **nonsense)
        assert site.states() == []


def test_restore_tests_are_written_down_and_grow_old(site: Site) -> None:
    key = site.key()
    site.look()
    for _ in range(2):
        site.now += 60 * DAY
        site.report(key)
        told = site.states()
    assert told == [("ok", "never")]
    with site.state.write() as session:
        system = register.get_system(session, EVERYTHING, "portal-db")
        register.note_restore(
            session, system, site.now, ok=True, by="Lê An", note="onto test-2", now=site.now
        )
    assert site.states() == [("ok", "ok")]
    assert site.alerts().count(True) == 0
    site.now += 101 * DAY
    site.report(key)
    assert site.states() == [("ok", "overdue")]


def test_a_report_is_believed_only_with_its_signature_once_and_at_its_time(site: Site) -> None:
    key = site.key()
    site.report(key)
    with pytest.raises(ConflictError):
        site.report(key)
    with pytest.raises(SignatureError):
        site.report("0" * 64, nonce="another-1")
    with pytest.raises(SignatureError):
        site.report(key, system="nobody", nonce="another-1")
    for changes, reason in (
        ({"sent_at": site.now.timestamp() - 700}, "sent_at"),
        ({"sent_at": site.now.timestamp() + 700}, "sent_at"),
        ({"at": site.now.timestamp() + 9e4}, "at"),
        ({"at": 0}, "at"),
        ({"nonce": "short"}, "nonce"),
        ({"ok": "yes"}, "ok"),
        ({"more": 1}, "more"),
        ({"size_bytes": -1}, "size_bytes"),
    ):
        with pytest.raises(ReportError, match=reason):
            site.report(key, **{"nonce": "another-1", **changes})
    body = site.body(nonce="another-1")
    with site.state.write() as session:
        for signature in ("", "sha256=", sign(key, body + b" "), sign(key, body)[:-1], "đ" * 71):
            with pytest.raises(SignatureError):
                take_report(session, body, signature, site.now)
        for bytes_ in (b"", b"[]", b"{", b"\xff", b'{"system": 5}', b"[" * 4000, b"x" * 5000):
            with pytest.raises(SignatureError):
                take_report(session, bytes_, sign(key, bytes_), site.now)
    renewed = site.key()
    with pytest.raises(SignatureError):
        site.report(key, nonce="another-2")
    site.report(renewed, nonce="another-2")
    with site.state.write() as session:
        system = session.scalars(select(BackupSystem)).one()
        register.retire(system, "gone", "an", site.now)
    with pytest.raises(SignatureError):
        site.report(renewed, nonce="another-3")


def test_openssl_signs_as_we_do(site: Site) -> None:
    key, body = site.key(), site.body()
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", key, "-r"], input=body, capture_output=True, check=True
    ).stdout
    assert sign(key, body) == f"sha256={made.split()[0].decode()}"


def test_old_records_of_a_kind_make_room_and_restore_tests_stay(site: Site) -> None:
    with site.state.write() as session:
        system = session.scalars(select(BackupSystem)).one()
        for number in range(405):
            at = T0 + timedelta(minutes=number)
            session.add(BackupRecord(system_id=system.id, kind="report", at=at, ok=True, received_at=at))
        session.flush()
        register.note_restore(session, system, T0 - DAY, ok=True, by="an", note="x", now=T0)
        register.forget_old(session, system.id, "report")
        kinds = [each.kind for each in register.records_of(session, system, 1_000)]
    assert (kinds.count("report"), kinds.count("restore")) == (400, 1)


def test_an_officer_reaches_his_agencys_systems_only(site: Site) -> None:
    other = Scope(frozenset({site.other}))
    with site.state.read() as session:
        assert register.list_systems(session, other) == []
        assert len(register.list_systems(session, Scope(frozenset({site.agency})))) == 1
        with pytest.raises(NotFoundError):
            register.get_system(session, other, "portal-db")


def test_what_a_device_tells_over_snmp_counts_as_good_and_as_failed(site: Site) -> None:
    site.look()
    good = site.now.timestamp() + 3_600
    site.now += timedelta(hours=2)
    site.document(way="snmp", state="good", newest_time=good)
    assert site.states() == []
    with site.state.read() as session:
        [record] = session.scalars(select(BackupRecord))
    assert (record.kind, record.ok, record.by, record.at.timestamp()) == ("snmp", True, "server-1", good)
    site.document(way="snmp", state="failed", newest_time=good, failed_time=site.now.timestamp(), reason="3")
    [told] = site.look()
    assert (told["backup"]["state"], told["backup"]["way"], told["backup"]["note"]) == ("failed", "snmp", "3")
    assert told["backup"]["last_good"] == good
    assert site.look() == []
    site.now += timedelta(hours=1)
    site.document(way="snmp", state="good", newest_time=site.now.timestamp())
    assert site.states() == [("ok", "ok")]
    site.document(way="snmp", state="missing")
    site.now += 2 * DAY
    assert site.states() == [("overdue", "ok")], "a value that is gone grows old"


@pytest.mark.parametrize("ahead", [0, 300])
def test_a_backup_that_was_good_and_failed_in_one_moment_failed_once(site: Site, ahead: int) -> None:
    """As where a device tells an age of nothing when a run fails, or its clock is ahead of ours."""
    site.look()
    site.now += timedelta(hours=2)
    moment = site.now.timestamp() + ahead
    site.document(way="snmp", state="failed", newest_time=moment, failed_time=moment)
    told = []
    for _ in range(6):
        told += site.look()
        site.now += timedelta(minutes=1)
    assert [each["backup"]["state"] for each in told] == ["failed"]
    with site.state.read() as session:
        assert [each.ok for each in session.scalars(select(BackupRecord))] == [False]

    site.document(way="snmp", state="good", newest_time=moment + 1, failed_time=moment)
    site.now += timedelta(minutes=10)
    assert [each["backup"]["state"] for each in (*site.look(), *site.look())] == ["ok"]


def test_two_agents_that_do_not_agree_take_no_turns_and_push_nobodys_history_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "_KEPT", 5)
    add_endpoint(site.state, "server-3", site.agency)
    now = site.now.timestamp()
    site.document("server-1", state="good", newest_time=now - 60)
    site.document("server-3", state="damaged", newest_time=now - 60)
    for _ in range(5):
        site.look()
        site.now += timedelta(minutes=1)
    with site.state.read() as session:
        assert len(session.scalars(select(BackupRecord)).all()) == 2
    for number in range(9):
        site.document("server-3", state="damaged", newest_time=now + number)
        site.now += timedelta(minutes=1)
        site.look()
    with site.state.read() as session:
        by = [record.by for record in session.scalars(select(BackupRecord))]
    assert (by.count("server-1"), by.count("server-3")) == (1, 5)


def test_a_report_that_comes_twice_at_once_is_taken_once(site: Site) -> None:
    key = site.key()
    body = site.body()
    with site.state.write() as session:
        record = take_report(session, body, sign(key, body), site.now)
        twin = BackupRecord(
            system_id=record.system_id,
            kind="report",
            at=record.at,
            ok=True,
            received_at=site.now,
            nonce=record.nonce,
        )
        session.add(twin)
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()

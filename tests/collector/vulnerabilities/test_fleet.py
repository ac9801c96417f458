"""What every machine has is kept up to date, and its sums with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import OperationalError

from collector.state.tables import (
    Assignment,
    Document,
    Endpoint,
    EndpointVulnerabilities,
    IdentityNote,
    Vulnerability,
)
from collector.state.upsert import upsert
from collector.vulnerabilities import fleet
from collector.vulnerabilities.fleet import Fleet
from collector.vulnerabilities.importing import import_feed, remove_feed
from collector.vulnerabilities.matching import Machine, machine_of
from collector.vulnerabilities.packing import pack_affected, pack_tally, unpack_affected, unpack_tally
from collector.vulnerabilities.service import tally_of
from tests.collector.pipeline import add_agency, add_endpoint
from tests.collector.vulnerabilities.feeds import SERVER, debian, host, kev, software, write_json, write_zip
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("on_both_databases")
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


class Site:
    """Machines with documents, a feed, and a fleet on a clock that tests move."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = new_state(folder)
        self.time = 1000.0
        self.now = NOW
        self.fleet = Fleet(self.state, lambda: self.now, lambda: self.time)

    def machine(self, name: str, agency: int | None = None, packages: Any = SERVER, **more: Any) -> str:
        add_endpoint(self.state, name, agency, **more)
        self.say(name, "host", host())
        if packages is not None:
            self.say(name, "software", packages)
        return name

    def say(self, endpoint: str, kind: str, body: dict[str, Any], item: str = "") -> None:
        self.now += timedelta(seconds=1)
        row = {
            "endpoint_id": endpoint,
            "kind": kind,
            "item": item,
            "body": body,
            "digest": str(self.now),
            **dict.fromkeys(("observed_at", "received_at", "changed_at"), self.now),
        }
        with self.state.write() as session:
            upsert(session, Document, [row], ("endpoint_id", "kind", "item"))

    def bring(self, name: str = "all", records: Any = None) -> None:
        import_feed(self.state, write_zip(self.folder / f"{name}.zip", records or debian()), "an")

    def settle(self) -> int:
        """Until there is nothing to do; how many machines were looked at."""
        done = 0
        while some := self.fleet.turn():
            done += some
        return done

    def found(self, endpoint: str) -> list[str]:
        with self.state.read() as session:
            row = session.get_one(EndpointVulnerabilities, endpoint)
            numbers = [value >> 1 for value in unpack_affected(row.affected)]
            named = select(Vulnerability.name).where(Vulnerability.id.in_(numbers))
            assert row.numbers["affected"] == len(numbers)
            return sorted(session.scalars(named))

    def tally(self, agency: int = 0, *, simulated: bool = False) -> dict[str, tuple[int, int]]:
        with self.state.read() as session:
            names = {row.id: row.name for row in session.scalars(select(Vulnerability))}
            return {names[each]: pair for each, pair in tally_of(session, {agency}, {simulated}).items()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


BOTH = ["CVE-2026-1001", "CVE-2026-1002"]


def test_nothing_is_done_where_no_feed_was_ever_brought(site: Site) -> None:
    site.machine("ep-1")
    assert site.settle() == 0


def test_each_machine_is_looked_at_once_and_again_when_its_software_changes(site: Site) -> None:
    site.bring()
    site.machine("ep-1")
    site.machine("ep-2")
    assert site.settle() == 2
    assert site.settle() == 0
    assert site.found("ep-1") == BOTH

    site.say("ep-1", "software", software(("openssl", "3.0.15-1~deb12u1")))
    assert site.settle() == 1
    assert site.found("ep-1") == ["CVE-2026-1002"]
    assert site.tally() == {"CVE-2026-1001": (1, 1), "CVE-2026-1002": (2, 0)}


def test_another_release_is_another_answer(site: Site) -> None:
    site.bring()
    site.machine("ep-1")
    site.settle()
    site.say("ep-1", "host", host(version="13"))
    assert site.settle() == 1
    with site.state.read() as session:
        row = session.get_one(EndpointVulnerabilities, "ep-1")
    assert (row.reason, row.numbers["affected"]) == ("no_feed", 0)
    assert site.tally() == {}


def test_a_new_feed_and_the_loss_of_one_are_seen(site: Site) -> None:
    site.machine("ep-1")
    site.bring()
    site.settle()
    site.bring("new", debian()[:3])
    assert site.settle() == 1
    assert site.found("ep-1") == BOTH
    site.bring("third", debian()[:2])
    assert site.settle() == 1
    assert site.found("ep-1") == ["CVE-2026-1001"]
    import_feed(site.state, write_json(site.folder / "kev.json", kev("CVE-2026-1001")), "an")
    assert site.settle() == 1
    with site.state.read() as session:
        assert session.scalars(select(Vulnerability.exploited_at).where(Vulnerability.name == BOTH[0])).one()

    remove_feed(site.state, "osv-debian")
    remove_feed(site.state, "kev")
    assert site.settle() == 1
    assert site.found("ep-1") == []
    assert site.tally() == {}


def test_a_document_that_came_late_with_an_older_time_is_seen(site: Site) -> None:
    site.bring()
    site.machine("ep-1", packages=software(("bash", "5.2.15-2")))
    site.machine("ep-2")
    site.settle()
    with site.state.write() as session:
        changed = update(Document).where(Document.endpoint_id == "ep-1", Document.kind == "software")
        session.execute(changed.values(body=SERVER, changed_at=NOW))

    assert site.settle() == 0
    site.time += 700
    assert site.settle() == 1
    assert site.found("ep-1") == BOTH


def test_sums_are_by_agency_and_keep_simulated_machines_apart(site: Site) -> None:
    site.bring()
    one, other = add_agency(site.state, "so-a"), add_agency(site.state, "so-b")
    site.machine("ep-1", one)
    site.machine("ep-2", one)
    site.machine("ep-3", other)
    site.machine("ep-4")
    site.machine("ep-5", other, simulated=True)
    site.machine("ep-6", other, retired_at=NOW)
    site.settle()

    assert site.tally()["CVE-2026-1001"] == (4, 4)
    assert site.tally(one)["CVE-2026-1002"] == (2, 0)
    assert site.tally(other)["CVE-2026-1001"] == (1, 1)
    assert site.tally(other, simulated=True)["CVE-2026-1001"] == (1, 1)

    with site.state.write() as session:
        session.execute(delete(Assignment).where(Assignment.endpoint_id == "ep-1"))
        session.execute(update(Endpoint).where(Endpoint.id == "ep-2").values(retired_at=NOW))
    site.time += 700
    site.settle()
    assert site.tally(one) == {}
    assert site.tally()["CVE-2026-1001"] == (3, 3)


def test_an_endpoint_that_is_removed_in_the_middle_is_passed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.bring()
    site.machine("ep-1")
    site.machine("ep-2")
    write = site.state.write

    def remove_first() -> Any:
        monkeypatch.setattr(site.state, "write", write)
        with write() as session:
            session.execute(delete(Endpoint).where(Endpoint.id == "ep-1"))
        return write()

    monkeypatch.setattr(site.state, "write", remove_first)
    site.settle()
    assert site.found("ep-2") == BOTH
    assert site.tally()["CVE-2026-1001"] == (1, 1)


def test_a_fleet_that_starts_anew_goes_on_where_the_last_one_was(site: Site) -> None:
    site.bring()
    for number in range(30):
        site.machine(f"ep-{number}")
    assert site.fleet.turn() == 25
    site.fleet = Fleet(site.state, lambda: NOW, lambda: 0.0)
    assert site.settle() == 5
    assert site.tally()["CVE-2026-1001"] == (30, 30)


def test_what_is_packed_is_unpacked() -> None:
    assert unpack_affected(pack_affected([(7, True), (3, False), (2**31 - 1, True)])) == (6, 15, 2**32 - 1)
    tally = {5: (16000, 3), 9: (1, 1)}
    assert unpack_tally(pack_tally(tally)) == tally
    assert unpack_tally(pack_tally({})) == {}


def test_an_item_beside_the_document_keeps_no_machine_due(site: Site) -> None:
    site.bring()
    site.machine("ep-1")
    site.settle()
    for kind in ("software", "host"):
        site.say("ep-1", kind, {}, item="hostile")
    site.time += 700
    assert site.settle() == 0
    assert site.found("ep-1") == BOTH


def test_a_machine_that_cannot_be_matched_is_set_aside_and_the_others_go_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    odd = software(("odd", "1"))

    def read(session: Any, book: Any, host: Any, packages: Any) -> Machine:
        if packages == odd:
            raise RecursionError
        return machine_of(session, book, host, packages)

    monkeypatch.setattr(fleet, "machine_of", read)
    site.bring()
    site.machine("ep-1")
    site.machine("ep-2", packages=odd)
    site.machine("ep-3")

    assert (site.settle(), site.fleet.aside) == (3, 1)
    assert site.found("ep-1") == site.found("ep-3") == BOTH
    assert [record.endpoint for record in caplog.records] == ["ep-2"]  # type: ignore[attr-defined]

    site.time += 700
    assert (site.settle(), site.fleet.aside) == (0, 1), "nothing has changed"
    site.time += 3600
    assert (site.settle(), site.fleet.aside) == (1, 1), "after a while it is tried again"
    site.say("ep-2", "software", SERVER)
    assert (site.settle(), site.fleet.aside) == (1, 0)
    assert site.found("ep-2") == BOTH


def test_a_piece_ends_early_where_machines_take_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any) -> Machine:
        site.time += 1.5
        return machine_of(*arguments)

    monkeypatch.setattr(fleet, "machine_of", slow)
    site.bring()
    for number in range(5):
        site.machine(f"ep-{number}")
    assert (site.fleet.turn(), site.fleet.waiting) == (2, 3)
    assert site.settle() == 3


def test_a_store_that_was_away_for_a_moment_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.bring()
    site.machine("ep-1")
    write = site.state.write

    def away() -> Any:
        monkeypatch.setattr(site.state, "write", write)
        raise OperationalError("INSERT", {}, Exception("away"))

    monkeypatch.setattr(site.state, "write", away)
    with pytest.raises(OperationalError):
        site.fleet.turn()
    assert site.settle() == 1
    assert site.found("ep-1") == BOTH


def test_a_machine_with_what_is_used_in_attacks_is_told_once_and_when_it_is_rid_of_it(site: Site) -> None:
    old, safe = site.machine("old"), site.machine("safe", packages=software(("bash", "5.2")))
    site.bring()
    site.settle()
    assert notes(site) == []
    catalogue = write_json(site.folder / "kev.json", kev("CVE-2026-1001"))
    import_feed(site.state, catalogue, "an")
    site.settle()
    (found,) = notes(site)
    assert (found.endpoint_id, found.category, found.action) == (old, "vulnerability", "found")
    assert found.body == {
        "id": ["CVE-2026-1001"],
        "severity": "critical",
        "exploited_count": 1,
        "fixable_count": 1,
    }
    site.time += 10_000
    site.say(old, "host", host())
    site.settle()
    assert len(notes(site)) == 1
    import_feed(site.state, write_json(catalogue, kev("CVE-2026-1001", "CVE-2026-1002")), "an")
    site.settle()
    assert notes(site)[1].body["id"] == ["CVE-2026-1002"]
    assert notes(site)[1].body["exploited_count"] == 2
    site.say(old, "software", software(("bash", "5.2")))
    site.settle()
    assert [note.action for note in notes(site)] == ["found", "found", "fixed"]
    assert {note.endpoint_id for note in notes(site)} == {old} != {safe}


def test_without_a_catalogue_or_a_feed_nothing_counts_as_fixed(site: Site) -> None:
    site.machine("old")
    site.bring()
    import_feed(site.state, write_json(site.folder / "kev.json", kev("CVE-2026-1001")), "an")
    site.settle()
    remove_feed(site.state, "osv-debian")
    site.settle()
    site.bring()
    site.settle()
    remove_feed(site.state, "kev")
    site.settle()
    assert [note.action for note in notes(site)] == ["found"]


def notes(site: Site) -> list[IdentityNote]:
    with site.state.read() as session:
        return list(session.scalars(select(IdentityNote).order_by(IdentityNote.id)))

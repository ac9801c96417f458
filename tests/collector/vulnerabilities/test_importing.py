"""A feed is taken whole or not at all, record by record, whatever the file holds."""

from __future__ import annotations

import gzip
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from collector.state.tables import Advisory, AdvisoryPackage, VulnerabilityFeed
from collector.vulnerabilities import importing, reading
from collector.vulnerabilities.errors import FeedError
from collector.vulnerabilities.importing import clear_leftovers, import_feed, remove_feed
from tests.collector.vulnerabilities.feeds import (
    below,
    debian,
    kev,
    nvd,
    nvd_item,
    osv,
    write_json,
    write_zip,
)
from tests.support.state import new_state

if TYPE_CHECKING:
    from pathlib import Path

    from collector.state.database import StateStore

pytestmark = pytest.mark.usefixtures("on_both_databases")
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    return new_state(tmp_path)


def feeds(state: StateStore) -> dict[str, str]:
    with state.read() as session:
        return {row.name: row.state for row in session.scalars(select(VulnerabilityFeed))}


def rows(state: StateStore) -> tuple[int, int]:
    with state.read() as session:
        return tuple(  # type: ignore[return-value]  # two of them
            session.scalar(select(func.count()).select_from(table)) for table in (Advisory, AdvisoryPackage)
        )


def test_a_zip_of_osv_is_taken_with_what_it_says_of_itself(state: StateStore, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "all.zip", debian())

    taken = import_feed(state, path, "an", now=lambda: NOW)

    assert (taken.name, taken.kind, taken.records, taken.left_out, taken.refused) == (
        "osv-debian",
        "osv",
        5,
        2,
        0,
    )
    assert taken.newest_at == datetime(2026, 11, 10, tzinfo=UTC)
    assert feeds(state) == {"osv-debian": "current"}
    assert rows(state) == (5, 6)


def test_the_same_file_again_changes_nothing(state: StateStore, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "all.zip", debian())
    import_feed(state, path, "an")
    with state.read() as session:
        before = session.scalars(select(VulnerabilityFeed.id)).all()

    again = import_feed(state, path, "an")

    assert again.unchanged
    assert again.records == 5
    with state.read() as session:
        assert session.scalars(select(VulnerabilityFeed.id)).all() == before


def test_a_new_feed_takes_the_place_of_the_old_one_of_its_name(state: StateStore, tmp_path: Path) -> None:
    import_feed(state, write_zip(tmp_path / "old.zip", debian()), "an")
    import_feed(state, write_json(tmp_path / "kev.json", kev("CVE-2026-1001")), "an")

    import_feed(state, write_zip(tmp_path / "new.zip", debian()[:3]), "an")

    assert feeds(state) == {"osv-debian": "current", "kev": "current"}
    assert rows(state) == (4, 4)


def test_a_feed_that_is_cut_short_does_not_take_the_place_of_a_whole_one(
    state: StateStore, tmp_path: Path
) -> None:
    import_feed(state, write_zip(tmp_path / "old.zip", debian()), "an")
    short = write_zip(tmp_path / "new.zip", debian()[:2])

    with pytest.raises(FeedError, match=r"2 records, the feed osv-debian in use has 5; .*--force"):
        import_feed(state, short, "an")
    assert feeds(state) == {"osv-debian": "current"}
    assert rows(state) == (5, 6)

    assert import_feed(state, short, "an", force=True).records == 2
    assert feeds(state) == {"osv-debian": "current"}
    assert rows(state) == (2, 3)


def test_a_feed_of_which_much_cannot_be_read_is_refused(state: StateStore, tmp_path: Path) -> None:
    many = [osv(f"DEBIAN-CVE-2026-{n}", ("Debian:12", "x", below("1"))) for n in range(1000, 1018)]
    import_feed(state, write_zip(tmp_path / "good.zip", [*many, b"{", b"{"]), "an")
    bad = write_zip(tmp_path / "bad.zip", [*many, b"{", b"{", b"{"])

    with pytest.raises(FeedError, match=r"3 of its 21 records cannot be read; the first: .*--force"):
        import_feed(state, bad, "an")
    assert rows(state) == (18, 18)

    assert import_feed(state, bad, "an", force=True).refused == 3
    with pytest.raises(FeedError, match="1 of its 1 records"):
        import_feed(state, write_zip(tmp_path / "none.zip", [b"{"]), "an", force=True)


def test_until_all_is_read_the_old_feed_is_what_is_seen(
    state: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_ROWS", 2)
    import_feed(state, write_zip(tmp_path / "old.zip", debian()[:1]), "an")
    seen = []

    def look(_count: int) -> None:
        with state.read() as session:
            seen.append(
                session.scalar(select(VulnerabilityFeed.file).where(VulnerabilityFeed.state == "current"))
            )

    import_feed(state, write_zip(tmp_path / "new.zip", debian()), "an", progress=look)

    assert len(seen) > 2
    assert set(seen) == {"old.zip"}


def test_an_import_that_fails_leaves_what_was_there(state: StateStore, tmp_path: Path) -> None:
    import_feed(state, write_zip(tmp_path / "old.zip", debian()), "an")
    text = json.dumps(nvd(nvd_item("CVE-2026-1", 9.8), nvd_item("CVE-2026-2", 5.0)))
    cut = tmp_path / "nvd.json"
    cut.write_text(text[:-40], encoding="utf-8")

    with pytest.raises(FeedError, match=r"nvd\.json: vulnerabilities\[1\]: not JSON"):
        import_feed(state, cut, "an")

    assert feeds(state) == {"osv-debian": "current"}
    assert rows(state) == (5, 6)


def test_what_a_killed_import_has_left_is_taken_away_by_the_next(state: StateStore, tmp_path: Path) -> None:
    moment = {"feed_id": 7, "record_id": "x", "names": [], "summary": "", "severity": "low"}
    with state.write() as session:
        session.add(
            VulnerabilityFeed(
                id=7, name="", kind="osv", state="loading", file="f", sha256="0", imported_at=NOW,
                imported_by="an", touched_at=NOW - timedelta(hours=2),
            )
        )  # fmt: skip
        session.add(Advisory(**moment))

    clear_leftovers(state, NOW - timedelta(hours=1, minutes=30))
    assert rows(state) == (1, 0)
    clear_leftovers(state, NOW)
    assert rows(state) == (0, 0)
    assert feeds(state) == {}


def test_records_that_cannot_be_read_are_named_and_the_rest_is_taken(
    state: StateStore, tmp_path: Path
) -> None:
    wrong = [
        b"{not json",
        osv("DEBIAN-CVE-2026-7", ("Debian:12", "x", below("1"))) | {"modified": "yesterday"},
        osv("DEBIAN-CVE-2026-8", ("Debian:12", "x", below("1"))) | {"affected": [{"package": {"name": 7}}]},
        b"[" * 100_000,
    ]
    taken = import_feed(state, write_zip(tmp_path / "all.zip", [*debian(), *wrong]), "an", force=True)

    assert (taken.records, taken.refused) == (5, 4)
    assert taken.faults[0].startswith("all.zip:record-7.json: ")
    assert "DEBIAN-CVE-2026-7.json: " in taken.faults[1]
    assert "$.modified" in taken.faults[1]
    assert "$.affected[0].package" in taken.faults[2]


def test_a_zip_bomb_is_one_record_that_is_too_large(
    state: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_RECORD_BYTES", 1 << 20)
    path = write_zip(tmp_path / "all.zip", [*debian(), b" " * (200 << 20)])
    assert path.stat().st_size < 1 << 20

    taken = import_feed(state, path, "an", force=True)

    assert taken.refused == 1
    assert "larger than 1 MB" in taken.faults[0]


def test_what_unpacks_to_too_much_in_all_is_refused(
    state: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_UNPACKED_BYTES", 1000)

    with pytest.raises(FeedError, match="unpacks to more"):
        import_feed(state, write_zip(tmp_path / "all.zip", debian()), "an")

    assert feeds(state) == {}


def test_damage_in_the_zip_is_one_record_and_a_zip_cut_short_is_none(
    state: StateStore, tmp_path: Path
) -> None:
    path = write_zip(tmp_path / "all.zip", debian())
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        at = archive.infolist()[1].header_offset + 80
    path.write_bytes(whole[:at] + bytes(byte ^ 0xFF for byte in whole[at : at + 20]) + whole[at + 20 :])

    taken = import_feed(state, path, "an", force=True)
    assert (taken.records, taken.refused) == (4, 1)

    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FeedError, match=r"all\.zip"):
        import_feed(state, path, "an")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "nothing in it|cannot be read"),
        ("a.json", b"\x00\xff", "cannot be read"),
        ("a.json", b'{"format": "NVD_CVE"}', 'no list "vulnerabilities"'),
        ("a.json", b'{"format": "NVD_CVE", "vulnerabilities": []}', "nothing in it"),
        ("a.json.gz", gzip.compress(b'{"format": "NVD_CVE", "vulnerabilities": [')[:-6], "end-of-stream"),
    ],
)
def test_what_is_no_feed_is_refused_with_the_reason(
    state: StateStore, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FeedError, match=message):
        import_feed(state, path, "an")
    assert feeds(state) == {}


def test_a_zip_without_records_and_one_for_other_systems_are_refused(
    state: StateStore, tmp_path: Path
) -> None:
    with pytest.raises(FeedError, match="nothing in it is for the systems"):
        import_feed(state, write_zip(tmp_path / "pypi.zip", debian()[-1:]), "an")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "no")
    with pytest.raises(FeedError, match=r"without any \.json"):
        import_feed(state, tmp_path / "other.zip", "an")


def test_the_nvds_file_is_read_in_pieces_packed_or_not(
    state: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_CHUNK", 100)
    items = [nvd_item(f"CVE-2026-{number}", 7.5) for number in range(1000, 1040)]
    items[3]["cve"]["metrics"] = {"cvssMetricV31": [{"cvssData": {"baseScore": "high"}}]}
    raw = json.dumps(nvd(*items), indent=1).encode()
    plain, packed = tmp_path / "nvdcve-2.0-2026.json", tmp_path / "nvdcve-2.0-recent.json.gz"
    plain.write_bytes(raw)
    packed.write_bytes(gzip.compress(raw))

    taken = import_feed(state, plain, "an")
    assert (taken.name, taken.records, taken.refused) == ("nvd-nvdcve-2.0-2026", 39, 1)
    assert taken.faults[0].startswith("nvdcve-2.0-2026.json: vulnerabilities[3]: ")
    assert import_feed(state, packed, "an").records == 39
    zipped = tmp_path / "nvd.json.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("nvdcve-2.0-2026.json", raw)
    assert import_feed(state, zipped, "an", name="nvd").records == 39


def test_a_feed_can_be_taken_out_of_use(state: StateStore, tmp_path: Path) -> None:
    import_feed(state, write_zip(tmp_path / "all.zip", debian()), "an")
    remove_feed(state, "osv-debian")
    assert feeds(state) == {}
    assert rows(state) == (0, 0)

"""What single records say, and that no text makes a parser stumble."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.vulnerabilities.cvss import base_score
from collector.vulnerabilities.errors import RecordError
from collector.vulnerabilities.kev import parse_kev
from collector.vulnerabilities.models import Interval
from collector.vulnerabilities.nvd import parse_nvd
from collector.vulnerabilities.osv import parse_osv
from tests.collector.vulnerabilities.feeds import below, nvd_item, osv

if TYPE_CHECKING:
    from collections.abc import Callable


def test_events_become_intervals() -> None:
    events = [
        {"introduced": "0"},
        {"fixed": "1"},
        {"introduced": "2"},
        {"last_affected": "3"},
        {"introduced": "9"},
    ]
    record = osv("DEBIAN-CVE-2026-1", ("Debian:12", "x", events))
    found = parse_osv(json.dumps(record).encode())
    assert found is not None
    assert found.packages[0].intervals == (Interval("0", "1"), Interval("2", last="3"), Interval("9"))


@pytest.mark.parametrize(
    ("events", "intervals"),
    [
        (  # in any order, by dpkg's rules
            ["fixed 10", "introduced 3", "fixed 2", "introduced 0"],
            (Interval("0", "2"), Interval("3", "10")),
        ),
        (["last_affected 4", "introduced 4"], (Interval("4", last="4"),)),
        (["introduced 0", "fixed 0"], (Interval("0", "0"),)),
        # What has begun goes on, and what is fixed stays so.
        (["introduced 1", "introduced 2", "fixed 3"], (Interval("1", "3"),)),
        (["introduced 0", "fixed 1", "fixed 2"], (Interval("0", "1"),)),
        (["fixed 1"], (Interval("0", "1"),)),
        (["introduced 2~rc1", "fixed 2", "limit 3"], (Interval("2~rc1", "2"),)),
        (["introduced 0", "fixed no"], (Interval("0", "no"),)),
    ],
)
def test_events_are_read_as_the_schema_evaluates_them(
    events: list[str], intervals: tuple[Interval, ...]
) -> None:
    written = [dict([each.split()]) for each in events]
    found = parse_osv(json.dumps(osv("DEBIAN-CVE-2026-1", ("Debian:12", "x", written))).encode())
    assert found is not None
    assert found.packages[0].intervals == intervals


@pytest.mark.parametrize(
    ("record", "names"),
    [
        (osv("UBUNTU-CVE-2026-5555", ("Ubuntu:22.04:LTS", "x", below("1"))), ("CVE-2026-5555",)),
        (
            osv(
                "USN-1-1",
                ("Ubuntu:24.04:LTS", "x", below("1")),
                upstream=["UBUNTU-CVE-2026-5555", "CVE-2026-5555"],
            ),
            ("CVE-2026-5555",),
        ),
        (
            osv("ALSA-2026:1", ("AlmaLinux:9", "x", below("1")), related=["CVE-2026-5555", "CVE-2026-5556"]),
            ("CVE-2026-5555", "CVE-2026-5556"),
        ),
        (osv("RLSA-2026:1", ("Rocky Linux:9", "x", below("1"))), ("RLSA-2026:1",)),
    ],
)
def test_a_record_is_of_the_cves_that_it_names(record: dict[str, Any], names: tuple[str, ...]) -> None:
    found = parse_osv(json.dumps(record).encode())
    assert found is not None
    assert found.names == names


def test_what_is_not_for_everybody_with_a_release_is_left_out() -> None:
    for ecosystem in ("Ubuntu:Pro:22.04:LTS", "Red Hat:rhel_eus:9.2::baseos", "Debian", "Alpine:v3.20"):
        assert parse_osv(json.dumps(osv("X-1", (ecosystem, "x", below("1")))).encode()) is None


@pytest.mark.parametrize(
    ("vector", "score"),
    [  # the specification's own examples, and what is no vector
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.0/AV:L/AC:H/PR:H/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N", None),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", None),
    ],
)
def test_scores_are_those_of_the_specification(vector: str, score: float | None) -> None:
    assert base_score(vector) == score


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_KEYS = st.sampled_from(
    ["id", "modified", "affected", "aliases", "severity", "published", "summary", "cve", "cveID"]
)


@given(st.binary(max_size=200), st.dictionaries(_KEYS, _JSON, max_size=6), _JSON, st.text(max_size=60))
def test_no_parser_raises_anything_but_its_own_error(
    raw: bytes, changes: dict[str, Any], anything: Any, text: str
) -> None:
    record = osv("DEBIAN-CVE-2026-1", ("Debian:12", "x", below("1"))) | changes
    attempts: list[Callable[[], object]] = [
        lambda: parse_osv(raw),
        lambda: parse_osv(json.dumps(record).encode()),
        lambda: parse_nvd(anything),
        lambda: parse_nvd({"cve": nvd_item("CVE-2026-1", 5.0)["cve"] | changes}),
        lambda: parse_kev(anything),
        lambda: parse_kev({"cveID": text, "dateAdded": anything}),
    ]
    for attempt in attempts:
        try:
            attempt()
        except RecordError:
            continue
    assert base_score(text) is None or text.startswith("CVSS:3")


def intervals_of(*matches: dict[str, Any], **more: Any) -> dict[str, tuple[Interval, ...]]:
    found = parse_nvd(nvd_item("CVE-2026-5555", 7.5, *matches, **more))
    assert found is not None
    return {each.package: each.intervals for each in found.packages}


def test_the_nvds_ranges_are_taken_where_they_can_be_read_without_doubt() -> None:
    chrome = "cpe:2.3:a:google:chrome:*:*:*:*:*:*:*:*"
    assert intervals_of({"criteria": chrome, "versionEndExcluding": "130.0.1"}) == {
        "google:chrome": (Interval("0", "130.0.1"),)
    }
    assert intervals_of(
        {"criteria": chrome, "versionStartIncluding": "120", "versionEndIncluding": "129"},
        {"criteria": "cpe:2.3:a:videolan:vlc_media_player:3.0.1:*:*:*:*:windows:*:*"},
    ) == {
        "google:chrome": (Interval("120", last="129"),),
        "videolan:vlc_media_player": (Interval("3.0.1", last="3.0.1"),),
    }


@pytest.mark.parametrize(
    "match",
    [
        {"criteria": "cpe:2.3:a:google:chrome:*:*:*:*:*:android:*:*", "versionEndExcluding": "1"},
        {"criteria": "cpe:2.3:a:google:chrome:*:*:*:*:*:*:*:*"},
        {"criteria": "cpe:2.3:a:google:chrome:-:*:*:*:*:*:*:*"},
        {"criteria": "cpe:2.3:o:microsoft:windows_10:*:*:*:*:*:*:*:*", "versionEndExcluding": "1"},
        {
            "criteria": "cpe:2.3:a:x:y:*:*:*:*:*:*:*:*",
            "versionStartExcluding": "1",
            "versionEndExcluding": "2",
        },
        {"criteria": "cpe", "versionEndExcluding": "2"},
    ],
)
def test_what_is_for_another_system_or_in_doubt_is_not_matched(match: dict[str, Any]) -> None:
    assert intervals_of(match) == {}


def test_a_second_condition_counts_only_where_it_is_windows() -> None:
    program = {"vulnerable": True, "criteria": "cpe:2.3:a:x:y:*:*:*:*:*:*:*:*", "versionEndExcluding": "2"}

    def under(system: str) -> dict[str, tuple[Interval, ...]]:
        nodes = [
            {"operator": "OR", "negate": False, "cpeMatch": [program]},
            {"operator": "OR", "negate": False, "cpeMatch": [{"vulnerable": False, "criteria": system}]},
        ]
        return intervals_of(configurations=[{"operator": "AND", "nodes": nodes}])

    assert under("cpe:2.3:o:microsoft:windows:-:*:*:*:*:*:*:*") == {"x:y": (Interval("0", "2"),)}
    assert under("cpe:2.3:o:apple:macos:-:*:*:*:*:*:*:*") == {}

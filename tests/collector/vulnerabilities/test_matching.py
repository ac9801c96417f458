"""What a machine has is what its distribution says of the versions that are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.vulnerabilities import book as book_module
from collector.vulnerabilities.book import Book
from collector.vulnerabilities.ecosystems import ecosystem_of, from_osv, sources_of
from collector.vulnerabilities.importing import import_feed
from collector.vulnerabilities.matching import examine, machine_of, summarise
from collector.vulnerabilities.windows import product_of, products
from tests.collector.vulnerabilities.feeds import (
    OPENSSL,
    SERVER,
    below,
    debian,
    host,
    kev,
    nvd,
    nvd_item,
    osv,
    software,
    write_json,
    write_zip,
)
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.state.database import StateStore
    from collector.vulnerabilities.models import Examination

    Look = Callable[..., Examination]


@pytest.fixture
def state(tmp_path: Path) -> StateStore:
    return new_state(tmp_path)


@pytest.fixture
def bring(state: StateStore, tmp_path: Path) -> Callable[..., None]:
    def bring(*records: dict[str, Any]) -> None:
        import_feed(state, write_zip(tmp_path / "all.zip", list(records)), "an")

    return bring


@pytest.fixture
def look(state: StateStore) -> Look:
    book = Book()

    def look(packages: Any = SERVER, machine: Any = None, **more: Any) -> Examination:
        with state.read() as session:
            book.turn_to(session)
            read = machine_of(session, book, host() if machine is None else machine, packages)
            found = examine(session, book, read, **more)
            summary = summarise(session, book, read)
        affected = {each.name: each.fixable for each in found.findings if each.status == "affected"}
        assert {book.names[n]: n in summary.fixable for n in summary.affected} == affected
        doubtful = sum(each.status == "unknown" for each in found.findings) + len(found.unknown)
        assert (summary.doubtful, summary.reason) == (doubtful, found.reason)
        return found

    return look


def statuses(examination: Examination) -> dict[str, tuple[str, bool]]:
    return {each.name: (each.status, each.fixable) for each in examination.findings}


def test_a_server_has_what_is_not_fixed_in_its_versions(bring: Any, look: Look) -> None:
    bring(*debian())
    found = look()
    assert statuses(found) == {"CVE-2026-1001": ("affected", True), "CVE-2026-1002": ("affected", False)}
    assert found.packages == 3
    assert found.unknown == ()


def test_each_finding_is_explained(bring: Any, look: Look) -> None:
    bring(*debian())
    first = look().findings[0]
    assert (first.severity, first.score) == ("critical", 9.8)
    told = {each.record_id: each for each in first.evidence}
    assert sorted(told) == ["DEBIAN-CVE-2026-1001", "DSA-5999-1"]
    evidence = told["DSA-5999-1"]
    assert (evidence.package, evidence.binaries) == ("openssl", ("libssl3", "openssl"))
    assert (evidence.installed, evidence.fixed) == (OPENSSL, "3.0.15-1~deb12u1")
    assert evidence.feed == "osv-debian"
    assert evidence.modified_at is not None


def test_a_fix_carried_back_counts_though_upstreams_version_is_old(bring: Any, look: Look) -> None:
    bring(osv("DEBIAN-CVE-2023-5363", ("Debian:12", "openssl", below("3.0.11-1~deb12u2"))))
    assert statuses(look(software(("openssl", "3.0.11-1~deb12u1")))) == {"CVE-2023-5363": ("affected", True)}
    assert statuses(look(software(("openssl", "3.0.11-1~deb12u2")))) == {}
    fixed = look(software(("openssl", "3.0.11-1~deb12u2")), with_fixed=True)
    assert statuses(fixed) == {"CVE-2023-5363": ("fixed", False)}
    assert fixed.findings[0].evidence[0].fixed == "3.0.11-1~deb12u2"


def test_another_release_of_the_same_package_has_its_own_answer(bring: Any, look: Look) -> None:
    bring(*debian())
    eleven = look(software(("openssl", "1.1.1w-0+deb11u2")), host(version="11"))
    assert statuses(eleven) == {}
    assert eleven.reason == ""


def test_the_source_packages_version_is_compared_where_it_differs(bring: Any, look: Look) -> None:
    bring(osv("DEBIAN-CVE-2026-1001", ("Debian:12", "gcc-defaults", below("1.204"))))
    assert statuses(look(software(("gcc", "4:12.2.0-3", "gcc-defaults", "1.203")))) != {}
    assert statuses(look(software(("gcc", "4:12.2.0-3", "gcc-defaults", "1.204")))) == {}


def test_a_signed_kernel_is_known_by_the_unsigned_ones_name() -> None:
    kernel = {"name": "linux-image-6.1.0-21-amd64", "version": "6.1.90-1", "source_version": "6.1.90+1"}
    assert sources_of("dpkg", {**kernel, "source": "linux-signed-amd64"}) == [("linux", "6.1.90-1")]
    assert sources_of("dpkg", {**kernel, "source": "linux-signed"}) == [("linux", "6.1.90-1")]
    assert sources_of("dpkg", {**kernel, "source": "linux-signed-hwe-6.5"}) == [("linux-hwe-6.5", "6.1.90-1")]


def rpm(*packages: tuple[str, ...]) -> dict[str, Any]:
    return software(*packages, manager="rpm")


def test_the_rhel_family_goes_by_binary_or_by_source_package(bring: Any, look: Look) -> None:
    bring(
        osv(
            "ALSA-2026:1",
            ("AlmaLinux:9", "openssl-libs", below("1:3.0.7-28.el9_4")),
            related=["CVE-2026-1001"],
        ),
        osv(
            "RLSA-2026:1", ("Rocky Linux:9", "openssl", below("1:3.0.7-28.el9_4")), related=["CVE-2026-1001"]
        ),
    )
    installed = rpm(("openssl-libs", "1:3.0.7-27.el9", "openssl"))
    for family in ("almalinux", "rocky"):
        machine = host(family, "9.4", "x")
        assert statuses(look(installed, machine)) == {"CVE-2026-1001": ("affected", True)}
        assert statuses(look(rpm(("openssl-libs", "1:3.0.7-28.el9_4", "openssl")), machine)) == {}


def test_another_stream_of_a_module_is_unknown_and_what_is_no_module_is_not_meant(
    bring: Any, look: Look
) -> None:
    fixed = "1:18.20.2-1.module_el8.9.0+3785+b5c6d5d5"
    bring(osv("ALSA-2026:1", ("AlmaLinux:8", "nodejs", below(fixed)), related=["CVE-2026-1001"]))
    machine = host("almalinux", "8.9", "AlmaLinux")

    def said(version: str) -> dict[str, tuple[str, bool]]:
        return statuses(look(rpm(("nodejs", version)), machine))

    assert said("1:18.20.1-1.module_el8.9.0+1+a") == {"CVE-2026-1001": ("affected", True)}
    assert said("1:16.20.2-1.module_el8.9.0+1+a") == {"CVE-2026-1001": ("unknown", False)}
    assert said("1:20.1.0-1.module_el8.9.0+1+a") == {"CVE-2026-1001": ("unknown", False)}
    assert said("1:10.24.0-1.el8") == {}
    assert look(rpm(("nodejs", "1:16.1.1-1.module_el8")), machine).findings[0].evidence[0].reason == (
        "other_module_stream"
    )


@pytest.mark.parametrize(
    ("machine", "packages", "reason"),
    [
        (host("debian", "13"), SERVER, "no_feed"),
        (host("arch", "rolling", "Arch Linux"), SERVER, "system_unknown"),
        (host("debian", ""), SERVER, "system_unknown"),
        ({"os": "no"}, SERVER, "system_unknown"),
        (host("windows", "10.0.19045", "Windows 10 Pro"), SERVER, "no_feed"),
        (host(), None, "no_software"),
    ],
)
def test_what_is_not_known_of_a_machine_is_said(
    bring: Any, look: Look, machine: Any, packages: Any, reason: str
) -> None:
    bring(*debian())
    found = look(packages, machine)
    assert (found.reason, found.findings) == (reason, ())


def test_a_version_that_is_none_is_unknown(bring: Any, look: Look) -> None:
    bring(*debian())
    found = look(software(("openssl", "unreadable")))
    assert found.findings == ()
    assert found.unknown == (("openssl", "unreadable", "version_unreadable"),)


def test_packages_of_another_manager_are_not_the_distributions(bring: Any, look: Look) -> None:
    bring(*debian())
    assert statuses(look(software(("openssl", "1"), manager="rpm"))) == {}


def test_the_nvd_gives_the_measure_and_cisa_what_is_exploited(
    bring: Any, look: Look, state: StateStore, tmp_path: Path
) -> None:
    bring(*debian())
    import_feed(state, write_json(tmp_path / "nvd.json", nvd(nvd_item("CVE-2026-1002", 5.5))), "an")
    import_feed(state, write_json(tmp_path / "kev.json", kev("CVE-2026-1002")), "an")

    found = {each.name: each for each in look().findings}

    assert (found["CVE-2026-1002"].severity, found["CVE-2026-1002"].score) == ("medium", 5.5)
    assert found["CVE-2026-1002"].summary == "NVD on CVE-2026-1002."
    assert found["CVE-2026-1002"].exploited_at is not None
    assert found["CVE-2026-1001"].exploited_at is None


def test_what_the_distribution_says_does_no_harm_is_not_made_grave_by_the_nvd(
    bring: Any, look: Look, state: StateStore, tmp_path: Path
) -> None:
    record = osv("DEBIAN-CVE-2026-1002", ("Debian:12", "openssl", below()))
    record["affected"][0]["ecosystem_specific"] = {"urgency": "unimportant"}
    bring(record)
    import_feed(state, write_json(tmp_path / "nvd.json", nvd(nvd_item("CVE-2026-1002", 9.9))), "an")
    assert look().findings[0].severity == "none"


def test_programs_of_windows_are_matched_where_they_are_known_and_unknown_elsewhere(
    look: Look, state: StateStore, tmp_path: Path
) -> None:
    chrome = {"criteria": "cpe:2.3:a:google:chrome:*:*:*:*:*:*:*:*", "versionEndExcluding": "130.0.1"}
    import_feed(state, write_json(tmp_path / "nvd.json", nvd(nvd_item("CVE-2026-2000", 8.8, chrome))), "an")
    machine = host("windows", "10.0.19045", "Windows 10 Pro")
    packages = software(("Google Chrome", "129.0.5"), ("Phần mềm kế toán", "7.1"), manager="msi")

    found = look(packages, machine)

    assert statuses(found) == {"CVE-2026-2000": ("affected", True)}
    assert found.unknown == (("Phần mềm kế toán", "7.1", "program_unknown"),)
    assert statuses(look(software(("Google Chrome", "130.0.1"), manager="msi"), machine)) == {}
    odd = look(software(("Google Chrome", "130-beta"), manager="msi"), machine)
    assert odd.unknown == (("google:chrome", "130-beta", "version_unreadable"),)


@pytest.mark.parametrize(
    ("version", "affected"), [("3.0.1", True), ("3.0.1.5", True), ("3.0.2", False), ("3.0.0.9", False)]
)
def test_a_build_of_the_last_affected_version_is_affected(
    look: Look, state: StateStore, tmp_path: Path, version: str, affected: bool
) -> None:
    vlc = {"criteria": "cpe:2.3:a:videolan:vlc_media_player:3.0.1:*:*:*:*:*:*:*"}
    import_feed(state, write_json(tmp_path / "nvd.json", nvd(nvd_item("CVE-2026-2000", 8.8, vlc))), "an")
    found = look(
        software(("VLC media player", version), manager="setup"), host("windows", "11", "Windows 11")
    )
    assert bool(found.findings) == affected


def test_display_names_are_taken_whole_or_not_at_all() -> None:
    assert product_of("Mozilla Firefox (x64 vi)") == "mozilla:firefox"
    assert product_of("7-Zip 24.08 (x64)") == "7-zip:7-zip"
    assert product_of("Google Chrome Enterprise Connector") == ""
    assert product_of("Not 7-Zip 24.08") == ""
    assert len(set(products())) == len(products())


def test_releases_are_recognised() -> None:
    assert ecosystem_of(host("ubuntu", "22.04", "Ubuntu")) == ("ubuntu:22.04", "Ubuntu 22.04")
    assert ecosystem_of(host("rhel", "9.4", "RHEL"))[0] == "rhel:9"
    assert from_osv("Ubuntu:22.04:LTS") == from_osv("Ubuntu:22.04") == "ubuntu:22.04"
    assert from_osv("Red Hat:enterprise_linux:9::appstream") == "rhel:9"
    assert from_osv("Rocky Linux:9") == "rocky:9"


def kernels(count: int, version: Callable[[int], str]) -> dict[str, Any]:
    return software(*((f"linux-image-{n}", "6.1", "linux", version(n)) for n in range(count)))


def test_of_many_packages_of_one_version_the_first_are_named_and_the_others_counted(
    bring: Any, look: Look
) -> None:
    bring(osv("DEBIAN-CVE-2026-1001", ("Debian:12", "linux", below("6.2"))))
    evidence = look(kernels(500, lambda _: "6.1.1-1")).findings[0].evidence[0]
    assert evidence.binaries == tuple(f"linux-image-{n}" for n in range(20))
    assert evidence.more_binaries == 480

    long = software(*((f"{n}" * 250, "6.1", "linux", "6.1.1-1") for n in range(5)))
    evidence = look(long).findings[0].evidence[0]
    assert (evidence.binaries, evidence.more_binaries) == (("0" * 250, "1" * 250), 3)


def test_of_many_versions_of_one_package_the_first_are_compared_and_the_others_unknown(
    bring: Any, look: Look
) -> None:
    bring(osv("DEBIAN-CVE-2026-1001", ("Debian:12", "linux", below("6.2"))))
    found = look(kernels(20_000, lambda n: f"6.1.{n}-1"))
    assert [each.installed for each in found.findings[0].evidence] == [f"6.1.{n}-1" for n in range(16)]
    assert len(found.unknown) == 19_984
    assert found.unknown[0] == ("linux", "6.1.16-1", "too_many_versions")


def test_what_is_compared_for_one_machine_is_bounded(
    bring: Any, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "_MOST_COMPARED", 4)
    bring(
        *(osv(f"DEBIAN-CVE-2026-100{n}", ("Debian:12", "linux", below("6.2"))) for n in range(3)),
        osv("DEBIAN-CVE-2026-2000", ("Debian:12", "bash", below("6"))),
    )
    packages = kernels(3, lambda n: f"6.1.{n}-1")
    packages["packages"] += software(("bash", "5"))["packages"]
    for _ in range(2):  # also where what was worked out is remembered
        found = look(packages)
        assert statuses(found) == dict.fromkeys(
            ("CVE-2026-1000", "CVE-2026-1001", "CVE-2026-1002", "CVE-2026-2000"), ("affected", True)
        )
        assert {version for _, version, _ in found.unknown} == {"6.1.1-1", "6.1.2-1"}
        assert {why for _, _, why in found.unknown} == {"too_much_to_compare"}


def test_what_is_remembered_is_bounded(bring: Any, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "_MOST_REMEMBERED", 0)
    bring(*debian())
    for _ in range(3):
        assert list(statuses(look())) == ["CVE-2026-1001", "CVE-2026-1002"]


_ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.sampled_from(["name", "version", "manager", "source"]), _ANY, max_size=4)),
    _ANY,
    st.text(max_size=300),
)
def test_no_document_makes_the_matching_stumble(
    bring: Any, look: Look, packages: list[Any], anything: Any, text: str
) -> None:
    bring(*debian())
    look({"packages": packages}, host())
    look({"packages": anything}, host())
    look(SERVER, {"os": anything})
    look(software((text, text, text, text), ("openssl", text)), host())
    look(software((text, text)), host("windows", text, text))

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.registry import NothingToReport
from agent.collectors.software import collect, parse_dpkg_status, parse_rpm_list
from tests.agent.collectors.support import context, fixture_bytes, fixture_lines, write
from tests.support.debian import program


def test_installed_packages_of_a_captured_status_file() -> None:
    packages = list(parse_dpkg_status(fixture_lines("dpkg/status")))
    assert [p["name"] for p in packages] == sorted(p["name"] for p in packages)
    assert {"name": "apt", "version": "2.6.1", "architecture": "amd64", "manager": "dpkg"} in packages


def test_removed_packages_with_left_over_configuration_are_not_installed() -> None:
    text = (
        b"Package: a\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        b"Package: b\nStatus: hold ok installed\nVersion: 2\n"
    )
    assert [p["name"] for p in parse_dpkg_status(text.splitlines())] == ["b"]


def test_rpm_packages_lose_a_zero_epoch_and_keys_are_no_packages() -> None:
    output = (
        b"bash\t0:5.2.26-3.fc40\tx86_64\tbash-5.2.26-3.fc40.src.rpm\n"
        b"openssl-libs\t1:3.2.1-2.fc40\tx86_64\topenssl-3.2.1-2.fc40.src.rpm\n"
        b"gpg-pubkey\t0:a15b79cc-1\t(none)\t(none)\nbad line\n"
    )
    assert list(parse_rpm_list(output)) == [
        {"name": "bash", "version": "5.2.26-3.fc40", "architecture": "x86_64", "manager": "rpm"},
        {
            "name": "openssl-libs",
            "version": "1:3.2.1-2.fc40",
            "architecture": "x86_64",
            "manager": "rpm",
            "source": "openssl",
        },
    ]


def test_what_a_package_was_built_from_is_said_only_where_it_differs() -> None:
    text = (
        b"Package: tar\nStatus: install ok installed\nVersion: 1.34\n\n"
        b"Package: libssl3\nSource: openssl\nStatus: install ok installed\nVersion: 3.0.11-1\n\n"
        b"Package: gcc\nSource: gcc-defaults (1.203)\nStatus: install ok installed\nVersion: 4:12.2.0-3\n\n"
        b"Package: perl-base\nSource: perl (5.36.0-7)\nStatus: install ok installed\nVersion: 5.36.0-7\n"
    )
    said = [
        {key: p[key] for key in p if key.startswith("source")} for p in parse_dpkg_status(text.splitlines())
    ]
    assert said == [
        {},
        {"source": "openssl"},
        {"source": "gcc-defaults", "source_version": "1.203"},
        {"source": "perl"},
    ]


def test_a_captured_list_of_rpm_is_read() -> None:
    packages = list(parse_rpm_list(fixture_bytes("rpm/qa.txt")))
    assert sorted((p["name"], p["version"]) for p in packages) == [("vg-hai", "3:1.1-1"), ("vg-thu", "1.1-1")]


def test_the_list_agrees_with_dpkgs_own() -> None:
    query = program("dpkg-query", "dpkg")
    shown = subprocess.run(
        [query, "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = sorted(line.split()[1:] for line in shown.stdout.splitlines() if line.startswith("installed "))
    with Path("/var/lib/dpkg/status").open("rb") as lines:
        assert sorted([p["name"], p["version"]] for p in parse_dpkg_status(lines)) == expected


def test_the_document_is_sorted_and_counted(tmp_path: Path) -> None:
    write(
        tmp_path / "var/lib/dpkg/status",
        "Package: b\nStatus: install ok installed\nVersion: 1\n\n"
        "Package: a\nStatus: install ok installed\nVersion: 1\n",
    )
    (document,) = collect(context(tmp_path)).documents
    assert document.body is not None
    assert ([p["name"] for p in document.body["packages"]], document.body["count"]) == (["a", "b"], 2)


def test_a_host_without_package_database_has_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(NothingToReport):
        collect(context(tmp_path))


@given(st.lists(st.binary(max_size=60)))
def test_no_status_file_breaks_the_reader(lines: list[bytes]) -> None:
    for package in parse_dpkg_status(lines):
        assert package["name"]


@given(st.binary(max_size=300))
def test_no_output_breaks_the_rpm_reader(output: bytes) -> None:
    for package in parse_rpm_list(output):
        assert package["manager"] == "rpm"

"""Versions compare as the real dpkg and rpm compare them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.vulnerabilities.versions import VersionError, parse_version
from tests.support.debian import program

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPOCH = st.sampled_from(["", "", "", "0:", "1:", "12:"])
_UPSTREAM = st.text("019abz.+~", max_size=8).map("1{}".format)
_DEBIAN = st.builds(
    "{}{}{}".format,
    _EPOCH,
    _UPSTREAM,
    st.sampled_from(["", "-1", "-0", "-1~", "-1+deb12u1", "-1+b2", "-1ubuntu2.1", "-10", "-1~bpo12+1"]),
)
_RPM = st.builds(
    "{}{}-{}".format,
    _EPOCH,
    st.text("019abZ.+~^_", min_size=1, max_size=8),
    st.sampled_from(["1", "1.el9", "1.el9_4", "10.el9", "1~rc1", "1^git2", "0.1"]),
)
_QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def order(scheme: str, one: str, other: str) -> int:
    first, second = parse_version(scheme, one), parse_version(scheme, other)
    if first == second:
        return 0
    return -1 if first < second else 1


def by_dpkg(one: str, other: str) -> int:
    def holds(relation: str) -> bool:
        command = [program("dpkg", "dpkg"), "--compare-versions", one, relation, other]
        return subprocess.run(command, check=False).returncode == 0

    if holds("eq"):
        return 0
    return -1 if holds("lt") else 1


def by_rpm(pairs: Sequence[tuple[str, str]]) -> list[int]:
    """Epochs as numbers, then version and release by rpm's own function: one question for many pairs."""

    def parts(evr: str) -> tuple[int, str, str]:
        epoch, _, rest = evr.rpartition(":")
        version, _, release = rest.partition("-")
        return int(epoch or 0), version, release

    asked = [(parts(one), parts(other)) for one, other in pairs]
    lines = [f"print(rpm.vercmp('{a[n]}', '{b[n]}') .. ' ')" for a, b in asked for n in (1, 2)]
    command = [program("rpm", "rpm"), "--eval", "%{lua:" + "\n".join(lines) + "}"]
    said = [
        int(each)
        for each in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    ]
    assert len(said) == 2 * len(pairs)
    compared = zip(asked, said[::2], said[1::2], strict=True)
    return [
        (-1 if a[0] < b[0] else 1) if a[0] != b[0] else version or release
        for (a, b), version, release in compared
    ]


@_QUICK
@given(_DEBIAN, _DEBIAN)
def test_debian_versions_compare_as_dpkg_compares_them(one: str, other: str) -> None:
    assert order("dpkg", one, other) == by_dpkg(one, other)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(_RPM, _RPM), min_size=20, max_size=20))
def test_rpm_versions_compare_as_rpm_compares_them(pairs: list[tuple[str, str]]) -> None:
    assert [order("rpm", *pair) for pair in pairs] == by_rpm(pairs)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0~rc1-1", "1.0-1"),
        ("1.0-1~deb12u1", "1.0-1"),
        ("1.0-1", "1.0-1+deb12u1"),
        ("9.0-1", "1:1.0-1"),
        ("1.9-1", "1.10-1"),
    ],
)
def test_what_people_get_wrong_about_debian_versions(older: str, newer: str) -> None:
    assert order("dpkg", older, newer) == -1
    assert by_dpkg(older, newer) == -1


def test_numbers_compare_as_numbers_and_trailing_zeros_say_nothing() -> None:
    assert order("numbers", "9.2", "10.0") == -1
    assert order("numbers", "24.08", "24.8.0.0") == 0
    for text in ("", "1.2-beta", "1..2", "v1", "1.2.3.4.5.6.7.8.9", "²", "1" * 5000):
        with pytest.raises(VersionError):
            parse_version("numbers", text)


@given(st.sampled_from(["dpkg", "rpm", "numbers"]), st.text(max_size=300))
def test_hostile_text_is_a_version_or_is_refused(scheme: str, text: str) -> None:
    try:
        version = parse_version(scheme, text)
    except VersionError:
        return
    assert version == version
    assert not version < version

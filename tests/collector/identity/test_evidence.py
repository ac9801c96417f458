"""Which numbers are one machine's, and what two machines' numbers come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.identity.evidence import evidence_of, is_other_machine, normal_mac, normal_serial, normal_uuid
from collector.identity.matching import AUTOMATIC, PROPOSED, match

UUID = "4c4c4544-0047-3510-8030-b4c04f4d3233"
HARDWARE = {"product_uuid": UUID, "serial_number": "9F2XK13", "mac_addresses": ["b4:2e:99:10:20:30"]}
OTHER = {
    "product_uuid": "a1b2c3d4-1111-4222-8333-444455556666",
    "serial_number": "5CG1234ABC",
    "mac_addresses": ["b4:2e:99:aa:bb:cc"],
}
SYSTEM = {"machine_id": "0123456789abcdef0123456789abcde1"}
NEW_SYSTEM = {"machine_id": "ffeeddccbbaa99887766554433221100"}


@pytest.mark.parametrize(
    "text",
    [
        "Default string",
        "To be filled by O.E.M.",
        "To Be Filled By O.E.M",
        "System Serial Number",
        "Chassis Serial Number",
        "Base Board Serial Number",
        "0123456789",
        "123456789",
        "1234567890",
        "MB-1234567890",
        "00000000",
        "XXXXXXXX",
        "None",
        "Not Specified",
        "Not Applicable",
        "N/A",
        "OEM",
        "INVALID",
        "   ",
        "AB1",
    ],
)
def test_what_makers_left_in_place_of_a_serial_number_is_nobodys(text: str) -> None:
    assert normal_serial(text) is None
    assert normal_serial(f" {text.upper()} ") is None


@pytest.mark.parametrize(
    "text",
    [
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "4C4C4544-0000-2010-8020-80C04F202020",
        "Not Settable",
        "uninitialized",
        "",
    ],
)
def test_uuids_that_whole_series_of_boards_share_are_nobodys(text: str) -> None:
    assert normal_uuid(text) is None


def test_a_uuid_is_the_same_in_both_orders_of_its_bytes() -> None:
    assert normal_uuid(UUID) == normal_uuid("44454C4C-4700-1035-8030-B4C04F4D3233")
    assert normal_uuid(UUID) != normal_uuid("a1b2c3d4-1111-4222-8333-444455556666")


def test_cards_that_software_makes_are_nobodys() -> None:
    made_up = [
        "02:42:ac:11:00:02",
        "00:50:56:c0:00:08",
        "00:ff:12:34:56:78",
        "00:05:9a:3c:7a:00",
        "0a:00:27:00:00:00",
    ]
    assert [normal_mac(each) for each in made_up] == [None] * 5
    assert normal_mac("B4-2E-99-10-20-30") == "b4:2e:99:10:20:30"


@given(
    st.dictionaries(
        st.sampled_from([*HARDWARE, "machine_id", "disk_serials"]),
        st.one_of(st.none(), st.integers(), st.text(), st.lists(st.one_of(st.text(), st.none()))),
    )
)
def test_whatever_an_agent_says_is_read(said: dict[str, object]) -> None:
    found = evidence_of(said)
    assert all(values for values in found.values())
    assert not is_other_machine(found, found)


def test_the_same_hardware_with_a_new_system_is_reimaged_and_linked_by_itself() -> None:
    found = match(evidence_of(HARDWARE | SYSTEM), evidence_of(HARDWARE | NEW_SYSTEM), same_name=False)
    assert found is not None
    assert (found.kind, found.automatic) == ("reimaged", True)
    assert found.score >= AUTOMATIC


def test_the_same_everything_is_enrolled_again_or_renamed() -> None:
    same = evidence_of(HARDWARE | SYSTEM)
    kinds = [getattr(match(same, same, same_name=name), "kind", None) for name in (True, False)]
    assert kinds == ["reenrolled", "renamed"]


def test_a_copied_disk_is_shown_and_never_linked_by_itself() -> None:
    found = match(evidence_of(HARDWARE | SYSTEM), evidence_of(OTHER | SYSTEM), same_name=True)
    assert found is not None
    assert (found.kind, found.automatic) == ("disk_moved", False)


def test_a_name_alone_is_only_a_hint() -> None:
    found = match(evidence_of(HARDWARE), evidence_of(OTHER), same_name=True)
    assert found is not None
    assert found.kind == "replaced"
    assert found.score < PROPOSED
    assert match(evidence_of(HARDWARE), evidence_of(OTHER), same_name=False) is None


def test_a_shared_dock_does_not_make_two_laptops_one() -> None:
    dock = "00:e0:4c:68:00:01"
    one = {**HARDWARE, "mac_addresses": ["b4:2e:99:10:20:30", dock]}
    other = {**OTHER, "mac_addresses": ["b4:2e:99:aa:bb:cc", dock]}
    assert match(evidence_of(one), evidence_of(other), same_name=False) is None


def test_a_new_card_or_disk_is_no_other_machine_and_another_case_is() -> None:
    before = evidence_of(HARDWARE | SYSTEM)
    assert not is_other_machine(before, evidence_of({**HARDWARE, "mac_addresses": ["b4:2e:99:aa:bb:cc"]}))
    assert not is_other_machine(before, evidence_of(NEW_SYSTEM))
    assert is_other_machine(before, evidence_of(OTHER | SYSTEM))

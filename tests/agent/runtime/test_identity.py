"""An agent knows whether it still runs on the machine that its key was given to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from agent.messages import HostFacts, Wanted
from agent.runtime.enrolment import enrol, renew
from agent.runtime.errors import EnrolmentError
from agent.runtime.evidence import host_facts, is_other_machine
from agent.runtime.identity import load_identity, own_context, waiting_key
from agent.runtime.transport import Address
from tests.agent.runtime.stub import FIRST_ID, OWN_ID
from tests.agent.runtime.test_process import Program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.settings import StateDirectory
    from tests.agent.runtime.stub import StubCollector

UUID = "4c4c4544-0047-3510-8030-b4c04f4d3233"
OTHER_UUID = "a1b2c3d4-1111-4222-8333-444455556666"
HERE = HostFacts(
    hostname="pc",
    machine_id="1" * 32,
    product_uuid=UUID,
    serial_number="9F2XK13",
    mac_addresses=["b4:2e:99:0:0:1"],
)


@pytest.fixture
def program(tmp_path: Path, state: StateDirectory) -> Iterator[Program]:
    made = Program(tmp_path, state)
    set_machine(made.root, UUID)
    yield made
    made.close()


def set_machine(root: Path, uuid: str) -> None:
    folder = root / "sys/class/dmi/id"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "product_uuid").write_text(uuid + "\n")


@pytest.mark.parametrize(
    ("now", "other"),
    [
        ({}, False),
        ({"machine_id": "2" * 32}, False),
        ({"mac_addresses": ["b4:2e:99:0:0:2"]}, False),
        ({"product_uuid": OTHER_UUID}, False),  # the serial number is still the same
        ({"product_uuid": OTHER_UUID, "serial_number": "5CG1234ABC"}, True),
        ({"product_uuid": OTHER_UUID, "serial_number": "Default string"}, True),
        ({"product_uuid": "", "serial_number": ""}, False),
        ({"product_uuid": UUID.upper()}, False),
    ],
)
def test_only_another_case_is_another_machine(now: dict[str, object], other: bool) -> None:
    assert is_other_machine(HERE, msgspec.structs.replace(HERE, **now)) is other


def test_where_no_firmware_tells_other_cards_and_another_system_do_together() -> None:
    bare = HostFacts(hostname="pi", machine_id="1" * 32, mac_addresses=["b8:27:eb:0:0:1"])
    moved = msgspec.structs.replace(bare, machine_id="2" * 32, mac_addresses=["b8:27:eb:0:0:2"])
    assert is_other_machine(bare, moved)
    assert not is_other_machine(bare, msgspec.structs.replace(moved, machine_id="1" * 32))


def test_facts_hold_cards_and_disks_of_the_machine_and_none_that_software_makes(tmp_path: Path) -> None:
    set_machine(tmp_path, UUID)
    for name, mac, real in (("eth0", "b4:2e:99:10:20:30", True), ("docker0", "02:42:ac:11:00:02", False)):
        card = tmp_path / "sys/class/net" / name
        (card / "device").mkdir(parents=True) if real else card.mkdir(parents=True)
        (card / "address").write_text(mac)
    disks = tmp_path / "sys/block"
    (disks / "nvme0n1/device").mkdir(parents=True)
    (disks / "nvme0n1/device/serial").write_text("S4EWNX0M  \n")
    (disks / "sda/device").mkdir(parents=True)
    (disks / "sda/device/vpd_pg80").write_bytes(b"\0\x80\0\x08WD-12345")
    (disks / "sdb/device").mkdir(parents=True)
    (disks / "sdb/removable").write_text("1\n")
    (disks / "sdb/device/serial").write_text("STICK123")
    facts = host_facts(tmp_path)
    assert (facts.product_uuid, facts.mac_addresses) == (UUID, ["b4:2e:99:10:20:30"])
    assert facts.disk_serials == ["S4EWNX0M", "WD-12345"]


def test_a_copied_disk_says_nothing_under_the_old_name_and_asks_for_one_of_its_own(
    program: Program, stub: StubCollector
) -> None:
    enrol(program.state, Address.of(stub.url), stub.token(), host_facts(program.root))
    set_machine(program.root, OTHER_UUID)
    program.start()
    wait_until(
        lambda: load_identity(program.state, finish=False).endpoint_id == OWN_ID,
        seconds=30,
        what="its own name",
    )
    wait_until(
        lambda: any(seen.path in ("/v1/heartbeat", "/v1/batches") for seen in stub.seen),
        seconds=30,
        what="a word",
    )
    paths = [seen.path for seen in stub.seen]
    asked = paths.index("/v1/renew")
    assert not {"/v1/heartbeat", "/v1/batches"} & set(paths[:asked])
    body = json.loads(stub.seen[asked].body)
    assert (body["moved"], body["facts"]["product_uuid"]) == (True, OTHER_UUID)
    machine = load_identity(program.state, finish=False).machine
    assert machine is not None
    assert machine.product_uuid == OTHER_UUID


def test_where_the_collector_refuses_the_copy_speaks_under_the_old_name(
    program: Program, stub: StubCollector
) -> None:
    enrol(program.state, Address.of(stub.url), stub.token(), host_facts(program.root))
    set_machine(program.root, OTHER_UUID)
    stub.answers.append((409, {}, b'{"type":"about:blank","title":"Conflict","status":409}'))
    program.start()
    wait_until(
        lambda: any(seen.path in ("/v1/heartbeat", "/v1/batches") for seen in stub.seen),
        seconds=30,
        what="a word",
    )
    assert load_identity(program.state, finish=False).endpoint_id == FIRST_ID


@pytest.mark.parametrize("moved", [True, False])
def test_who_asks_again_after_a_lost_answer_asks_with_the_same_key(
    stub: StubCollector, enrolled: StateDirectory, moved: bool
) -> None:
    stub.answers.append((503, {}, b""))
    with pytest.raises(EnrolmentError, match="503"):
        renew(enrolled, facts=HERE, moved=moved)
    renew(enrolled, facts=HERE, moved=moved)
    asked = [json.loads(seen.body)["csr_pem"] for seen in stub.seen if seen.path == "/v1/renew"]
    assert len({public_key(each) for each in asked}) == 1
    assert load_identity(enrolled).endpoint_id == (OWN_ID if moved else FIRST_ID)
    assert own_context(enrolled).get_ca_certs()
    assert sorted(each.name for each in enrolled.root.glob("agent.key*")) == ["agent.key"]


def test_a_name_of_its_own_survives_a_power_cut_at_any_point(
    stub: StubCollector, enrolled: StateDirectory
) -> None:
    before = enrolled.identity.read_bytes()
    old_key = enrolled.key.read_bytes()
    renew(enrolled, facts=HERE, moved=True)
    new_key, new_identity = enrolled.key.read_bytes(), enrolled.identity.read_bytes()
    waiting = enrolled.identity.with_name(enrolled.identity.name + ".new")
    # The certificate is there, nothing else is in its place.
    enrolled.key.write_bytes(old_key)
    enrolled.identity.write_bytes(before)
    waiting_key(enrolled).write_bytes(new_key)
    waiting.write_bytes(new_identity)
    assert load_identity(enrolled).endpoint_id == OWN_ID
    assert enrolled.key.read_bytes() == new_key
    # And with the key in place only.
    enrolled.identity.write_bytes(before)
    waiting.write_bytes(new_identity)
    assert load_identity(enrolled).endpoint_id == OWN_ID
    assert not waiting.exists()


def public_key(csr_pem: str) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    return (
        x509.load_pem_x509_csr(csr_pem.encode())
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.mark.parametrize("wanted", [Wanted(rekey=7), Wanted(settings=3, release="1.2.0", rekey=10**13)])
def test_an_order_to_change_keys_travels_beside_the_others(wanted: Wanted) -> None:
    assert Wanted.decode(wanted.encode()) == wanted
    assert Wanted.decode(wanted.encode() + "x") == Wanted()

"""What speaks for a machine: numbers that its firmware, its cards, its disks and its system have.

All of it is what an agent says, so it never proves who somebody is (that is the certificate's) and never takes anything
from anybody; it says which records people should look at. Values are brought to one form, and what makers left as they
found it is nobody's number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from collector.devices.macs import is_locally_administered, is_virtual_router, parse_mac

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.messages import HostFacts

#: ``uuid`` to ``mac`` are of the hardware, ``machine_id`` (machine-id, MachineGuid) of the system that is set up on it.
KINDS: Final = ("uuid", "serial", "board_serial", "chassis_serial", "disk_serial", "mac", "machine_id")
#: Of the machine itself: a disk or a card may be carried from one to another.
CASE: Final = ("uuid", "serial", "board_serial", "chassis_serial")

Evidence = Mapping[str, frozenset[str]]

#: What a maker was to fill in and did not, in capitals without punctuation.
_PLACEHOLDER: Final = re.compile(
    r"(?:DEFAULT(?: STRING)?|TO BE FILLED(?: BY O ?E ?M)?|O ?E ?M|(?:SYSTEM|BASE ?BOARD|CHASSIS|BOARD|PRODUCT)?"
    r" ?SERIAL(?: NUMBER| NO)?|NOT (?:SPECIFIED|AVAILABLE|APPLICABLE|SET|PRESENT|SETTABLE|DEFINED)|NONE|NULL|N A"
    r"|UNKNOWN|INVALID|EMPTY|ASSET TAG|NO (?:ENCLOSURE|ASSET TAG|SERIAL(?: NUMBER)?)|TYPE2 BOARD SERIAL NUMBER"
    r"|STANDARD|UNDEFINED|BAD INDEX|SN|EVAL(?:UATION)?|TEST|SAMPLE|MB ?1234567890|SYS ?1234567890"
    r"|CHASSIS ?1234567890|BSS ?0123456789|[0 ]*1234567890?(?:ABCDEF)?|0*123456789(?:0?ABCDEF)?|AABBCCDD ?.*)"
)
#: UUIDs that whole series of boards came with (both orders of their bytes are tried).
_SHARED_UUIDS: Final = frozenset(
    {
        "03000200040005000006000700080009",
        "00020003000400050006000700080009",
        "4c4c454400002010802080c04f202020",
        "11111111222233334444555555555555",
        "12345678123456781234567812345678",
        "123456781234567890abcddeefaabbcc",
        "01234567890123456789abcdefabcdef",
        "00112233445566778899aabbccddeeff",
    }
)
#: Cards that software makes with an address of its own that is the same everywhere: host-only networks of VMware,
#: AnyConnect, Fortinet, TAP, PPP, Parallels, a modem that was not given one.
_SHARED_MACS: Final = (
    "00:50:56:c0:00:",
    "00:05:9a:3c:7",
    "00:09:0f:fe:00:",
    "00:09:0f:aa:00:",
    "00:ff:",
    "44:45:53:54:",
    "00:1c:42:00:00:",
    "00:a0:c6:00:00:",
    "00:11:22:33:44:",
)
_HEX32: Final = re.compile(r"[0-9a-f]{32}")
_MOST: Final = {"mac": 32, "disk_serial": 16}


def evidence_of(said: Mapping[str, Any]) -> Evidence:
    """From a ``host`` document, or what an endpoint said when it enrolled; both may hold anything. Kinds of which
    nothing usable is said are missing."""
    found = {
        "uuid": _some(said, "product_uuid", normal_uuid),
        "serial": _some(said, "serial_number", normal_serial),
        "board_serial": _some(said, "board_serial", normal_serial),
        "chassis_serial": _some(said, "chassis_serial", normal_serial),
        "disk_serial": _some(said, "disk_serials", normal_serial),
        "mac": _some(said, "mac_addresses", normal_mac),
        "machine_id": _some(said, "machine_id", normal_uuid),
    }
    return {kind: values for kind, values in found.items() if values}


def evidence_of_facts(facts: HostFacts) -> Evidence:
    """As :func:`evidence_of`."""
    return evidence_of({name: getattr(facts, name) for name in facts.__struct_fields__})


def normal_uuid(text: str) -> str | None:
    """32 hex digits; ``None`` for what is none or many machines'. The two orders in which programs print the bytes of
    one UUID (SMBIOS 2.6 changed it) give the same."""
    plain = re.sub(r"[^0-9a-f]", "", text.lower())
    if not _HEX32.fullmatch(plain) or len(set(plain)) < 4:
        return None
    swapped = plain[6:8] + plain[4:6] + plain[2:4] + plain[:2] + plain[10:12] + plain[8:10]
    swapped += plain[14:16] + plain[12:14] + plain[16:]
    if plain in _SHARED_UUIDS or swapped in _SHARED_UUIDS:
        return None
    return min(plain, swapped)


def normal_serial(text: str) -> str | None:
    """In capitals, spaces made one; ``None`` for a placeholder or what is too short or plain to be one machine's."""
    value = " ".join(text.upper().split())[:128]
    plain = " ".join(re.sub(r"[^0-9A-Z]+", " ", value).split())
    if len(plain) < 4 or len(set(plain)) < 3 or _PLACEHOLDER.fullmatch(plain):
        return None
    return value


def normal_mac(text: str) -> str | None:
    """``aa:bb:cc:dd:ee:ff``; ``None`` for what software made up or shares."""
    mac = parse_mac(text)
    if mac is None or is_locally_administered(mac) or is_virtual_router(mac) or mac.startswith(_SHARED_MACS):
        return None
    return mac


def is_other_machine(before: Evidence, now: Evidence) -> bool:
    """Whether everything of the hardware that both know says so. Where the case is known of both, it alone decides:
    cards and disks come and go."""
    known = [kind for kind in CASE if kind in before and kind in now] or [
        kind for kind in ("mac", "disk_serial") if kind in before and kind in now
    ]
    return bool(known) and all(before[kind].isdisjoint(now[kind]) for kind in known)


def fingerprint(evidence: Evidence) -> str:
    """Short, of what tells the case; of the cards where nothing does."""
    told = [kind for kind in CASE if kind in evidence] or [kind for kind in ("mac",) if kind in evidence]
    return ";".join(f"{kind}={','.join(sorted(evidence[kind]))}" for kind in told)[:512]


def _some(said: Mapping[str, Any], name: str, normal: Any) -> frozenset[str]:
    value = said.get(name)
    listed: Iterable[object] = value if isinstance(value, list) else (value,)
    kind = {"mac_addresses": "mac", "disk_serials": "disk_serial"}.get(name, "")
    found = {normal(each) for each in list(listed)[:64] if isinstance(each, str)} - {None}
    return frozenset(sorted(found)[: _MOST.get(kind, 1)])

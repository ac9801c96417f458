"""The machines of a simulated province: what each is, drawn once from the seed.

Shares are stated here and nowhere else. Nothing depends on the order in which things are asked for: each draw
has a generator of its own, named after what is drawn.
"""

from __future__ import annotations

import random
from typing import Final

from msgspec import Struct

#: Of all machines, what is wrong with the antivirus; the rest is protected.
ANTIVIRUS_SHARES: Final[dict[str, float]] = {"outdated": 0.08, "off": 0.03, "none": 0.04, "unknown": 0.01}
FIREWALL_OFF_SHARE: Final = 0.05
SILENT_SHARE: Final = 0.02
UPDATES_PENDING_SHARE: Final = 0.25
SERVER_SHARE: Final = 0.08
#: Devices on the LANs that nobody manages (printers, cameras, telephones), per managed machine.
UNMANAGED_PER_MACHINE: Final = 0.1
_NEIGHBOURS_SEEN: Final = 8


class Token(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the tokens file."""

    token: str
    agency_code: str
    agency_name: str


class Model(Struct, frozen=True):
    manufacturer: str
    model: str
    chassis: str
    cpu: str
    cores: int
    memory_gb: int
    disk_gb: int


_DESKTOPS: Final = (
    Model("Dell Inc.", "OptiPlex 3080", "desktop", "Intel(R) Core(TM) i5-10500 CPU @ 3.10GHz", 12, 8, 256),
    Model("Dell Inc.", "Vostro 3681", "desktop", "Intel(R) Core(TM) i3-10100 CPU @ 3.60GHz", 8, 4, 256),
    Model("HP", "HP ProDesk 400 G6", "desktop", "Intel(R) Core(TM) i5-9500 CPU @ 3.00GHz", 6, 8, 512),
    Model("HP", "HP 280 Pro G5", "desktop", "Intel(R) Core(TM) i3-10105 CPU @ 3.70GHz", 8, 4, 256),
    Model("LENOVO", "ThinkCentre M70s", "desktop", "Intel(R) Core(TM) i5-10400 CPU @ 2.90GHz", 12, 8, 256),
    Model("FPT", "FPT Elead T7100", "desktop", "Intel(R) Core(TM) i3-7100 CPU @ 3.90GHz", 4, 4, 500),
    Model("ASUSTeK COMPUTER INC.", "X515EA", "laptop", "Intel(R) Core(TM) i5-1135G7 @ 2.40GHz", 8, 8, 512),
    Model("Dell Inc.", "Latitude 3420", "laptop", "Intel(R) Core(TM) i5-1135G7 @ 2.40GHz", 8, 8, 256),
)
_SERVERS: Final = (
    Model(
        "Dell Inc.", "PowerEdge R440", "server", "Intel(R) Xeon(R) Silver 4210 CPU @ 2.20GHz", 20, 64, 2000
    ),
    Model("HPE", "ProLiant DL380 Gen10", "server", "Intel(R) Xeon(R) Gold 5218 CPU @ 2.30GHz", 32, 128, 4000),
)


class System(Struct, frozen=True):
    name: str
    version: str
    kernel: str
    family: str
    antivirus: tuple[str, ...]


_WORKSTATION_SYSTEMS: Final = (
    System("Windows 10 Pro", "22H2", "10.0.19045.5011", "windows", ("defender", "kaspersky", "bkav")),
    System("Windows 10 Pro", "21H2", "10.0.19044.3086", "windows", ("defender", "bkav")),
    System("Windows 11 Pro", "23H2", "10.0.22631.4317", "windows", ("defender", "kaspersky")),
    System("Ubuntu", "22.04", "5.15.0-124-generic", "debian", ("clamav",)),
)
_WORKSTATION_WEIGHTS: Final = (50, 18, 27, 5)
_SERVER_SYSTEMS: Final = (
    System("Windows Server 2019 Standard", "1809", "10.0.17763.6414", "windows", ("defender", "kaspersky")),
    System("Ubuntu", "22.04", "5.15.0-124-generic", "debian", ("clamav",)),
    System("Debian GNU/Linux", "12", "6.1.0-26-amd64", "debian", ("clamav",)),
)


class Neighbour(Struct, frozen=True):
    ip: str
    mac: str


class Machine(Struct, frozen=True):
    """One simulated machine. ``antivirus`` is ``on`` or a key of :data:`ANTIVIRUS_SHARES`."""

    index: int
    token: Token
    name: str
    server: bool
    model: Model
    system: System
    serial: str
    uuid: str
    mac: str
    ip: str
    gateway: Neighbour
    neighbours: tuple[Neighbour, ...]
    product: str
    antivirus: str
    firewall_on: bool
    silent: bool
    updates_pending: bool


def draw(seed: int, *what: object) -> random.Random:
    """A generator of its own for ``what``: the same for the same seed, whenever it is asked for."""
    return random.Random(":".join(map(str, (seed, *what))))  # noqa: S311 - a simulation, not a secret


def make_machines(tokens: list[Token], seed: int) -> list[Machine]:
    """One machine a token, in the tokens' order. An agency's machines share its LAN."""
    agencies: dict[str, list[int]] = {}
    for index, token in enumerate(tokens):
        agencies.setdefault(token.agency_code, []).append(index)
    machines: dict[int, Machine] = {}
    for number, (code, members) in enumerate(agencies.items()):
        places = [Neighbour(_address(number, 10 + at), _mac(seed, code, at)) for at in range(len(members))]
        unmanaged = [
            Neighbour(_address(number, 10 + len(members) + at), _mac(seed, code, f"unmanaged-{at}"))
            for at in range(round(len(members) * UNMANAGED_PER_MACHINE))
        ]
        gateway = Neighbour(_address(number, 1), _mac(seed, code, "gateway"))
        for at, index in enumerate(members):
            others = places[:at] + places[at + 1 :] + unmanaged
            seen = draw(seed, "neighbours", code, at).sample(others, min(len(others), _NEIGHBOURS_SEEN))
            machines[index] = _machine(
                seed, index, tokens[index], at, places[at], gateway, (gateway, *_by_address(seen))
            )
    return [machines[index] for index in range(len(tokens))]


def _by_address(seen: list[Neighbour]) -> list[Neighbour]:
    return sorted(seen, key=lambda n: tuple(map(int, n.ip.split("."))))


def _machine(
    seed: int,
    index: int,
    token: Token,
    at: int,
    place: Neighbour,
    gateway: Neighbour,
    neighbours: tuple[Neighbour, ...],
) -> Machine:
    rng = draw(seed, "machine", token.agency_code, at)
    server = rng.random() < SERVER_SHARE
    model = rng.choice(_SERVERS if server else _DESKTOPS)
    system = (
        rng.choice(_SERVER_SYSTEMS)
        if server
        else rng.choices(_WORKSTATION_SYSTEMS, weights=_WORKSTATION_WEIGHTS)[0]
    )
    luck, antivirus = rng.random(), "on"
    for state, share in ANTIVIRUS_SHARES.items():
        if luck < share:
            antivirus = state
            break
        luck -= share
    return Machine(
        index=index,
        token=token,
        name=f"{'SRV' if server else 'PC'}-{token.agency_code[:40].upper()}-{at + 1:03d}",
        server=server,
        model=model,
        system=system,
        serial=f"{rng.randrange(36**6):06X}"[:7].upper(),
        uuid=f"{rng.randrange(1 << 32):08x}-0000-4000-8000-{rng.randrange(1 << 48):012x}",
        mac=place.mac,
        ip=place.ip,
        gateway=gateway,
        neighbours=neighbours,
        product=rng.choice(system.antivirus),
        antivirus=antivirus,
        firewall_on=rng.random() >= FIREWALL_OFF_SHARE,
        silent=rng.random() < SILENT_SHARE,
        updates_pending=rng.random() < UPDATES_PENDING_SHARE,
    )


def _address(agency: int, host: int) -> str:
    """A private address; the agency's network is a /20 of 10.0.0.0/8 (RFC 1918)."""
    number = (10 << 24) + ((agency % 4096) << 12) + host
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def _mac(seed: int, *what: object) -> str:
    """A locally administered address (IEEE 802, 8.2.2), so that it is nobody's."""
    octets = draw(seed, "mac", *what).randbytes(5)
    return ":".join(["02", *(f"{octet:02x}" for octet in octets)])

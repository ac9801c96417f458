"""Settings of the part ``snmp``: ``/etc/vonggac-agent/probe/snmp.toml``.

::

    [[credentials.credential]]
    name = "core"
    version = "3"
    user = "giamsat"
    auth = "SHA-256"
    auth_file = "/etc/vonggac-agent/probe/secrets/snmp-auth"
    privacy = "AES-128"
    privacy_file = "/etc/vonggac-agent/probe/secrets/snmp-privacy"

    [[devices.device]]
    name = "sw-tang-1"
    address = "10.12.0.2"
    credential = "core"
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Port = Annotated[int, Meta(ge=1, le=65535)]
#: As many as one probe may tell of.
MAX_DEVICES = 1_000


class Poll(Struct, frozen=True, forbid_unknown_fields=True):
    """How often, and how patiently."""

    interval_seconds: Annotated[
        int, Meta(ge=10, le=3_600, description="How often state and counters of each device are asked for.")
    ] = 60
    tables_seconds: Annotated[
        int,
        Meta(ge=30, le=86_400, description="How often forwarding tables, ARP tables and neighbours are."),
    ] = 300
    metrics_seconds: Annotated[
        int, Meta(ge=60, le=3_600, description="Over how long traffic, errors and load are summed up.")
    ] = 300
    timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=30, description="How long one answer is waited for.")
    ] = 2.0
    retries: Annotated[int, Meta(ge=0, le=5, description="How often a question is asked again.")] = 1
    concurrency: Annotated[
        int,
        Meta(ge=1, le=1_000, description="Devices that are asked at once; of each one question at a time."),
    ] = 64
    unanswered_polls: Annotated[
        int, Meta(ge=1, le=20, description="After so many polls without an answer a device counts as gone.")
    ] = 3
    longest_pause_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=3_600,
            description="A device that does not answer is asked ever less often, at least so.",
        ),
    ] = 300
    max_interfaces: Annotated[int, Meta(ge=1, le=2_000, description="Interfaces of one device.")] = 300
    max_addresses: Annotated[
        int,
        Meta(ge=1, le=20_000, description="Entries of one device's forwarding table, and of its ARP table."),
    ] = 2_000
    learn_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=30 * 86_400,
            description="For so long after the first poll of a device the MACs behind its ports count as known.",
        ),
    ] = 86_400
    errors_ratio: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Faulty frames of an interface's frames that are many, over metrics_seconds.",
        ),
    ] = 0.001


class Credential(Struct, frozen=True, forbid_unknown_fields=True):
    """How to speak to devices. What is secret stands in files of its own, each one line, that nobody else may read."""

    name: Name
    version: Literal["2c", "3"] = "3"
    community_file: str = ""
    user: Annotated[str, Meta(max_length=32)] = ""
    auth: Literal["SHA-256", "SHA-384", "SHA-512", "SHA-224", "SHA-1"] = "SHA-256"
    auth_file: str = ""
    privacy: Literal["AES-128", "AES-256", "none"] = "AES-128"
    privacy_file: str = ""

    def __post_init__(self) -> None:
        if self.version == "2c" and not self.community_file:
            raise ValueError(f"credential {self.name}: version 2c needs community_file")
        if self.version == "3" and not (self.user and self.auth_file):
            raise ValueError(f"credential {self.name}: version 3 needs user and auth_file")
        if self.version == "3" and self.privacy != "none" and not self.privacy_file:
            raise ValueError(f'credential {self.name}: needs privacy_file, or privacy = "none"')


class Credentials(Struct, frozen=True, forbid_unknown_fields=True):
    credential: Annotated[
        tuple[Credential, ...],
        Meta(max_length=100, description="One table `[[credentials.credential]]` each."),
    ] = ()


class Device(Struct, frozen=True, forbid_unknown_fields=True):
    """One device. ``profile``: empty, it is found by what the device says of itself. ``uplinks``: names of interfaces
    whose fall is more than a machine that was switched off, beside those with a neighbour by LLDP."""

    name: Name
    address: Annotated[str, Meta(max_length=64)]
    credential: Name
    port: Port = 161
    profile: Annotated[str, Meta(pattern=r"^[a-z0-9_]{0,32}$")] = ""
    uplinks: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=64)
    ] = ()

    def __post_init__(self) -> None:
        try:
            ip_address(self.address)
        except ValueError:
            raise ValueError(f"device {self.name}: {self.address!r} is no IP address") from None


class Devices(Struct, frozen=True, forbid_unknown_fields=True):
    device: Annotated[
        tuple[Device, ...], Meta(max_length=MAX_DEVICES, description="One table `[[devices.device]]` each.")
    ] = ()


Form = Literal["date_and_time", "unix_seconds", "age_seconds"]
Oid = Annotated[str, Meta(pattern=r"^[0-2](\.[0-9]{1,10}){2,63}$")]


class Backup(Struct, frozen=True, forbid_unknown_fields=True):
    """A system whose backups a device tells of. Raises :class:`ValueError` for good states without a value of them."""

    system: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="The system's name in the console's register."
        ),
    ]
    device: Annotated[Name, Meta(description="The device that is asked, one of `[[devices.device]]`.")]
    oid: Annotated[
        Oid, Meta(description="When the last good backup ended, a single value (with its instance).")
    ]
    form: Annotated[
        Form,
        Meta(
            description="What it is: `date_and_time` (DateAndTime of SNMPv2-TC; without a zone this machine's),"
            " `unix_seconds` (number or text), `age_seconds`."
        ),
    ] = "date_and_time"
    state_oid: Annotated[
        str,
        Meta(
            pattern=r"^$|^[0-2](\.[0-9]{1,10}){2,63}$",
            description="How the last run went, an integer; empty: not asked.",
        ),
    ] = ""
    good_states: Annotated[
        tuple[int, ...], Meta(min_length=1, max_length=64, description="Its values that are well.")
    ] = (0,)


class Backups(Struct, frozen=True, forbid_unknown_fields=True):
    backup: Annotated[
        tuple[Backup, ...], Meta(max_length=200, description="One table `[[backups.backup]]` each.")
    ] = ()


class Traps(Struct, frozen=True, forbid_unknown_fields=True):
    enabled: Annotated[bool, Meta(description="Listen for traps and informs; takes some 30 MB.")] = False
    address: Annotated[str, Meta(description="The own address to listen at.")] = "0.0.0.0"  # noqa: S104 - devices of the LAN send here
    port: Annotated[Port, Meta(description="The port.")] = 162
    credentials: Annotated[
        tuple[Name, ...], Meta(description="Whose communities and users are taken. Empty: all credentials.")
    ] = ()
    networks: Annotated[
        tuple[str, ...], Meta(description="Networks that may send beside the devices (CIDR).")
    ] = ()
    per_second: Annotated[
        int, Meta(ge=1, le=1_000, description="Of one sender; more are dropped, and counted.")
    ] = 20

    def __post_init__(self) -> None:
        for each in self.networks:
            try:
                ip_network(each)
            except ValueError:
                raise ValueError(f"[traps] networks: {each!r} is no network") from None


class SnmpSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """``snmp.toml``."""

    poll: Poll = Poll()
    credentials: Credentials = Credentials()
    devices: Devices = Devices()
    traps: Traps = Traps()
    backups: Backups = Backups()

    def __post_init__(self) -> None:
        known = [each.name for each in self.credentials.credential]
        if len(set(known)) < len(known):
            raise ValueError("[credentials] two of one name")
        names = [each.name for each in self.devices.device]
        if len(set(names)) < len(names):
            raise ValueError("[devices] two of one name")
        systems = [each.system for each in self.backups.backup]
        if len(set(systems)) < len(systems):
            raise ValueError("[backups] two of one system")
        for backup in self.backups.backup:
            if backup.device not in names:
                raise ValueError(f"backup {backup.system}: there is no device {backup.device!r}")
        wanted = [(f"device {each.name}", each.credential) for each in self.devices.device]
        wanted += [("[traps]", each) for each in self.traps.credentials]
        for where, name in wanted:
            if name not in known:
                raise ValueError(f"{where}: there is no credential {name!r}")

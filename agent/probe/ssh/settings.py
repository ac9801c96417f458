"""``ssh.toml``: the devices that are asked, and how often.

::

    [ssh]
    interval_hours = 6

    [[devices.device]]
    name = "fw-xa-dong-tien"
    host = "10.12.0.1"
    platform = "fortios"
    role = "firewall"
    user = "giamsat"
    password_file = "/etc/vonggac-agent/probe/secrets/fw-xa-dong-tien"
    host_key = "SHA256:…"
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Role = Literal["firewall", "router", "switch", "wireless", "server"]


class Device(Struct, frozen=True, forbid_unknown_fields=True):
    """One device. Without ``host_key`` nobody signs in: the part tells which key the device shows, and a person puts
    it here after having compared it."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    host: Annotated[str, Meta(pattern=r"^[A-Za-z0-9:._-]{1,253}$")]
    platform: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]{1,31}$")]
    user: Annotated[str, Meta(min_length=1, max_length=64)]
    role: Role = "firewall"
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    password_file: str = ""
    key_file: str = ""
    #: ``SHA256:…`` as ssh-keygen -l prints it, or a public key ``ssh-ed25519 AAAA…``.
    host_key: Annotated[str, Meta(pattern=r"^(SHA256:[A-Za-z0-9+/]{43}|[a-z0-9@.-]+ [A-Za-z0-9+/=]+)?$")] = ""
    #: Devices of before about 2015 know no better than SHA-1 and CBC.
    old_algorithms: bool = False


class SshSection(Struct, frozen=True):
    interval_hours: Annotated[
        float, Meta(ge=0.25, le=168, description="How often each device is asked for its configuration.")
    ] = 6
    reach_minutes: Annotated[
        float, Meta(ge=0.5, le=60, description="How often it is looked whether each device answers at all.")
    ] = 5
    concurrency: Annotated[int, Meta(ge=1, le=32, description="Devices that are asked at once.")] = 4
    command_seconds: Annotated[float, Meta(ge=1, le=600, description="How long one command may take.")] = 60
    versions_kept: Annotated[
        int, Meta(ge=2, le=500, description="Versions of each configuration that are kept on the probe.")
    ] = 30


class DevicesSection(Struct, frozen=True):
    device: Annotated[
        tuple[Device, ...],
        Meta(max_length=500, description="The devices, one table `[[devices.device]]` each."),
    ] = ()

    def __post_init__(self) -> None:
        names = [each.name.casefold() for each in self.device]
        twice = {each.name for each in self.device if names.count(each.name.casefold()) > 1}
        if twice:
            raise ValueError(f"several devices of one name: {', '.join(sorted(twice))}")


class SshSettings(Struct, frozen=True):
    """``ssh.toml``."""

    ssh: SshSection = SshSection()
    devices: DevicesSection = DevicesSection()

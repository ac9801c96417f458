"""The agent's settings (``agent.toml``) and the layout of its state directory.

Every key can be given as an environment variable too: ``[agent] state_dir`` is
``VONGGAC_AGENT_AGENT_STATE_DIR``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from agent.settings_file import SettingsError, load_settings, stated_keys

PREFIX: Final = "VONGGAC_AGENT"
#: Where Windows keeps what belongs to the machine and to no user; settings and state stand in one folder there.
_WINDOWS_FOLDER: Final = r"C:\ProgramData\vonggac-agent"
DEFAULT_CONFIG: Final = Path(
    rf"{_WINDOWS_FOLDER}\agent.toml" if sys.platform == "win32" else "/etc/vonggac-agent/agent.toml"
)

Seconds = Annotated[float, Meta(gt=0)]
#: Whether the key is sealed to the machine's TPM.
TpmPolicy = Literal["auto", "off", "require"]
#: The kernel's, which lets several programs use the TPM in turns (Linux 4.12).
TPM_DEVICE: Final = "/dev/tpmrm0"


class CollectorEndpoint(Struct, frozen=True):
    """Where the collector is, and the way there. An empty ``url`` means the one this endpoint enrolled with."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^/\s]+/?)?$",
            description="The collector's agent port; empty: the one this endpoint enrolled with.",
        ),
    ] = ""
    standby: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https://[^/\s]+/?$")], ...],
        Meta(
            description="Further addresses of the same installation, tried in this order where the first fails."
        ),
    ] = ()
    proxy: Annotated[
        str,
        Meta(
            pattern=r"^(http://[^/\s]+/?)?$",
            description="An HTTP proxy on the way there, `http://[user@]host:3128`; empty: none.",
        ),
    ] = ""
    proxy_password_file: Annotated[
        str, Meta(description="A file with the proxy's password, readable by the agent alone.")
    ] = ""
    connect_timeout_seconds: Annotated[Seconds, Meta(description="How long to wait for a connection.")] = 15
    answer_timeout_seconds: Annotated[Seconds, Meta(description="How long to wait for an answer.")] = 30


class AgentSection(Struct, frozen=True):
    """The agent itself. ``spool_bytes`` bounds what waits on disk while the collector cannot be reached."""

    state_dir: Annotated[str, Meta(description="Key, certificate, spool, cursors.")] = (
        rf"{_WINDOWS_FOLDER}\state" if sys.platform == "win32" else "/var/lib/vonggac-agent"
    )
    heartbeat_seconds: Annotated[Seconds, Meta(description="How often the agent says that it lives.")] = 60
    metrics_seconds: Annotated[
        Seconds, Meta(description="Metrics wait at most so long for a batch to travel with.")
    ] = 600
    spool_bytes: Annotated[
        int,
        Meta(
            ge=1 << 16,
            description="What may wait on disk while the collector is away; then the oldest is dropped, counted.",
        ),
    ] = 128 << 20
    spool_hours: Annotated[
        float,
        Meta(
            ge=1,
            description="For so long of its running time the agent keeps what it cannot deliver; findings of an "
            "antivirus for ever.",
        ),
    ] = 72
    memory_bytes: Annotated[
        int,
        Meta(
            ge=48 << 20,
            description="Resident memory of the agent itself beyond which it starts itself anew.",
        ),
    ] = 96 << 20
    start_spread_seconds: Annotated[
        float,
        Meta(
            ge=0,
            description="Where the machine has just started, a random part of this passes before the first word.",
        ),
    ] = 60
    link: Annotated[
        Literal["auto", "metered", "unmetered"],
        Meta(
            description="Whether the link is paid by what passes (then metrics and releases wait); `auto`: as "
            "NetworkManager says."
        ),
    ] = "auto"
    tpm: Annotated[
        TpmPolicy,
        Meta(
            description="Whether the next key is sealed to the machine's TPM 2.0; `auto`: where there is one that "
            "this user may use; `require`: else there is none."
        ),
    ] = "auto"
    tpm_device: Annotated[str, Meta(description="The TPM: a device, or an emulator's Unix socket.")] = (
        TPM_DEVICE
    )


class HostSection(Struct, frozen=True):
    """Where the host's trees are mounted: other than the defaults only in a container or a test."""

    root: Annotated[str, Meta(description="Where the host's / is mounted (in a container).")] = "/"
    proc: Annotated[str, Meta(description="Where its /proc is.")] = "/proc"
    sys: Annotated[str, Meta(description="Where its /sys is.")] = "/sys"


class CollectorSettings(Struct, frozen=True):
    """What the collectors do. Names in ``disabled`` and ``intervals`` are those of ``check-config``'s list.

    Paths are looked up under ``[host] root``, the first that exists is used.
    """

    disabled: Annotated[tuple[str, ...], Meta(description="Collectors that shall not run, by name.")] = ()
    intervals: Annotated[
        dict[str, Seconds], Meta(description="Other intervals in seconds, by collector name.")
    ] = {}
    clamd_sockets: Annotated[
        tuple[str, ...], Meta(description="Where clamd's socket may be; the first that exists is asked.")
    ] = (
        "/run/clamav/clamd.ctl",
        "/var/run/clamav/clamd.ctl",
        "/run/clamd.scan/clamd.sock",
    )
    clamd_logs: Annotated[tuple[str, ...], Meta(description="Where clamd's log may be.")] = (
        "/var/log/clamav/clamav.log",
        "/var/log/clamd.scan",
    )
    auth_logs: Annotated[tuple[str, ...], Meta(description="Where the authentication log may be.")] = (
        "/var/log/auth.log",
        "/var/log/secure",
    )


class UpdateSection(Struct, frozen=True):
    """How releases of the agent are fetched. What may be applied is decided by root's command alone."""

    key: Annotated[
        str, Meta(description="The public keys of releases; where there is none, no release is fetched.")
    ] = rf"{_WINDOWS_FOLDER}\release.pub" if sys.platform == "win32" else "/etc/vonggac-agent/release.pub"
    bytes_per_second: Annotated[
        int, Meta(ge=1024, description="What fetching a release may take of the link, on average.")
    ] = 64 << 10


class ProbeSection(Struct, frozen=True):
    """The agent as its LAN's probe. Each part has a file of its own, ``<folder>/<part>.toml``."""

    parts: Annotated[
        tuple[str, ...], Meta(description="Parts of the probe that shall run, by name; none: no probe.")
    ] = ()
    folder: Annotated[str, Meta(description="Where the parts' own files of settings are.")] = (
        rf"{_WINDOWS_FOLDER}\probe" if sys.platform == "win32" else "/etc/vonggac-agent/probe"
    )


class Settings(Struct, frozen=True):
    collector: CollectorEndpoint = CollectorEndpoint()
    agent: AgentSection = AgentSection()
    host: HostSection = HostSection()
    collectors: CollectorSettings = CollectorSettings()
    update: UpdateSection = UpdateSection()
    probe: ProbeSection = ProbeSection()


class StateDirectory:
    """Names every path under the state directory once, and the TPM that the key in it may be sealed to. Touches
    nothing."""

    def __init__(self, root: Path, tpm: Path = Path(TPM_DEVICE)) -> None:
        self.tpm = tpm
        self.root = root
        self.key = root / "agent.key"
        self.certificate = root / "agent.crt"
        self.ca = root / "ca.crt"
        self.identity = root / "identity.json"
        self.spool = root / "spool"
        self.cursors = root / "cursors.json"
        self.status = root / "status.json"
        self.settings = root / "settings.json"
        self.lock = root / "agent.lock"
        #: A folder for each part of the probe.
        self.probe = root / "probe"


def load(config: Path | None) -> Settings:
    """Settings of ``config``, or of ``/etc/vonggac-agent/agent.toml`` where there is one, or defaults.

    Raises:
        SettingsError: the first thing wrong, with its place.
    """
    return load_settings(Settings, _path(config), os.environ, PREFIX)


def stated(config: Path | None) -> frozenset[str]:
    """The keys that :func:`load` found said, in the file or by environment, as ``agent.spool_bytes``."""
    return stated_keys(Settings, _path(config), os.environ, PREFIX)


def _path(config: Path | None) -> Path | None:
    return config if config is not None else (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)


def check_names(settings: Settings, known: list[str]) -> None:
    """Raise :class:`SettingsError` where ``[collectors]`` names a collector that is not among ``known``."""
    for key, names in (
        ("disabled", settings.collectors.disabled),
        ("intervals", settings.collectors.intervals),
    ):
        for name in names:
            if name not in known:
                raise SettingsError(
                    f"[collectors] {key}: no collector is called {name!r}; known: {', '.join(known)}"
                )

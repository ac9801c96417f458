"""The server's settings (``vonggac.toml``) and the layout of its data directory.

Everything that must survive lies under one directory, mode 0700 (DESIGN, *Contracts*).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from pathlib import Path

from agent.settings_file import load_settings

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
Days = Annotated[int, Meta(ge=1, le=3650)]


class Web(Struct, frozen=True):
    """Console and API. ``names`` are further host names and addresses for the server certificate."""

    host: str = "127.0.0.1"
    port: Port = 8443
    names: list[str] = []
    session_idle_seconds: Seconds = 1800
    session_lifetime_seconds: Seconds = 43200


class Ingest(Struct, frozen=True):
    """The agents' port.

    ``terminators`` are addresses or networks whose RFC 9440 ``Client-Cert`` header is believed;
    ``metrics_from`` those that may read ``/metrics``, beside this machine itself.
    """

    host: str = "127.0.0.1"
    port: Port = 8444
    queue_bytes: Annotated[int, Meta(ge=1 << 20)] = 64 << 20
    terminators: list[str] = []
    certificate_days: Days = 90
    token_hours: Annotated[int, Meta(ge=1)] = 72
    metrics_from: list[str] = []


class Detect(Struct, frozen=True):
    """The detect worker. ``silence_marks_seconds`` are the ages of silence at which an event is made."""

    poll_seconds: Seconds = 0.2
    clock_seconds: Seconds = 10
    silence_marks_seconds: tuple[int, ...] = (900, 3600, 86400, 259200, 604800)
    clock_skew_step_seconds: Seconds = 5
    batch_rows: Annotated[int, Meta(ge=1)] = 500
    log_keep_hours: Annotated[int, Meta(ge=1)] = 72
    #: Further folders of Sigma rules, beside our own.
    rule_folders: list[str] = []


class Coverage(Struct, frozen=True):
    """When a machine counts as what. 15 days is the national figure (LAW.md); the local one may be stricter."""

    national_signature_days: Days = 15
    local_signature_days: Days = 3
    silent_after_seconds: Seconds = 259200
    device_forgotten_days: Days = 30


class Report(Struct, frozen=True):
    """What an official document's head and foot say; nobody's name is built in."""

    parent_body: str = "ỦY BAN NHÂN DÂN TỈNH THANH HÓA"
    issuer: str = "TRUNG TÂM GIÁM SÁT AN NINH MẠNG"
    place: str = "Thanh Hóa"
    symbol: str = "BC-GSANM"
    signatory_title: str = "GIÁM ĐỐC"
    signatory_name: str = ""
    recipients: list[str] = []


class Settings(Struct, frozen=True):
    web: Web = Web()
    ingest: Ingest = Ingest()
    detect: Detect = Detect()
    coverage: Coverage = Coverage()
    report: Report = Report()


class DataDirectory:
    """Names every path under the data directory once. Makes nothing but the directory itself."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @property
    def settings(self) -> Path:
        return self.root / "vonggac.toml"

    @property
    def state(self) -> Path:
        return self.root / "state.db"

    @property
    def log(self) -> Path:
        return self.root / "log.db"

    @property
    def events(self) -> Path:
        return self.root / "events"

    @property
    def ca(self) -> Path:
        """``ca.key ca.crt server.key server.crt``; the keys are 0600."""
        return self.root / "ca"

    @property
    def bundle(self) -> Path:
        """Wheels that the collector serves to agents."""
        return self.root / "bundle"

    @property
    def store_socket(self) -> Path:
        return self.run / "store.sock"

    @property
    def run(self) -> Path:
        """Sockets and pid files: gone and remade with every start, never in a backup."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def create(self) -> None:
        """Make the directory (0700) where it is missing; refuse one that others can read."""
        for path in (self.root, self.run, self.logs):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)


def load(data: DataDirectory, config: Path | None = None) -> Settings:
    """Settings of ``config``, or of the data directory's ``vonggac.toml`` where there is one, or defaults.

    Raises:
        agent.settings_file.SettingsError: the first thing wrong, with its place.
    """
    path = config if config is not None else (data.settings if data.settings.exists() else None)
    return load_settings(Settings, path, os.environ, "VONGGAC")

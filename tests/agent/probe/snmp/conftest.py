"""A part that runs in a thread and tells the test."""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from agent.probe.contract import Hello, PartContext
from agent.probe.snmp.running import run
from agent.probe.snmp.settings import (
    Backup,
    Backups,
    Credential,
    Credentials,
    Device,
    Devices,
    Poll,
    SnmpSettings,
    Traps,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.collectors.registry import Event, Metric, Output
    from agent.probe.contract import Said


@pytest.fixture(autouse=True)
def _temporary_files_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part runs in a process of its own, where it may say where they go; here it runs within the tests'."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())


class Running:
    """What was told so far. ``refuse`` says why a telling is refused, by what is told."""

    def __init__(self, folder: Path, settings: SnmpSettings) -> None:
        self.said: list[Said] = []
        self.documents: dict[tuple[str, str], dict[str, Any] | None] = {}
        self.told_at: dict[tuple[str, str], float] = {}
        self.events: list[Event] = []
        self.metrics: list[Metric] = []
        self.failures: list[str] = []
        self.memory: dict[str, dict[str, Any]] = {}
        self.before_events: Callable[[], None] = lambda: None
        self.refuse: Callable[[Output], str] = lambda _found: ""
        folder.mkdir(exist_ok=True)
        self.context = PartContext(settings, Hello("snmp", {}, str(folder)), say=self._say, now=time.time)

    def _say(self, said: Said) -> str:
        self.said.append(said)
        if said.failure:
            self.failures.append(said.failure)
            return ""
        found = said.found()
        if refusal := self.refuse(found):
            return refusal
        if found.events:
            self.before_events()
        for document in found.documents:
            self.documents[document.kind, document.item] = document.body
            self.told_at[document.kind, document.item] = time.monotonic()
        self.metrics += found.metrics
        self.events += found.events
        return ""


class Site:
    """Settings in the making. :meth:`credential` writes the secrets' files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.credentials: list[Credential] = []
        self.devices: list[Device] = []
        self.backups: list[Backup] = []

    def secret(self, name: str, text: str) -> str:
        path = self.folder / f"secret-{name}"
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o600)
        return str(path)

    def community(self, name: str, text: str) -> None:
        self.credentials.append(Credential(name, "2c", community_file=self.secret(name, text)))

    def user(self, name: str, user: str, auth: str, privacy: str) -> None:
        auth_file, privacy_file = self.secret(f"{name}-auth", auth), self.secret(f"{name}-privacy", privacy)
        self.credentials.append(
            Credential(name, "3", user=user, auth_file=auth_file, privacy_file=privacy_file)
        )

    def device(
        self, name: str, credential: str, port: int, *, address: str = "127.0.0.1", **more: Any
    ) -> None:
        self.devices.append(Device(name, address, credential, port=port, **more))

    @contextmanager
    def running(self, *, traps: Traps | None = None, **poll: Any) -> Iterator[Running]:
        settings = SnmpSettings(
            Poll(**{"interval_seconds": 3, "timeout_seconds": 1.0, "retries": 0, **poll}),
            Credentials(tuple(self.credentials)),
            Devices(tuple(self.devices)),
            traps or Traps(),
            Backups(tuple(self.backups)),
        )
        made = Running(self.folder / "own", settings)
        thread = threading.Thread(target=run, args=(made.context,))
        thread.start()
        try:
            yield made
        finally:
            made.context.stopping.set()
            thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)

"""The probe's part ``syslog`` with the agent's side of it, and rsyslog as a sender: real processes on loopback."""

from __future__ import annotations

import socket
import subprocess
from contextlib import contextmanager, suppress
from io import StringIO
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import zstandard

from agent.messages import decode_batch
from agent.probe.host import ProbeHost
from agent.probe.parts import Chosen, part_named
from agent.probe.syslog.settings import SyslogSettings, Tcp, Tls, Udp
from agent.runtime.errors import SpoolError
from agent.runtime.log import Log
from agent.runtime.outbox import Outbox
from agent.runtime.spool import Spool
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.messages import Event, StatusDocument


def free_ports(count: int, kind: int = socket.SOCK_STREAM) -> list[int]:
    """Ports of loopback that nobody has now."""
    made = [socket.socket(socket.AF_INET, kind) for _ in range(count)]
    for each in made:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in made]
    for each in made:
        each.close()
    return ports


def at_loopback(*, tls: Tls | None = None, **more: Any) -> SyslogSettings:
    """Settings with free ports."""
    tcp, secured = free_ports(2)
    [udp] = free_ports(1, socket.SOCK_DGRAM)
    return SyslogSettings(
        udp=Udp(address="127.0.0.1", port=udp),
        tcp=Tcp(address="127.0.0.1", port=tcp),
        tls=Tls()
        if tls is None
        else Tls(True, "127.0.0.1", secured, tls.certificate_file, tls.key_file, tls.client_ca_file),
        **more,
    )


class SyslogSite:
    """The part's process under an agent's host, which spools what it tells. Use it as a context manager; anew with the
    same folder it goes on where it was."""

    def __init__(self, folder: Path, settings: SyslogSettings) -> None:
        self.settings = settings
        self.folder = folder / "probe"
        self.spool = Spool(folder / "spool", folder / "cursors.json", 1 << 30)
        self.outbox = Outbox(self.spool, time=time, monotonic=monotonic)
        self.failures: list[str] = []
        self._well = False
        self._taken: list[Event] = []
        #: As told until :meth:`events` was last asked.
        self.documents: list[StatusDocument] = []
        self.host = ProbeHost(
            [Chosen(part_named("syslog"), settings)],
            self.folder,
            self.outbox,
            Log(StringIO()),
            flush=self._flush,
            note=self._note,
            where={},
        )

    def __enter__(self) -> SyslogSite:
        self.host.start()
        wait_until(lambda: self._well or self.failures, seconds=30, what="the part's first word")
        return self

    def __exit__(self, *_: object) -> None:
        self.host.stop()

    def events(self) -> list[Event]:
        """All that was told so far."""
        while (outgoing := self.spool.next()) is not None:
            batch = decode_batch(zstandard.ZstdDecompressor().decompress(outgoing.body))
            self._taken += batch.events
            self.documents += batch.documents
            self.spool.acknowledge(outgoing)
        return self._taken

    def messages(self) -> list[str]:
        """The messages of devices so far."""
        return [each.fields["message"] for each in self.events() if each.logsource.category == "syslog"]

    def reports(self) -> list[Event]:
        return [each for each in self.events() if each.logsource.category == "syslog_source"]

    def await_messages(self, count: int, seconds: float = 30) -> list[str]:
        wait_until(lambda: len(self.messages()) >= count, seconds=seconds, what=f"{count} messages")
        return self.messages()

    def _flush(self) -> bool:
        try:
            self.outbox.flush()
        except SpoolError:
            return False
        return True

    def _note(self, source: str, *, failure: str, nothing: str, seconds: float) -> None:
        if failure:
            self.failures.append(failure)
        else:
            self._well = True


class Rsyslog:
    """An rsyslogd that sends on what is written to its socket: :meth:`log`."""

    def __init__(self, folder: Path, action: str, head: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self._socket = str(folder / "in")
        self._config = folder / "rsyslog.conf"
        self._config.write_text(
            f'global(workDirectory="{folder}" maxMessageSize="64k")\n{head}\n'
            f'module(load="imuxsock" SysSock.Use="off")\n'
            f'input(type="imuxsock" Socket="{self._socket}" ParseTrusted="off" RateLimit.Interval="0")\n{action}\n'
        )
        self._pid = folder / "pid"

    @contextmanager
    def running(self) -> Iterator[Rsyslog]:
        child = subprocess.Popen(["rsyslogd", "-n", "-f", str(self._config), "-i", str(self._pid)])
        try:
            wait_until(self._is_up, seconds=20, what="rsyslogd")
            yield self
        finally:
            child.terminate()
            child.wait(20)

    def log(self, text: str, tag: str = "portal[42]", priority: int = 134) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect(self._socket)
            out.send(f"<{priority}>Nov 22 10:00:00 {tag}: {text}".encode())

    def _is_up(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect(self._socket)
            return True
        return False

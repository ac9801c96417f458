"""A real sshd whose messages a real rsyslogd writes, on a loopback port and files of the test's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Self

from soc_api.local import free_port
from tests.support.debian import program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


class Sshd:
    """A context: sshd answers inside it. ``log`` is the file rsyslogd writes, in Debian's format.

    sshd cannot be told another socket than ``/dev/log``, so its standard error is passed on by ``logger``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = free_port()
        self.log = folder / "auth.log"
        self._sshd = program("sshd", "openssh-server")
        self._rsyslogd = program("rsyslogd", "rsyslog")
        self._ssh = program("ssh", "openssh-client")
        self._processes: list[subprocess.Popen[bytes]] = []

    def client(self) -> list[str]:
        """An ssh command line that asks for a password once and remembers nothing."""
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "PubkeyAuthentication": "no",
            "NumberOfPasswordPrompts": "1",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return [self._ssh, "-F", "/dev/null", "-p", str(self.port), *words]

    def __enter__(self) -> Self:
        messages = self.folder / "log.sock"
        (self.folder / "rsyslog.conf").write_text(
            f'module(load="imuxsock" SysSock.Use="off")\ninput(type="imuxsock" Socket="{messages}")\n'
            "$ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat\n"
            f'*.* action(type="omfile" file="{self.log}")\n'
        )
        self._start(
            [self._rsyslogd, "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "pid")]
        )
        wait_until(messages.exists, seconds=20, what="rsyslogd's socket")
        key = self.folder / "host_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        (self.folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {key}\nPidFile none\nUsePAM no\n"
            "PasswordAuthentication yes\nMaxStartups 100\nLogLevel VERBOSE\n"
        )
        privileged = self.folder.__class__("/run/sshd")
        privileged.mkdir(mode=0o755, exist_ok=True)
        server = subprocess.Popen(
            [self._sshd, "-D", "-e", "-f", str(self.folder / "sshd_config")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._processes.append(server)
        # sshd ends its lines on standard error with CR LF, but not those it gives to syslog.
        lines = subprocess.Popen(["sed", "-u", "s/\\r$//"], stdin=server.stderr, stdout=subprocess.PIPE)
        self._processes.append(lines)
        logger = shutil.which("logger") or "logger"
        self._processes.append(
            subprocess.Popen(
                [
                    logger,
                    "--socket",
                    str(messages),
                    "--priority",
                    "auth.info",
                    "--tag",
                    f"sshd[{server.pid}]",
                ],
                stdin=lines.stdout,
            )
        )
        wait_until(self._answers, seconds=20, what="sshd to answer")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(timeout=20)
            for stream in (process.stderr, process.stdout):
                if stream is not None:
                    stream.close()

    def _start(self, arguments: list[str]) -> None:
        self._processes.append(
            subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                return connection.recv(16).startswith(b"SSH-2.0")
        except OSError:
            return False

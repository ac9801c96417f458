"""Devices as their makers' command lines behave (prompts, pagers, echoes), spoken by a real SSH server on loopback."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

import asyncssh

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD = "chỉ-đọc-7"

FORTIOS_STATUS = """Version: FortiGate-60F v7.2.8,build1639,240313 (GA.M)
Virus-DB: 92.00123(2024-04-01 10:20)
Serial-Number: FGT60FTK00000001
Hostname: fw-dongtien
Operation Mode: NAT
System time: Mon Nov 16 09:00:00 2026
"""
FORTIOS_SYSLOG = """status              : enable
server              : "10.77.0.5"
mode                : reliable
"""
FORTIOS_CONFIGURATION = """#config-version=FGT60F-7.2.8-FW-build1639-240313:opmode=0:vdom=0:user=giamsat
#conf_file_ver=1234567890
#buildno=1639
config system admin
    edit "admin"
        set accprofile "super_admin"
        set password ENC SH2{salt}aaaaaaaaaaaaaaaaaaaaaa=
    next
end
config firewall policy
    edit 1
        set srcintf "lan"
        set dstintf "wan1"
        set action {action}
    next
end
config vpn certificate local
    edit "web"
        set private-key "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIIFHDBOBgkqhkiG9w0BBQ{salt}
-----END ENCRYPTED PRIVATE KEY-----"
    next
end
"""
IOS_VERSION = """Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.2(7)E8, RELEASE SOFTWARE (fc3)
sw-tang2 uptime is 3 weeks, 2 days, 1 hour
cisco WS-C2960X-24TS-L (APM86XXX) processor (revision A0) with 524288K bytes of memory.
Processor board ID FOC00000001
"""
IOS_CONFIGURATION = """Building configuration...

Current configuration : {size} bytes
!
! Last configuration change at 09:00:{size} UTC Mon Nov 16 2026 by admin
hostname sw-tang2
enable secret 5 $1$abcd$0123456789abcdefghijk.
snmp-server community {community} RO
logging host 10.77.0.5
end
"""


class Cli:
    """A command line: what it answers, its prompt, whether it pages and echoes."""

    def __init__(self, prompt: str, answers: Mapping[str, str], *, pager: str = "", lines: int = 20) -> None:
        self.prompt, self.answers, self.pager, self.lines = prompt, dict(answers), pager, lines
        self.asked: list[str] = []
        self.hangs = False
        self.floods = False

    async def speak(self, process: asyncssh.SSHServerProcess[str]) -> None:
        if process.command is not None:
            self.asked.append(process.command)
            process.stdout.write(self.answers.get(process.command, ""))
            process.exit(0)
            return
        process.stdout.write(f"\r\nWelcome\r\n{self.prompt}")
        try:
            async for line in process.stdin:
                command = line.strip()
                self.asked.append(command)
                process.stdout.write(f"{command}\r\n")
                if self.hangs:
                    await asyncio.sleep(3600)
                while self.floods:
                    process.stdout.write("x" * 65_536)
                    await process.stdout.drain()
                await self._answer(process, self.answers.get(command, ""))
                process.stdout.write(self.prompt)
        except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
            pass

    async def _answer(self, process: asyncssh.SSHServerProcess[str], text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            process.stdout.write(f"{line}\r\n")
            if self.pager and number % self.lines == 0:
                process.stdout.write(self.pager)
                await process.stdin.readexactly(1)
                process.stdout.write("\r" + " " * len(self.pager) + "\r\x1b[K")


class _Server(asyncssh.SSHServer):
    def __init__(self, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connections.add(conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("giamsat", PASSWORD)


class DeviceServer:
    """A context: ``cli`` answers on ``port``; ``fingerprint`` is of its key, and changes with :meth:`replace_key`."""

    def __init__(self, cli: Cli, host: str = "127.0.0.1", port: int = 0) -> None:
        self.cli = cli
        self.host, self.port = host, port
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    @property
    def fingerprint(self) -> str:
        return self._key.get_fingerprint()

    @property
    def public_key(self) -> str:
        return self._key.export_public_key("openssh").decode()

    def replace_key(self) -> None:
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self.stop()
        self.start()

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(15)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(15)

    async def _listen(self) -> None:
        self._acceptor = await asyncssh.create_server(
            lambda: _Server(self._connections),
            self.host,
            self.port,
            server_host_keys=[self._key],
            process_factory=self.cli.speak,
            line_editor=False,
            reuse_address=True,
        )
        self.port = self._acceptor.get_port()

    async def _close(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        for connection in self._connections:
            connection.abort()
        for connection in self._connections:
            await connection.wait_closed()
        self._connections.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(15)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(15)
        self._loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def fortios(*, action: str = "accept", salt: str = "AAAA") -> Cli:
    configuration = FORTIOS_CONFIGURATION.format(action=action, salt=salt)
    return Cli(
        "fw-dongtien # ",
        {
            "get system status": FORTIOS_STATUS,
            "get log syslogd setting": FORTIOS_SYSLOG,
            "show": configuration,
        },
        pager="--More-- ",
        lines=6,
    )


def ios(*, community: str = "docbimat", size: int = 10) -> Cli:
    return Cli(
        "sw-tang2#",
        {
            "show version": IOS_VERSION,
            "show running-config": IOS_CONFIGURATION.format(community=community, size=size),
            "show running-config | include ^logging host": "logging host 10.77.0.5\n",
        },
    )

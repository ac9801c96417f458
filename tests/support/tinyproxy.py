"""A real HTTP proxy on loopback."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

from soc_api.local import free_port
from tests.support.debian import program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


class Tinyproxy:
    """Under ``folder``, started; ``stop()`` ends it. ``user``: who may come, as ``name password``; ``ports``: the only
    ones that ``CONNECT`` is allowed to (default: all)."""

    def __init__(self, folder: Path, *, user: str = "", ports: tuple[int, ...] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.log = folder / "tinyproxy.log"
        lines = [
            f"Port {self.port}",
            "Listen 127.0.0.1",
            "Timeout 60",
            "MaxClients 20",
            f'LogFile "{self.log}"',
            "LogLevel Connect",
            *([f"BasicAuth {user}"] if user else []),
            *(f"ConnectPort {port}" for port in ports),
        ]
        configuration = folder / "tinyproxy.conf"
        configuration.write_text("\n".join([*lines, ""]))
        self._process = subprocess.Popen(
            [program("tinyproxy", "tinyproxy"), "-d", "-c", str(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._listens, seconds=10, what="the proxy", every=0.05)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

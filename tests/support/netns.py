"""A LAN of the test's own: network namespaces of one machine, joined by a bridge in a namespace of its own.

Nothing of it touches the machine's own network: what is sent there stays there. Needs root and ``ip`` (iproute2).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from soc_api.bench.namespaces import inside
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

#: Addresses for documentation (RFC 5737, RFC 3849) stay free for what tests say is far away.
NETWORK: Final = "10.77.0"
NETWORK6: Final = "fd77::"


def needs_namespaces() -> None:
    """Skip the test where this machine lets nobody make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    name = f"vg{os.getpid()}try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
    subprocess.run(["ip", "netns", "del", name], check=True)


class Host:
    """A namespace with one interface ``eth0`` on the LAN. ``ip`` is empty where it was given none."""

    def __init__(self, name: str, namespace: str, ip: str, mac: str) -> None:
        self.name, self.namespace, self.ip, self.mac = name, namespace, ip, mac
        self._children: list[subprocess.Popen[Any]] = []

    def command(self, *command: str) -> list[str]:
        """The command line that runs ``command`` there."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def run(
        self, *command: str, check: bool = True, timeout: float = 30.0, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*command), capture_output=True, text=True, check=check, timeout=timeout, **more
        )

    def start(self, *command: str, **more: Any) -> subprocess.Popen[Any]:
        """Ended with the LAN at the latest."""
        child = subprocess.Popen(self.command(*command), **more)
        self._children.append(child)
        return child

    def entered(self) -> AbstractContextManager[None]:
        """What this thread opens meanwhile (sockets) is opened there."""
        return inside(self.namespace)

    def end(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(3)
            if child.poll() is None:
                child.kill()
                child.wait()


class Lan:
    """One bridge; :meth:`host` plugs a new host into it. Addresses are ``10.77.0.N/24`` and ``fd77::N/64``."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.switch = f"{tag}sw"
        self.hosts: list[Host] = []
        _ip("netns", "add", self.switch)
        _in(self.switch, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        _in(self.switch, "link", "set", "br0", "up")

    def host(
        self, name: str, number: int | None = None, *, mac: str = "", gateway: int | None = None
    ) -> Host:
        """``number``: the last part of its addresses; ``None``: none is given. ``gateway``: of its default route."""
        namespace, at = f"{self._tag}{name}", len(self.hosts) + 1
        mac = mac or f"52:54:00:77:{at >> 8:02x}:{at & 255:02x}"
        _ip("netns", "add", namespace)
        ip = f"{NETWORK}.{number}" if number is not None else ""
        host = Host(name, namespace, ip, mac)
        self.hosts.append(host)
        port = f"p{at}"
        peer = ("type", "veth", "peer", "name", port, "netns", self.switch)
        _in(namespace, "link", "add", "eth0", "address", mac, *peer)
        _in(self.switch, "link", "set", port, "master", "br0", "up")
        _in(namespace, "link", "set", "lo", "up")
        _in(namespace, "link", "set", "eth0", "up")
        if number is not None:
            _in(namespace, "addr", "add", f"{ip}/24", "brd", "+", "dev", "eth0")
            _in(namespace, "addr", "add", f"{NETWORK6}{number:x}/64", "dev", "eth0", "nodad")
        if gateway is not None:
            _in(namespace, "route", "add", "default", "via", f"{NETWORK}.{gateway}")
        return host

    def port_of(self, host: Host) -> str:
        """The bridge's port that the host is plugged into."""
        return f"p{self.hosts.index(host) + 1}"

    def flood(self) -> None:
        """From now on every port gets every frame, as a probe on a switch's span port does; the bridge learns no more
        which MAC is behind which port."""
        _in(self.switch, "link", "set", "br0", "type", "bridge", "ageing_time", "0")

    def end(self) -> None:
        for host in self.hosts:
            host.end()
        for namespace in [*(host.namespace for host in self.hosts), self.switch]:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


@contextmanager
def lan() -> Iterator[Lan]:
    """A LAN that is gone with everything that runs in it when the block ends. Skips where none can be made."""
    needs_namespaces()
    made = Lan(f"vg{os.getpid()}{int(time.monotonic() * 1000) % 10000:04d}")
    try:
        yield made
    finally:
        made.end()


def wait_for(condition: Callable[[], Any], seconds: float = 15.0, *, what: str = "") -> Any:
    """What ``condition`` returns as soon as that is true; fails after ``seconds``."""
    return wait_until(condition, seconds=seconds, what=what or repr(condition), every=0.05)


def _ip(*command: str) -> None:
    _run(["ip", *command])


def _in(namespace: str, *command: str) -> None:
    _run(["ip", "-n", namespace, *command])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

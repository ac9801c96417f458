"""A LAN of a measurement's own: network namespaces joined by a bridge, which nothing leaves. Needs root, iproute2."""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_NET: Final = 0x40000000  # CLONE_NEWNET (sched.h)


@contextmanager
def lan(hosts: int) -> Iterator[str]:
    """A /24, 10.78.0.0, with a probe's namespace (10.78.0.1), whose name is given, and so many hosts beside it.

    Raises:
        RuntimeError: none can be made here; it says what failed.
    """
    tag = f"vgb{os.getpid()}"
    with ExitStack() as made:
        switch = _namespace(made, f"{tag}sw")
        _ip("-n", switch, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        _ip("-n", switch, "link", "set", "br0", "up")
        probe = _namespace(made, f"{tag}p")
        for number in range(hosts + 1):
            host = probe if number == 0 else _namespace(made, f"{tag}h{number}")
            peer = ("type", "veth", "peer", "name", f"p{number}", "netns", switch)
            _ip("-n", host, "link", "add", "eth0", "address", f"52:54:00:78:00:{number:02x}", *peer)
            _ip("-n", switch, "link", "set", f"p{number}", "master", "br0", "up")
            _ip("-n", host, "addr", "add", f"10.78.0.{number + 1}/24", "brd", "+", "dev", "eth0")
            _ip("-n", host, "link", "set", "lo", "up")
            _ip("-n", host, "link", "set", "eth0", "up")
        _ip("-n", probe, "route", "add", "default", "via", "10.78.0.2")
        yield probe


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """What this thread starts and opens meanwhile, it starts and opens there (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, _NET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(here, _NET):
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(here)
        os.close(there)


def _namespace(made: ExitStack, name: str) -> str:
    _ip("netns", "add", name)
    made.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
    return name


def _ip(*command: str) -> None:
    done = subprocess.run(["ip", *command], capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(command)}: {done.stderr.strip()}")

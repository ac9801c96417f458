"""The network as Windows sees it: the way out, neighbours, an echo request (``iphlpapi.dll``)."""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.collectors.common.neighbours import INCOMPLETE, PERMANENT, STALE, Neighbour
from agent.collectors.common.probes import Ping, ProbeNotPermittedError
from agent.collectors.common.routes import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: MIB_IPNETROW: interface, length of the MAC and its bytes, address (as on the wire), type.
_ROW: Final = struct.Struct("<II8s4sI")
#: Type: dynamic, static; what else there is is no neighbour (any more).
_STATES: Final = {3: STALE, 4: PERMANENT}
MAX_ROWS: Final = 8_192
MAX_SERVERS: Final = 8
MAX_TABLE_BYTES: Final = 1 << 20
_LAST_METRIC: Final = 1 << 32


def parse_arp_table(raw: bytes, names: Mapping[int, str]) -> list[Neighbour]:
    """*MIB_IPNETTABLE*, IPv4's neighbours; ``names`` maps interfaces' indexes to their names."""
    found = []
    count = min(int.from_bytes(raw[:4], "little"), MAX_ROWS, max(len(raw) - 4, 0) // _ROW.size)
    for at in range(4, 4 + count * _ROW.size, _ROW.size):
        index, length, mac, address, kind = _ROW.unpack_from(raw, at)
        found.append(
            Neighbour(
                ip=socket.inet_ntop(socket.AF_INET, address),
                mac=mac[:6].hex(":") if length == 6 else "",
                interface=names.get(index, str(index)),
                state=_STATES.get(kind, INCOMPLETE),
            )
        )
    return found


def find_neighbour(gateway: Gateway, neighbours: Iterable[Neighbour]) -> Neighbour | None:
    """The gateway among ``neighbours``. One of IPv6, of which the table knows nothing, is neither there nor gone."""
    if ":" in gateway.ip:
        return Neighbour(gateway.ip, "", gateway.interface, STALE)
    return next((each for each in neighbours if each.ip == gateway.ip), None)


def interface_names(adapters: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Names by index, of :func:`agent.windows.system.read_adapters`."""
    return {each["interface_index"]: each["name"] for each in adapters if each["interface_index"] is not None}


def best_gateway(adapters: Iterable[Mapping[str, Any]]) -> Gateway | None:
    """The gateway of the connected adapter with the least metric; IPv4's before IPv6's."""
    ways = [
        Gateway(ip, each["name"], _LAST_METRIC if each["metric"] is None else each["metric"])
        for each in adapters
        if each["up"]
        for ip in each["gateways"]
    ]
    return min(ways, key=lambda way: (":" in way.ip, way.metric), default=None)


def name_servers(adapters: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name servers of connected adapters, each once."""
    up = [each for each in adapters if each["up"]]
    up.sort(key=lambda each: _LAST_METRIC if each["metric"] is None else each["metric"])
    return list(dict.fromkeys(server for each in up for server in each["servers"]))[:MAX_SERVERS]


if sys.platform == "win32":
    import ctypes
    import os
    import time
    from ctypes import POINTER, byref, c_int, c_ulong, c_ushort
    from ctypes import c_void_p as pointer

    _iphlpapi = ctypes.WinDLL("iphlpapi", use_last_error=True)
    _iphlpapi.GetIpNetTable.argtypes = (pointer, POINTER(c_ulong), c_int)
    _iphlpapi.GetIpNetTable.restype = c_ulong
    _iphlpapi.IcmpCreateFile.argtypes, _iphlpapi.IcmpCreateFile.restype = (), pointer
    _iphlpapi.IcmpCloseHandle.argtypes, _iphlpapi.IcmpCloseHandle.restype = (pointer,), c_int
    _iphlpapi.IcmpSendEcho.argtypes = (
        *(pointer, c_ulong, pointer, c_ushort),
        *(pointer, pointer, c_ulong, c_ulong),
    )
    _iphlpapi.IcmpSendEcho.restype = c_ulong
    _INSUFFICIENT_BUFFER = 122
    _INVALID_HANDLE = pointer(-1).value
    _TOKEN_BYTES, _REPLY_BYTES = 16, 256

    def read_arp_table() -> bytes:
        """*MIB_IPNETTABLE*; empty where there is none."""
        size = c_ulong(0)
        for _ in range(4):  # it may grow between two questions
            buffer = ctypes.create_string_buffer(size.value or 4)
            size.value = len(buffer)
            done = _iphlpapi.GetIpNetTable(buffer, byref(size), 0)
            if done == 0:
                return buffer.raw
            if done != _INSUFFICIENT_BUFFER or size.value > MAX_TABLE_BYTES:
                return b""
        return b""

    def ping(address: str, count: int, timeout_seconds: float) -> Ping:
        """``count`` echo requests to an IPv4 ``address``, one after the other; anybody may send them.

        Raises:
            ProbeNotPermittedError: it is an address of IPv6.
            OSError: the request could not even be made.
        """
        if ":" in address:
            raise ProbeNotPermittedError(reasons.ONLY_IPV4_ASKED())
        target = int.from_bytes(socket.inet_aton(address), sys.byteorder)
        handle = _iphlpapi.IcmpCreateFile()
        if not handle or handle == _INVALID_HANDLE:
            raise ctypes.WinError(ctypes.get_last_error())
        best, received = None, 0
        token = ctypes.create_string_buffer(os.urandom(_TOKEN_BYTES), _TOKEN_BYTES)
        reply = ctypes.create_string_buffer(_REPLY_BYTES)
        wait = int(timeout_seconds * 1000)
        try:
            for _ in range(count):
                started = time.perf_counter()
                replies = _iphlpapi.IcmpSendEcho(
                    *(handle, target, token, _TOKEN_BYTES),
                    *(None, reply, _REPLY_BYTES, wait),
                )
                took = time.perf_counter() - started
                if replies and reply.raw[4:8] == b"\0\0\0\0":  # ICMP_ECHO_REPLY.Status: IP_SUCCESS
                    best = took if best is None else min(best, took)
                    received += 1
        finally:
            _iphlpapi.IcmpCloseHandle(handle)
        return Ping(sent=count, received=received, rtt_seconds=best)

else:

    def read_arp_table() -> bytes:
        """Raise :class:`OSError`: this is not Windows."""
        raise OSError("there is no ARP table of Windows here: this is not Windows")

    def ping(address: str, count: int, timeout_seconds: float) -> Ping:
        """Raise :class:`OSError`: this is not Windows."""
        raise OSError(f"{address}: not asked {count} times in {timeout_seconds} s: this is not Windows")

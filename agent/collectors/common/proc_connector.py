"""The kernel's process events connector: it tells of every exec (linux/cn_proc.h).

A packet filter on the socket lets only exec events through, so that forks and exits, the greater part, never wake
this process.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from array import array

from agent import reasons

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC, _CN_VAL_PROC = 1, 1
_LISTEN = 1
_EVENT_NONE, _EVENT_EXEC = 0, 2
_NLMSG_HEADER = struct.Struct("=IHHII")
_CN_MSG = struct.Struct("=IIIIHH")
_EVENT = struct.Struct("=IIQ")
_EVENT_AT = _NLMSG_HEADER.size + _CN_MSG.size
_PIDS = struct.Struct("=II")
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
RECEIVE_BUFFER_BYTES = 1 << 20


class ConnectorUnavailableError(Exception):
    """The connector cannot be used; ``str()`` is the reason shown."""


def parse_exec(packet: bytes) -> int | None:
    """The process number of an exec event; ``None`` for anything else."""
    if len(packet) < _EVENT_AT + _EVENT.size + _PIDS.size:
        return None
    index, value, *_rest = _CN_MSG.unpack_from(packet, _NLMSG_HEADER.size)
    what, _cpu, _time = _EVENT.unpack_from(packet, _EVENT_AT)
    if (index, value, what) != (_CN_IDX_PROC, _CN_VAL_PROC, _EVENT_EXEC):
        return None
    _thread, group = _PIDS.unpack_from(packet, _EVENT_AT + _EVENT.size)
    return int(group)


def _filter_program() -> bytes:
    """Classic BPF: keep messages whose event is exec or the acknowledgement, drop all others (bpf(4)'s words).

    The filter sees words in network order.
    """
    load, equal, give = 0x20, 0x15, 0x06
    wanted, acknowledged = socket.htonl(_EVENT_EXEC), socket.htonl(_EVENT_NONE)
    steps = [
        (load, 0, 0, _EVENT_AT),
        (equal, 1, 0, wanted),
        (equal, 0, 1, acknowledged),
        (give, 0, 0, 0xFFFFFFFF),
        (give, 0, 0, 0),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def is_acknowledged(packet: bytes, nonce: int) -> int | None:
    """The error number (0: none) in the kernel's answer to the request ``nonce``; ``None``: another's packet.

    Answers go to every listener on the machine, so one that is not to our own request proves nothing.
    """
    if len(packet) < _EVENT_AT + _EVENT.size + 4:
        return None
    _index, _value, _sequence, acknowledged, _length, _flags = _CN_MSG.unpack_from(packet, _NLMSG_HEADER.size)
    what, _cpu, _time = _EVENT.unpack_from(packet, _EVENT_AT)
    if what != _EVENT_NONE or acknowledged != nonce + 1:
        return None
    return int(struct.unpack_from("=I", packet, _EVENT_AT + _EVENT.size)[0])


def open_connector(timeout_seconds: float = 1.0) -> socket.socket:
    """A socket that receives exec events, confirmed by the kernel.

    Raises:
        ConnectorUnavailableError: not permitted, not built in, or silent (as inside a container).
    """
    try:
        connection = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR
        )
    except OSError as error:
        raise ConnectorUnavailableError(reasons.CONNECTOR(why=error.strerror)) from error
    try:
        _attach(connection)
        connection.bind((0, _CN_IDX_PROC))
        _subscribe(connection, timeout_seconds)
    except TimeoutError as error:
        connection.close()
        raise ConnectorUnavailableError(reasons.CONNECTOR_SILENT()) from error
    except OSError as error:
        connection.close()
        raise ConnectorUnavailableError(reasons.CONNECTOR(why=error.strerror)) from error
    return connection


def _subscribe(connection: socket.socket, timeout_seconds: float) -> None:
    nonce = int.from_bytes(os.urandom(4), "big") >> 1
    operation = struct.pack("=I", _LISTEN)
    body = _CN_MSG.pack(_CN_IDX_PROC, _CN_VAL_PROC, nonce, nonce, len(operation), 0) + operation
    connection.send(_NLMSG_HEADER.pack(_NLMSG_HEADER.size + len(body), 3, 0, 0, 0) + body)
    deadline = time.monotonic() + timeout_seconds
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        refused = is_acknowledged(connection.recv(512), nonce)
        if refused == 0:
            return
        if refused is not None:
            raise OSError(refused, os.strerror(refused))
    raise TimeoutError


def _attach(connection: socket.socket) -> None:
    program = array("B", _filter_program())  # gives its address without ctypes, which weighs a megabyte
    layout = "HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP"  # struct sock_fprog
    request = struct.pack(layout, len(program) // 8, program.buffer_info()[0])
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, request)
    try:
        connection.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except OSError:  # without CAP_NET_ADMIN the usual size has to do
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)

"""Sockets as the part needs them: bound, not blocking, over TLS where it is set."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.probe.syslog.settings import Tcp, Tls, Udp

#: Asks the kernel to say with each datagram how many it dropped before.
SO_RXQ_OVFL: Final = 40
_SO_RCVBUFFORCE: Final = 33
_BACKLOG: Final = 128
_LONGEST_NAME: Final = 255


def datagram_socket(settings: Udp) -> socket.socket:
    """Raise :class:`OSError` with the address and port that cannot be had."""
    made = _bound(settings.address, settings.port, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, settings.buffer_bytes)
    except OSError:  # not without CAP_NET_ADMIN: as much as net.core.rmem_max allows
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.buffer_bytes)
    made.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    return made


def listening_socket(settings: Tcp | Tls) -> socket.socket:
    """Raise :class:`OSError` with the address and port that cannot be had."""
    return _bound(settings.address, settings.port, socket.SOCK_STREAM)


def tls_context(settings: Tls) -> ssl.SSLContext:
    """Raise :class:`OSError` where a file cannot be read or is none of these."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate_file, settings.key_file)
    if settings.client_ca_file:
        context.load_verify_locations(settings.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def common_name(made: ssl.SSLSocket) -> str:
    """What the certificate of the other side says it is; empty where it showed none."""
    certificate = made.getpeercert() or {}
    for relative in certificate.get("subject", ()):
        for item in relative:
            if len(item) == 2 and item[0] == "commonName":
                return str(item[1])[:_LONGEST_NAME]
    return ""


def _bound(address: str, port: int, kind: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind((address, port))
        if kind == socket.SOCK_STREAM:
            made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"{address} port {port}: {error.strerror}") from error
    return made

"""Listens for traps and informs (SNMPv2c and v3) with pysnmp, in a thread with an event loop of its own.

Taken is what comes from a device of the settings (or a permitted network), with a community or a user of theirs, at the
security level that the credential states. An inform is answered when its event is on disk; one that is not kept is not
answered, and comes again. Everything else is counted.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import deque
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from pysnmp.carrier.asyncio.dgram import udp, udp6
from pysnmp.entity import config, engine
from pysnmp.entity.rfc3413 import ntfrcv
from pysnmp.proto import rfc3411
from pysnmp.proto.api import v2c

from agent import reasons
from agent.collectors.registry import Metric, Output
from agent.probe.contract import PartEndsError
from agent.probe.snmp.notifications import event_of
from agent.probe.snmp.part import TRAPS
from agent.runtime.files import read_own, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.probe.contract import PartContext
    from agent.probe.snmp.credentials import Secret
    from agent.probe.snmp.settings import SnmpSettings
    from agent.probe.snmp.values import Value

_LEVELS: Final = {1: "noAuthNoPriv", 2: "authNoPriv", 3: "authPriv"}
_USM: Final = 3
_AUTH: Final = {
    "SHA-1": config.USM_AUTH_HMAC96_SHA,
    "SHA-224": config.USM_AUTH_HMAC128_SHA224,
    "SHA-256": config.USM_AUTH_HMAC192_SHA256,
    "SHA-384": config.USM_AUTH_HMAC256_SHA384,
    "SHA-512": config.USM_AUTH_HMAC384_SHA512,
}
_PRIVACY: Final = {
    "AES-128": config.USM_PRIV_CFB128_AES,
    "AES-256": config.USM_PRIV_CFB256_AES_BLUMENTHAL,
    "none": config.USM_PRIV_NONE,
}
_WATCH_SECONDS: Final = 0.5
_COUNT_SECONDS: Final = 60.0
#: Senders whose rate is watched at once.
_SENDERS: Final = 4_096
_ENGINE_BYTES: Final = 12


def listen(
    context: PartContext[SnmpSettings], secrets: Mapping[str, Secret], engines: Mapping[str, bytes]
) -> None:
    """Until the part is told to stop. ``engines``: SNMPv3 engines of devices by name, as they become known: a trap of
    version 3 is of its sender's engine."""
    # pysnmp writes down there how often the engine started: nobody else may write there.
    tempfile.tempdir = str(context.folder)
    try:
        asyncio.run(_Receiver(context, secrets, engines).run())
    except PartEndsError:
        pass
    except OSError as error:
        context.fails(TRAPS, reasons.SNMP_FAILED(detail=error.strerror or str(error)))


class _Receiver:
    def __init__(
        self, context: PartContext[SnmpSettings], secrets: Mapping[str, Secret], engines: Mapping[str, bytes]
    ) -> None:
        self._context, self._engines = context, engines
        settings = context.settings
        wanted = settings.traps.credentials or tuple(secrets)
        self._secrets = [secrets[name] for name in wanted if name in secrets]
        self._levels = {
            each.kind.user: 3 if each.kind.privacy != "none" else 2
            for each in self._secrets
            if each.kind.version == "3"
        }
        self._devices = {str(ip_address(each.address)): each.name for each in settings.devices.device}
        self._networks = [ip_network(each) for each in settings.traps.networks]
        self._recent: dict[str, deque[float]] = {}
        self._known: set[tuple[str, bytes]] = set()
        self.unknown = self.refused = self.too_many = 0

    async def run(self) -> None:
        traps = self._context.settings.traps
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        made = engine.SnmpEngine(v2c.OctetString(self._engine_id()))
        # pysnmp opens its socket in a task, and nobody hears of it where that fails.
        _check_port(traps.address, traps.port)
        transport = udp6.Udp6Transport() if ":" in traps.address else udp.UdpTransport()
        domain = udp6.DOMAIN_NAME if ":" in traps.address else udp.DOMAIN_NAME
        config.add_transport(made, domain, transport.open_server_mode((traps.address, traps.port)))
        for number, each in enumerate(self._secrets):
            if each.kind.version == "2c":
                config.add_v1_system(made, f"community{number}", each.community)
            else:
                _add_user(made, each, None)
        _Notifications(made, self)
        made.transport_dispatcher.job_started(1)
        told = time.monotonic()
        self._count()
        try:
            while not self._context.stopping.is_set():
                await asyncio.sleep(_WATCH_SECONDS)
                self._learn_engines(made)
                if time.monotonic() - told >= _COUNT_SECONDS:
                    told = time.monotonic()
                    self._count()
        finally:
            made.close_dispatcher()

    def take(
        self, made: Any, level: int, user: str, values: list[tuple[str, Value]], *, inform: bool
    ) -> bool:
        """Tell of a notification; say whether it was kept. Raises as :meth:`PartContext.tell`."""
        about = made.observer.get_execution_context("rfc3412.receiveMessage:request")
        sender = str(ip_address(str(about["transportAddress"][0]).partition("%")[0]))
        if sender not in self._devices and not any(ip_address(sender) in each for each in self._networks):
            self.unknown += 1
            return False
        version3 = int(about["securityModel"]) == _USM
        if version3 and level < self._levels.get(user, 3):
            self.refused += 1
            return False
        if not self._allowed(sender):
            self.too_many += 1
            return False
        event = event_of(
            sender,
            self._devices.get(sender, ""),
            user if version3 else "",
            _LEVELS.get(level, ""),
            values,
            self._context.now(),
            inform=inform,
        )
        self._context.tell(TRAPS, Output(events=[event]), partial=True)
        return True

    def _allowed(self, sender: str) -> bool:
        now = time.monotonic()
        recent = self._recent.get(sender)
        if recent is None:
            if len(self._recent) >= _SENDERS:
                self._recent.clear()
            recent = self._recent[sender] = deque()
        while recent and now - recent[0] > 1.0:
            recent.popleft()
        if len(recent) >= self._context.settings.traps.per_second:
            return False
        recent.append(now)
        return True

    def _learn_engines(self, made: Any) -> None:
        for engine_id in set(self._engines.values()):
            for each in self._secrets:
                key = (each.kind.name, engine_id)
                if engine_id and each.kind.version == "3" and key not in self._known:
                    self._known.add(key)
                    _add_user(made, each, engine_id)

    def _count(self) -> None:
        now = self._context.now()
        counts = {"unknown_sender": self.unknown, "refused": self.refused, "too_many": self.too_many}
        metrics = [
            Metric("snmp_traps.ignored_count", now, float(count), "count", {"reason": reason})
            for reason, count in counts.items()
        ]
        self._context.tell(TRAPS, Output(metrics=metrics), partial=True)

    def _engine_id(self) -> bytes:
        """The own engine, to which informs are addressed: always the same (RFC 3411, SnmpEngineID)."""
        path = self._context.folder / "engine"
        try:
            found = read_own(path, 32)
        except OSError:
            found = b""
        if len(found) != _ENGINE_BYTES:
            found = b"\x80\x00\x00\x00\x05" + os.urandom(_ENGINE_BYTES - 5)
            write_atomically(path, found)
        return found


class _Notifications(ntfrcv.NotificationReceiver):  # type: ignore[misc]
    """Answers an inform only after it was kept."""

    def __init__(self, made: Any, receiver: _Receiver) -> None:
        super().__init__(made, lambda *_: None)
        self._receiver = receiver

    def process_pdu(self, made: Any, *arguments: Any) -> None:
        """Called by pysnmp with what RFC 3412's ``processPdu`` says."""
        (_model, _security, name, level, _engine, _context, _version, pdu, _most, _state) = arguments
        inform = pdu.tagSet in rfc3411.CONFIRMED_CLASS_PDUS
        if pdu.tagSet not in (v2c.SNMPv2TrapPDU.tagSet, v2c.InformRequestPDU.tagSet):
            return
        values = [(str(oid), _value(value)) for oid, value in v2c.apiPDU.get_varbinds(pdu)]
        if self._receiver.take(made, int(level), str(name), values, inform=inform) and inform:
            super().process_pdu(made, *arguments)


def _value(value: Any) -> Value:
    if isinstance(value, v2c.ObjectIdentifier):
        return str(value)
    if isinstance(value, v2c.IpAddress):
        return str(ip_address(bytes(value)))
    if isinstance(value, v2c.OctetString):
        return bytes(value)
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _add_user(made: Any, secret: Secret, engine_id: bytes | None) -> None:
    kind = secret.kind
    config.add_v3_user(
        made,
        kind.user,
        _AUTH[kind.auth],
        secret.auth,
        _PRIVACY[kind.privacy],
        secret.privacy or None,
        **({} if engine_id is None else {"securityEngineId": v2c.OctetString(engine_id)}),
    )


def _check_port(address: str, port: int) -> None:
    """Raise :class:`OSError` where it cannot be listened to."""
    import socket

    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.bind((address, port))

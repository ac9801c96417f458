"""Listens for traps and informs (SNMPv2c and v3) with pysnmp, in a thread with an event loop of its own.

Taken is what comes from a device of the settings (or a permitted network), with a community or a user of theirs, at the
security level that the credential states. Of others, and of more than is allowed of one, nothing is decoded. An inform
is answered when its event is on disk; one that is not kept is not answered, and comes again. What is not taken is
counted.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import suppress
from ipaddress import ip_address
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
from agent.probe.snmp.senders import Senders, plain
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
#: Before it is tried again to listen.
_PAUSE_SECONDS: Final = 30.0
#: Engines that are learned of one device: it may be replaced, but whoever is another each time is not followed.
_MOST_ENGINES: Final = 4
_ENGINE_BYTES: Final = 12


def listen(
    context: PartContext[SnmpSettings], secrets: Mapping[str, Secret], engines: Mapping[str, bytes]
) -> None:
    """Until the part is told to stop. ``engines``: SNMPv3 engines of devices by name, as they become known: a trap of
    version 3 is of its sender's engine."""
    # pysnmp writes down there how often the engine started: nobody else may write there.
    tempfile.tempdir = str(context.folder)
    try:
        while not context.stopping.is_set():
            try:
                asyncio.run(_Receiver(context, secrets, engines).run())
            except PartEndsError:
                return
            except Exception as error:
                # Nobody else would hear of it: the thread would end, and no trap be taken any more.
                said = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
                with suppress(ValueError):
                    context.fails(TRAPS, reasons.SNMP_FAILED(detail=said or str(error)))
            context.stopping.wait(_PAUSE_SECONDS)
    except PartEndsError:
        pass


def _filtered(kind: Any, senders: Senders) -> Any:
    """A transport of pysnmp's that passes over whom ``senders`` does not admit."""

    class Filtered(kind):  # type: ignore[misc]
        def datagram_received(self, datagram: bytes, sender: Any) -> None:
            if senders.admits(plain(sender[0]), time.monotonic()):
                super().datagram_received(datagram, sender)

    return Filtered()


class _Receiver:
    def __init__(
        self, context: PartContext[SnmpSettings], secrets: Mapping[str, Secret], engines: Mapping[str, bytes]
    ) -> None:
        self._context, self._engines = context, engines
        settings = context.settings
        wanted = settings.traps.credentials or tuple(secrets)
        self._secrets = [secrets[name] for name in wanted if name in secrets]
        self._levels: dict[str, int] = {}
        for each in self._secrets:
            if each.kind.version == "3":
                level = 3 if each.kind.privacy != "none" else 2
                self._levels[each.kind.user] = max(level, self._levels.get(each.kind.user, 0))
        self._senders = Senders(settings)
        self._learned: dict[str, set[bytes]] = {}
        self._known: set[bytes] = set()
        self.refused = 0

    async def run(self) -> None:
        traps = self._context.settings.traps
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        # pysnmp opens its socket in a task, and nobody hears of it where that fails.
        _check_port(traps.address, traps.port)
        made = engine.SnmpEngine(v2c.OctetString(self._engine_id()))
        kind = udp6.Udp6Transport if ":" in traps.address else udp.UdpTransport
        transport = _filtered(kind, self._senders)
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
        sender = plain(str(about["transportAddress"][0]))
        version3 = int(about["securityModel"]) == _USM
        if level < self._levels.get(user, 3) if version3 else self._senders.needs_version_3(sender):
            self.refused += 1
            return False
        event = event_of(
            sender,
            self._senders.name(sender),
            user if version3 else "",
            _LEVELS.get(level, ""),
            values,
            self._context.now(),
            inform=inform,
        )
        self._context.tell(TRAPS, Output(events=[event]), partial=True)
        return True

    def _learn_engines(self, made: Any) -> None:
        for device, engine_id in list(self._engines.items()):
            learned = self._learned.setdefault(device, set())
            if not engine_id or engine_id in learned or len(learned) >= _MOST_ENGINES:
                continue
            learned.add(engine_id)
            if engine_id in self._known:
                continue
            self._known.add(engine_id)
            for each in self._secrets:
                if each.kind.version == "3":
                    _add_user(made, each, engine_id)

    def _count(self) -> None:
        now = self._context.now()
        senders = self._senders
        counts = {"unknown_sender": senders.unknown, "refused": self.refused, "too_many": senders.too_many}
        metrics = [
            Metric("snmp_traps.ignored_count", now, float(count), "count", {"reason": reason})
            for reason, count in counts.items()
        ]
        with suppress(ValueError):  # counts that the agent refuses are no reason to stop listening
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

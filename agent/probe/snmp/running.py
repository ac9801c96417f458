"""The part's process: every device in its own time, none held up by another; what was found told once a second."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent import reasons
from agent.collectors.registry import Metric, Output, StatusDocument
from agent.probe.contract import PartEndsError
from agent.probe.snmp import oids
from agent.probe.snmp.around import Around
from agent.probe.snmp.backups import KIND as BACKUP
from agent.probe.snmp.backups import Backups
from agent.probe.snmp.credentials import CredentialError, read_secret
from agent.probe.snmp.device import Polled
from agent.probe.snmp.known import load_memory, load_told, save_memory, save_told
from agent.probe.snmp.part import DEVICES, TRAPS
from agent.probe.snmp.patience import Patience
from agent.probe.snmp.session import DeviceError, Session
from agent.probe.snmp.telling import (
    DEVICE,
    KINDS,
    addresses_document,
    arp_document,
    device_document,
    metrics_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from agent.probe.contract import PartContext
    from agent.probe.snmp.credentials import Secret
    from agent.probe.snmp.settings import Device, SnmpSettings

_TELL_SECONDS: Final = 1.0
#: Metrics in ``metrics_seconds``, of all devices: the agent holds 5,000 for ten minutes at most.
_METRICS: Final = 2_000
_METRICS_EACH_AT_LEAST: Final = 6
#: Devices that answer slowly wait for each other, and nobody else for them.
_SLOW_AT_ONCE: Final = 16
_SLOW_SECONDS: Final = 5.0
#: A whole poll of one device may take so much of the interval; what is not read by then is read the next time.
_PATIENCE: Final = 5.0
#: So few begin at once; of more each at a time of its own within this part of an interval.
_FEW: Final = 8
_SPREAD: Final = 0.9


def run(context: PartContext[SnmpSettings]) -> None:
    """Until told to stop."""
    settings = context.settings
    secrets: dict[str, Secret] = {}
    faults: list[str] = []
    for each in settings.credentials.credential:
        try:
            secrets[each.name] = read_secret(each)
        except CredentialError as error:
            faults.append(str(error))
    poller = Poller(context, secrets, faults)
    if settings.traps.enabled:
        from agent.probe.snmp.traps import listen

        threading.Thread(
            target=listen, args=(context, secrets, poller.engines), name="traps", daemon=True
        ).start()
    else:
        context.finds_nothing(TRAPS, reasons.SNMP_TRAPS_OFF())
    asyncio.run(poller.run())


class Poller:
    """``faults``: why credentials are missing. ``engines``: SNMPv3 engines of devices, as they are learned."""

    def __init__(
        self, context: PartContext[SnmpSettings], secrets: dict[str, Secret], faults: list[str]
    ) -> None:
        self._context, self._secrets, self._faults = context, secrets, faults
        self._poll = context.settings.poll
        self._around = Around(self._poll.tables_seconds)
        self._documents: dict[tuple[str, str], StatusDocument] = {}
        self._digests: dict[tuple[str, str], int] = {}
        self._metrics: list[Metric] = []
        devices = [each for each in context.settings.devices.device if each.credential in secrets]
        self._most = max(_METRICS_EACH_AT_LEAST, _METRICS // max(1, len(devices)))
        self._devices: list[Device] = devices
        self.engines: dict[str, bytes] = {}

    async def run(self) -> None:
        if not self._context.settings.devices.device:
            self._context.finds_nothing(DEVICES, reasons.SNMP_NO_DEVICES())
        elif self._faults:
            self._context.fails(DEVICES, "; ".join(self._faults))
        _allow_files(len(self._devices))
        self._forget_removed()
        well = asyncio.Semaphore(self._poll.concurrency)
        slow_ones = asyncio.Semaphore(_SLOW_AT_ONCE)
        tasks = [asyncio.create_task(self._keep(each, well, slow_ones)) for each in self._devices]
        try:
            while not self._context.stopping.is_set():
                await asyncio.sleep(_TELL_SECONDS)
                for task in tasks:
                    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                        raise error
                await asyncio.to_thread(self._tell)
        except PartEndsError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, device: Device, well: asyncio.Semaphore, slow_ones: asyncio.Semaphore) -> None:
        """Poll one device again and again. Many of them begin spread over an interval."""
        poll = self._poll
        session = Session(
            device.address,
            device.port,
            self._secrets[device.credential],
            timeout=poll.timeout_seconds,
            retries=poll.retries,
        )
        path, told_path = self._files(device.name)
        polled = Polled(device, poll, session, load_memory(path), self._around)
        polled.told = load_told(told_path)
        named = self._context.settings.backups.backup
        memory = polled.memory
        polled.backups = Backups(
            tuple(each for each in named if each.device == device.name),
            memory.backups_good,
            memory.backups_failed,
        )
        if len(self._devices) > _FEW:
            await asyncio.sleep(random.uniform(0, poll.interval_seconds * _SPREAD))  # noqa: S311 - no secret
        polled.measured_at, slow = self._context.now(), False
        due = time.monotonic()
        while True:
            slow = await self._try(polled, slow_ones if slow else well) > _SLOW_SECONDS
            pause = poll.interval_seconds * min(2.0 ** max(0, polled.failures - poll.unanswered_polls), 64.0)
            due = max(
                due + min(pause, max(poll.longest_pause_seconds, poll.interval_seconds)), time.monotonic()
            )
            await asyncio.sleep(due - time.monotonic())

    async def _try(self, polled: Polled, turn: asyncio.Semaphore) -> float:
        """Poll once and take in what came of it; how many seconds it took. Who did not answer last is not given a turn
        before it answers now."""
        patience = max(_PATIENCE * self._poll.timeout_seconds, self._poll.interval_seconds)
        began: float | None = None
        try:
            if polled.failures or polled.reachable is None:
                await polled.session.get((oids.SYS_UP_TIME,))
            async with turn:
                began = time.monotonic()
                async with Patience(patience):
                    tables = await polled.ask(self._context.now())
                seconds = time.monotonic() - began
            await self._take(polled, self._context.now(), tables=tables)
        except TimeoutError:
            error = DeviceError(reasons.SNMP_NO_ANSWER())
        except DeviceError as failure:
            error = failure
        except Exception as failure:
            # Whatever one device made fail, the others are asked on.
            error = DeviceError(reasons.SNMP_FAILED(detail=type(failure).__name__))
        else:
            return seconds
        if polled.failed(error):
            self._put(polled, self._context.now(), tables=False)
        return 0.0 if began is None else time.monotonic() - began

    async def _take(self, polled: Polled, now: float, *, tables: bool) -> None:
        self.engines[polled.settings.name] = polled.session.engine_id
        if now - polled.measured_at >= self._poll.metrics_seconds:
            polled.measured_at = now
            self._measure(polled, now)
        # Which ports lead to other devices shows when those are known: what is behind them is told again.
        if polled.changes != self._around.changes:
            polled.changes, tables = self._around.changes, True
            polled.look_around(now)
        changed = self._put(polled, now, tables=tables)
        path, told_path = self._files(polled.settings.name)
        if (told := changed.get(DEVICE)) is not None and told.body is not None:
            polled.told = told.body
            with contextlib.suppress(OSError):
                await asyncio.to_thread(save_told, told_path, told.body)
        if polled.dirty:
            polled.dirty = False
            with contextlib.suppress(OSError):
                await asyncio.to_thread(save_memory, path, polled.memory)

    def _measure(self, polled: Polled, now: float) -> None:
        sums = {
            polled.interfaces[at].name: each.taken()
            for at, each in polled.traffic.items()
            if at in polled.interfaces
        }
        polled.judge_errors(sums)
        self._metrics += metrics_of(polled, sums, now, self._most)

    def _put(self, polled: Polled, now: float, *, tables: bool) -> dict[str, StatusDocument]:
        """Note what is to be told; by kind what changed."""
        made = [device_document(polled, now)]
        if tables:
            made += [addresses_document(polled, now), arp_document(polled, now)]
        if not polled.failures:
            made += polled.backups.documents(polled.values, now)
        changed = {}
        for document in made:
            key = (document.kind, document.item)
            digest = hash(msgspec.json.encode(document.body))
            if self._digests.get(key) != digest:
                self._digests[key] = digest
                self._documents[key] = changed[document.kind] = document
                polled.dirty = polled.dirty or document.kind == BACKUP
        return changed

    def _files(self, name: str) -> tuple[Path, Path]:
        """Where a device's memory is kept, and what was told of it last."""
        return self._context.folder / f"{name}.json", self._context.folder / f"{name}.told"

    def _tell(self) -> None:
        documents, self._documents = self._documents, {}
        metrics, self._metrics = self._metrics, []
        if documents or metrics:
            output = Output(documents=list(documents.values()), metrics=metrics)
            names = {
                "devices": [each.name for each in self._devices],
                "backups": [each.system for each in self._context.settings.backups.backup],
            }
            self._context.tell(DEVICES, output, partial=True, memory=names)

    def _forget_removed(self) -> None:
        """Say of devices and backups that are no longer named that they are gone, with what was kept of them."""
        systems: Any = self._context.memory(DEVICES).get("backups")
        named = {each.system for each in self._context.settings.backups.backup}
        for name in systems if isinstance(systems, list) else []:
            if isinstance(name, str) and name not in named:
                self._documents[BACKUP, name] = StatusDocument(BACKUP, self._context.now(), None, name)
        before: Any = self._context.memory(DEVICES).get("devices")
        there = {each.name for each in self._context.settings.devices.device}
        for name in before if isinstance(before, list) else []:
            if isinstance(name, str) and name not in there:
                for kind in KINDS:
                    self._documents[kind, name] = StatusDocument(kind, self._context.now(), None, name)
                for path in self._files(name):
                    with contextlib.suppress(OSError):
                        path.unlink()


def _allow_files(devices: int) -> None:
    """Each device has a socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = devices + 128
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))

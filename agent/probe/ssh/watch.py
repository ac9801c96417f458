"""The part's process: each device in its turn, a few at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Any, Final

from agent.collectors.registry import Output
from agent.messages import StatusDocument
from agent.probe.contract import PartEndsError
from agent.probe.ssh.asking import KIND, Read, read, told
from agent.probe.ssh.keeping import Shelf, masking_key
from agent.probe.ssh.part import SOURCE

if TYPE_CHECKING:
    from agent.probe.contract import PartContext
    from agent.probe.ssh.settings import Device, SshSettings

_REACH_SECONDS: Final = 5.0
#: So many looks in a row without an answer make a device unreachable.
_MISSES: Final = 2
#: What failed is tried again this much sooner than what worked.
_AGAIN_SHARE: Final = 0.1


def run(context: PartContext[SshSettings]) -> None:
    """Until the agent says to stop."""
    devices = context.settings.devices.device
    if not devices:
        context.finds_nothing(SOURCE, "no devices are listed in ssh.toml")
        context.stopping.wait()
        return
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(context))


async def _run(context: PartContext[SshSettings]) -> None:
    settings = context.settings
    watches = [_Watch(device, context, settings) for device in settings.devices.device]
    known = [
        StatusDocument(KIND, context.now(), w.state.body, w.device.name) for w in watches if w.state.body
    ]
    await asyncio.to_thread(context.tell, SOURCE, Output(documents=known))
    turns = asyncio.Semaphore(settings.ssh.concurrency)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(each.keep(turns)) for each in watches]
    stopping: asyncio.Task[Any] = asyncio.create_task(asyncio.to_thread(context.stopping.wait))
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    context.stopping.set()
    for task in tasks:
        task.cancel()
    for task in done - {stopping}:
        task.result()  # what ended by itself failed


class _Watch:
    def __init__(self, device: Device, context: PartContext[SshSettings], settings: SshSettings) -> None:
        self.device = device
        self._context = context
        self._settings = settings.ssh
        self._shelf = Shelf(context.folder / device.name, settings.ssh.versions_kept)
        self._key = masking_key(context.folder)
        self.state = self._shelf.state()
        self._misses = 0

    async def keep(self, turns: asyncio.Semaphore) -> None:
        """Look whether it answers, and ask when that is due."""
        interval = self._settings.interval_hours * 3600
        due = 0.0
        await asyncio.sleep(random.uniform(0, min(5.0, len(self.device.name) / 10)))  # noqa: S311 - not all at once
        while True:
            if time.monotonic() >= due:
                async with turns:
                    found = await read(self.device, self._settings.command_seconds)
                if self._counts(found):
                    await self._tell(found)
                share = 1.0 if found.state == "answering" else _AGAIN_SHARE
                due = time.monotonic() + interval * share * random.uniform(0.9, 1.1)  # noqa: S311
            await asyncio.sleep(self._settings.reach_minutes * 60)
            if await self._changed():
                due = 0.0

    def _counts(self, found: Read) -> bool:
        """Whether it is to be told: that nobody answers only when that was so :data:`_MISSES` times in a row."""
        if found.state != "unreachable":
            self._misses = 0
            return True
        self._misses += 1
        return self._misses >= _MISSES or not self.state.body

    async def _changed(self) -> bool:
        """Whether the device is to be asked at once: it answers again, or has not answered just now."""
        answered = await _answers(self.device)
        was = self.state.body.get("state") == "unreachable"
        return answered == was or 0 < self._misses < _MISSES

    async def _tell(self, found: Read) -> None:
        now = self._context.now()
        # A long configuration takes seconds, which the others need not wait for.
        output, new = await asyncio.to_thread(
            told, self.device, found, self.state, self._shelf, self._key, now
        )
        try:
            await asyncio.to_thread(self._context.tell, SOURCE, output, partial=True)
        except PartEndsError:
            raise asyncio.CancelledError from None
        # Only what was told is remembered: a crash in between tells it twice, and loses nothing.
        try:
            if new is not None:
                self._shelf.put(new, self.state.digest, now)
            self._shelf.put_state(self.state)
        except OSError as error:
            await asyncio.to_thread(self._context.fails, SOURCE, f"{error.filename}: {error.strerror}")


async def _answers(device: Device) -> bool:
    try:
        async with asyncio.timeout(_REACH_SECONDS):
            _, writer = await asyncio.open_connection(device.host, device.port)
    except (OSError, UnicodeError):  # also a name that cannot be one
        return False
    writer.close()
    return True

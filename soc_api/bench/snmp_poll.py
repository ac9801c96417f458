"""The part ``snmp`` as the agent starts it, asking 1,000 devices of 68 values every minute; and GETBULK against
pysnmp, in the same run.

The devices are one answering process (:mod:`soc_api.bench.snmp_device`), which is not counted.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psutil

from agent.probe.contract import Hello, Kept, Said, read_frame, write_frame
from agent.probe.host import COMMAND
from agent.probe.snmp.settings import Credential, Credentials, Device, Devices, Poll, SnmpSettings
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.snmp_device import COMMUNITY, LONG_COLUMN, PORTS, answering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DEVICES: Final = int(os.environ.get("VONGGAC_BENCH_DEVICES", "1000"))
#: Of each port four states and eight counters, and what is asked of the device itself.
_VALUES: Final = 12 * PORTS + 8
_PERIOD_SECONDS: Final = 60.0
_TABLES_EVERY: Final = 5
_PATIENCE_SECONDS: Final = 120.0
_BULK: Final = 24
_WALKS: Final = 5


@benchmark(
    "snmp.poll",
    "the part snmp asking 1,000 devices of 68 values a minute: CPU, memory; GETBULK against pysnmp",
)
def measure_poll(tell: Callable[[str], None]) -> Iterator[Figure]:
    with answering() as port:
        tell(f"the part with {_DEVICES} devices: the first minute, with their tables, then one without")
        first, later, memory, known = _part(port)
        share = 100 * (first + (_TABLES_EVERY - 1) * later) / _TABLES_EVERY / _PERIOD_SECONDS
        yield Figure(known, "devices answered", f"at least {_DEVICES}", known >= _DEVICES)
        yield Figure(
            round(100 * later / _PERIOD_SECONDS, 1),
            f"% of a core for {_DEVICES * _VALUES:,} values a minute, the part's process",
            "at most 25",
            100 * later / _PERIOD_SECONDS <= 25,
        )
        yield Figure(
            round(share, 1),
            "% of a core with the tables of all devices every five minutes",
            "at most 25",
            share <= 25,
        )
        yield Figure(round(memory / 1e6, 1), "MB resident, the part's process", "-", None)
        tell("a table of 400 rows by GETBULK: gufo-snmp, then pysnmp")
        ours = asyncio.run(_walks(_gufo_walk, port, _WALKS * 10))
        theirs = asyncio.run(_walks(_pysnmp_walk, port, _WALKS))
        yield Figure(round(ours), "rows/s by GETBULK, gufo-snmp, processor time", "-", None)
        yield Figure(round(theirs), "rows/s by GETBULK, pysnmp, processor time", "-", None)
        yield Figure(round(ours / theirs, 1), "times pysnmp", "at least 10", ours >= 10 * theirs)


def _part(port: int) -> tuple[float, float, int, int]:
    """``(processor seconds of the first minute, of one without tables, bytes resident, devices that answered)``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        secret = folder / "community"
        secret.write_text(COMMUNITY, encoding="utf-8")
        secret.chmod(0o600)
        settings = SnmpSettings(
            Poll(interval_seconds=int(_PERIOD_SECONDS), timeout_seconds=5.0),
            Credentials((Credential("c", "2c", community_file=str(secret)),)),
            Devices(tuple(Device(f"sw-{n}", "127.0.0.1", "c", port=port) for n in range(_DEVICES))),
        )
        own = folder / "own"
        own.mkdir()
        part = subprocess.Popen([*COMMAND, "snmp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        known: set[str] = set()
        hearing = threading.Thread(target=_hear, args=(part, known), daemon=True)
        try:
            if part.stdin is None:
                raise RuntimeError("no stream")
            process = psutil.Process(part.pid)
            began = time.monotonic()
            write_frame(part.stdin, Hello("snmp", msgspec.to_builtins(settings), str(own)))
            hearing.start()
            while len(known) < _DEVICES and time.monotonic() - began < _PATIENCE_SECONDS:
                time.sleep(1)
            first = _spent(process)
            time.sleep(_PERIOD_SECONDS)
            return first, _spent(process) - first, process.memory_info().rss, len(known)
        finally:
            if part.stdin is not None:
                part.stdin.close()
            part.wait(15)


def _hear(part: subprocess.Popen[bytes], known: set[str]) -> None:
    """As the agent does: answer all that is told. ``known``: devices that answered."""
    if part.stdin is None or part.stdout is None:
        return
    try:
        while (said := read_frame(part.stdout, Said)) is not None:
            for document in said.found().documents:
                if document.kind == "network_device" and document.body and document.body["reachable"]:
                    known.add(document.item)
            write_frame(part.stdin, Kept(said.number))
    except (OSError, ValueError):
        return  # it was told to end


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _walks(walk: Callable[[int], Any], port: int, times: int) -> float:
    """Rows a second of this process's processor time: who answers is another's."""
    await walk(port)
    began = time.process_time()
    rows = 0
    for _ in range(times):
        rows += await walk(port)
    return rows / (time.process_time() - began)


async def _gufo_walk(port: int) -> int:
    from gufo.snmp.aio import SnmpSession

    rows = 0
    session = SnmpSession("127.0.0.1", port, community=COMMUNITY, timeout=10)
    async for _ in session.getbulk(LONG_COLUMN, _BULK):
        rows += 1
    return rows


async def _pysnmp_walk(port: int) -> int:
    from pysnmp.hlapi.v3arch.asyncio import (
        CommunityData,
        ContextData,
        ObjectIdentity,
        ObjectType,
        SnmpEngine,
        UdpTransportTarget,
        bulk_walk_cmd,
    )

    engine = _kept.setdefault("engine", SnmpEngine())
    target = await UdpTransportTarget.create(("127.0.0.1", port), timeout=10)
    rows = 0
    async for error, _status, _index, values in bulk_walk_cmd(
        engine,
        CommunityData(COMMUNITY),
        target,
        ContextData(),
        0,
        _BULK,
        ObjectType(ObjectIdentity(LONG_COLUMN)),
        lookupMib=False,
        lexicographicMode=False,
    ):
        if error:
            raise RuntimeError(f"pysnmp: {error}")
        rows += len(values)
    return rows


#: pysnmp's engine: made once, as a program would.
_kept: dict[str, Any] = {}

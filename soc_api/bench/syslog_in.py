"""How fast syslog over TCP becomes durable: from one sender through the probe's spool into the collector's log."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final

import psutil

from agent.messages import decode_batch
from collector.detect.decode import decompress
from collector.log.opening import open_reader
from collector.partitions import all_from
from collector.settings import DataDirectory, Settings
from soc_api.bench.registry import Figure, benchmark
from soc_api.bench.trial import trial_server
from soc_api.local import Agent, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from soc_api.local import Server

_MESSAGES: Final = int(os.environ.get("VONGGAC_BENCH_MESSAGES", "200000"))
_GOAL: Final = 20_000
_NUMBER: Final = re.compile(r" sessionid=(\d+) ")
_PATIENCE_SECONDS: Final = 300.0
_LINE: Final = (
    '<189>Nov 22 10:00:00 fw date=2026-11-22 time=10:00:00 devname="FGT" devid="FG100F" logid="00013" type="traffic"'
    ' subtype="forward" level="notice" vd="root" srcip=10.1.1.5 srcport={port} dstip=192.0.2.9 dstport=443 proto=6'
    ' action="accept" policyid=1 sessionid={number} sentbyte=1850 rcvdbyte=39898'
)


@benchmark(
    "syslog.in", "200,000 messages over one TCP connection to a probe: messages/s into the durable log, lost"
)
def syslog_in(tell: Callable[[str], None]) -> Iterable[Figure]:
    """A real agent with the part ``syslog`` against a real server, which also works on what comes, on the same machine.

    The part closes a connection when it has read it to its end: then all but what waits in its memory (4 MB at most) is
    on the probe's disk. When nothing waits on that disk any more, all is in the collector's log.
    """
    with trial_server() as (server, folder):
        port = _free_port()
        agent = _probe(server, folder, port)
        agent.start()
        try:
            connection = _connected(port)
            began = time.monotonic()
            _send(connection)
            read = time.monotonic() - began
            tell(f"read by the probe after {read:.1f} s")
            _await(lambda: not _waiting(folder), "the collector to take all")
            logged = time.monotonic() - began
            tell(f"in the collector's log after {logged:.1f} s")
            memory = max((_resident(child) for child in psutil.Process(agent.pid).children()), default=0.0)
            wrong = _wrong(DataDirectory(server.data))
        finally:
            agent.stop()
    rate = _MESSAGES / logged
    yield Figure(round(_MESSAGES / read), "messages a second read by the probe", "none", None)
    yield Figure(
        round(rate), "messages a second into the collector's log", f"at least {_GOAL:,}", rate >= _GOAL
    )
    yield Figure(round(memory, 1), "MB of the part's process", "none", None)
    yield Figure(wrong, "messages lost or told twice", "0", wrong == 0)


def _probe(server: Server, folder: Path, port: int) -> Agent:
    state, configuration, parts = folder / "agent", folder / "agent.toml", folder / "probe"
    parts.mkdir()
    (parts / "syslog.toml").write_text(
        f'[udp]\nenabled = false\n[tcp]\naddress = "127.0.0.1"\nport = {port}\n[messages]\nreport_seconds = 600\n',
        encoding="utf-8",
    )
    disabled = [each["name"] for each in json.loads(run("agent.cli", "check-config", "--json"))["collectors"]]
    configuration.write_text(
        f'[agent]\nstate_dir = "{state}"\n[collectors]\ndisabled = {json.dumps(disabled)}\n'
        f'[probe]\nparts = ["syslog"]\nfolder = "{parts}"\n',
        encoding="utf-8",
    )
    agent = Agent(configuration, state, server.agents, folder / "agent.log")
    agent.enroll(server.token("so-tai-chinh"))
    return agent


def _send(connection: socket.socket) -> None:
    """Send all, and wait until the other side has read it and closed."""
    pending = bytearray()
    with connection:
        for number in range(_MESSAGES):
            line = _LINE.format(port=number % 50_000 + 1_024, number=number).encode()
            pending += b"%d %s" % (len(line), line)
            if len(pending) > 1 << 16:
                connection.sendall(pending)
                pending.clear()
        connection.sendall(pending)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(_PATIENCE_SECONDS)
        connection.recv(1)


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port


def _connected(port: int) -> socket.socket:
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _await(done: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {_PATIENCE_SECONDS:.0f} s for {what}")
        time.sleep(0.02)


def _waiting(folder: Path) -> int:
    """Bytes that wait on the agent's disk."""
    return sum(each.stat().st_size for each in (folder / "agent" / "spool").iterdir() if each.is_file())


def _resident(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def _wrong(data: DataDirectory) -> int:
    """How many of the messages are not in the log exactly once."""
    found: Counter[int] = Counter()
    with closing(open_reader(Settings(), data)) as reader:
        offset = 0
        while rows := reader.read(all_from(offset), 100):
            offset = rows[-1].offset
            for row in rows:
                for event in decode_batch(decompress(row.body)).events if row.body else ():
                    if number := _NUMBER.search(str(event.fields.get("message", ""))):
                        found[int(number[1])] += 1
    return _MESSAGES - len(found) + sum(found.values()) - len(found)

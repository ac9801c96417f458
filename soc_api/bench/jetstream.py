"""Three NATS servers on loopback that keep the log three times over, as on three machines."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from collector.log.errors import LogError
from collector.log.jetstream.preparing import prepare_stream
from collector.settings import Log
from soc_api.local import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SERVERS: Final = 3
_START_SECONDS: Final = 30.0


@contextmanager
def three_servers(folder: Path) -> Iterator[Log]:
    """Settings of the log on three servers, which end with the context. Their stream is made.

    Raises:
        RuntimeError: there is no nats-server on this machine, or they do not get together.
    """
    program = shutil.which("nats-server", path="/usr/local/bin:/usr/bin:/usr/sbin")
    if program is None:
        raise RuntimeError("nats-server is not on this machine: apt-get install nats-server")
    clients = [free_port() for _ in range(_SERVERS)]
    routes = [free_port() for _ in range(_SERVERS)]
    running = []
    try:
        for number in range(_SERVERS):
            config = folder / f"nats-{number}.conf"
            others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
            config.write_text(
                f'server_name: n{number}\nlisten: "127.0.0.1:{clients[number]}"\nmax_payload: 2MB\n'
                f'jetstream {{ store_dir: "{folder / f"nats-{number}"}", max_file_store: 16GB }}\n'
                f'cluster {{ name: bench, listen: "127.0.0.1:{routes[number]}", routes: [{others}] }}\n',
                encoding="utf-8",
            )
            with (folder / f"nats-{number}.log").open("wb") as output:
                running.append(subprocess.Popen([program, "-c", str(config)], stdout=output, stderr=output))
        settings = Log(url=",".join(f"nats://127.0.0.1:{port}" for port in clients), max_bytes=8 << 30)
        _wait_for_stream(settings)
        yield settings
    finally:
        for process in running:
            process.kill()
            process.wait()


def _wait_for_stream(settings: Log) -> None:
    """Until the servers have found each other, they cannot keep anything three times."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        with suppress(LogError):
            prepare_stream(settings, 0)
            return
        time.sleep(0.2)
    raise RuntimeError("the NATS servers do not get together")

"""Real NATS servers with JetStream for tests, from Debian's package."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from soc_api.local import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

USER: Final = "vonggac"
PASSWORD: Final = "rung-mua-7"


def program() -> str | None:
    return shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")


@dataclass
class NatsServer:
    """One server by itself on loopback, with a user and a password."""

    folder: Path
    port: int = field(default_factory=free_port)
    monitor: int = field(default_factory=free_port)
    #: Where it keeps its streams, where not in ``folder``.
    store: Path | None = None
    max_store: str = "4GB"
    max_payload: str = "2MB"
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'http: "127.0.0.1:{self.monitor}"\n'
            f"max_payload: {self.max_payload}\n"
            f'jetstream {{ store_dir: "{self.store or self.folder / "store"}", max_file_store: {self.max_store} }}\n'
            f"authorization {{ user: {USER}, password: {PASSWORD} }}\n"
        )
        with (self.folder / "nats.log").open("ab") as output:
            self._process = subprocess.Popen(
                [program() or "nats-server", "-c", str(config)], stdout=output, stderr=output
            )
        wait_until(self._answers, seconds=10, what="the NATS server to answer", every=0.05)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "nats.log").read_text()
        try:
            return self.ask("healthz").get("status") == "ok"
        except OSError:
            return False

    def ask(self, what: str) -> dict[str, Any]:
        """Of the server's own monitoring."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/{what}", timeout=2) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None

"""A server and agents on this machine, as child processes: what the quickstart, the benchmarks and the tests share.

Every part is the program that runs in production, started as it would be there. Each has a session of its own, so
that Ctrl-C in a terminal reaches only the parent, which then stops the parts in order.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from collector import settings as server_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_READY_SECONDS: Final = 120
_STOP_SECONDS: Final = 20


class LocalError(Exception):
    """A part could not be started, or a command failed; ``str()`` holds what it said."""


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_data_directory(data: Path, settings: str = "") -> None:
    """A new data directory for a server on free ports; ``settings`` are further lines of its ``vonggac.toml``,
    sections included."""
    data.mkdir(mode=0o700)
    ports = f"[web]\nport = {free_port()}\n[ingest]\nport = {free_port()}\n"
    (data / "vonggac.toml").write_text(ports + settings, encoding="utf-8")


class Part:
    """A child process. ``log`` is the file that takes what it logs (standard error), appended; None: where ours
    goes. What it says to a person (standard output) always goes where ours does."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path | None = None) -> None:
        self.name = name
        self._arguments = [sys.executable, "-m", *arguments]
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LocalError(f"{self.name} does not run")
        return self._process.pid

    def start(self) -> None:
        if self.log is None:
            self._process = subprocess.Popen(self._arguments, start_new_session=True)
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._arguments, stderr=log, start_new_session=True)

    def exit_code(self) -> int | None:
        """None while it runs; also None before it was started and after it was stopped."""
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        """Why it ended, as far as its log says, and where to read more."""
        if self.log is None:
            return "see what it printed"
        reason = ""
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]:
            if line.startswith("Error: "):
                reason = reason if "above" in line else line.removeprefix("Error: ")
            elif line.startswith("{"):
                with suppress(ValueError):
                    said = json.loads(line)
                    if said.get("level") in {"error", "critical"} and "reason" in said:
                        reason = str(said["reason"])
        return f"{reason} ({self.log})" if reason else f"see {self.log}"

    def stop(self) -> int | None:
        """End it as a service manager would, and its whole session where it does not; the exit code."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_STOP_SECONDS)
        self.kill()
        return code

    def kill(self) -> None:
        """SIGKILL for all of its session; nothing happens where it does not run."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


class Server(Part):
    """``vonggac serve`` on ``data``, whose ``vonggac.toml`` holds the ports."""

    def __init__(self, data: Path, log: Path | None = None) -> None:
        super().__init__("server", ["soc_api.cli", "serve", "--data", str(data)], log)
        self.data = data
        settings = server_settings.load(server_settings.DataDirectory(data))
        self.web_port = settings.web.port
        self.agents_port = settings.ingest.port
        self.authority = server_settings.DataDirectory(data).ca / "ca.crt"

    @property
    def web(self) -> str:
        return f"https://localhost:{self.web_port}"

    @property
    def agents(self) -> str:
        return f"https://127.0.0.1:{self.agents_port}"

    def wait_until_ready(self) -> None:
        """Return when both ports answer that they are ready; raise :class:`LocalError` when it ended instead."""
        deadline = time.monotonic() + _READY_SECONDS
        waiting = [self.web_port, self.agents_port]
        while waiting:
            if self.exit_code() is not None:
                raise LocalError(f"the server did not start: {self.last_words()}")
            if time.monotonic() > deadline:
                raise LocalError(f"no answer on port {waiting[0]} after {_READY_SECONDS} s")
            if self._healthy(waiting[0]):
                waiting.pop(0)
            else:
                time.sleep(0.1)

    def vonggac(self, *arguments: str, text_in: str | None = None) -> str:
        """Run a ``vonggac`` command on this server's data; return what it printed, or raise."""
        return run("soc_api.cli", *arguments, "--data", str(self.data), text_in=text_in)

    def token(self, agency: str) -> str:
        """A one-time enrolment token for ``agency`` (its code)."""
        answer: str = json.loads(self.vonggac("token", "create", "--agency", agency, "--json"))["token"]
        return answer

    def _healthy(self, port: int) -> bool:
        try:
            trust = ssl.create_default_context(cafile=str(self.authority))
            url = f"https://127.0.0.1:{port}/healthz"
            with urllib.request.urlopen(url, context=trust, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


class Agent(Part):
    """``vonggac-agent run`` with a configuration file that names its state directory ``state``."""

    def __init__(self, configuration: Path, state: Path, collector: str, log: Path | None = None) -> None:
        super().__init__("agent", ["agent.cli", "run", "--config", str(configuration)], log)
        self.configuration = configuration
        self.state = state
        self.collector = collector

    @property
    def is_enrolled(self) -> bool:
        return (self.state / "identity.json").exists()

    @property
    def endpoint_id(self) -> str:
        answer: str = json.loads((self.state / "identity.json").read_text(encoding="utf-8"))["endpoint_id"]
        return answer

    def enroll(self, token: str) -> None:
        """Enrol with a one-time token, given by standard input: a command line can be read by others."""
        run(
            "agent.cli", "enroll",
            "--config", str(self.configuration), "--collector", self.collector, "--token-file", "-",
            text_in=token + "\n",
        )  # fmt: skip


def run(module: str, *arguments: str, text_in: str | None = None) -> str:
    """Run a command to its end; return its standard output, or raise :class:`LocalError` with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        input=text_in,
        start_new_session=True,
    )
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise LocalError(f"{module} {arguments[0]}: exit code {done.returncode}: {said}")
    return done.stdout

"""The whole server and agents on loopback: the programs a user starts, with data directories of the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pyotp

from tests.support.waiting import free_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "a long enough pass phrase"


class Stack:
    """``vonggac serve`` under ``folder``. Start, stop and kill it as often as wished; its ports stay."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        self.web_port, self.agents_port = free_port(), free_port()
        (self.data / "vonggac.toml").write_text(
            f"[web]\nport = {self.web_port}\n[ingest]\nport = {self.agents_port}\n{settings}"
        )
        self.output = folder / "serve.log"
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def web(self) -> str:
        return f"https://localhost:{self.web_port}"

    @property
    def agents(self) -> str:
        return f"https://127.0.0.1:{self.agents_port}"

    @property
    def authority(self) -> Path:
        return self.data / "ca" / "ca.crt"

    def start(self) -> None:
        with self.output.open("ab") as output:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "soc_api.cli", "serve", "--data", str(self.data)],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        for port in (self.web_port, self.agents_port):
            wait_until(lambda port=port: self._healthy(port), seconds=90, what=f"port {port} to be ready")

    def stop(self) -> int:
        """End it as a user would; return the exit code."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        try:
            return self._server.wait(timeout=30)
        finally:
            self.kill()

    def kill(self) -> None:
        """Make sure that nothing of it is left."""
        if self._server is None:
            return
        if self._server.poll() is None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._server = None

    def process(self, *words: str) -> psutil.Process:
        """The child whose command line holds all ``words`` (``collector.process``, ``ingest``)."""
        assert self._server is not None
        for child in psutil.Process(self._server.pid).children(recursive=True):
            if all(word in child.cmdline() for word in words):
                return child
        raise AssertionError(f"no process with {words}")

    def run(self, *arguments: str, check: bool = True, text_in: str | None = None) -> str:
        """Run ``vonggac`` with the data directory; return what it printed."""
        return run("soc_api.cli", *arguments, "--data", str(self.data), check=check, text_in=text_in)

    def token(self, agency: str = "so-tai-chinh") -> str:
        answer: str = json.loads(self.run("token", "create", "--agency", agency, "--json"))["token"]
        return answer

    def user(self, name: str = "lan", role: str = "analyst") -> str:
        """Make a user with ``PASSWORD``; return the secret of the one-time codes."""
        made = self.run(
            "user", "create", name, "--role", role, "--password-stdin", "--json", text_in=PASSWORD + "\n"
        )
        secret: str = json.loads(made)["totp_secret"]
        return secret

    def client(self, secret: str, name: str = "lan") -> httpx.Client:
        """A signed-in client of the API; the caller closes it."""
        import ssl

        trust = ssl.create_default_context(cafile=str(self.authority))
        client = httpx.Client(base_url=self.web, verify=trust, timeout=20)
        answer = client.post(
            "/api/v1/session",
            json={"username": name, "password": PASSWORD, "code": pyotp.TOTP(secret).now()},
        )
        assert answer.status_code in (200, 201), answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        return client

    def _healthy(self, port: int) -> bool:
        assert self._server is not None
        if self._server.poll() is not None:
            raise AssertionError(f"vonggac serve ended:\n{self.output.read_text()[-3000:]}")
        import ssl

        try:
            trust = ssl.create_default_context(cafile=str(self.authority))
            return httpx.get(f"https://localhost:{port}/healthz", verify=trust, timeout=5).status_code == 200
        except (OSError, httpx.HTTPError):
            return False


class Agent:
    """``vonggac-agent`` with a state directory and a host root of the test's own.

    ``settings`` are further lines of its TOML file, sections included.
    """

    def __init__(self, folder: Path, stack: Stack, settings: str = "") -> None:
        folder.mkdir(parents=True)
        self.stack = stack
        self.state = folder / "state"
        self.configuration = folder / "agent.toml"
        self.configuration.write_text(
            f'[agent]\nstate_dir = "{self.state}"\nheartbeat_seconds = 2\n{settings}'
        )
        self.output = folder / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None

    def enroll(self, token: str, *, check: bool = True) -> str:
        return run(
            "agent.cli", "enroll", "--config", str(self.configuration), "--collector", self.stack.agents,
            "--token", token, check=check,
        )  # fmt: skip

    @property
    def endpoint_id(self) -> str:
        answer: str = json.loads((self.state / "identity.json").read_text())["endpoint_id"]
        return answer

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "run", "--config", str(self.configuration)],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(timeout=20)
        finally:
            self.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def run(module: str, *arguments: str, check: bool = True, text_in: str | None = None) -> str:
    """Run one of the two commands; return standard output, with standard error behind it where it failed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True, text=True, check=False, timeout=120, input=text_in,
    )  # fmt: skip
    if check:
        assert done.returncode == 0, f"{module} {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout
    return f"{done.returncode}\n{done.stdout}{done.stderr}"


def page(client: httpx.Client, path: str, **parameters: str) -> Any:
    """GET ``path`` of the API; return the JSON, failing on anything but 200."""
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
    return answer.json()

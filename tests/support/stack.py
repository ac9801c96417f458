"""The whole server and agents on loopback: the programs a user starts, with data directories of the test."""

from __future__ import annotations

import contextlib
import json
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pyotp

from soc_api import local

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "a long enough pass phrase"


class Stack(local.Server):
    """A server under ``folder`` on free ports. Start, stop and kill it as often as wished; its ports stay.

    ``settings`` are further lines of its TOML file, sections included.
    """

    def __init__(self, folder: Path, settings: str = "") -> None:
        data = folder / "data"
        local.make_data_directory(data, settings)
        self.logged = folder / "serve.log"
        super().__init__(data, self.logged)

    def start(self) -> None:
        super().start()
        try:
            self.wait_until_ready()
        except local.LocalError as error:
            raise AssertionError(f"{error}\n{self.logged.read_text()[-4000:]}") from error

    def process(self, *words: str) -> psutil.Process:
        """The child whose command line holds all ``words`` (``collector.process``, ``ingest``)."""
        for child in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile; a zombie counts as ended
                if set(words) <= set(child.cmdline()):
                    return child
        raise AssertionError(f"no process with {words}")

    def user(self, name: str = "lan", role: str = "analyst") -> str:
        """Make a user with ``PASSWORD``; return the secret of the one-time codes."""
        made = self.vonggac(
            "user", "create", name, "--role", role, "--password-stdin", "--json", text_in=PASSWORD + "\n"
        )
        secret: str = json.loads(made)["totp_secret"]
        return secret

    def client(self, secret: str, name: str = "lan") -> httpx.Client:
        """A signed-in client of the API, once a user in 30 s (a code works once); the caller closes it."""
        trust = ssl.create_default_context(cafile=str(self.authority))
        client = httpx.Client(base_url=self.web, verify=trust, timeout=20)
        answer = client.post(
            "/api/v1/session",
            json={"username": name, "password": PASSWORD, "code": pyotp.TOTP(secret).now()},
        )
        assert answer.status_code == 201, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        return client


class Agent(local.Agent):
    """An agent with a folder of the test's own; ``settings`` are further lines of its TOML file."""

    def __init__(self, folder: Path, stack: local.Server, settings: str = "") -> None:
        folder.mkdir(parents=True)
        state = folder / "state"
        configuration = folder / "agent.toml"
        configuration.write_text(f'[agent]\nstate_dir = "{state}"\nheartbeat_seconds = 2\n{settings}')
        super().__init__(configuration, state, stack.agents, folder / "agent.log")


def page(client: httpx.Client, path: str, **parameters: str) -> Any:
    """GET ``path`` of the API; return the JSON, failing on anything but 200."""
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
    return answer.json()

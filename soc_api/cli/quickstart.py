"""``vonggac quickstart``: everything on this machine, as ``make run`` starts it.

Starts ``vonggac serve`` (which prepares the data directory and prints the first administrator), loads the
agencies, enrols this machine with a one-time token, runs its agent, and keeps them together until Ctrl-C. A
second start goes on where the first stopped. Each part is the program that runs in production, started as it
would be there.
"""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from collector import settings as server_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_READY_SECONDS: Final = 120
_STOP_SECONDS: Final = 15


class StopRequested(Exception):  # noqa: N818 - a wish, not an error
    """Somebody pressed Ctrl-C or sent SIGTERM."""


@click.command(name="quickstart", short_help="run everything on this machine: what `make run` does")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("var"),
    show_default=True,
    help="the data directory",
)
@click.option(
    "--agency", default="so-thong-tin-va-truyen-thong", show_default=True, help="whose machine this one is"
)
@click.option(
    "--simulate", type=click.IntRange(0, 20_000), default=0, help="how many simulated machines to add"
)
def command(data: Path, agency: str, simulate: int) -> None:
    """Start collector and console, enrol this machine and run its agent, until Ctrl-C.

    \b
    Example:
      vonggac quickstart --data var --simulate 500
    """
    directory = server_settings.DataDirectory(data)
    settings = server_settings.load(directory)
    web = f"https://localhost:{settings.web.port}/"
    agents = f"https://127.0.0.1:{settings.ingest.port}"
    try:
        with ExitStack() as children:
            children.enter_context(_interruptible())
            server = children.enter_context(_child("server", "soc_api.cli", "serve", "--data", str(data)))
            _wait_until_ready(server, directory, (settings.web.port, settings.ingest.port))
            _vonggac(data, "agency", "builtin", "thanh-hoa")
            agent = children.enter_context(_agent(data, agents, agency))
            parts = [server, agent]
            if simulate:
                parts.append(
                    children.enter_context(
                        _child(
                            "simulator",
                            "soc_api.cli",
                            "simulate",
                            "--data",
                            str(data),
                            "--count",
                            str(simulate),
                        )
                    )
                )
            click.echo(f"\nVọng Gác: {web}   (Ctrl-C: dừng / stop)\n")
            _watch(parts)
    except StopRequested:
        click.echo("đã dừng / stopped")


class _Child:
    """A part that runs beside us. In a session of its own, so that Ctrl-C reaches only us and we stop it in
    order."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(arguments, start_new_session=True)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def _child(name: str, module: str, *arguments: str) -> Iterator[_Child]:
    child = _Child(name, [sys.executable, "-m", module, *arguments])
    try:
        yield child
    finally:
        child.stop()


@contextmanager
def _agent(data: Path, collector: str, agency: str) -> Iterator[_Child]:
    """This machine's agent, enrolled first where it is not yet."""
    state = data / "agent"
    configuration = data / "agent.toml"
    if not configuration.exists():
        configuration.write_text(
            f"[agent]\nstate_dir = {json.dumps(str(state.resolve()))}\n", encoding="utf-8"
        )
    if not (state / "identity.json").exists():
        token = json.loads(_vonggac(data, "token", "create", "--agency", agency, "--json"))["token"]
        _run(
            "agent.cli", "enroll", "--config", str(configuration), "--collector", collector, "--token", token
        )
    with _child("agent", "agent.cli", "run", "--config", str(configuration)) as child:
        yield child


def _vonggac(data: Path, *arguments: str) -> str:
    return _run("soc_api.cli", *arguments, "--data", str(data))


def _run(module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    if done.returncode != 0:
        raise click.ClickException(done.stderr.strip() or f"{module} {arguments[0]} failed")
    return done.stdout


def _wait_until_ready(server: _Child, directory: server_settings.DataDirectory, ports: Sequence[int]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    waiting = list(ports)
    while waiting:
        if server.process.poll() is not None:
            raise click.ClickException("the server did not start; what it said stands above")
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"no answer on port {waiting[0]} after {_READY_SECONDS} s; see {directory.logs}"
            )
        if _healthy(directory.ca / "ca.crt", waiting[0]):
            waiting.pop(0)
        else:
            time.sleep(0.2)


def _healthy(authority: Path, port: int) -> bool:
    try:
        trust = ssl.create_default_context(cafile=str(authority))
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", context=trust, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _watch(parts: Sequence[_Child]) -> None:
    """Return never; raise when a part that should run ends."""
    while True:
        for part in parts:
            code = part.process.poll()
            if code is not None:
                raise click.ClickException(
                    f"{part.name} ended by itself with exit code {code}; stopping the rest"
                )
        time.sleep(0.5)


@contextmanager
def _interruptible() -> Iterator[None]:
    def stop(_signal: int, _frame: object) -> None:
        raise StopRequested

    before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)

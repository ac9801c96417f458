"""``vonggac quickstart``: everything on this machine, as ``make run`` starts it.

Starts ``vonggac serve`` (which prepares the data directory and prints the first administrator), loads the agencies,
enrols this machine with a one-time token, runs its agent, and keeps them together until Ctrl-C. A second start
goes on where the first stopped.
"""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from collector import locks
from collector.serving import demand_free
from collector.settings import DataDirectory
from soc_api.local import Agent, LocalError, Part, Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class StopRequested(Exception):  # noqa: N818 - a wish, not an error
    """Somebody pressed Ctrl-C or sent SIGTERM."""


@click.command(name="quickstart", short_help="Run everything on this machine: what `make run` does.")
@click.option("--data", type=click.Path(path_type=Path), default=Path("var"), show_default=True)
@click.option(
    "--agency", default="so-thong-tin-va-truyen-thong", show_default=True, help="Whose machine this one is."
)
@click.option("--simulate", type=click.IntRange(0, 20_000), default=0, help="Simulated machines to add.")
def command(data: Path, agency: str, simulate: int) -> None:
    """Start collector and console, enrol this machine and run its agent, until Ctrl-C.

    \b
    Example:
      vonggac quickstart --data var --simulate 500
    """
    directory = DataDirectory(data)
    directory.create()
    logs = directory.logs
    server = Server(data, logs / "server.log")
    agent = _agent(directory, server)
    simulator = Part(
        "simulator",
        ["soc_api.cli", "simulate", "--data", str(data), "--count", str(simulate)],
        logs / "simulator.log",
    )
    parts: list[Part] = [server, agent, *([simulator] if simulate else [])]
    try:
        with ExitStack() as running:
            running.enter_context(_interruptible())
            running.enter_context(locks.hold(directory.run / "quickstart.lock", f"`make run` on {data}"))
            for port in (server.web_port, server.agents_port):
                demand_free("127.0.0.1", port)
            for part in parts:
                if part is agent and not agent.is_enrolled:
                    agent.enroll(server.token(agency))
                running.callback(part.stop)
                part.start()
                if part is server:
                    server.wait_until_ready()
                    server.vonggac("agency", "builtin", "thanh-hoa")
            click.echo(f"\nVọng Gác: {server.web}/   (Ctrl-C: dừng / stop)")
            click.echo(f"SHA-256 của chứng thư / of the certificate: {fingerprint(directory)}")
            click.echo(f"Nhật ký / logs: {logs}\n")
            _watch(parts)
    except StopRequested:
        click.echo("đã dừng / stopped")
    except LocalError as error:
        raise click.ClickException(str(error)) from error


def fingerprint(directory: DataDirectory) -> str:
    """The server certificate's (the first in its file), in the form that browsers show."""
    certificate = x509.load_pem_x509_certificate((directory.ca / "server.crt").read_bytes())
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _agent(directory: DataDirectory, server: Server) -> Agent:
    """This machine's agent; its settings file is written once and then left alone."""
    state = directory.root / "agent"
    configuration = directory.root / "agent.toml"
    if not configuration.exists():
        configuration.write_text(f"[agent]\nstate_dir = {json.dumps(str(state))}\n", encoding="utf-8")
    return Agent(configuration, state, server.agents, directory.logs / "agent.log")


def _watch(parts: Sequence[Part]) -> None:
    """Return never; raise when a part that should run ends."""
    while True:
        for part in parts:
            if (code := part.exit_code()) is not None:
                raise LocalError(
                    f"{part.name} ended by itself with exit code {code}; the rest is stopped: {part.last_words()}"
                )
        time.sleep(0.5)


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first signal stops; further ones (an impatient Ctrl-C) must not cut the stopping short and leave parts
    behind. SIGHUP comes where the terminal is closed."""
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_signal: int, _frame: object) -> None:
        for kind in kinds:
            signal.signal(kind, signal.SIG_IGN)
        raise StopRequested

    before = {kind: signal.signal(kind, stop) for kind in kinds}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)

"""``vonggac simulate``: simulated endpoints through the real protocol, and removing them with all that came
of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from agent.messages import TokenParts
from collector import locks
from collector.detect.checkpoints import load_places
from collector.files import write_file
from collector.logging import set_up
from collector.probes import https_probe
from collector.registry import service as registry
from collector.state.base import utcnow
from collector.state.scope import EVERYTHING
from collector.supervisor import Supervisor
from soc_api import simulation
from soc_api.cli._place import Place, actor, as_json, echo_json, with_place
from soc_api.cli._shares import shares
from soc_api.events_here import with_events
from soc_api.system.service import first_waiting, last_log_offset
from soc_api.tokens import service as tokens

if TYPE_CHECKING:
    from pathlib import Path

    from collector.state.database import StateStore

_SIMULATOR: Final = [sys.executable, "-m", "agent.simulator"]
_TOKEN_HOURS: Final = 24
_RUNNING: Final = "`make run SIMULATE=…` or `vonggac simulate`, whose terminal takes Ctrl-C,"
_DRAIN_SECONDS: Final = 20.0


@click.command(short_help="simulated endpoints, or removing them")
@click.option(
    "--count", type=click.IntRange(1, 20_000), help="How many, over all agencies by their officials."
)
@click.option("--remove", is_flag=True, help="Remove all of them, with their alerts, devices and events.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another number, another province.")
@click.option("--mix", metavar="NAME", help="What happens in it; `--mixes` says which there are.")
@click.option("--mixes", is_flag=True, help="Say which mixes there are.")
@as_json
@with_place
def command(
    place: Place,
    count: int | None,
    remove: bool,
    seed: int,
    mix: str | None,
    mixes: bool,
    as_json: bool,
) -> None:
    """Run simulated endpoints against this machine's collector until Ctrl-C, or remove them.

    They enrol, keep certificates and report through the real protocol, and are marked as simulated
    everywhere. A second start goes on with the same ones.

    \b
    Examples:
      vonggac simulate --count 500
      vonggac simulate --count 10000 --mix worm_outbreak
      vonggac simulate --mixes
      vonggac simulate --remove
    """
    if (remove, count is not None, mixes).count(True) != 1:
        raise click.UsageError("say one of --count N, --mixes and --remove")
    known = _mixes() if mixes or mix is not None else {}
    if mixes:
        _say_mixes(known, as_json)
        return
    if mix is not None and mix not in known:
        raise click.UsageError(f"no mix is called {mix!r}; there are: {', '.join(known)}")
    place.demand()
    if remove:
        _remove(place, as_json)
    else:
        _run(place, count or 0, seed, mix)


def _mixes() -> dict[str, str]:
    """Name and summary of each, as the simulator says them."""
    said = subprocess.run([*_SIMULATOR, "--mixes"], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(said.stdout)
    return found


def _say_mixes(known: dict[str, str], as_json: bool) -> None:
    if as_json:
        echo_json(known)
        return
    for name, summary in known.items():
        click.echo(f"{name:15} {summary}")


def _folder(place: Place) -> Path:
    return place.data.root / "simulated"


def _run(place: Place, count: int, seed: int, mix: str | None) -> None:
    host, port = place.settings.ingest.host, place.settings.ingest.port
    if not https_probe(host, port, place.data.ca / "ca.crt")():
        raise click.ClickException(f"nothing answers on port {port}: start with `vonggac serve` first")
    folder = _folder(place)
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "tokens.jsonl"
    with place.state() as state:
        lines = _tokens(place, state, _usable(state, file), count)
    write_file(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode(), 0o600)
    if len(lines) > count:
        click.echo(f"{len(lines)} are there already: remove them first to have fewer", err=True)
    click.echo(f"{len(lines)} simulated endpoints; Ctrl-C stops them, `--remove` removes them", err=True)
    set_up("simulate")
    address = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared
    command_line = [*_SIMULATOR, "--collector", f"https://{address}:{port}"]
    command_line += ["--tokens", str(file), "--state", str(folder), "--seed", str(seed)]
    command_line += ["--mix", mix] if mix is not None else []
    Supervisor({"simulator": command_line}, lock=_lock(place), name=_RUNNING).run()


def _usable(state: StateStore, file: Path) -> list[dict[str, str]]:
    """The lines of the run before whose tokens still mean something: spent on an endpoint, or to be spent."""
    try:
        lines: list[dict[str, str]] = [json.loads(line) for line in file.read_text().splitlines()]
    except FileNotFoundError:
        return []
    now = utcnow()
    with state.read() as session:
        known = {
            token.id
            for token in tokens.list_tokens(session, EVERYTHING, now=now)
            if token.simulated and (token.used_by is not None or token.expires_at > now)
        }
    return [line for line in lines if TokenParts.decode(line["token"]).id in known]


def _tokens(place: Place, state: StateStore, lines: list[dict[str, str]], count: int) -> list[dict[str, str]]:
    """``lines``, and tokens for what is missing to ``count``, spread over the agencies by their officials."""
    digest, now = tokens.authority_digest(place.data.ca), utcnow()
    with state.write() as session:
        today = now.date()
        agencies = {
            agency.id: agency
            for agency in registry.list_agencies(session, EVERYTHING)
            if agency.valid_to is None or agency.valid_to >= today
        }
        agencies = agencies or {a.id: a for a in registry.list_agencies(session, EVERYTHING)}
        if not agencies:
            raise click.ClickException("there are no agencies yet: `vonggac agency builtin thanh-hoa`")
        wanted = shares(count, {key: agency.officials or 0 for key, agency in agencies.items()})
        made = list(lines)
        for key, agency in agencies.items():
            missing = wanted[key] - sum(line["agency_code"] == agency.code for line in lines)
            if missing <= 0 or len(made) >= count:
                continue
            texts = tokens.create_tokens(
                session,
                agency,
                count=missing,
                lifetime=timedelta(hours=_TOKEN_HOURS),
                simulated=True,
                actor=actor(),
                now=now,
                ca_sha256=digest,
            )
            made += [
                {"token": text, "agency_code": agency.code, "agency_name": agency.name} for text in texts
            ]
    return made


def _remove(place: Place, as_json: bool) -> None:
    with locks.hold(_lock(place), _RUNNING), place.state() as state:
        with state.write() as session:
            removed = simulation.remove(session, actor(), utcnow())
        _wait_for_worker(place, state)
        events = with_events(
            place.data, lambda client: client.forget_simulated(), lambda e: e.forget_simulated()
        )
        shutil.rmtree(_folder(place), ignore_errors=True)
    counts: dict[str, Any] = {**asdict(removed), "events_and_metrics": events}
    if as_json:
        echo_json(counts)
    else:
        click.echo(
            "removed: " + ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
        )


def _wait_for_worker(place: Place, state: StateStore) -> None:
    """Let the worker pass what is still in the log, so that nothing simulated arrives after the removal."""
    last = last_log_offset(place.settings, place.data) or 0
    deadline = time.monotonic() + _DRAIN_SECONDS
    probe = https_probe(place.settings.ingest.host, place.settings.ingest.port, place.data.ca / "ca.crt")
    while probe() and time.monotonic() < deadline:
        with state.read() as session:
            positions = {partition: at.log_offset for partition, at in load_places(session).items()}
        if (first_waiting(place.settings, place.data, positions) or last + 1) > last:
            return
        time.sleep(0.2)


def _lock(place: Place) -> Path:
    return place.data.run / "simulate.lock"

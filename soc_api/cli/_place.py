"""What commands share: the data directory and settings, the state store, output for people and for
programs."""

from __future__ import annotations

import getpass
import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from collector import settings as server_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collector.state.database import StateStore

DEFAULT_DATA: Final = Path("var")
#: Asia/Ho_Chi_Minh has no summer time.
LOCAL: Final = timezone(timedelta(hours=7))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command works."""

    data: server_settings.DataDirectory
    config: Path | None
    settings: server_settings.Settings

    def demand(self) -> None:
        """Raise :class:`click.ClickException` where there is no data directory yet."""
        from collector.state.database import is_made

        if not is_made(self.settings, self.data):
            raise click.ClickException(
                f"{self.data.root} is not a data directory: name another with --data,"
                f" or make it with `vonggac serve --data {self.data.root}`"
            )

    @contextmanager
    def state(self) -> Iterator[StateStore]:
        """The state store of an existing data directory, closed afterwards."""
        from collector.state.database import open_state

        self.demand()
        store = open_state(self.settings, self.data)
        try:
            yield store
        finally:
            store.close()

    def arguments(self) -> list[str]:
        """``--data`` and ``--config`` for a child process."""
        config = [] if self.config is None else ["--config", str(self.config)]
        return ["--data", str(self.data.root), *config]


def with_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options ``--data`` and ``--config``; the command gets a :class:`Place` as ``place``."""

    def call(data: Path, config: Path | None, **arguments: Any) -> Any:
        directory = server_settings.DataDirectory(data)
        settings = server_settings.load(directory, config)
        return function(place=Place(directory, config, settings), **arguments)

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]  # click's own
    wrapped = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="VONGGAC_CONFIG",
        help="The settings file, if not vonggac.toml in the data directory.",
    )(call)
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="VONGGAC_DATA",
        default=DEFAULT_DATA,
        show_default=True,
        help="The data directory.",
    )(wrapped)


as_json = click.option("--json", "as_json", is_flag=True, help="For programs: JSON on standard output.")


def actor() -> str:
    """Who uses the command line, for the audit log."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"


def echo_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def table(head: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Aligned columns, hostile text made harmless for a terminal; ``empty`` where there are no rows."""
    from soc_api.accounts.audit import encode

    if not rows:
        click.echo(empty)
        return
    cells = [list(head), *([str(encode(_shown(cell))) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def shown_time(time: datetime | None) -> str:
    """As people here write it: dd/MM/yyyy HH:mm, Indochina time."""
    return "–" if time is None else time.astimezone(LOCAL).strftime("%d/%m/%Y %H:%M")


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return shown_time(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _plain(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

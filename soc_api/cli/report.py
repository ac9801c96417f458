"""``vonggac report``: official documents from the command line."""

from __future__ import annotations

from pathlib import Path

import click

from agent.settings_file import SettingsError
from collector.errors import CollectorError
from collector.settings import DataDirectory, load
from collector.state.base import utcnow
from collector.state.database import StateStore
from collector.state.scope import EVERYTHING
from soc_api.i18n import LANGUAGES
from soc_api.reports.errors import ReportError
from soc_api.reports.service import ALL_AGENCIES, FORMATS, coverage_report, render


@click.group(name="report", short_help="Make reports whose percentages can be traced to single machines.")
def group() -> None:
    """Make reports whose percentages can be traced to single machines."""


@group.command(short_help="Who is protected, of how many, and the list behind it.")
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path("var"), show_default=True, help="Data directory."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Settings file instead of DATA/vonggac.toml.",
)
@click.option(
    "--agency",
    default=ALL_AGENCIES,
    show_default=True,
    metavar="CODE|all",
    help="One agency by its code, or all.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="docx", show_default=True)
@click.option("--lang", type=click.Choice(LANGUAGES), default="vi", show_default=True)
@click.option(
    "--number", type=click.IntRange(1, 99_999), help="The document's number in the office's register."
)
@click.option(
    "--include-simulated", is_flag=True, help="Count simulated machines too; the report says so on its face."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    required=True,
    help="The file to write; - for standard output.",
)
def coverage(
    data: Path,
    config: Path | None,
    agency: str,
    form: str,
    lang: str,
    number: int | None,
    include_simulated: bool,
    output: Path,
) -> None:
    """The coverage report: the percentage, its denominator, and every machine behind it.

    \b
    Examples:
      vonggac report coverage --agency all --format docx --output bao-cao.docx
      vonggac report coverage --agency so-tai-chinh --format json --output -
    """
    directory = DataDirectory(data)
    if not directory.state.exists():
        raise click.ClickException(f"{data} holds no data: start `vonggac serve --data {data}` first")
    try:
        settings = load(directory, config)
        store = StateStore(directory.state)
        try:
            with store.read() as session:
                report = coverage_report(
                    session,
                    EVERYTHING,
                    settings.coverage,
                    utcnow(),
                    agency_code=agency,
                    include_simulated=include_simulated,
                )
        finally:
            store.close()
        content = render(report, settings.report, form, lang, number)  # type: ignore[arg-type]  # click.Choice checked it
        with click.open_file(str(output), "wb", atomic=str(output) != "-") as file:
            file.write(content)
    except (CollectorError, ReportError, SettingsError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{output}: cannot be written: {error.strerror}") from error
    total = report.ledger.total
    click.echo(f"{output}: {total.protected} / {total.known}", err=True)

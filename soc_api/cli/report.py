"""``vonggac report``: official documents from the command line."""

from __future__ import annotations

import click

from collector.state.base import utcnow
from collector.state.scope import EVERYTHING
from soc_api.accounts import audit
from soc_api.cli._place import Place, actor, with_place
from soc_api.i18n import LANGUAGES
from soc_api.reports.errors import ReportError
from soc_api.reports.service import ALL_AGENCIES, FORMATS, Format, coverage_report, render


@click.group(name="report", short_help="official reports, traceable to single machines")
def group() -> None:
    """Make reports whose percentages can be traced to single machines.

    \b
    Example:
      vonggac report coverage --agency all --format docx --output bao-cao.docx
    """


@group.command(short_help="who is protected, of how many, and the list behind it")
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
    type=click.Path(dir_okay=False, allow_dash=True),
    required=True,
    help="The file to write; - for standard output.",
)
@with_place
def coverage(
    place: Place,
    agency: str,
    form: Format,
    lang: str,
    number: int | None,
    include_simulated: bool,
    output: str,
) -> None:
    """The coverage report: the percentage, its denominator, and every machine behind it.

    \b
    Examples:
      vonggac report coverage --agency all --format docx --output bao-cao.docx
      vonggac report coverage --agency so-tai-chinh --format json --output -
    """
    now = utcnow()
    with place.state() as state:
        with state.read() as session:
            report = coverage_report(
                session,
                EVERYTHING,
                place.settings.coverage,
                now,
                agency_code=agency,
                include_simulated=include_simulated,
            )
        try:
            content = render(report, place.settings.report, form, lang, number)
        except ReportError as error:
            raise click.ClickException(str(error)) from error
        with click.open_file(output, "wb", atomic=output != "-") as file:
            file.write(content)
        with state.write() as session:
            target = report.scope_code or ALL_AGENCIES
            audit.record(
                session, now, actor(), "report.coverage", target, format=form, simulated=include_simulated
            )
    if output != "-":
        total = report.ledger.total
        click.echo(f"{output}: {total.protected} of {total.known} known machines are protected", err=True)

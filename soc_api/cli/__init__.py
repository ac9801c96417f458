"""``vonggac``: one module a command, found by its name. Exit status 0: done; 1: it failed or found something
wrong (one line says what to do); 2: wrong usage; 78: ``serve`` cannot start, and would not with another try."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable


class CannotServe(click.ClickException):
    """``serve`` cannot start, and trying again would not help (``collector.process.CANNOT_START``)."""

    exit_code = 78


class _Commands(click.Group):
    """The modules of this package that have a ``command`` or a ``group``; each is imported when it is asked
    for.

    Expected errors become one line on standard error and exit status 1; only a bug shows a traceback.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(
            module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name}")
        found: click.Command = getattr(module, "group", None) or module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each with the first line of its module, read without importing: help should not take seconds."""
        rows = [(name, _first_line(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return one_line_errors(lambda: super(_Commands, self).invoke(ctx))
        except click.ClickException as error:
            if ctx.invoked_subcommand == "serve" and _is_final(error.__cause__):
                raise CannotServe(error.message) from error.__cause__
            raise


def _is_final(cause: BaseException | None) -> bool:
    """Whether a service manager need not start ``serve`` again: wrong settings, a taken port, a damaged directory."""
    from agent.settings_file import SettingsError
    from collector.errors import CollectorError
    from collector.locks import AlreadyRunningError
    from collector.log.errors import LogError
    from collector.state.postgres import StateAwayError

    passing = (AlreadyRunningError, LogError, StateAwayError)
    return isinstance(cause, (SettingsError, CollectorError)) and not isinstance(cause, passing)


def _first_line(name: str) -> str:
    """``why`` of a module that begins with the docstring ````vonggac name``: why.``"""
    here = Path(__file__).parent
    path = here / name / "__init__.py" if (here / name).is_dir() else here / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(text.partition("\n\n")[0].split()).partition(": ")[2].rstrip(".")


def one_line_errors(work: Callable[[], Any]) -> Any:
    """Run ``work``; what it may expect to go wrong is raised again as :class:`click.ClickException`."""
    from sqlalchemy.exc import DBAPIError

    from agent.settings_file import SettingsError
    from collector.errors import CollectorError
    from rules.engine.errors import RuleError
    from soc_api.errors import SocError

    try:
        return work()
    except (SettingsError, CollectorError, SocError, RuleError) as error:
        raise click.ClickException(str(error)) from error
    except DBAPIError as error:
        reason = str(error.orig or error).splitlines()[0]
        raise click.ClickException(f"the state store: {reason}: run `vonggac doctor`") from error
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{place}{error.strerror or error}") from error


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Each command has --help with an example.",
)
@click.version_option(package_name="vonggac", prog_name="vonggac")
def main() -> None:
    """Vọng Gác: watches a province's computers, and runs its security operations centre."""

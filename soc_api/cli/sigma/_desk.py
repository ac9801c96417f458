"""What the commands about single rules share: the rules of a data directory, and waiting for the worker."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from collector import locks
from collector.errors import CollectorError
from collector.state.base import utcnow
from soc_api.cli._place import Place, actor, echo_json, shown_time
from soc_api.rulebook.service import RuleDesk, Who
from soc_api.services import live_book

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAIT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1


@contextmanager
def desk(place: Place) -> Iterator[RuleDesk]:
    """The rules of an existing data directory."""
    with place.state() as state:
        yield RuleDesk(state, live_book(place.data, place.settings, state, "cli"), utcnow, Who(actor()))


def find(rules: RuleDesk, name: str) -> str:
    """A rule's id from its id, its name, or the beginning of its id where only one has it."""
    book = rules.live.book
    if name in book:
        return name
    named = book.named(name)
    if named is not None:
        return named.id
    begun = [rule_id for rule_id in book if len(name) >= 4 and rule_id.startswith(name.lower())]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise CollectorError(f"{len(begun)} rules begin with {name}: give more of the id")
    raise CollectorError(f"there is no rule {name}: `vonggac sigma list --text WORD` finds one")


def tell(place: Place, rules: RuleDesk, rule_id: str, what: str, as_json: bool, **more: Any) -> None:
    """Say what was done, once the worker has taken note of it; exit 1 where it refused."""
    change = _applied(place, rules, rule_id)
    running = change is not None and change.applied_at is not None
    refused = change.refused if change is not None else ""
    if as_json:
        applied_at = change.applied_at if change is not None else None
        echo_json({"rule": rule_id, "done": what, **more, "applied_at": applied_at, "refused": refused})
    elif refused:
        line = f"line {change.refused_line}: " if change is not None and change.refused_line else ""
        click.echo(f"{what}, but the worker does not take it: {line}{refused}", err=True)
    elif running:
        assert change is not None  # noqa: S101 - it runs
        click.echo(f"{what}; taken by the worker at {shown_time(change.applied_at)}")
    else:
        click.echo(f"{what}; no worker runs here now: it is taken when one does")
    if refused:
        raise click.exceptions.Exit(1)


def _applied(place: Place, rules: RuleDesk, rule_id: str) -> Any:
    """The rule's last change, waited for as long as a worker runs here that could take it."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        change = rules.applied(rule_id)
        if change is None or change.applied_at is not None or time.monotonic() > deadline:
            return change
        if not any(locks.is_held(path) for path in place.data.run.glob("detect-*.lock")):
            return change
        time.sleep(_LOOK_SECONDS)

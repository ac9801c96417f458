"""Why the event store could not do what it was asked."""

from __future__ import annotations

from clickhouse_connect.driver.exceptions import OperationalError

from collector.errors import CollectorError


class StoreError(CollectorError):
    """The event store refused or failed; ``str()`` is its own sentence."""


class StoreUnavailableError(StoreError):
    """Nobody answers on the store's socket, or it does not answer in time. Trying again later is right."""


class FencedError(StoreError):
    """Somebody with a higher epoch has taken over a partition that the rows belong to: whoever asked has lost its lease
    and must not write to it any more.
    """


class QueryError(StoreError):
    """The query itself is wrong or too large (time, rows); the same one will fail again."""


def store_error(error: Exception) -> StoreError:
    """What the driver raised, as ours: a server that does not answer is worth another try."""
    kind = StoreUnavailableError if isinstance(error, OperationalError) else StoreError
    return kind(first_line(error))


def first_line(error: Exception) -> str:
    """What the engine says, without its stack."""
    return (str(error).splitlines() or [type(error).__name__])[0][:1000]

"""Insert-or-replace by key, in the dialect at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from collector.state.base import Base


def upsert(
    session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], key: Sequence[str]
) -> None:
    """Insert ``rows`` (all with the same columns), or replace those columns where ``key`` is there already.

    Rows must differ in ``key``.
    """
    if not rows:
        return
    insert = (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert
    statement = insert(table)
    values = {column: statement.excluded[column] for column in rows[0] if column not in key}
    statement = (
        statement.on_conflict_do_update(index_elements=list(key), set_=values)
        if values
        else statement.on_conflict_do_nothing(index_elements=list(key))
    )
    session.execute(statement, [dict(row) for row in rows])

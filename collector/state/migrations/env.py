"""Alembic's environment: always called through ``collector.state.migrate``, which passes the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from alembic import context

from collector.state import tables as _tables  # noqa: F401 - fills the metadata
from collector.state.base import Base, Text, UtcDateTime

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


def _render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Migrations are history: they must not import types that may change."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Text):
        return 'sa.String().with_variant(sa.String(collation="C"), "postgresql")'
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite's is, since we say BEGIN ourselves
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()

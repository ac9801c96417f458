"""past one machine

Revision: 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _widen_integers()
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("epoch", _LONG, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "handover",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("partition", _LONG, nullable=False),
        sa.Column("log_offset", _LONG, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handover")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "process_health",
        sa.Column("process", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", _LONG, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_process_health")),
    )
    op.create_table(
        "watch_state",
        sa.Column("concern", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("concern", "subject", name=op.f("pk_watch_state")),
    )
    op.create_table(
        "source_activity",
        sa.Column("agency_id", _LONG, autoincrement=False, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hours", _LONG, nullable=False),
        sa.Column("events", _LONG, nullable=False),
        sa.PrimaryKeyConstraint("agency_id", "source", name=op.f("pk_source_activity")),
    )


def _widen_integers() -> None:
    """PostgreSQL's INTEGER ends at 2,147,483,647, which numbers from outside and those of a long life exceed."""
    connection = op.get_bind()
    columns = connection.execute(
        sa.text(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND data_type = 'integer' ORDER BY 1, 2"
        )
    )
    for table, column in columns.all():
        op.alter_column(table, column, type_=sa.BigInteger())
    sequences = connection.execute(
        sa.text("SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema() ORDER BY 1")
    )
    quote = connection.dialect.identifier_preparer.quote
    for (name,) in sequences.all():
        op.execute(f"ALTER SEQUENCE {quote(name)} AS bigint")


def downgrade() -> None:
    op.drop_table("source_activity")
    op.drop_table("watch_state")
    op.drop_table("process_health")
    op.drop_table("handover")
    op.drop_table("lease")

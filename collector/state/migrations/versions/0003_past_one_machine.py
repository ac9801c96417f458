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

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _settle_types()
    op.create_table(
        "installation",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation")),
    )
    op.create_table(
        "lease",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("owner", _TEXT, nullable=False),
        sa.Column("epoch", _LONG, nullable=False),
        sa.Column("renewals", _LONG, nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "handover",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("partition", _LONG, nullable=False),
        sa.Column("log_offset", _LONG, nullable=False),
        sa.Column("taken", _LONG, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handover")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_handover_taken_log_offset"), "handover", ["taken", "log_offset"])
    op.add_column("checkpoint", sa.Column("received_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "process_health",
        sa.Column("process", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("host", _TEXT, nullable=False),
        sa.Column("pid", _LONG, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_process_health")),
    )
    op.create_table(
        "watch_state",
        sa.Column("concern", _TEXT, nullable=False),
        sa.Column("subject", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("concern", "subject", name=op.f("pk_watch_state")),
    )
    op.create_table(
        "source_activity",
        sa.Column("agency_id", _LONG, autoincrement=False, nullable=False),
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hours", _LONG, nullable=False),
        sa.Column("longest_gap_seconds", sa.Double(), nullable=False),
        sa.Column("events", _LONG, nullable=False),
        sa.PrimaryKeyConstraint("agency_id", "source", name=op.f("pk_source_activity")),
    )
    op.create_table(
        "throttled",
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("refusals", _LONG, nullable=False),
        sa.Column("refused_bytes", _LONG, nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["endpoint.id"],
            name=op.f("fk_throttled_endpoint_id_endpoint"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_throttled")),
    )


def _settle_types() -> None:
    """What SQLite's types are and PostgreSQL's of the same name are not: INTEGER ends at 2,147,483,647 there, which
    numbers from outside and of a long life exceed; text is sorted by a locale that changes with the system."""
    connection = op.get_bind()
    columns = connection.execute(
        sa.text(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema ="
            " current_schema() AND data_type IN ('integer', 'character varying') AND table_name <> 'alembic_version'"
            " ORDER BY 1, 2"
        )
    )
    for table, column, present in columns.all():
        wanted = sa.BigInteger() if present == "integer" else sa.String(collation="C")
        op.alter_column(table, column, type_=wanted)
    sequences = connection.execute(
        sa.text("SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema() ORDER BY 1")
    )
    quote = connection.dialect.identifier_preparer.quote
    for (name,) in sequences.all():
        op.execute(f"ALTER SEQUENCE {quote(name)} AS bigint")


def downgrade() -> None:
    op.drop_table("throttled")
    op.drop_table("source_activity")
    op.drop_table("watch_state")
    op.drop_table("process_health")
    with op.batch_alter_table("checkpoint", schema=None) as batch_op:
        batch_op.drop_column("received_at")
    op.drop_table("handover")
    op.drop_table("lease")
    op.drop_table("installation")

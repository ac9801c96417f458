"""sources of syslog, and backups

Revision: 0012, after 0011.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "log_source",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("agency_id", _LONG, nullable=False),
        sa.Column("address", _TEXT, nullable=False),
        sa.Column("probe_id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("hostname", _TEXT, nullable=False),
        sa.Column("transport", _TEXT, nullable=False),
        sa.Column("certificate", _TEXT, nullable=False),
        sa.Column("product", _TEXT, nullable=False),
        sa.Column("standing", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("state_since", _TIME, nullable=False),
        sa.Column("expected_seconds", sa.Double(), nullable=True),
        sa.Column("first_seen_at", _TIME, nullable=True),
        sa.Column("last_seen_at", _TIME, nullable=True),
        sa.Column("hours", _LONG, nullable=False),
        sa.Column("longest_gap_seconds", sa.Double(), nullable=False),
        sa.Column("messages", _LONG, nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("sampled", sa.Double(), nullable=False),
        sa.Column("known", sa.Double(), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("decided_at", _TIME, nullable=True),
        sa.Column("decided_by", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_source")),
        sa.UniqueConstraint("agency_id", "address", name=op.f("uq_log_source_agency_id_address")),
    )
    op.create_table(
        "log_source_look",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("looked_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_source_look")),
    )
    op.create_table(
        "backup_system",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("agency_id", _LONG, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("title", _TEXT, nullable=False),
        sa.Column("owner", _TEXT, nullable=False),
        sa.Column("interval_seconds", sa.Double(), nullable=False),
        sa.Column("restore_seconds", sa.Double(), nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("restore_state", _TEXT, nullable=False),
        sa.Column("state_since", _TIME, nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("made_by", _TEXT, nullable=False),
        sa.Column("retired_at", _TIME, nullable=True),
        sa.Column("retired_by", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["agency_id"], ["agency.id"], name=op.f("fk_backup_system_agency_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_system")),
        sa.UniqueConstraint("name", name=op.f("uq_backup_system_name")),
    )
    op.create_index(op.f("ix_backup_system_agency_id"), "backup_system", ["agency_id"])
    op.create_table(
        "backup_record",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("system_id", _LONG, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("by", _TEXT, nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("nonce", _TEXT, nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["system_id"],
            ["backup_system.id"],
            name=op.f("fk_backup_record_system_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_record")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_backup_record_system_id_kind_at"), "backup_record", ["system_id", "kind", "at"])
    op.create_index(op.f("ix_backup_record_system_id_nonce"), "backup_record", ["system_id", "nonce"])


def downgrade() -> None:
    for table in ("backup_record", "backup_system", "log_source_look", "log_source"):
        op.drop_table(table)

"""who a machine is

Revision: 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "endpoint_evidence",
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        _of_endpoint("endpoint_evidence", "endpoint_id"),
        sa.PrimaryKeyConstraint("endpoint_id", "kind", "value", name=op.f("pk_endpoint_evidence")),
    )
    op.create_index(op.f("ix_endpoint_evidence_kind_value"), "endpoint_evidence", ["kind", "value"])

    op.create_table(
        "endpoint_origin",
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("evidence_at", _TIME, nullable=False),
        sa.Column("compared_at", _TIME, nullable=True),
        sa.Column("split_from", _TEXT, nullable=True),
        sa.Column("split_at", _TIME, nullable=True),
        sa.Column("cause", _TEXT, nullable=False),
        sa.Column("key_sha256", _TEXT, nullable=True),
        sa.Column("confirmed_at", _TIME, nullable=True),
        sa.Column("confirmed_by", _TEXT, nullable=True),
        _of_endpoint("endpoint_origin", "endpoint_id"),
        _of_endpoint("endpoint_origin", "split_from", "SET NULL"),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_endpoint_origin")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_endpoint_origin_key_sha256")),
    )
    op.create_index(op.f("ix_endpoint_origin_split_from"), "endpoint_origin", ["split_from"])
    op.create_index(
        op.f("ix_endpoint_origin_compared_at_evidence_at"), "endpoint_origin", ["compared_at", "evidence_at"]
    )

    op.create_table(
        "rekey_order",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("shared", sa.JSON(), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("asked_by", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("kept_key_sha256", _TEXT, nullable=True),
        sa.Column("kept_at", _TIME, nullable=True),
        sa.Column("closed_at", _TIME, nullable=True),
        sa.Column("closed_by", _TEXT, nullable=True),
        _of_endpoint("rekey_order", "endpoint_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rekey_order")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rekey_order_endpoint_id"), "rekey_order", ["endpoint_id"])

    op.create_table(
        "machine_link",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("older_id", _TEXT, nullable=False),
        sa.Column("newer_id", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("score", _LONG, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("decided_at", _TIME, nullable=True),
        sa.Column("decided_by", _TEXT, nullable=True),
        sa.Column("reason", _TEXT, nullable=False),
        _of_endpoint("machine_link", "older_id"),
        _of_endpoint("machine_link", "newer_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine_link")),
        sa.UniqueConstraint("older_id", "newer_id", name=op.f("uq_machine_link_older_id_newer_id")),
    )
    op.create_index(op.f("ix_machine_link_newer_id"), "machine_link", ["newer_id"])
    op.create_index(op.f("ix_machine_link_state_older_id"), "machine_link", ["state", "older_id"])

    op.create_table(
        "identity_note",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        _of_endpoint("identity_note", "endpoint_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_note")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_identity_note_endpoint_id"), "identity_note", ["endpoint_id"])

    op.add_column("stream", sa.Column("recent", sa.LargeBinary(), nullable=True))
    op.add_column("stream", sa.Column("fork", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("stream") as stream:
        stream.drop_column("fork")
        stream.drop_column("recent")
    for table in ("identity_note", "machine_link", "rekey_order", "endpoint_origin", "endpoint_evidence"):
        op.drop_table(table)


def _of_endpoint(table: str, column: str, ondelete: str = "CASCADE") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], ["endpoint.id"], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete
    )

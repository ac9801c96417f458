"""releases of the agent

Revision: 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "release",
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("manifest_sha256", _TEXT, nullable=False),
        sa.Column("schema", _LONG, nullable=False),
        sa.Column("step_back", sa.Boolean(), nullable=False),
        sa.Column("size", _LONG, nullable=False),
        sa.Column("notes", _TEXT, nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("added_at", _TIME, nullable=False),
        sa.Column("added_by", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_release")),
    )
    op.create_table(
        "agency_ring",
        sa.Column("agency_id", _LONG, autoincrement=False, nullable=False),
        sa.Column("ring", _LONG, nullable=False),
        sa.ForeignKeyConstraint(
            ["agency_id"], ["agency.id"], name=op.f("fk_agency_ring_agency_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agency_id", name=op.f("pk_agency_ring")),
    )
    op.create_table(
        "endpoint_ring",
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("ring", _LONG, nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["endpoint.id"], name=op.f("fk_endpoint_ring_endpoint_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_endpoint_ring")),
    )
    op.create_table(
        "rollout",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("ring", _LONG, nullable=False),
        sa.Column("ring_since", _TIME, nullable=False),
        sa.Column("wait_seconds", sa.Double(), nullable=False),
        sa.Column("spread_seconds", sa.Double(), nullable=False),
        sa.Column("silent_seconds", sa.Double(), nullable=False),
        sa.Column("healthy_ratio", sa.Double(), nullable=False),
        sa.Column("failure_ratio", sa.Double(), nullable=False),
        sa.Column("reason", sa.JSON(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("started_by", _TEXT, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["version"], ["release.version"], name=op.f("fk_rollout_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout")),
    )
    op.create_table(
        "rollout_note",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("rollout_id", _LONG, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", _TEXT, nullable=False),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_rollout_note_rollout_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_note")),
    )
    op.create_index(op.f("ix_rollout_note_rollout_id"), "rollout_note", ["rollout_id"])


def downgrade() -> None:
    for table in ("rollout_note", "rollout", "endpoint_ring", "agency_ring", "release"):
        op.drop_table(table)

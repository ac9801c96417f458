"""settings for agents

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "settings_publication",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", _TEXT, nullable=False),
        sa.Column("comment", _TEXT, nullable=False),
        sa.Column("group", _TEXT, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("reverts_to", _LONG, nullable=True),
        sa.Column("machines", _LONG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_publication")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_settings_publication_group_key_id"), "settings_publication", ["group", "key", "id"]
    )
    op.create_table(
        "endpoint_settings",
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("number", _LONG, nullable=False),
        sa.Column("agency_id", _LONG, nullable=True),
        sa.Column("role", _TEXT, nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["endpoint.id"],
            name=op.f("fk_endpoint_settings_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_endpoint_settings")),
    )


def downgrade() -> None:
    op.drop_table("endpoint_settings")
    op.drop_table("settings_publication")

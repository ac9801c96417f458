"""switches, routers and firewalls, and how they are joined

Revision: 0011, after 0010.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "network_device",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("item", _TEXT, nullable=False),
        sa.Column("address", _TEXT, nullable=False),
        sa.Column("system_name", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("vendor", _TEXT, nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("serial_number", _TEXT, nullable=False),
        sa.Column("firmware", _TEXT, nullable=False),
        sa.Column("reachable", sa.Boolean(), nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("interfaces", _LONG, nullable=False),
        sa.Column("interfaces_up", _LONG, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["endpoint.id"],
            name=op.f("fk_network_device_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_device")),
        sa.UniqueConstraint("endpoint_id", "item", name=op.f("uq_network_device_endpoint_id_item")),
    )


def downgrade() -> None:
    op.drop_table("network_device")

"""devices and where they are

Revision: 0010, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WORDS = ("assigned_kind", "vendor", "name", "switch", "port")


def upgrade() -> None:
    for name in _WORDS:
        op.add_column("device", sa.Column(name, _TEXT, nullable=False, server_default=sa.text("''")))
    op.add_column("device", sa.Column("facts", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("device", sa.Column("placed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("device", sa.Column("unauthorised_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("device") as devices:
        for name in (*_WORDS, "facts"):
            devices.alter_column(name, server_default=None)
    op.create_table(
        "device_address",
        sa.Column("device_id", _LONG, autoincrement=False, nullable=False),
        sa.Column("ip", _TEXT, nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_address_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", "ip", name=op.f("pk_device_address")),
    )
    op.create_table(
        "device_approval",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("agency_id", _LONG, nullable=False),
        sa.Column("mac", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", _TEXT, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", _TEXT, nullable=True),
        sa.ForeignKeyConstraint(["agency_id"], ["agency.id"], name=op.f("fk_device_approval_agency_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_approval")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_device_approval_agency_id_mac"), "device_approval", ["agency_id", "mac"])


def downgrade() -> None:
    for table in ("device_approval", "device_address"):
        op.drop_table(table)
    with op.batch_alter_table("device") as devices:
        for name in (*_WORDS, "facts", "placed_at", "unauthorised_at"):
            devices.drop_column(name)

"""what an agency had from the beginning

Revision: 0015, after 0014.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
#: ``coverage.device_baseline_hours`` unless it was set.
_BASELINE: Final = timedelta(hours=24)


def upgrade() -> None:
    op.create_table(
        "device_census",
        sa.Column("agency_id", _LONG, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("full_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("many_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("many_unauthorised_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["agency_id"], ["agency.id"], name=op.f("fk_device_census_agency_id")),
        sa.PrimaryKeyConstraint("agency_id", name=op.f("pk_device_census")),
    )
    op.add_column("device", sa.Column("baseline", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("device", sa.Column("placed_by", _TEXT, nullable=False, server_default=""))
    with op.batch_alter_table("device") as devices:
        for name in ("baseline", "placed_by"):
            devices.alter_column(name, server_default=None)
    moment = sa.DateTime(timezone=True)
    device = sa.table(
        "device", sa.column("agency_id"), sa.column("first_seen_at", moment), sa.column("baseline")
    )
    oldest = sa.select(device.c.agency_id, sa.func.min(device.c.first_seen_at)).group_by(device.c.agency_id)
    for agency_id, since in op.get_bind().execute(oldest).all():
        early = sa.and_(device.c.agency_id == agency_id, device.c.first_seen_at < since + _BASELINE)
        op.execute(device.update().where(early).values(baseline=sa.true()))
    op.create_index(op.f("ix_device_agency_id_first_seen_at"), "device", ["agency_id", "first_seen_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_device_agency_id_first_seen_at"), table_name="device")
    with op.batch_alter_table("device") as devices:
        for name in ("placed_by", "baseline"):
            devices.drop_column(name)
    op.drop_table("device_census")

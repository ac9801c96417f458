"""firewalls

Revision: 0014, after 0013.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "firewall",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("agency_id", _LONG, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("address", _TEXT, nullable=False),
        sa.Column("support_until", sa.Date(), nullable=True),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("declared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("declared_by", _TEXT, nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_by", _TEXT, nullable=True),
        sa.Column("retired_reason", _TEXT, nullable=True),
        sa.ForeignKeyConstraint(["agency_id"], ["agency.id"], name=op.f("fk_firewall_agency_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firewall")),
        sa.UniqueConstraint("agency_id", "name", name=op.f("uq_firewall_agency_id_name")),
    )


def downgrade() -> None:
    op.drop_table("firewall")

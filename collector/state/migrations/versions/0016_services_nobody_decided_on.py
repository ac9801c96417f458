"""services nobody decided on

Revision: 0016, after 0015.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SAID = "nonce <> ''"


def upgrade() -> None:
    op.add_column("service", sa.Column("decided", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("service", sa.Column("seen_agency_id", _LONG, nullable=False, server_default=sa.text("0")))
    with op.batch_alter_table("service") as services:
        for name in ("decided", "seen_agency_id"):
            services.alter_column(name, server_default=None)
    service = sa.table("service", sa.column("decided"), sa.column("title_vi"), sa.column("agency_id"))
    said = sa.or_(service.c.title_vi != "", service.c.agency_id.is_not(None))
    op.execute(service.update().where(said).values(decided=sa.true()))

    # Of reports that came twice at once, the first stays.
    record = sa.table("backup_record", sa.column("id"), sa.column("system_id"), sa.column("nonce"))
    first = sa.select(sa.func.min(record.c.id)).group_by(record.c.system_id, record.c.nonce)
    op.execute(record.delete().where(record.c.nonce != "", record.c.id.not_in(first.scalar_subquery())))
    op.drop_index(op.f("ix_backup_record_system_id_nonce"), "backup_record")
    op.create_index(
        "uq_backup_record_nonce",
        "backup_record",
        ["system_id", "nonce"],
        unique=True,
        sqlite_where=sa.text(_SAID),
        postgresql_where=sa.text(_SAID),
    )


def downgrade() -> None:
    op.drop_index("uq_backup_record_nonce", "backup_record")
    op.create_index(op.f("ix_backup_record_system_id_nonce"), "backup_record", ["system_id", "nonce"])
    with op.batch_alter_table("service") as services:
        services.drop_column("seen_agency_id")
        services.drop_column("decided")

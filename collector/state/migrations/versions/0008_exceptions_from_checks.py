"""exceptions from checks, and telling of exploited vulnerabilities

Revision: 0008, after 0007.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "check_exception",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("check_set", _TEXT, nullable=False),
        sa.Column("check_id", _TEXT, nullable=False),
        sa.Column("agency_id", _LONG, nullable=True),
        sa.Column("endpoint_id", _TEXT, nullable=True),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("made_by", _TEXT, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("ended_by", _TEXT, nullable=True),
        sa.CheckConstraint(
            "(agency_id IS NULL) != (endpoint_id IS NULL)", name=op.f("ck_check_exception_of_one")
        ),
        sa.ForeignKeyConstraint(
            ["agency_id"], ["agency.id"], name=op.f("fk_check_exception_agency_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["endpoint.id"], name=op.f("fk_check_exception_endpoint_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_exception")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_check_exception_agency_id"), "check_exception", ["agency_id"])
    op.create_index(op.f("ix_check_exception_endpoint_id"), "check_exception", ["endpoint_id"])
    op.create_index(
        op.f("ix_check_exception_check_set_check_id"), "check_exception", ["check_set", "check_id"]
    )

    op.add_column(
        "endpoint_vulnerabilities", sa.Column("exploited", sa.JSON(none_as_null=True), nullable=True)
    )
    op.add_column(
        "identity_note", sa.Column("category", _TEXT, nullable=False, server_default=sa.text("'identity'"))
    )
    with op.batch_alter_table("identity_note") as notes:
        notes.alter_column("category", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("identity_note") as notes:
        notes.drop_column("category")
    with op.batch_alter_table("endpoint_vulnerabilities") as results:
        results.drop_column("exploited")
    op.drop_table("check_exception")

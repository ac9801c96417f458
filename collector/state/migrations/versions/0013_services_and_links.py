"""services and links

Revision: 0013, after 0012.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "service",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("title_vi", _TEXT, nullable=False),
        sa.Column("title_en", _TEXT, nullable=False),
        sa.Column("agency_id", _LONG, nullable=True),
        sa.Column("importance", _TEXT, nullable=False),
        sa.Column("sla_ratio", sa.Double(), nullable=False),
        sa.Column("first_seen_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["agency_id"], ["agency.id"], name=op.f("fk_service_agency_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service")),
        sa.UniqueConstraint("name", name=op.f("uq_service_name")),
    )
    op.create_table(
        "service_maintenance",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("service_id", _LONG, nullable=False),
        sa.Column("begins_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("made_by", _TEXT, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("ended_by", _TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["service_id"],
            ["service.id"],
            name=op.f("fk_service_maintenance_service_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_maintenance")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_service_maintenance_service_id"), "service_maintenance", ["service_id"])
    op.create_table(
        "service_content",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("service_id", _LONG, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("text", _TEXT, nullable=False),
        sa.Column("structure", _TEXT, nullable=False),
        sa.Column("hosts", sa.JSON(), nullable=False),
        sa.Column("title", _TEXT, nullable=False),
        sa.Column("excerpt", _TEXT, nullable=False),
        sa.Column("accepted_at", _TIME, nullable=False),
        sa.Column("accepted_by", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["service_id"], ["service.id"], name=op.f("fk_service_content_service_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_content")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_service_content_service_id"), "service_content", ["service_id"])
    op.create_table(
        "availability_span",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("subject_id", _LONG, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_availability_span")),
    )
    op.create_index(
        op.f("ix_availability_span_kind_subject_id_began_at"),
        "availability_span",
        ["kind", "subject_id", "began_at"],
    )
    op.create_index(
        op.f("uq_availability_span_open"),
        "availability_span",
        ["kind", "subject_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "availability_look",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("looked_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_availability_look")),
    )


def downgrade() -> None:
    for table in (
        "availability_look",
        "availability_span",
        "service_content",
        "service_maintenance",
        "service",
    ):
        op.drop_table(table)

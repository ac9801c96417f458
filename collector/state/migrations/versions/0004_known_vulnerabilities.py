"""known vulnerabilities

Revision: 0004, after 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "advisory",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("feed_id", _LONG, nullable=False),
        sa.Column("record_id", _TEXT, nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.Column("summary", _TEXT, nullable=False),
        sa.Column("severity", _TEXT, nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exploited_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory")),
    )
    op.create_index(op.f("ix_advisory_feed_id"), "advisory", ["feed_id"])
    op.create_index(op.f("ix_advisory_record_id_feed_id"), "advisory", ["record_id", "feed_id"])

    op.create_table(
        "advisory_package",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("advisory_id", _LONG, nullable=False),
        sa.Column("feed_id", _LONG, nullable=False),
        sa.Column("ecosystem", _TEXT, nullable=False),
        sa.Column("package", _TEXT, nullable=False),
        sa.Column("intervals", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory_package")),
    )
    op.create_index(
        op.f("ix_advisory_package_ecosystem_package"), "advisory_package", ["ecosystem", "package"]
    )
    op.create_index(op.f("ix_advisory_package_feed_id"), "advisory_package", ["feed_id"])

    op.create_table(
        "vulnerability",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("summary", _TEXT, nullable=False),
        sa.Column("severity", _TEXT, nullable=False),
        sa.Column("rank", _LONG, nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exploited_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vulnerability")),
        sa.UniqueConstraint("name", name=op.f("uq_vulnerability_name")),
    )
    op.create_table(
        "vulnerability_feed",
        sa.Column("id", _LONG, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("file", _TEXT, nullable=False),
        sa.Column("sha256", _TEXT, nullable=False),
        sa.Column("newest_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("imported_by", _TEXT, nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("records", _LONG, nullable=False),
        sa.Column("left_out", _LONG, nullable=False),
        sa.Column("refused", _LONG, nullable=False),
        sa.Column("faults", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vulnerability_feed")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("uq_vulnerability_feed_current"),
        "vulnerability_feed",
        ["name"],
        unique=True,
        sqlite_where=sa.text("state = 'current'"),
        postgresql_where=sa.text("state = 'current'"),
    )

    op.create_table(
        "vulnerability_tally",
        sa.Column("agency_id", _LONG, autoincrement=False, nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("agency_id", "simulated", name=op.f("pk_vulnerability_tally")),
    )
    op.create_table(
        "endpoint_vulnerabilities",
        sa.Column("endpoint_id", _TEXT, nullable=False),
        sa.Column("software_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("host_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("feeds", _TEXT, nullable=False),
        sa.Column("examined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.Column("affected", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["endpoint.id"],
            name=op.f("fk_endpoint_vulnerabilities_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_endpoint_vulnerabilities")),
    )
    op.create_index(
        op.f("ix_document_kind_changed_at_endpoint_id"), "document", ["kind", "changed_at", "endpoint_id"]
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_document_kind_changed_at_endpoint_id"), "document")
    for table in (
        "endpoint_vulnerabilities",
        "vulnerability_tally",
        "vulnerability_feed",
        "vulnerability",
        "advisory_package",
        "advisory",
    ):
        op.drop_table(table)

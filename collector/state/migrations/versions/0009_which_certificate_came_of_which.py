"""which certificate came of which

Revision: 0009, after 0008.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("certificate", sa.Column("key_sha256", _TEXT, nullable=True))
    op.add_column("certificate", sa.Column("renewed_from", _TEXT, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("certificate") as certificate:
        certificate.drop_column("renewed_from")
        certificate.drop_column("key_sha256")

"""The state store: what is now true, and who did what. SQLAlchemy on SQLite (WAL); migrations by Alembic."""

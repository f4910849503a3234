"""
Run by Alembic: apply migrations on the connection that `masivo_engine.ledger.upgrade` hands over.
"""

from __future__ import annotations

from alembic import context

from masivo_engine.ledger.schema import metadata


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="masivo_alembic_version",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

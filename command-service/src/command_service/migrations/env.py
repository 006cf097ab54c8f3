"""Alembic's entry: runs on the connection that `migrate` hands over, inside its transaction."""

from alembic import context

from command_service.event_store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
context.run_migrations()

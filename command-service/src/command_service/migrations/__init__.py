"""The database's schema, step by step. `migrate` brings any older one to the newest, and leaves a newer one alone."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

REVISION: Final = "0003"
"""The newest step: this code works on it and on any later one, whose migrations expand before they contract."""

_ONE_AT_A_TIME: Final = 0x53746F636B  # "Stock"


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Upgrades the schema to its newest version, or to another one. Several at once wait for each other."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
        await connection.run_sync(_upgrade, revision)


def _upgrade(connection: Connection, revision: str) -> None:
    # Here: every process asks this module for REVISION, and none but `migrate` needs a tenth more time to start.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current > REVISION:
        return  # A newer version was here, and has been taken back: its schema serves this one too.
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)

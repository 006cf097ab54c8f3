"""What loading a batch of rows costs, however many a manager has."""

from typing import Any

import asyncpg
import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from command_service.database import make_engine
from command_service.processes.rows import _LOAD
from command_service.settings import CommandSettings

from .process_support import ALERTS
from .support import Launcher

KNOWN = 20_000
WANTED = [f"inventory-{number}" for number in range(0, KNOWN, KNOWN // 40)]

FILL = """
INSERT INTO process_streams (manager, stream_id, version, state)
SELECT $1, 'inventory-' || n, 1, 'null' FROM generate_series(0, $2 - 1) AS n
"""


@pytest.mark.parametrize("is_known", [False, True], ids=["a new table", "after ANALYZE"])
async def test_rows_are_looked_up_by_key_and_no_other_row_is_read(
    launch: Launcher, sql: asyncpg.Connection, settings: CommandSettings, is_known: bool
) -> None:
    await launch()
    await sql.execute(FILL, ALERTS, KNOWN)
    if is_known:
        await sql.execute("ANALYZE process_streams")
    read = await rows_read(settings)
    assert read <= 2 * len(WANTED)


async def rows_read(settings: CommandSettings) -> int:
    """How many of the table's rows Postgres looks at to load `WANTED`, with the settings of the managers' process."""
    engine = make_engine(settings, {"enable_seqscan": "off", "jit": "off"})
    explain = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {_LOAD.text}").bindparams(
        bindparam("stream_ids", type_=ARRAY(Text))
    )
    try:
        async with engine.connect() as connection:
            found = await connection.execute(explain, {"manager": ALERTS, "stream_ids": WANTED})
            (plan,) = found.scalar_one()
    finally:
        await engine.dispose()
    looked = looked_at(plan["Plan"])
    assert looked, plan
    return sum(looked)


def looked_at(node: dict[str, Any]) -> list[int]:
    """Of every scan of the table below a plan's node: rows found and rows thrown away, over all its loops."""
    own = []
    if node.get("Relation Name") == "process_streams":
        once = sum(
            node.get(key, 0) for key in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        )
        own = [int(once * node["Actual Loops"])]
    return own + [rows for child in node.get("Plans", ()) for rows in looked_at(child)]

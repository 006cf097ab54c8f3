"""Loading a catalogue from a CSV file through the command API, as any client would.

Every row has a fixed Idempotency-Key and a fixed id, both made from what the row says: the same row is the same
command, however often it is sent, so that an import can be stopped at any row and repeated.
"""

import asyncio
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from command_service import api_client
from command_service.api_client import ImportRefused, problem_of, problem_text, refusing

REQUIRED: Final = ("sku", "name", "price")
_MORE: Final = "cells that have no name"
COLUMNS: Final = ("sku", "name", "description", "price", "category", "stock", "id")
IN_FLIGHT: Final = 16
"""Rows that are under way at once."""

RETRY_SECONDS: Final = api_client.RETRY_SECONDS
"""Seconds for which a row is tried again while the service can't be reached."""

_PIECES: Final = re.compile(r"[0-9]{1,18}")
_NAMESPACE: Final = UUID("6f1de5d3-2a55-5cf4-9a5b-6c3f8d2f7b10")


@dataclass(frozen=True, slots=True)
class Row:
    """One product of the file; `line` is where it ends, counted from 1."""

    line: int
    values: dict[str, str]
    fault: str | None = None
    """Why it can't even be sent: its cells are not those that the first line names."""

    def body(self) -> dict[str, Any]:
        """The `AddNewProduct` that the row stands for."""
        values = self.values
        stock = values.get("stock", "")
        body: dict[str, Any] = {
            "id": values.get("id") or self._made_id(),
            "name": values["name"],
            "price": values["price"],
            # What is no number is sent as it is: the service refuses it and says why.
            "initial_stock": int(stock) if _PIECES.fullmatch(stock) else stock or 0,
        }
        for name in ("sku", "description", "category"):
            if values.get(name):
                body[name] = values[name]
        return body

    def key(self) -> str:
        return f"import-{blake2b(repr(sorted(self.values.items())).encode(), digest_size=16).hexdigest()}"

    def _made_id(self) -> str:
        return str(uuid5(_NAMESPACE, self.values["sku"] or repr(sorted(self.values.items()))))


@dataclass(frozen=True, slots=True)
class Refused:
    line: int
    what: str
    why: str


def read_rows(file: Path) -> list[Row]:
    """The rows of the file.

    Raises:
        ImportRefused: it can't be read, or lacks a column.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return list(_rows(csv.DictReader(lines, restkey=_MORE, strict=True)))
    except OSError as error:
        raise ImportRefused(f"{file} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{file} is not UTF-8 (byte {error.start}).") from None
    except csv.Error as error:
        raise ImportRefused(f"{file} is not CSV: {error}.") from None


def _rows(reader: "csv.DictReader[str]") -> Iterator[Row]:
    columns = reader.fieldnames or []
    missing = [name for name in REQUIRED if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS]
    if missing or unknown:
        raise ImportRefused(
            f"The first line must name the columns {', '.join(COLUMNS[:-1])} and maybe id."
            + (f" Missing: {', '.join(missing)}." if missing else "")
            + (f" Not known: {', '.join(unknown)}." if unknown else "")
        )
    for values in reader:
        cells = {name: values.get(name) or "" for name in columns}
        if _MORE in values:
            yield Row(reader.line_num, cells, "It has more cells than the first line; put text with commas in quotes.")
        elif None in values.values():
            yield Row(reader.line_num, cells, "It has fewer cells than the first line.")
        else:
            yield Row(reader.line_num, cells)


async def import_products(file: Path, url: str, console: Console | None = None) -> list[Refused]:
    """Sends every row of `file` to the command API at `url`, and prints a report; returns the rows it refused.

    Raises:
        ImportRefused: the file can't be read, or the service can't be reached.
    """
    with refusing(url):
        return await _import(file, url, console or Console(stderr=True))


async def _import(file: Path, url: str, console: Console) -> list[Refused]:
    rows = read_rows(file)
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
    refused: list[Refused] = []
    with progress:
        task = progress.add_task(f"Importing {file.name}", total=len(rows))
        async with httpx.AsyncClient(timeout=60) as client:
            waiting = iter(rows)

            async def work() -> None:
                for row in waiting:
                    why = row.fault or await _send(client, f"{url.rstrip('/')}/products", row)
                    if why is not None:
                        refused.append(Refused(row.line, row.values.get("sku") or row.values["name"], why))
                    progress.advance(task)

            async with asyncio.TaskGroup() as group:
                for _ in range(IN_FLIGHT):
                    group.create_task(work())
    refused.sort(key=lambda one: one.line)
    _report(console, rows, refused)
    return refused


async def _send(client: httpx.AsyncClient, products: str, row: Row) -> str | None:
    """Why the row was refused, or None."""
    response = await api_client.send(
        client,
        "POST",
        products,
        seconds=RETRY_SECONDS,
        json=row.body(),
        headers={"Idempotency-Key": row.key()},
    )
    return None if response.status_code == 201 else problem_text(problem_of(response))


def _report(console: Console, rows: list[Row], refused: list[Refused]) -> None:
    console.print(f"{len(rows)} rows: {len(rows) - len(refused)} in the shop, {len(refused)} refused.")
    for one in refused:
        console.print(f"  line {one.line}, {one.what}: {one.why}", markup=False, highlight=False, soft_wrap=True)

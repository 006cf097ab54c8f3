"""The lines of the file, as values, and those that can't be read."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from command_service.api_client import ImportRefused
from command_service.retail.left_out import LeftOut, Rule
from contracts.money import to_ticks

COLUMNS: Final = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")

_GZIP: Final = b"\x1f\x8b"
_INVOICE: Final = re.compile(r"[!-.0-~]{1,32}")
_SKU: Final = re.compile(r"[ -.0-~]{1,64}")
_CUSTOMER: Final = re.compile(r"[!-.0-~]{0,64}")
_QUANTITY: Final = re.compile(r"-?[0-9]{1,9}")
_PRICE: Final = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice; `number` is where it ends in the file, counted from 1."""

    number: int
    invoice: str
    code: str
    written: str
    """The code as the file has it; `code` is in capitals."""
    description: str
    quantity: int
    at: datetime
    price: int
    """In 1/10000."""
    customer: str
    """Empty: none."""

    @property
    def amount(self) -> int:
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class File:
    lines: tuple[Line, ...]
    unreadable: tuple[LeftOut, ...]


def read_file(file: Path) -> File:
    """All lines of the file.

    Raises:
        ImportRefused: it can't be read, or lacks a column.
    """
    try:
        return _read(_text(file.read_bytes()))
    except OSError as error:
        raise ImportRefused(f"{file} can't be read: {error.strerror or error}.") from None
    except (EOFError, zlib.error) as error:
        raise ImportRefused(f"{file} is a damaged gzip file: {error}.") from None
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{file} is not UTF-8 (byte {error.start}).") from None
    except csv.Error as error:
        raise ImportRefused(f"{file} is not CSV: {error}.") from None


def _text(content: bytes) -> io.StringIO:
    if content.startswith(_GZIP):
        content = gzip.decompress(content)
    return io.StringIO(content.decode("utf-8-sig"), newline="")


def _read(text: Iterable[str]) -> File:
    reader = csv.DictReader(text, strict=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ImportRefused(
            f"The first line must name the columns {', '.join(COLUMNS)}. Missing: {', '.join(missing)}."
        )
    lines: list[Line] = []
    unreadable: list[LeftOut] = []
    for cells in reader:
        values = {name: (cells[name] or "").strip() for name in COLUMNS}
        fault = _fault(values)
        if None in cells or None in cells.values():
            fault = "It has not as many cells as the first line."
        if fault is None:
            lines.append(_line(reader.line_num, values))
        else:
            unreadable.append(
                LeftOut(reader.line_num, values["InvoiceNo"], values["StockCode"], 0, Rule.UNREADABLE, fault)
            )
    return File(tuple(lines), tuple(unreadable))


def _fault(values: dict[str, str]) -> str | None:
    """Why the cells can't be read, or None."""
    if not _INVOICE.fullmatch(values["InvoiceNo"]):
        return "InvoiceNo: expected 1–32 visible ASCII characters without /."
    if not _SKU.fullmatch(values["StockCode"]):
        return "StockCode: expected 1–64 printable ASCII characters without /."
    if not _QUANTITY.fullmatch(values["Quantity"]):
        return "Quantity: expected a whole number with up to 9 digits."
    if not _PRICE.fullmatch(values["UnitPrice"]):
        return "UnitPrice: expected a decimal number with up to 10 digits and 4 decimals."
    if not _CUSTOMER.fullmatch(values["CustomerID"]):
        return "CustomerID: expected at most 64 visible ASCII characters without /."
    try:
        datetime.fromisoformat(values["InvoiceDate"]).astimezone(UTC)
    except (ValueError, OverflowError):
        return "InvoiceDate: expected a time such as 2010-12-01T08:26:00."
    return None


def _line(number: int, values: dict[str, str]) -> Line:
    at = datetime.fromisoformat(values["InvoiceDate"])
    price = values["UnitPrice"]
    return Line(
        number,
        values["InvoiceNo"],
        values["StockCode"].upper(),
        values["StockCode"],
        values["Description"],
        int(values["Quantity"]),
        at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC),
        -to_ticks(price[1:]) if price.startswith("-") else to_ticks(price),
        values["CustomerID"],
    )

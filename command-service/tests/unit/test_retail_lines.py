"""Reading the file of invoices: its cells as values, and what can't be read."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from command_service.api_client import ImportRefused
from command_service.retail.left_out import Rule
from command_service.retail.lines import Line, read_file

HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
GOOD = HEAD + '536365,85123a,"HEART, WHITE",-6,2010-12-01T08:26:00,2.55,17850,United Kingdom\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "retail.csv"


def test_a_line_is_read_with_its_code_in_capitals_and_its_date_in_utc(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    at = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert read_file(file).lines == (Line(2, "536365", "85123A", "85123a", "HEART, WHITE", -6, at, 25500, "17850"),)


def test_gzip_is_told_by_its_content_and_a_byte_order_mark_is_no_text(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    plain = read_file(file)
    file.write_bytes(gzip.compress(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()))
    assert read_file(file) == plain


def test_a_date_that_names_its_offset_is_taken_by_it(file: Path) -> None:
    file.write_text(HEAD + "1,A,,1,2011-07-01T00:30:00+01:00,1,,\n", encoding="utf-8")
    assert read_file(file).lines[0].at == datetime(2011, 6, 30, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (",A,,1,2011-01-01T00:00:00,1,,", "InvoiceNo"),
        ("1/2,A,,1,2011-01-01T00:00:00,1,,", "InvoiceNo"),
        ("1,,,1,2011-01-01T00:00:00,1,,", "StockCode"),
        ("1,Ä,,1,2011-01-01T00:00:00,1,,", "StockCode"),
        ("1,A,,1.5,2011-01-01T00:00:00,1,,", "Quantity"),
        (f"1,A,,{'9' * 5000},2011-01-01T00:00:00,1,,", "Quantity"),
        ("1,A,,1,yesterday,1,,", "InvoiceDate"),
        ("1,A,,1,2011-01-01T00:00:00,1.00001,,", "UnitPrice"),
        ("1,A,,1,2011-01-01T00:00:00,NaN,,", "UnitPrice"),
        ("1,A,,1,2011-01-01T00:00:00,1,a b,", "CustomerID"),
        ("1,A,,1,2011-01-01T00:00:00,1", "as many cells"),
        ("1,A,,1,2011-01-01T00:00:00,1,,,more", "as many cells"),
    ],
)
def test_a_line_that_can_not_be_read_is_left_out_with_its_reason_and_the_others_are_read(
    file: Path, cells: str, says: str
) -> None:
    file.write_text(HEAD + cells + "\n2,B,,1,2011-01-01T00:00:00,1,,\n", encoding="utf-8")
    read = read_file(file)
    assert [line.number for line in read.lines] == [3]
    [left] = read.unreadable
    assert (left.line, left.rule) == (2, Rule.UNREADABLE)
    assert says in left.why


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Missing: InvoiceNo"),
        (b"InvoiceNo,StockCode\n", "Missing: Description"),
        (GOOD.encode() + b"1,A,\xff,1,2011-01-01T00:00:00,1,,\n", "not UTF-8"),
        (HEAD.encode() + b'1,"A,,1,2011-01-01T00:00:00,1,,\n', "not CSV"),
        (gzip.compress(GOOD.encode())[:-12], "damaged gzip"),
        (b"\x1f\x8bnot really", "can't be read"),
    ],
)
def test_a_file_that_is_not_of_this_format_is_refused_as_a_whole(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ImportRefused, match=says):
        read_file(file)


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ImportRefused, match="can't be read"):
            read_file(path)

"""`command-service import`: a catalogue from a file, as any client would load it."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from command_service import importer
from command_service.cli import app
from command_service.importer import ImportRefused, Row, read_rows
from command_service.settings import CommandSettings

from .served import served

HEAD = "sku,name,description,price,category,stock\n"
GOOD = (
    HEAD
    + 'A-1,Chai,"Tea, black",18,Beverages,39\nA-2,Côte de Blaye,,263.5,Beverages,\nA-3,Tofu,"two\nlines",23.25,,35\n'
)


@pytest.fixture
def url(settings: CommandSettings) -> Iterator[str]:
    with served(settings) as url:
        yield url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "products.csv"
    path.write_text(GOOD, encoding="utf-8")
    return path


def run(file: Path, url: str) -> Result:
    """The command's exit code and what it prints, its lines joined as a wide terminal would show them."""
    result = CliRunner().invoke(app, ["import", str(file), "--url", url], env={"COLUMNS": "400"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def events(url: str) -> list[str]:
    return httpx.get(f"{url}/events").text.splitlines()


def test_a_file_is_loaded_and_can_be_loaded_again_without_anything_happening_twice(url: str, file: Path) -> None:
    first = run(file, url)
    assert (first.exit_code, "3 rows: 3 in the shop, 0 refused" in first.output) == (0, True)
    loaded = events(url)
    assert len(loaded) == 6
    assert any('"name":"Chai","description":"Tea, black","price":"18.00"' in line for line in loaded)
    assert any('"quantity":39' in line for line in loaded)
    assert any(
        '"description":"two\\nlines","price":"23.25","currency":"EUR","sku":"A-3","category":null' in line
        for line in loaded
    )
    again = run(file, url)
    assert (again.exit_code, events(url)) == (0, loaded)


def test_a_file_with_a_byte_order_mark_and_ids_and_other_line_ends_is_loaded(url: str, tmp_path: Path) -> None:
    pid = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
    path = tmp_path / "windows.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"id,sku,name,price\r\n{pid},A,Chai,1\r\n\r\n,B,Tofu,2\r\n".encode())
    assert run(path, url).exit_code == 0
    assert len(httpx.get(f"{url}/streams/product-{pid}/events").text.splitlines()) == 1


def test_bad_rows_are_reported_each_with_its_reason_and_the_others_are_loaded(url: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        HEAD
        + "A,Chai,,18,Beverages,1\n"
        + "B,,,18,,\n"
        + "C,Tofu,,-1,,\n"
        + "D,Tofu,,1,,many\n"
        + "A,Other,,2,,\n"
        + "E,Tofu, with comma,,1,,3\n"
        + "F,Tofu,,1\n"
        + f"G,Tofu,,1,,{'9' * 5000}\n"
        + "H,Tofu,,1,,7\n",
        encoding="utf-8",
    )
    result = run(path, url)
    assert result.exit_code == 1
    assert "9 rows: 2 in the shop, 7 refused" in result.output
    lines = {line.split(",")[0].strip(): line for line in result.output.splitlines() if line.startswith("  line ")}
    assert "name:" in lines["line 3"]
    assert "price:" in lines["line 4"]
    assert "initial_stock:" in lines["line 5"]
    assert "more cells" in lines["line 7"]
    assert "fewer cells" in lines["line 8"]
    assert "initial_stock:" in lines["line 9"]
    taken = lines.get("line 6") or lines["line 2"]
    assert "SKU" in taken or "exists already" in taken
    again = run(path, url)
    assert again.exit_code == 1
    assert len(events(url)) == 4


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "RETRY_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
def test_an_unreachable_service_is_said_in_one_clear_message(file: Path) -> None:
    result = run(file, "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "http://127.0.0.1:1 can't be reached" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("status", [200, 301, 404])
def test_another_service_at_the_address_is_said_too(file: Path, status: int) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        result = run(file, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert result.exit_code == 2
    assert "is not Stockroom's command API" in result.output


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://localhost", "http://[::1", "http://localhost:port"])
def test_an_address_that_is_none_is_refused_at_once(file: Path, url: str) -> None:
    result = run(file, url)
    assert result.exit_code == 2
    assert url in result.output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Missing: sku, name, price"),
        (b"sku,name\nA,Chai\n", "Missing: price"),
        (b"sku,name,price,colour\nA,Chai,1,red\n", "Not known: colour"),
        (HEAD.encode() + b"A,\xff,,1,,\n", "not UTF-8"),
        (HEAD.encode() + b'A,"Chai,,1,,\n', "not CSV"),
        (HEAD.encode() + b'A,"Chai" tea,,1,,\n', "not CSV"),
    ],
)
def test_a_file_that_can_not_be_read_is_refused_as_a_whole(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    result = run(path, "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert says in result.output


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        result = run(path, "http://127.0.0.1:1")
        assert (result.exit_code, "can't be read" in result.output) == (2, True)


def test_the_same_row_is_the_same_command_and_another_row_is_another(file: Path) -> None:
    rows = read_rows(file)
    assert [row.key() for row in read_rows(file)] == [row.key() for row in rows]
    assert len({row.key() for row in rows}) == len({row.body()["id"] for row in rows}) == 3
    moved = Row(99, dict(rows[0].values))
    assert (moved.key(), moved.body()) == (rows[0].key(), rows[0].body())
    cheaper = Row(2, {**rows[0].values, "price": "1"})
    assert cheaper.key() != rows[0].key()
    assert cheaper.body()["id"] == rows[0].body()["id"]


def test_only_a_readable_file_gives_rows(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused):
        read_rows(tmp_path / "none.csv")

"""The health check of a container: it finds who listens there, and believes only a 200."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chassis import probe

LISTENS, IS_CONNECTED = "0A", "01"


@contextmanager
def answering(status_line: bytes | None) -> Iterator[int]:
    """A port on which every request gets this answer, or none at all."""
    held: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            if status_line is not None:
                connection.recv(1000)
                connection.sendall(status_line + b"\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_process_is_ready_when_it_says_200() -> None:
    with answering(b"HTTP/1.1 200 OK") as port:
        assert probe.main([str(port)]) == 0


@pytest.mark.parametrize("status_line", [b"HTTP/1.1 503 Service Unavailable", b"HTTP/1.1 404 200", b"SSH-2.0 200", b""])
def test_it_is_not_ready_when_it_says_anything_else(status_line: bytes) -> None:
    with answering(status_line) as port:
        assert probe.main([str(port)]) == 1


def test_nor_when_it_says_nothing_or_nobody_is_there() -> None:
    with answering(None) as port:
        assert not probe.ready(port, seconds=0.1)
    assert probe.main([str(free_port())]) == 1


def test_one_that_is_not_ready_is_enough() -> None:
    with answering(b"HTTP/1.1 200 OK") as good, answering(b"HTTP/1.1 503 Later") as bad:
        assert probe.main([str(good), str(bad)]) == 1


def test_the_ports_are_those_on_which_a_process_listens_that_we_may_look_into(tmp_path: Path) -> None:
    processes = _proc(tmp_path)
    processes("tcp", ("0.0.0.0", 8084, LISTENS, 11), ("127.0.0.11", 40001, LISTENS, 12), ("10.0.0.2", 5000, "01", 13))
    processes("tcp6", ("::", 9000, LISTENS, 14), ("::", 9001, LISTENS, 15))

    assert probe.listening_ports(tmp_path) == {8084, 9000}


def test_this_very_process_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert listener.getsockname()[1] in probe.listening_ports()


def test_where_nobody_listens_nobody_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "listening_ports", lambda: set[int]())
    assert probe.main([]) == 1


def _proc(folder: Path) -> Callable[..., None]:
    """A /proc in which process 1 holds the sockets 11, 13 and 14, and a file."""
    descriptors = folder / "1" / "fd"
    descriptors.mkdir(parents=True)
    (folder / "net").mkdir()
    for number, target in enumerate(["socket:[11]", "socket:[13]", "socket:[14]", "/dev/null"]):
        (descriptors / str(number)).symlink_to(target)

    def table(name: str, *rows: tuple[str, int, str, int]) -> None:
        lines = [
            f"  0: {'0' * 8}:{port:04X} {'0' * 8}:0000 {state} 0:0 0:0 0 0 0 {inode} 1"
            for _, port, state, inode in rows
        ]
        (folder / "net" / name).write_text("\n".join(["  sl  local_address ...", *lines]) + "\n")

    return table

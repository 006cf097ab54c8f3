"""The first words of three protocols: enough to know whether a server really serves, without a client library."""

import socket
import struct

_SECONDS = 3.0
_PROTOCOL_3 = 3 << 16


def postgres_accepts(port: int, user: str, database: str) -> bool:
    """Whether a session can be opened: the startup message of protocol 3.0 answered by an authentication request ('R').

    While it starts, recovers or stops, PostgreSQL answers with an error instead.
    """
    words = f"user\0{user}\0database\0{database}\0\0".encode()
    hello = struct.pack("!ii", len(words) + 8, _PROTOCOL_3) + words
    return _exchange(port, hello, 1, goodbye=b"X\0\0\0\4") == b"R"


def amqp_accepts(port: int) -> bool:
    """Whether the broker opens an AMQP 0-9-1 conversation: its first frame is connection.start (10, 10)."""
    frame = _exchange(port, b"AMQP\0\0\x09\x01", 11)
    return len(frame) == 11 and frame[0] == 1 and frame[7:11] == b"\0\x0a\0\x0a"


def redis_command(port: int, *words: str, seconds: float = _SECONDS) -> str:
    """The one-line answer to a command, '' if there was none. For commands whose answer is a simple string."""
    parts = [word.encode() for word in words]
    request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as link, link.makefile("rb") as answers:
            link.sendall(request)
            return answers.readline().decode(errors="replace").strip()
    except OSError:
        return ""


def listens(port: int) -> bool:
    """Whether anything accepts connections on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=_SECONDS).close()
    except OSError:
        return False
    return True


def _exchange(port: int, hello: bytes, size: int, goodbye: bytes = b"") -> bytes:
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as link:
            link.sendall(hello)
            while len(answer) < size and (more := link.recv(size - len(answer))):
                answer += more
            link.sendall(goodbye)
    except OSError:
        pass  # what had come by then decides
    return answer

"""A connection that was reset is told as lost."""

import pytest

from chassis.resets import resets_told


class Connection:
    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.sent: list[bytes] = []

    async def send_packed_command(self, command: bytes, check_health: bool) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(command)


async def test_a_write_to_a_closed_transport_is_a_lost_connection() -> None:
    error = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")
    with pytest.raises(ConnectionResetError):
        await resets_told(Connection)(error).send_packed_command(b"PING")


async def test_what_can_be_sent_is_sent() -> None:
    connection = resets_told(Connection)(None)
    await connection.send_packed_command(b"PING")
    assert connection.sent == [b"PING"]

"""A connection that was reset under the hands of redis-py is told as lost.

uvloop raises `RuntimeError` for a write to a transport that has been closed meanwhile, where asyncio's own says nothing
and lets the next read fail. redis-py takes that for a fault of the program and passes it on.
"""

from typing import Any


class _Told:
    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from error


def resets_told(connection_class: type[Any]) -> type[Any]:
    """The class of redis-py's connections, raising `ConnectionResetError` where a write finds the transport closed."""
    return type(connection_class.__name__, (_Told, connection_class), {})

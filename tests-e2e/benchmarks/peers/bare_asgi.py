"""An ASGI application that sends the bytes of the file in ``BARE_BYTES`` and does nothing else."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

BODY = Path(os.environ["BARE_BYTES"]).read_bytes()
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}
END = {"type": "http.response.body", "body": BODY}

Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: dict[str, Any], _receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    if scope["type"] == "http":
        await send(START)
        await send(END)

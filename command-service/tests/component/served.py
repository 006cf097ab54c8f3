"""The command API on a port, in a thread of its own: for clients that speak HTTP over a socket."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from command_service.bootstrap import make_api, write_side
from command_service.database import make_engine
from command_service.migrations import migrate
from command_service.settings import CommandSettings


@contextmanager
def served(settings: CommandSettings) -> Iterator[str]:
    """The URL of an API on a migrated database; stops with the block."""
    started = threading.Event()
    servers: list[uvicorn.Server] = []

    async def main() -> None:
        engine = make_engine(settings)
        await migrate(engine)
        await engine.dispose()
        async with write_side(settings) as side:
            app = make_api(side, settings)
            server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on"))
            server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            servers.append(server)
            serving = asyncio.create_task(server.serve())
            while not server.started and not serving.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            started.set()
            await serving

    def run() -> None:
        try:
            asyncio.run(main())
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(60)
    [server] = servers
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(60)

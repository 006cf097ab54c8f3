"""A steady stream of commands beside a measurement: ``background.py URL COMMANDS-A-SECOND SECONDS``."""

import asyncio
import sys

import httpx


async def main(url: str, rate: float, seconds: float) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        pending: set[asyncio.Task[httpx.Response]] = set()
        for _ in range(int(rate * seconds)):
            task = asyncio.create_task(client.post("/products", json={"name": "Background", "price": "1"}))
            pending.add(task)
            task.add_done_callback(pending.discard)
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*pending)


asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))

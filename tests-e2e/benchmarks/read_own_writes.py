"""Clients that change a product and read it back at once: ``read_own_writes.py COMMANDS QUERIES CLIENTS SECONDS``.

Prints how many reads there were, how many showed an older state than the client had written, and how many said that
the read model is behind.
"""

import asyncio
import json
import sys
import time
import uuid
from collections import Counter

import httpx

seen: Counter[str] = Counter(reads=0, stale=0, behind=0)


async def client(commands: str, queries: str, until: float) -> None:
    mine = f"mine{uuid.uuid4().hex}"
    async with httpx.AsyncClient(timeout=60) as http:
        added = await http.post(f"{commands}/products", json={"name": mine, "price": "1", "category": mine})
        path = added.headers["location"]
        n = 1
        while time.monotonic() < until:
            n += 1
            changed = await http.post(f"{commands}{path}/price-changes", json={"price": n})
            headers = {"Consistency-Token": changed.headers["consistency-token"], "Prefer": "wait=30"}
            for url in (path, f"/products?category={mine}&sort=price", f"/products?search={mine}"):
                answer = await http.get(f"{queries}{url}", headers=headers)
                seen["reads"] += 1
                if answer.status_code == 503:
                    seen["behind"] += 1
                    continue
                document = answer.json()
                shown = document.get("items", [document])
                seen["stale"] += [item["price"] for item in shown] != [f"{n}.00"]


async def main(commands: str, queries: str, clients: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    await asyncio.gather(*(client(commands, queries, until) for _ in range(clients)))
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))

"""Sends commands to `POST /commands`, 1,000 at a time: Stockroom's own way into its queues.

`{"url", "count", "prefix"}`
"""

from itertools import islice
from typing import Any

import httpx
import orjson

from benchmarks import workload
from benchmarks.program import answer

TOGETHER = 1000


def run(request: dict[str, Any]) -> dict[str, Any]:
    commands = workload.identified(workload.mixed(request["count"]), request["prefix"])
    with httpx.Client(base_url=request["url"], timeout=60) as client:
        while some := list(islice(commands, TOGETHER)):
            reply = client.post("/commands", content=orjson.dumps(some), headers={"content-type": "application/json"})
            if reply.status_code != 202:
                raise AssertionError(reply.text)
    return {"count": request["count"]}


if __name__ == "__main__":
    answer(run)

"""Health of a process: it is live as long as it answers, and ready while it can do its work."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from prometheus_client import Gauge

Check = Callable[[], Awaitable[None]]

DEADLINE = 2.0
"""Seconds that a check may take before it counts as failed."""

PASSES: Final = Gauge("stockroom_health_check", "1 while a check of /health/ready passes, 0 while it fails.", ["check"])


class Health:
    """Named checks, each of which raises while the process can't do its work."""

    def __init__(self, checks: dict[str, Check] | None = None) -> None:
        self._checks = dict(checks or {})

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether every check passes, and what each said. Names no host and no address."""
        names = list(self._checks)
        results = await asyncio.gather(*(self._run(self._checks[name]) for name in names))
        for name, result in zip(names, results, strict=True):
            PASSES.labels(name).set(result == "ok")
        return all(r == "ok" for r in results), dict(zip(names, results, strict=True))

    async def _run(self, check: Check) -> str:
        try:
            async with asyncio.timeout(DEADLINE):
                await check()
        except TimeoutError:
            return "no answer in time"
        except Exception as error:
            return f"failing: {type(error).__name__}"
        return "ok"

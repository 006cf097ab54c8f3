"""A process's health as Prometheus sees it: which check fails."""

from prometheus_client import REGISTRY

from chassis.health import Health


def _passes(check: str) -> float | None:
    return REGISTRY.get_sample_value("stockroom_health_check", {"check": check})


async def test_a_check_that_fails_is_0_until_it_passes_again() -> None:
    works = False

    async def server() -> None:
        if not works:
            raise ConnectionRefusedError

    async def other() -> None:
        pass

    health = Health({"a server": server, "another": other})
    assert await health.ready() == (False, {"a server": "failing: ConnectionRefusedError", "another": "ok"})
    assert (_passes("a server"), _passes("another")) == (0, 1)
    works = True
    assert (await health.ready())[0]
    assert _passes("a server") == 1

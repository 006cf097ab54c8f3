"""Every metric, label and value that a rule or a panel asks for is shown by a process or server that runs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stockroom_local.pytest_plugin import new_home
from stockroom_local.servers import RabbitMQ, Trio
from stockroom_local.servers.requirements import Means, Native
from system import System, free_port, wait_for

from .observed import PROCESSES, expressions, scrape_jobs
from .promql import Reader, Series

OF_PROMETHEUS: Final = {
    "up": {},
    "ALERTS": {"alertname": "any", "alertstate": "firing", "severity": "critical"},
}
"""What Prometheus itself adds to what it scrapes."""


@pytest.fixture(scope="module")
def running(server_means: Mapping[str, Means], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A whole system that has been used a little: the address of each job's target."""
    trio = Trio(new_home(), server_means)
    trio.start()
    system = System(trio.environment(), tmp_path_factory.mktemp("observed"))
    try:
        system.start()
        _use(system)
        ports = {job: system.environment[f"STOCKROOM_{name.upper()}_PORT"] for job, name in PROCESSES.items()}
        ours = {job: f"http://127.0.0.1:{port}" for job, port in ports.items()}
        if isinstance(server_means["RabbitMQ"], Native):
            ours |= dict.fromkeys(("rabbitmq", "rabbitmq-queues"), _show_metrics(trio.rabbitmq))
        yield ours
    finally:
        system.stop()
        trio.discard()


@pytest.fixture(scope="module")
def shown(running: dict[str, str]) -> Series:
    """All that Prometheus would have, scraping as prometheus.yml says."""
    series = Series()
    for job, address in running.items():
        for name, labels in _scrape(address, scrape_jobs()[job]):
            series.add(name, {**labels, "job": job, "instance": address})
        for name, labels in OF_PROMETHEUS.items():
            series.add(name, {**labels, "job": job, "instance": address} if name == "up" else labels)
    return series


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_what_a_query_asks_for_is_there(where: str, expression: str, shown: Series, running: dict[str, str]) -> None:
    if "rabbitmq_" in expression and "rabbitmq" not in running:
        pytest.skip("RabbitMQ runs in a container that does not publish the port of its metrics")
    Reader(shown).check(expression)


def _use(system: System) -> None:
    """A little of everything that counts something."""
    added = system.add_product(name="Tea", initial_stock=9)
    product, token = added.json()["id"], added.headers["Consistency-Token"]
    assert system.read(f"/products/{product}", token).status_code == 200
    order = {"customer_id": "ann", "lines": [{"product_id": product, "quantity": 1}]}
    placed = system.command.post("/orders", json=order)
    assert placed.status_code == 201, placed.text
    change = {"type": "ChangePrice", "data": {"product_id": product, "price": "2.00"}, "id": "a-change"}
    assert system.command.post("/commands", json=change).status_code == 202
    ended = system.command.get("/commands/a-change", headers={"Prefer": "wait=30"}).json()
    assert ended["status"] == "succeeded"
    system.projector.kill()
    late = system.command.post(f"/products/{product}/price-changes", json={"price": "3.00"})
    behind = system.read(f"/products/{product}", late.headers["Consistency-Token"], wait=0)
    assert behind.status_code == 503, behind.text
    assert system.query.get("/products/nobody").status_code in (404, 422)
    assert system.command.get("/commands/nobody").status_code == 404
    assert system.command.post("/products", json={}).status_code == 422
    system.projector.start()
    assert system.read(f"/products/{product}", late.headers["Consistency-Token"]).status_code == 200
    wait_for("housekeeping has counted", lambda: "stockroom_commands_unfinished{" in _text(system.relay.url))
    wait_for("the walk has compared", lambda: "stockroom_projector_behind_seconds{" in _text(system.projector.url))
    wait_for("timers were counted", lambda: "stockroom_process_timers_waiting{" in _text(system.managers.url))


def _text(address: str, path: str = "/metrics", **parameters: Any) -> str:
    response = httpx.get(f"{address}{path}", params=parameters, timeout=20)
    assert response.status_code == 200, response.text
    return response.text


def _scrape(address: str, job: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Names and labels of what is kept of one scrape."""
    keeps = [rule["regex"] for rule in job.get("metric_relabel_configs", ())]
    text = _text(address, job.get("metrics_path", "/metrics"), **job.get("params", {}))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if all(re.fullmatch(keep, sample.name) for keep in keeps):
                yield sample.name, sample.labels


def _show_metrics(server: RabbitMQ) -> str:
    """Turns RabbitMQ's plugin on, which official images have on from the start; returns its address."""
    port = free_port()
    listener = f'[{{port, {port}}}, {{ip, "127.0.0.1"}}]'
    server.engine.tool("rabbitmqctl", "eval", f"application:set_env(rabbitmq_prometheus, tcp_config, {listener}).")
    server.engine.tool("rabbitmq-plugins", "enable", "rabbitmq_prometheus")
    return f"http://127.0.0.1:{port}"

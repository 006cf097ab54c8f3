"""SIGKILL at the worst instructions, and a restart of each server: afterwards the read model equals the log."""

import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shop_model import wait_until_level, whole_log
from stockroom_local.servers import Trio
from system import System, wait_for

HERE = Path(__file__).parent


def killed_at(point: str) -> list[str]:
    """A command line that runs one of our processes and kills it at `point`."""
    return [sys.executable, str(HERE / "killed_at.py"), point]


def write_some(system: System, count: int, prefix: str) -> None:
    for n in range(count):
        path = system.add_product(name=f"{prefix} {n}", initial_stock=n).headers["location"]
        rated = system.command.put(f"{path}/ratings/ann", json={"rating": n % 5 + 1})
        changed = system.command.post(f"{path}/price-changes", json={"price": f"{n}.25"})
        assert (rated.status_code, changed.status_code) == (204, 204)
        product_id = path.rpartition("/")[2]
        if n:
            lines = [{"product_id": product_id, "quantity": 1}]
            placed = system.command.post("/orders", json={"customer_id": "ann", "lines": lines})
            paid = system.command.post(
                f"{placed.headers['location']}/payments", json={"amount": f"{n}.25", "reference": "card"}
            )
            assert (placed.status_code, paid.status_code) == (201, 204), (placed.text, paid.text)


def test_a_relay_killed_between_publish_and_delete_loses_and_doubles_nothing(fragile: tuple[System, Trio]) -> None:
    system, _ = fragile
    write_some(system, 5, "before")
    system.relay.kill()
    system.relay.start(ready=False, command=killed_at("relay-after-publish"))
    write_some(system, 5, "during")
    system.relay.wait_killed()

    system.relay.start()

    wait_until_level(system)
    wait_for("the outbox is empty", lambda: system.relay.metric("stockroom_outbox_depth") == 0)


def test_a_projector_killed_between_apply_and_acknowledge_applies_once(fragile: tuple[System, Trio]) -> None:
    system, _ = fragile
    write_some(system, 5, "before")
    system.projector.kill()
    system.projector.start(ready=False, command=killed_at("projector-after-apply"))
    write_some(system, 5, "during")
    system.projector.wait_killed()

    system.projector.start()

    wait_until_level(system)


def test_an_api_killed_between_commit_and_answer_did_it_once(fragile: tuple[System, Trio]) -> None:
    system, _ = fragile
    system.api.kill()
    system.api.start(ready=False, command=killed_at("api-after-commit"))
    wait_for("the api is ready", system.api.is_ready)
    body, headers = {"name": "Once", "price": "1", "initial_stock": 3}, {"Idempotency-Key": "the-only-one"}
    with pytest.raises(httpx.TransportError):
        system.command.post("/products", json=body, headers=headers)
    system.api.wait_killed()

    system.api.start()
    again = system.command.post("/products", json=body, headers=headers)

    assert again.status_code == 201
    added = [event for event in whole_log(system.command) if event["commandid"] == "the-only-one"]
    assert [event["partitionkey"] for event in added] == [again.json()["id"]] * 2
    wait_until_level(system)


def test_a_worker_killed_between_commit_and_acknowledge_did_it_once(fragile: tuple[System, Trio]) -> None:
    system, _ = fragile
    product_id = system.add_product(initial_stock=0).json()["id"]
    system.worker.kill()
    system.worker.start(ready=False, command=killed_at("worker-before-ack"))
    data = {"product_id": product_id, "quantity": 1}
    command = {"type": "AddToInventory", "data": data, "id": f"killed-{product_id}"}
    assert system.command.post("/commands", json=command).status_code == 202
    system.worker.wait_killed()

    system.worker.start()

    receipt = system.command.get(f"/commands/killed-{product_id}", headers={"Prefer": "wait=30"}).json()
    assert receipt["status"] == "succeeded"
    wait_until_level(system)
    assert system.query.get(f"/inventory/{product_id}").json()["current_stock"] == 1


def test_commands_are_accepted_without_a_broker_and_each_happens_once_however_often_the_worker_dies(
    fragile: tuple[System, Trio],
) -> None:
    system, servers = fragile
    product_ids = [system.add_product(initial_stock=0).json()["id"] for _ in range(10)]
    commands = [
        {"type": "AddToInventory", "data": {"product_id": product_ids[n % 10], "quantity": 1}, "id": f"{n}-{uuid4()}"}
        for n in range(1000)
    ]
    servers.rabbitmq.kill()

    accepted = system.command.post("/commands", json=commands)

    assert accepted.status_code == 202
    statuses = {status(system, command["id"]) for command in commands[::100]}
    assert statuses == {"accepted"}
    servers.rabbitmq.start()
    for _ in range(5):
        delivered = system.worker.metric("stockroom_commands_delivered_total") if system.worker.is_running() else 0
        wait_for("the worker gets some", lambda d=delivered: moved_on(system, d, commands))  # type: ignore[misc]
        system.worker.kill()
        system.worker.start()
    for command in commands:
        ended = system.command.get(f"/commands/{command['id']}", headers={"Prefer": "wait=30"}).json()
        assert ended["status"] == "succeeded", ended
    wait_until_level(system)
    stock = [system.query.get(f"/inventory/{one}").json()["current_stock"] for one in product_ids]
    assert stock == [100] * 10


def unpaid_order(system: System, seconds: int) -> tuple[str, str]:
    """A product with 10 pieces and an order of 4 of them that must be paid within so many seconds; their ids."""
    product_id = system.add_product(initial_stock=10).json()["id"]
    api = system.another("api", payment_deadline=str(seconds))
    body = {"customer_id": "ann", "lines": [{"product_id": product_id, "quantity": 4}]}
    placed = httpx.post(f"{api.url}/orders", json=body, timeout=30)
    assert placed.status_code == 201
    system.processes.remove(api)
    api.kill()
    return product_id, placed.json()["id"]


def wait_until_expired(system: System, product_id: str, order_id: str) -> None:
    wait_for("it expires", lambda: system.query.get(f"/orders/{order_id}").json().get("status") == "cancelled")
    wait_until_level(system)
    stock = system.query.get(f"/inventory/{product_id}").json()
    assert (stock["reserved"], stock["available"]) == (0, 10)
    names = [e["type"] for e in whole_log(system.command) if e["partitionkey"] == order_id]
    assert names == ["OrderPlaced", "OrderExpired"]


def test_an_unpaid_order_expires_although_everything_was_killed_in_between(fragile: tuple[System, Trio]) -> None:
    system, servers = fragile
    product_id, order_id = unpaid_order(system, 2)
    for process in system.processes:
        process.kill()
    for server in servers.all:
        server.kill()

    for server in servers.all:
        server.start()
    for process in system.processes:
        process.start(ready=False)
    for process in system.processes:
        wait_for(f"{process.name} ready", process.is_ready)

    wait_until_expired(system, product_id, order_id)


def test_process_managers_killed_between_expiring_and_clearing_the_timer_expire_once(
    fragile: tuple[System, Trio],
) -> None:
    system, _ = fragile
    system.managers.kill()
    product_id, order_id = unpaid_order(system, 1)
    system.managers.start(ready=False, command=killed_at("processes-before-timer-is-cleared"))
    system.managers.wait_killed()

    system.managers.start()

    wait_until_expired(system, product_id, order_id)


def status(system: System, command_id: str) -> str:
    return str(system.command.get(f"/commands/{command_id}").json()["status"])


def moved_on(system: System, delivered: float, commands: list[dict[str, Any]]) -> bool:
    """The worker was given something since, or there is nothing more to be given."""
    if system.worker.metric("stockroom_commands_delivered_total") > delivered:
        return True
    return all(status(system, command["id"]) != "accepted" for command in commands[::50])


@pytest.mark.parametrize("server", ["postgres", "rabbitmq", "redis"])
def test_after_a_servers_restart_the_read_model_equals_the_log(fragile: tuple[System, Trio], server: str) -> None:
    system, servers = fragile
    write_some(system, 5, "before")
    target: Any = getattr(servers, server)

    target.kill()
    if server != "postgres":
        write_some(system, 5, "meanwhile")
    target.start()
    wait_for("commands are taken", lambda: _takes_commands(system))
    write_some(system, 5, "after")

    wait_until_level(system)
    for process in system.processes:
        assert process.is_running(), process.tail()


def _takes_commands(system: System) -> bool:
    return system.command.post("/products", json={"name": "Ready", "price": "1"}).status_code == 201


def test_a_flushed_redis_is_brought_level_without_help(fragile: tuple[System, Trio]) -> None:
    system, servers = fragile
    write_some(system, 5, "before")
    wait_until_level(system)

    servers.redis.empty()

    wait_until_level(system)


def test_without_redis_queries_say_unavailable_and_commands_go_on(fragile: tuple[System, Trio]) -> None:
    system, servers = fragile
    path = system.add_product().headers["location"]
    servers.redis.kill()

    assert system.command.post(f"{path}/price-changes", json={"price": "2"}).status_code == 204
    down = system.query.get(path)
    assert (down.status_code, down.headers["content-type"]) == (503, "application/problem+json")

    servers.redis.start()
    wait_until_level(system)


def test_without_postgres_reads_go_on_and_commands_say_unavailable(fragile: tuple[System, Trio]) -> None:
    system, servers = fragile
    added = system.add_product()
    assert system.read(added.headers["location"], added.headers["consistency-token"]).status_code == 200
    servers.postgres.kill()

    assert system.query.get(added.headers["location"]).status_code == 200
    refused = system.command.post("/products", json={"name": "No", "price": "1"})
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert refused.headers["retry-after"]

    servers.postgres.start()
    wait_for("commands are taken", lambda: _takes_commands(system))
    wait_until_level(system)


def test_a_lost_projector_makes_tokens_wait_and_never_lie(fragile: tuple[System, Trio]) -> None:
    system, _ = fragile
    added = system.add_product(price="1")
    path = added.headers["location"]
    system.read(path, added.headers["consistency-token"])
    system.projector.kill()
    changed = system.command.post(f"{path}/price-changes", json={"price": "2"})
    token = changed.headers["consistency-token"]

    behind = system.read(path, token, wait=1)
    assert (behind.status_code, behind.json()["type"]) == (503, "/problems/read-model-behind")
    assert system.query.get(path).json()["price"] == "1.00"

    system.projector.start()
    assert system.read(path, token).json()["price"] == "2.00"

"""What passes the proxy: every public route, whatever a client says with it, and nothing else."""

import re
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from compose.stack import Stack
from system import Shop, wait_for

INTERNAL = {
    "GetFeed",
    "GetHeads",
    "GetPartition",
    "GetVersions",
    "GetSystem",
    "GetGenerations",
    "BeginGeneration",
    "SwitchGeneration",
    "DropGeneration",
    "GetDiscards",
    "DiscardEvent",
    "GetAsyncApi",
}
"""Operations for read models and operators. Any other one that a service documents is public."""

NOT_PUBLIC = "Nothing is public at this address."
EVERY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EXAMPLES = {"user_id": "ann", "sku": "ESP-1", "stream_id": f"product-{uuid4()}", "slug": "not-found", "number": "1"}


def example(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    if schema.get("format") == "uuid":
        return str(uuid4())
    return "1" if schema.get("type") == "integer" else EXAMPLES.get(parameter["name"], "one")


def operations(shop: Shop) -> Iterator[tuple[str, str, str]]:
    """Name, method and an address of every operation that the two services document."""
    for client, below in shop.documentation:
        for path, methods in client.get(f"{below}/openapi.json").json()["paths"].items():
            for method, operation in methods.items():
                values = {p["name"]: example(p) for p in operation["parameters"] if p["in"] == "path"}
                yield operation["operationId"], method.upper(), re.sub(r"\{(\w+)\}", lambda m: values[m[1]], path)  # noqa: B023


def passes(shop: Shop, method: str, path: str) -> bool:
    """Whether a service answers, and not the proxy."""
    answer = shop.command.request(method, path)
    if method == "HEAD":
        return answer.status_code != 404 or answer.headers["content-length"] != str(len(_refusal(shop)))
    return answer.status_code != 404 or answer.json()["detail"] != NOT_PUBLIC


def _refusal(shop: Shop) -> bytes:
    return shop.command.get("/not-there").content


def test_every_operation_passes_that_is_not_internal_and_no_other(at_proxy: Shop) -> None:
    found = list(operations(at_proxy))
    assert len(found) > 40
    assert {name for name, _, _ in found} >= INTERNAL, "an operation has another name now"
    wrong = {
        f"{method} {path}": name for name, method, path in found if passes(at_proxy, method, path) == (name in INTERNAL)
    }
    assert wrong == {}


def test_no_method_reaches_what_is_internal(at_proxy: Shop) -> None:
    paths = {path for name, _, path in operations(at_proxy) if name in INTERNAL}
    paths |= {"/", "/health", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/parked"}
    paths |= {
        "/~queries",
        "/~commands",
        "/~problem",
        "/commands-api",
        "/commands-api/metrics",
        "/query-api/health/ready",
    }
    paths |= {"/productsx", "/products.json", "/streams/versions", "/commands/a/b", "/problems"}
    assert {f"{method} {path}" for path in paths for method in EVERY_METHOD if passes(at_proxy, method, path)} == set()


@pytest.mark.parametrize(
    "path",
    [
        "/products/../metrics",
        "/products/%2e%2e/metrics",
        "/products/..%2fmetrics",
        "/products%2f..%2fmetrics",
        "/products/../../health/ready",
        "//metrics",
        "/./metrics",
        "/%6detrics",
        "/commands-api/docs/../../metrics",
        "/commands-api/docs/..%2f..%2fmetrics",
        "/query-api/docs/%2e%2e/metrics",
        "/metrics?/products",
        "/metrics#/products",
        "/metrics;/products",
        "/events/../products",
        "/streams/../events",
        "/streams/../partitions/0/events",
        "/streams/..%2fpartitions/0/events",
    ],
)
def test_no_spelling_leads_past_the_list(stack: Stack, path: str) -> None:
    """Sent as it stands: a client's library would tidy it up."""
    status, body = raw(stack, f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
    assert status in (400, 404, 422), body
    assert b"process_resident_memory_bytes" not in body
    assert b"status" in body


def raw(stack: Stack, request: bytes) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", stack.port), 10) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head or b"application/x-ndjson" in head, answer
    return int(head.split()[1]), body


def test_the_documentation_and_what_it_stands_on_is_there(at_proxy: Shop) -> None:
    for client, below in at_proxy.documentation:
        page = client.get(f"{below}/docs").text
        for asset in re.findall(r'(?:href|src)="([^"]+)"', page):
            assert client.get(f"{below}/{asset}").status_code == 200, asset
    assert at_proxy.command.get("/commands-api/asyncapi.json").json()["asyncapi"].startswith("3")


def test_each_services_problems_are_explained(at_proxy: Shop) -> None:
    for slug in ("insufficient-stock", "read-model-behind", "not-found"):
        assert at_proxy.query.get(f"/problems/{slug}").headers["content-type"].startswith("text/plain"), slug
    assert at_proxy.query.get("/problems/none-of-these").status_code == 404


def test_what_a_client_says_in_headers_reaches_the_service_and_what_it_answers_comes_back(at_proxy: Shop) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    key = f"key-{uuid4()}"
    headers = {"traceparent": trace, "Idempotency-Key": key, "X-Correlation-ID": "shop-team-1"}
    added = at_proxy.command.post("/products", json={"name": "Tea", "price": "1"}, headers=headers)
    path = added.headers["location"]

    event = at_proxy.command.get(f"/streams/product-{added.json()['id']}/events").json()
    assert trace in str(event)
    assert key in str(event)
    assert "shop-team-1" in str(event)
    stale = at_proxy.command.patch(path, json={"name": "Green tea"}, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    read = at_proxy.read(path, added.headers["consistency-token"])
    assert read.headers["etag"].startswith('"1-')
    assert at_proxy.query.get(path, headers={"If-None-Match": read.headers["etag"]}).status_code == 304
    assert at_proxy.query.get(path, headers={"Consistency-Token": "no-token"}).status_code == 400
    later = at_proxy.command.patch(path, json={"name": "Black tea"}, headers={"Prefer": "respond-async, wait=30"})
    assert (later.status_code, later.headers["preference-applied"]) == (204, "respond-async, wait=30")


def test_a_command_without_a_key_gets_one_and_is_otherwise_the_same(at_proxy: Shop) -> None:
    """The proxy may send it again; the id is also the one by which the command is known."""
    first, second = (at_proxy.command.post("/products", json={"name": "Twice", "price": "1"}) for _ in range(2))
    assert first.json()["id"] != second.json()["id"]
    accepted = at_proxy.command.post(
        "/products", json={"name": "Later", "price": "1"}, headers={"Prefer": "respond-async"}
    )
    known = at_proxy.command.get(accepted.headers["location"], headers={"Prefer": "wait=30"})
    assert (known.status_code, known.json()["status"]) == (200, "succeeded")


@pytest.mark.parametrize(("path", "limit"), [("/products", 256 * 1024), ("/commands", 4 * 1024 * 1024)])
def test_a_body_may_be_as_large_as_the_services_take_it_and_no_larger(at_proxy: Shop, path: str, limit: int) -> None:
    headers = {"Content-Type": "application/json"}
    fitting = at_proxy.command.post(path, content=b" " * (limit - 2) + b"{}", headers=headers)
    assert fitting.status_code == 422
    for content in (b" " * (limit - 1) + b"{}", (b" " * 65536 for _ in range(limit // 65536 + 1))):
        larger = at_proxy.command.post(path, content=content, headers=headers)
        assert (larger.status_code, larger.json()["type"]) == (413, "/problems/body-too-large")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /products HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"TRACE /products HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n", 405),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: shop\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: shop\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: shop\r\n\r\n", 505),
        (b"POST /orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n", 501),
    ],
)
def test_the_proxys_own_errors_are_problems_too(stack: Stack, request_line: bytes, status: int) -> None:
    answered, body = raw(stack, request_line)
    document = httpx.Response(200, content=body).json()
    assert (answered, document["status"]) == (status, status)
    assert document["type"].startswith("/problems/")


def test_a_service_that_is_away_is_a_503_and_the_other_goes_on(whole: Stack, at_proxy: Shop) -> None:
    queries = whole.one("query-service")
    added = at_proxy.add_product()
    assert queries.stop() == 0

    away = at_proxy.query.get("/products")
    assert (away.status_code, away.json()["type"]) == (503, "/problems/unavailable")
    assert (away.headers["retry-after"], away.headers["content-type"]) == ("1", "application/problem+json")
    assert at_proxy.add_product().status_code == 201

    whole.compose("start", "query-service")
    wait_for("queries again", lambda: at_proxy.query.get("/products").status_code == 200)
    assert at_proxy.read(added.headers["location"], added.headers["consistency-token"]).status_code == 200


def test_only_the_proxy_has_a_port_on_this_machine_and_only_for_this_machine(stack: Stack) -> None:
    published = {
        one.service: one.look(
            "{{range $port, $at := .NetworkSettings.Ports}}{{range $at}}{{.HostIp}}:{{.HostPort}} {{end}}{{end}}"
        )
        for one in stack.containers()
    }
    assert {service: ports for service, ports in published.items() if ports} == {"proxy": f"127.0.0.1:{stack.port}"}

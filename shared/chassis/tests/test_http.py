"""The table of operations: what it serves, and how everything else is refused."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ConfigDict

from chassis.body import validate_parameters
from chassis.health import Health
from chassis.http import MAX_BODY, UUID_PARAMETER, Call, Operation, PathParameter, Reply, json_reply
from chassis.problems import Problem, ProblemType
from chassis.service import create_app

TEAPOT = ProblemType("teapot", 418, "A teapot", "It pours tea.")
WORD = PathParameter(re.compile(r"[a-zé]+"), "a word", {"type": "string"})


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = 1


async def echo(call: Call) -> Reply:
    return json_reply(200, {"path": call.path, "body": await call.json()})


async def listing(call: Call) -> Reply:
    return json_reply(200, {"limit": validate_parameters(Query, call.query()).limit})


async def broken(_call: Call) -> Reply:
    raise RuntimeError("password=secret at db.internal")


async def teapot(_call: Call) -> Reply:
    raise Problem(TEAPOT, "Short and stout.", headers=((b"retry-after", b"2"),))


async def unwell() -> None:
    raise ConnectionError("db.internal:5432 is down")


def operation(method: str, path: str, handler: Any, **more: Any) -> Operation:
    return Operation(method, path, f"{method}{path}", "", handler, "test", **more)


APP = create_app(
    title="Test <b>",
    description="",
    version="1",
    health=Health({"store": unwell}),
    operations=[
        operation("GET", "/things", listing, query=Query),
        operation("POST", "/things", echo),
        operation("PUT", "/things/{id}", echo, path_parameters={"id": UUID_PARAMETER}),
        operation("PUT", "/words/{word}", echo, path_parameters={"word": WORD}),
        operation("GET", "/words/all", listing),
        operation("GET", "/broken", broken),
        operation("GET", "/teapot", teapot),
    ],
    problem_types=[TEAPOT],
)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(APP, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document["type"].startswith("/problems/")
    assert {"title", "detail"} <= document.keys()
    return document


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/things/", "//things", "/things/x/y", "/docs/none", "/problems/none"]
)
async def test_an_unknown_address_is_404_and_a_problem(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert problem(response)["type"] == "/problems/not-found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/things", {"GET", "HEAD", "POST"}),
        ("BREW", "/things", {"GET", "HEAD", "POST"}),
        ("GET", "/things/not-even-a-uuid", {"PUT"}),
        ("POST", "/health/live", {"GET"}),
        ("PUT", "/openapi.json", {"GET"}),
    ],
)
async def test_a_method_that_an_address_lacks_is_405_with_those_it_has(
    client: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    response = await client.request(method, path)
    assert response.status_code == 405
    assert problem(response)["type"] == "/problems/method-not-allowed"
    assert set(response.headers["allow"].split(", ")) == allowed


async def test_a_literal_segment_is_preferred_to_a_value(client: httpx.AsyncClient) -> None:
    assert (await client.get("/words/all")).json() == {"limit": 1}
    assert (await client.put("/words/other")).json()["path"] == {"word": "other"}


async def test_path_values_are_decoded_checked_and_normalised(client: httpx.AsyncClient) -> None:
    upper = "0190A5F0-7C3E-7B1A-9D2E-3F4A5B6C7D8E"
    assert (await client.put(f"/things/{upper}")).json()["path"] == {"id": upper.lower()}
    assert (await client.put("/words/caf%C3%A9")).json()["path"] == {"word": "café"}
    for path in (
        "/things/1",
        "/things/%00",
        "/words/%FF",
        "/words/%",
        f"/things/{upper}%0A",
        f"/things/{upper[:-1]}１",
    ):
        response = await client.put(path)
        assert response.status_code == 422, path
        assert problem(response)["errors"][0]["parameter"] in ("id", "word")


@pytest.mark.parametrize("query", ["limit=x", "limit=1&limit=2", "other=1", "limit=%FF", "&".join(["a=1"] * 101)])
async def test_a_query_that_breaks_its_schema_is_422(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/things?{query}")
    assert response.status_code == 422
    assert "parameter" in problem(response)["errors"][0]


async def test_a_fault_of_ours_tells_the_client_nothing_but_that(client: httpx.AsyncClient) -> None:
    response = await client.get("/broken")
    assert response.status_code == 500
    assert problem(response)["type"] == "/problems/internal-error"
    assert "secret" not in response.text
    assert "internal:" not in response.text
    assert "RuntimeError" not in response.text


async def test_a_problem_of_the_service_keeps_its_headers_and_is_explained(client: httpx.AsyncClient) -> None:
    response = await client.get("/teapot")
    assert response.status_code == 418
    assert response.headers["retry-after"] == "2"
    explanation = await client.get(problem(response)["type"])
    assert (explanation.status_code, "It pours tea." in explanation.text) == (200, True)


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"],
)
async def test_json_is_taken_under_each_of_its_names(client: httpx.AsyncClient, media_type: str) -> None:
    response = await client.post("/things", content=b"[1]", headers={"content-type": media_type})
    assert response.json()["body"] == [1]


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "multipart/form-data", "json", ""])
async def test_a_body_of_another_type_is_415(client: httpx.AsyncClient, media_type: str) -> None:
    response = await client.post("/things", content=b"[1]", headers={"content-type": media_type})
    assert response.status_code == 415
    problem(response)


async def chunks(size: int, chunk: int = 16 * 1024) -> AsyncIterator[bytes]:
    while size > 0:
        yield b" " * min(chunk, size)
        size -= chunk


async def test_a_body_of_exactly_the_limit_is_taken(client: httpx.AsyncClient) -> None:
    body = b'"' + b"x" * (MAX_BODY - 2) + b'"'
    assert (await client.post("/things", content=body)).status_code == 200


@pytest.mark.parametrize("size", [MAX_BODY + 1, 10 * 1024 * 1024])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_413_whether_it_says_its_size_or_not(
    client: httpx.AsyncClient, size: int, declared: bool
) -> None:
    headers = {"content-length": str(size)} if declared else {}
    response = await client.post("/things", content=chunks(size), headers=headers)
    assert response.status_code == 413
    assert str(MAX_BODY) in problem(response)["detail"]


async def test_a_body_that_stops_in_the_middle_is_not_taken_for_a_whole_one() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"[1]", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/things",
        "raw_path": b"/things",
        "headers": [],
        "query_string": b"",
    }
    await APP(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_a_process_that_can_not_work_is_live_and_not_ready_and_names_no_host(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200
    ready = await client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["checks"] == {"store": "failing: ConnectionError"}


async def test_the_documentation_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!DOCTYPE html>", "")
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        asset = await client.get(f"/{address}")
        assert asset.status_code == 200, address
        assert asset.content
    assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.1")


async def test_metrics_count_requests_by_operation_and_status(client: httpx.AsyncClient) -> None:
    await client.get("/teapot")
    text = (await client.get("/metrics")).text
    assert 'stockroom_http_request_seconds_count{operation="GET/teapot",status="418"}' in text

"""The Gateway passes every public operation to its service, and nothing else."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import pytest

from chassis.application import Service
from command_service.bootstrap import WriteSide, make_api
from command_service.database import Shop, make_engine
from command_service.settings import CommandSettings
from kubernetes_manifests import named, render
from query_service.bootstrap import build
from query_service.settings import QuerySettings

SETTINGS: Final = CommandSettings()

INSIDE: Final = {
    "/events",
    "/events/heads",
    "/partitions/{partition}/events",
    "/streams/versions",
    "/system",
    "/generations",
    "/generations/{number}",
    "/generations/{number}/switch",
    "/discards",
}
"""By which processes and operators speak to the command service."""

DOCUMENTS: Final = ("/openapi.json", "/docs", "/docs/swagger-ui.css")


@cache
def services() -> dict[str, Service]:
    """Both services, without any server behind them."""
    none = cast(Any, None)
    side = WriteSide(make_engine(SETTINGS), Shop(8, "EUR"), none, none, none, ())
    return {"command-service": make_api(side, SETTINGS), "query-service": build(QuerySettings())}


@dataclass(frozen=True)
class Passed:
    """To which service a request goes, and under which path it arrives."""

    service: str
    path: str


def passed(method: str, path: str) -> Passed | None:
    """What the route makes of a request, as the Gateway API ranks matches: exact, then longest, then with a method."""
    best: tuple[bool, int, bool] | None = None
    found: Passed | None = None
    for rule in named(render("components/gateway"), "HTTPRoute", "stockroom")["spec"]["rules"]:
        for match in rule["matches"]:
            kind, value = match["path"]["type"], match["path"]["value"]
            exact = kind == "Exact"
            fits = path == value if exact else (path + "/").startswith(value + "/")
            if not fits or match.get("method", method) != method:
                continue
            rank = (exact, len(value), "method" in match)
            if best is None or rank > best:
                best, found = rank, Passed(rule["backendRefs"][0]["name"], _rewritten(rule, value, path))
    return found


def _rewritten(rule: dict[str, Any], prefix: str, path: str) -> str:
    for one in rule.get("filters", ()):
        rewrite = one["urlRewrite"]["path"]
        if rewrite["type"] == "ReplaceFullPath":
            return str(rewrite["replaceFullPath"])
        path = str(rewrite["replacePrefixMatch"]) + path.removeprefix(prefix)
    return path


def filled(path: str) -> str:
    return "/".join("0-a" if segment.startswith("{") else segment for segment in path.split("/"))


OPERATIONS: Final = [
    pytest.param(name, operation.method, operation.path, id=f"{operation.method} {operation.path} of {name}")
    for name, service in services().items()
    for operation in service.operations
    if operation.path != "/asyncapi.json"
]


@pytest.mark.parametrize(("name", "method", "path"), OPERATIONS)
def test_an_operation_reaches_its_service_or_is_not_public(name: str, method: str, path: str) -> None:
    expected = None if path in INSIDE else Passed(name, filled(path))
    found = passed(method, filled(path))

    assert found == expected
    if method == "GET":
        assert passed("HEAD", filled(path)) == expected


def test_what_is_inside_exists() -> None:
    assert {operation.path for operation in services()["command-service"].operations} >= INSIDE


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/asyncapi.json"),
        *("/parked", "/dead-letters", "/productsx"),
        *("/commands-api", "/commands-api/system", "/commands-api/docsx", "/query-api/metrics"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nothing_else_passes(method: str, path: str) -> None:
    assert passed(method, path) is None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_both_services_are_documented(document: str) -> None:
    assert passed("GET", f"/commands-api{document}") == Passed("command-service", document)
    assert passed("GET", f"/query-api{document}") == Passed("query-service", document)
    assert passed("GET", "/commands-api/asyncapi.json") == Passed("command-service", "/asyncapi.json")


def test_every_problem_is_explained_by_a_service_that_knows_it() -> None:
    known = {name: service.problem_types for name, service in services().items()}
    for slug in {slug for kinds in known.values() for slug in kinds}:
        found = passed("GET", f"/problems/{slug}")
        assert found is not None
        assert slug in known[found.service]


def test_a_browser_may_ask_first() -> None:
    assert passed("OPTIONS", "/products") == Passed("command-service", "/products")

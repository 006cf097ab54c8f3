"""Network policies open the arrows of the architecture's picture and no others."""

from typing import Final

import pytest

from kubernetes_arrows import SERVERS, arrows
from kubernetes_manifests import ROOTS, render

PORTS: Final = {
    "command-service": 8080,
    "query-service": 8081,
    "projector": 8082,
    "relay": 8083,
    "worker": 8084,
    "processes": 8085,
}

PICTURE: Final = {
    "command-service → postgres:5432",
    "relay → postgres:5432",
    "relay → rabbitmq:5672",
    "worker → rabbitmq:5672",
    "worker → postgres:5432",
    "processes → rabbitmq:5672",
    "processes → postgres:5432",
    "projector → rabbitmq:5672",
    "projector → redis:6379",
    "projector → command-service:8080",  # the feed
    "query-service → redis:6379",
    "migrate → postgres:5432",
}

METRICS: Final = {f"monitoring/prometheus → {process}:{port}" for process, port in PORTS.items()} | {
    "monitoring/prometheus → rabbitmq:15692"
}
PUBLIC: Final = {"gateway → command-service:8080", "gateway → query-service:8081"}
SAMPLE: Final = {"sample → command-service:8080"}
KEDA: Final = {"keda → rabbitmq:15672"}

INSTANCES_OF_POSTGRES: Final = {
    f"{source} → {target}" for source in ("postgres", "cnpg-system") for target in ("postgres:5432", "postgres:8000")
} | {"postgres → anywhere:443", "postgres → anywhere:6443"}

NODES_OF_RABBITMQ: Final = {f"rabbitmq → rabbitmq:{port}" for port in ("4369", "25672", "35672-35682")} | {
    "rabbitmq-system → rabbitmq:15672",
    "rabbitmq → anywhere:443",
    "rabbitmq → anywhere:6443",
}


def dns(*parts: str) -> set[str]:
    """Names are asked for by everyone."""
    return {f"{part} → kube-system/kube-dns:{port}" for part in parts for port in ("53", "53/UDP")}


EVERYONE: Final = dns(*PORTS, *SERVERS, "migrate")
OPENED: Final = {
    "base": set(),
    "overlays/dev": SAMPLE | dns("sample"),
    "overlays/prod": METRICS | PUBLIC | KEDA | INSTANCES_OF_POSTGRES | NODES_OF_RABBITMQ,
    "components/cloudnative-pg": INSTANCES_OF_POSTGRES,
    "components/rabbitmq-operator": NODES_OF_RABBITMQ,
    "components/keda": KEDA,
    "components/monitoring": METRICS,
    "components/gateway": PUBLIC,
    "components/hpa": set(),
    "components/topology-spread": set(),
    "components/disruption-budgets": set(),
    "components/valkey-chart": set(),
}
"""What each opens beyond the picture and DNS."""


def test_each_is_looked_at() -> None:
    assert set(OPENED) == set(ROOTS)


@pytest.mark.parametrize("root", OPENED)
def test_these_arrows_are_open_and_no_others(root: str) -> None:
    assert arrows(render(root)) == PICTURE | EVERYONE | OPENED[root]


def test_a_pod_that_no_policy_selects_is_seen_as_open() -> None:
    base = render("base")
    bare = tuple(manifest for manifest in base if manifest["metadata"]["name"] != "default-deny")

    assert "anywhere → query-service:any" not in arrows(base)
    assert "anywhere → query-service:any" in arrows(bare)


def test_an_arrow_needs_both_ends() -> None:
    base = render("base")
    for end in ("redis", "to-redis"):
        one = tuple(
            manifest for manifest in base if (manifest["kind"], manifest["metadata"]["name"]) != ("NetworkPolicy", end)
        )
        assert "query-service → redis:6379" not in arrows(one)

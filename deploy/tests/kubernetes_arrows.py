"""Who may connect to whom, worked out from the network policies as Kubernetes does.

A pod that a policy selects is closed in that direction but for what some policy opens; one that none selects is open. A
connection passes if its source may go out to it and its target may let it in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

from kubernetes_manifests import PART, Manifest, of_kind, pods

SERVERS: Final = ("postgres", "rabbitmq", "redis")
ANYWHERE: Final = "anywhere"

Policy = dict[str, Any]


@dataclass(frozen=True, order=True)
class Arrow:
    """`source` may connect to `target`. Ends are parts, or `namespace` or `namespace/pod` outside, or `anywhere`."""

    source: str
    target: str
    port: str

    def __str__(self) -> str:
        return f"{self.source} → {self.target}:{self.port}"


@dataclass(frozen=True)
class Peer:
    """A pod as policies see it."""

    part: str
    labels: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)


def arrows(manifests: tuple[Manifest, ...]) -> set[str]:
    """Every connection that the policies let pass, between our pods and across the namespace's border."""
    policies = [manifest["spec"] for manifest in of_kind(manifests, "NetworkPolicy")]
    peers = list(_peers(manifests))
    found: set[Arrow] = set()
    for source, target in product(peers, peers):
        out = set(_inside(policies, "egress", source, target, target))
        into = set(_inside(policies, "ingress", target, source, target))
        found |= {Arrow(source.part, target.part, port) for port in _both(out, into)}
    for peer in peers:
        found |= {Arrow(peer.part, outside, port) for outside, port in _across(policies, "egress", peer)}
        found |= {Arrow(outside, peer.part, port) for outside, port in _across(policies, "ingress", peer)}
    return {str(arrow) for arrow in found}


def _peers(manifests: tuple[Manifest, ...]) -> Iterator[Peer]:
    ours = {pod.part: pod for pod in pods(manifests)}
    for part, pod in ours.items():
        named = {port["name"]: port["containerPort"] for port in pod.container.get("ports", ())}
        yield Peer(part, pod.labels, named)
    for server in SERVERS:
        if server not in ours:  # its operator, or its chart, gives the pods this label
            yield Peer(server, {PART: server})


def _rules(policies: list[Policy], direction: str, peer: Peer) -> list[dict[str, Any]] | None:
    """The rules of a direction for a pod; None where it is not closed at all."""
    about = [
        policy
        for policy in policies
        if direction in (kind.lower() for kind in policy["policyTypes"])
        and _selects(policy["podSelector"], peer.labels)
    ]
    return [rule for policy in about for rule in policy.get(direction, ())] if about else None


def _inside(policies: list[Policy], direction: str, peer: Peer, other: Peer, target: Peer) -> Iterator[str]:
    """The ports by which `peer` may reach `other`, or be reached by it."""
    rules = _rules(policies, direction, peer)
    if rules is None:
        yield "any"
    for rule in rules or ():
        selectors = [end for end in _ends(rule, direction) if "namespaceSelector" not in end and "ipBlock" not in end]
        if not _ends(rule, direction) or any(_selects(end["podSelector"], other.labels) for end in selectors):
            yield from _ports(rule, target)


def _across(policies: list[Policy], direction: str, peer: Peer) -> Iterator[tuple[str, str]]:
    rules = _rules(policies, direction, peer)
    if rules is None:
        yield ANYWHERE, "any"
    for rule in rules or ():
        ends = _ends(rule, direction)
        target = peer if direction == "ingress" else Peer("", {})
        for port in _ports(rule, target):
            if not ends:
                yield ANYWHERE, port
            for end in ends:
                if "namespaceSelector" in end or "ipBlock" in end:
                    yield _outside(end), port


def _ends(rule: dict[str, Any], direction: str) -> list[dict[str, Any]]:
    return list(rule.get("to" if direction == "egress" else "from", ()))


def _outside(end: dict[str, Any]) -> str:
    if "ipBlock" in end:
        return str(end["ipBlock"]["cidr"])
    chosen = [end["namespaceSelector"], *([end["podSelector"]] if "podSelector" in end else [])]
    return "/".join(",".join(labels.get("matchLabels", {"": ANYWHERE}).values()) for labels in chosen)


def _ports(rule: dict[str, Any], target: Peer) -> Iterator[str]:
    if "ports" not in rule:
        yield "any"
    for port in rule.get("ports", ()):
        number = target.ports.get(port["port"]) if isinstance(port["port"], str) else port["port"]
        if number is None:  # a name that this pod does not have
            continue
        ending = f"-{port['endPort']}" if "endPort" in port else ""
        protocol = "" if port.get("protocol", "TCP") == "TCP" else f"/{port['protocol']}"
        yield f"{number}{ending}{protocol}"


def _both(out: set[str], into: set[str]) -> set[str]:
    if "any" in out:
        return into
    return out if "any" in into else out & into


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    plain = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return plain and all(_expressed(expression, labels) for expression in selector.get("matchExpressions", ()))


def _expressed(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    if expression["operator"] != "In":
        raise NotImplementedError(expression["operator"])
    return labels.get(expression["key"]) in expression["values"]

"""
Who may talk to whom, worked out from NetworkPolicies alone, as Kubernetes defines them.

A policy selects pods and names what they may send or receive; what several policies allow adds up, and a pod that no
policy of a direction selects may do all of it. A connection needs a yes at both ends that are pods.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Policy = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod as policies see it: its labels, and where it lives. Namespaces carry their name as a label by themselves."""

    labels: Mapping[str, str]
    namespace: str = "imagen"
    namespace_labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_namespace_labels(self) -> dict[str, str]:
        return {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}


@dataclass(frozen=True)
class Address:
    """Something that is no pod of the cluster."""

    ip: str


def allows(
    policies: Iterable[Policy], source: Pod | Address, target: Pod | Address, port: int, protocol: str = "TCP"
) -> bool:
    """Return whether a connection from source to a port of target gets through."""
    policies = list(policies)
    sent = isinstance(source, Address) or _one_end(policies, "egress", source, target, port, protocol)
    return sent and receives(policies, source, target, port, protocol)


def receives(
    policies: Iterable[Policy], source: Pod | Address, target: Pod | Address, port: int, protocol: str = "TCP"
) -> bool:
    """Return whether target takes the connection, whatever source may send."""
    return isinstance(target, Address) or _one_end(list(policies), "ingress", target, source, port, protocol)


def _one_end(policies: list[Policy], direction: str, here: Pod, there: Pod | Address, port: int, protocol: str) -> bool:
    mine = [each for each in policies if _selects(each, here) and direction in _directions(each["spec"])]
    if not mine:
        return True
    rules = [(each, rule) for each in mine for rule in each["spec"].get(direction, ())]
    return any(
        _any_peer(rule.get("to" if direction == "egress" else "from"), there, each["metadata"]["namespace"])
        and _any_port(rule.get("ports"), port, protocol)
        for each, rule in rules
    )


def _selects(policy: Policy, pod: Pod) -> bool:
    return policy["metadata"]["namespace"] == pod.namespace and matches(policy["spec"]["podSelector"], pod.labels)


def _directions(spec: dict[str, Any]) -> set[str]:
    # Without policyTypes it is about what comes in, and about what goes out where it says something of that.
    stated = spec.get("policyTypes", ["Ingress", *(["Egress"] if "egress" in spec else [])])
    return {kind.lower() for kind in stated}


def _any_peer(peers: list[dict[str, Any]] | None, there: Pod | Address, namespace: str) -> bool:
    # An empty list means everybody, as none does.
    return not peers or any(_is_peer(peer, there, namespace) for peer in peers)


def _is_peer(peer: dict[str, Any], there: Pod | Address, namespace: str) -> bool:
    if "ipBlock" in peer:
        return isinstance(there, Address) and _in_block(peer["ipBlock"], there.ip)
    if isinstance(there, Address):
        return False
    if "namespaceSelector" in peer:
        near = matches(peer["namespaceSelector"], there.all_namespace_labels)
    else:
        near = there.namespace == namespace
    return near and matches(peer.get("podSelector", {}), there.labels)


def _in_block(block: dict[str, Any], ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    inside = address in ipaddress.ip_network(block["cidr"])
    return inside and not any(address in ipaddress.ip_network(hole) for hole in block.get("except", ()))


def _any_port(ports: list[dict[str, Any]] | None, port: int, protocol: str) -> bool:
    return not ports or any(
        each.get("protocol", "TCP") == protocol
        and ("port" not in each or each["port"] <= port <= each.get("endPort", each["port"]))
        for each in ports
    )


def matches(selector: dict[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector takes these labels; an empty one takes all."""
    wanted = selector.get("matchLabels", {}).items()
    return all(labels.get(name) == value for name, value in wanted) and all(
        _meets(expression, labels) for expression in selector.get("matchExpressions", ())
    )


def _meets(expression: dict[str, Any], labels: Mapping[str, str]) -> bool:
    value, operator = labels.get(expression["key"]), expression["operator"]
    if operator == "In":
        return value in expression["values"]
    if operator == "NotIn":
        return value not in expression["values"]
    return (value is not None) == (operator == "Exists")

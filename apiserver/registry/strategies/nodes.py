"""Node: taints, addresses for pods, and what an update may not change."""

from __future__ import annotations

import ipaddress

from apiserver.api.core.node import Node, NodeSpec, NodeStatus, Taint
from apiserver.api.fields import Causes
from apiserver.api.names import is_cidr, is_label_value, is_qualified_name
from apiserver.api.quantity import parse
from apiserver.api.validation import NEGATIVE, check
from apiserver.registry.strategy import Strategy

from .pod_validation.texts import one_of
from .quantities import canonical_amounts

TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


class NodeStrategy(Strategy[Node]):
    def initial_status(self, obj: Node) -> NodeStatus:
        return obj.status  # a node registers with what it has

    def prepare_create(self, obj: Node) -> None:
        obj.spec.config_source = None  # of no effect in Kubernetes either

    def prepare_update(self, obj: Node, old: Node) -> None:
        obj.spec.config_source = None

    def default(self, obj: Node) -> None:
        _same_networks(obj.spec)
        status = obj.status
        status.capacity = canonical_amounts(status.capacity, "status.capacity")
        status.allocatable = canonical_amounts(status.allocatable, "status.allocatable") or dict(status.capacity)

    def validate(self, obj: Node, causes: Causes) -> None:
        validate_taints(obj.spec.taints, causes, "spec.taints")
        _validate_networks(obj.spec.pod_cidrs, causes, "spec.podCIDRs")
        _validate_status(obj.status, causes)

    def validate_update(self, obj: Node, old: Node, causes: Causes) -> None:
        if old.spec.pod_cidrs and obj.spec.pod_cidrs != old.spec.pod_cidrs:
            causes.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
        if old.spec.provider_id and obj.spec.provider_id != old.spec.provider_id:
            causes.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')

    def validate_status(self, obj: Node, old: Node, causes: Causes) -> None:
        _validate_status(obj.status, causes)


NODE = NodeStrategy()


def _same_networks(spec: NodeSpec) -> None:
    """podCIDR is the first of podCIDRs; who sets only one of them means both."""
    if spec.pod_cidr and spec.pod_cidrs[:1] != [spec.pod_cidr]:
        spec.pod_cidrs = [spec.pod_cidr]
    spec.pod_cidr = spec.pod_cidrs[0] if spec.pod_cidrs else ""


def _validate_status(status: NodeStatus, causes: Causes) -> None:
    for name, amounts in (("capacity", status.capacity), ("allocatable", status.allocatable)):
        for resource, amount in amounts.items():
            check(is_qualified_name, resource, causes, f"status.{name}[{resource}]")
            if parse(amount).nano < 0:
                causes.invalid(f"status.{name}[{resource}]", amount, NEGATIVE)
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(status.addresses):
        if (address.type, address.address) in seen:
            causes.duplicate(f"status.addresses[{index}]", address)
        seen.add((address.type, address.address))


def validate_taints(taints: list[Taint], causes: Causes, path: str) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at = f"{path}[{index}]"
        check(is_qualified_name, taint.key, causes, f"{at}.key")
        problems = is_label_value(taint.value)
        if problems:
            causes.invalid(f"{at}.value", taint.value, ";".join(problems))
        one_of(causes, f"{at}.effect", taint.effect, TAINT_EFFECTS)
        if (taint.key, taint.effect) in seen:
            causes.duplicate(at, taint, "taints must be unique by key and effect pair")
        seen.add((taint.key, taint.effect))


def _validate_networks(networks: list[str], causes: Causes, path: str) -> None:
    good = True
    for index, network in enumerate(networks):
        good = good and not is_cidr(network)
        check(is_cidr, network, causes, f"{path}[{index}]")
    if good and len({ipaddress.ip_interface(each).version for each in networks}) < len(networks):
        causes.invalid(path, networks, "may specify no more than one CIDR for each IP family")
